"""export_onnx: a module as an ONNX file, for evaluation. `onnx_layers` says which nodes each layer becomes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from .._core import Array, through_link, user_path, write_atomically
from .._version import __version__
from ..nn import Module
from ..nn.modes import evaluating
from ..nn.naming import layer_at
from ..nn.operations import FUNCTIONS
from ..nn.structure import leaves, rebuild
from ..nn.summary import model_dtype
from ..nn.trace import Note, Trace, Value
from .onnx_layers import EXPORTERS, Exporter, kind_of
from .onnx_operations import OPERATIONS
from .onnx_package import require_onnx
from .onnx_step import Step
from .onnx_trace import dry_runs, equal

__all__ = ["OPSET", "OnnxGraph", "export_onnx", "onnx_nodes"]

# The version of the operators, from 2023: the first that has every operator needed here.
OPSET = 20


def onnx_nodes(*kinds: type[Module]) -> Callable[[Exporter], Exporter]:
    """Register which nodes a module becomes: a decorator for functions (graph, layer, x) -> name of the output.

        @onnx_nodes(MyLayer)
        def _(graph, layer, x):
            return graph.node("Mul", x, graph.parameter("scale", layer.scale.data))

    A subclass uses the function of its base class unless it changes `forward`.

    Args:
        *kinds: classes of modules.
    """

    def register(function: Exporter) -> Exporter:
        EXPORTERS.update(dict.fromkeys(kinds, function))
        return function

    return register


class OnnxGraph:
    """An ONNX graph under construction: values are known by name, and arrays given as inputs become constants.

    Args:
        model: the module that becomes the graph.
        shapes: those of its inputs, including the batch axis, as `Module.output_shape` takes them.
        dtype: of the inputs, likewise.

    Attributes:
        dtype: dtype of the model's parameters and values.
        nodes, initializers: those added so far, as objects of the package onnx.
    """

    def __init__(self, model: Module, shapes: tuple[Any, ...], dtype: Any = None) -> None:
        self._paths = {id(module): path for path, module in model.named_modules()}
        self._parameters = {id(parameter): path for path, parameter in model.named_params()}
        self._names: dict[int, str] = {}
        self._weights: dict[tuple[Any, ...], tuple[str, Array]] = {}  # by place in memory
        self._at = ""
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        for path, module in model.named_modules():
            if getattr(module, "return_indices", False):
                layer = layer_at(type(module).__name__, path)
                raise ValueError(f"{layer} with return_indices has two outputs; only one can be exported")
        runs = dry_runs(model, shapes, dtype, kind_of(self._paths))
        self._traces, self._shapes = [run.trace for run in runs], [run.shapes for run in runs]
        self.dtype = model_dtype(model)
        size, self._sizes = runs[0].size, [run.size for run in runs]
        self.inputs, self.outputs = [], []  # (name, dtype, sizes of the axes)
        for name, *values in zip(_names(runs[0].inputs), *(leaves(run.inputs) for run in runs), strict=True):
            self._names[values[0].number] = name
            self.inputs.append((name, values[0].dtype, _dims(values, size)))
        self._add_notes(self._traces)
        for outputs in zip(*(leaves(run.output) for run in runs), strict=True):
            self.outputs.append(self._output(outputs, size))

    def _add_notes(self, traces: list[Trace]) -> None:
        """Add the nodes of all notes, which must be the same in all runs."""
        first = traces[0]
        for trace in traces[1:]:
            if [_what(note) for note in trace.notes] != [_what(note) for note in first.notes]:
                raise ValueError(
                    "the model's forward does something else for other values, or another batch size: what depends on "
                    "them (if, while, a number of steps) has no ONNX form; use where, or export the part without it"
                )
        for notes in zip(*(trace.notes for trace in traces), strict=True):
            note = notes[0]
            names = self._operation(notes) if note.kind is None else self._layer(notes)
            made = list(leaves(note.outputs))
            names = names if isinstance(names, list) else [names]
            for value, name in zip(made, names, strict=True):
                self._names[value.number] = name

    def _operation(self, notes: tuple[Note, ...]) -> Any:
        emit, what = OPERATIONS.get(notes[0].what), notes[0].what
        name = what if isinstance(what, str) else _name_of(what)
        step = Step(self, notes, name)
        if emit is None:
            raise step.refuse("there is none for this operation")
        return emit(step)

    def _layer(self, notes: tuple[Note, ...]) -> Any:
        layer = notes[0].what
        step = Step(self, notes, layer_at(type(layer).__name__, self._paths.get(id(layer), "")))
        inputs = [step.input(index) for index in range(len(notes[0].inputs))]
        self._shapes[0][id(layer)] = step.shapes()[0], rebuild(notes[0].outputs, lambda value: value.shape)
        before, self._at = self._at, self._paths.get(id(layer), self._at)
        try:
            return EXPORTERS[type(layer) if notes[0].kind is None else notes[0].kind](self, layer, *inputs)
        finally:
            self._at = before

    def _output(self, values: Sequence[Any], size: int) -> tuple[str, Any, list[Any]]:
        """Return name, dtype and sizes of an output; one that is an input, or appears twice, is passed on by a node."""
        if isinstance(values[0], Value):
            name = self.value(values[0].number)
            if name in [known for known, _, _ in (*self.inputs, *self.outputs)]:
                name = self.node("Identity", name)
            return name, values[0].dtype, _dims(values, size)
        data = np.asarray(values[0].data)
        if any(not equal(data, np.asarray(other.data)) for other in values[1:]):
            raise ValueError("an output of the model depends on the input in a way that is not noted (.data, item())")
        return self.node("Identity", data), data.dtype, list(data.shape)

    def is_batch(self, sizes: list[int]) -> bool:
        """Return whether sizes, one for each dry run, are the batch sizes."""
        return sizes == self._sizes

    def repeated(self, x: str | Array, sizes: Sequence[int] | None = None) -> str:
        """Repeat a value once for each sample; ``sizes`` are those of the other axes of the result."""
        rest = np.shape(x)[1:] if sizes is None else sizes
        batch = self.node("Shape", self.inputs[0][0], start=0, end=1)
        return self.node("Expand", x, self.node("Concat", batch, np.array(rest, np.int64), axis=0))

    def value(self, number: int) -> str:
        """Return the name of a value of the model, or of a Parameter."""
        if number not in self._names:
            parameter = self._traces[0].parameters_by_number[number]
            self._names[number] = self._weight(self._parameters[id(parameter)], parameter.data)
        return self._names[number]

    def layer(self, layer: Module, x: str) -> str:
        """Add the nodes of a layer whose input is the value ``x``; return the name of its output.

        Raises:
            ValueError: it has no ONNX form; see `onnx_nodes`.
        """
        kind = kind_of(self._paths)(layer, None)
        before, self._at = self._at, self._paths.get(id(layer), self._at)
        try:
            return EXPORTERS[kind](self, layer, x) if kind is not None else self._inside(layer, x)
        finally:
            self._at = before

    def _inside(self, layer: Module, x: str) -> str:
        """Add the nodes of a layer whose forward is derived, inside one with an ONNX form of its own."""
        shapes = [shapes[id(layer)][0] for shapes in self._shapes]
        traces, before = [], (self._traces, self._names)
        for number, shape in enumerate(shapes):
            trace = Trace(layer, kind_of(self._paths))
            array = np.random.default_rng(number).standard_normal(shape).astype(self.dtype)
            with evaluating(layer):
                (source,), output = trace.run(layer, (array,))
            traces.append(trace)
        self._traces, self._names = traces, {source.number: x}
        try:
            self._add_notes(traces)
            return self.value(output.number)
        finally:
            self._traces, self._names = before

    def node(self, operator: str, *inputs: str | Array, **attributes: Any) -> str:
        """Add a node; return the name of its output.

        Args:
            operator: its name in ONNX.
            *inputs: names of values ("" for an optional input that is omitted), or arrays, which become constants.
            **attributes: the node's attributes; those that are None are omitted.
        """
        onnx = require_onnx("export_onnx")
        names = [given if isinstance(given, str) else self._constant(given) for given in inputs]
        name = self._name(operator)
        kinds = onnx.defs.get_schema(operator, OPSET).attributes
        given = {
            key: float(value) if kinds[key].type == onnx.defs.OpSchema.AttrType.FLOAT else value
            for key, value in attributes.items()
            if value is not None
        }
        self.nodes.append(onnx.helper.make_node(operator, names, [name], name=name, **given))
        return name

    def parameter(self, name: str, value: Array) -> str:
        """Add an array that training changes as an initializer, named as in ``state_dict()``; return its name."""
        return self._weight(f"{self._at}.{name}" if self._at else name, value)

    def _weight(self, path: str, value: Array) -> str:
        """Add an initializer, if there is none for the same array: weights that are shared stay shared."""
        key = value.__array_interface__["data"][0], value.shape, value.strides, value.dtype
        if key not in self._weights or not value.size:
            taken = {known.name for known in self.initializers}
            if path in taken:  # the same weight in another shape
                path = next(f"{path}_{n}" for n in range(len(taken) + 1) if f"{path}_{n}" not in taken)
            self._weights[key] = path, value  # which keeps the array, and its place in memory taken
            self.initializers.append(require_onnx("export_onnx").numpy_helper.from_array(_plain(value), path))
        return self._weights[key][0]

    def number(self, value: float) -> Array:
        """Return a number as an array of the model's dtype, as an input for `node`."""
        return np.asarray(value, self.dtype)

    def input_shape(self, layer: Module) -> tuple[int, ...]:
        """Return the shape of the layer's input in a dry run, including the batch axis."""
        shape: tuple[int, ...] = self._shapes[0][id(layer)][0]
        return shape

    def output_shape(self, layer: Module) -> tuple[int, ...]:
        """Return the shape of the layer's output in a dry run, including the batch axis."""
        shape: tuple[int, ...] = self._shapes[0][id(layer)][1]
        return shape

    def _constant(self, value: Array) -> str:
        onnx = require_onnx("export_onnx")
        name = self._name("Constant")
        tensor = onnx.numpy_helper.from_array(_plain(value), name)
        self.nodes.append(onnx.helper.make_node("Constant", [], [name], name=name, value=tensor))
        return name

    def _name(self, operator: str) -> str:
        return f"{self._at + '/' if self._at else ''}{operator}_{len(self.nodes)}"

    def model(self) -> Any:
        """Return the graph as an onnx.ModelProto."""
        helper = require_onnx("export_onnx").helper

        def info(value: tuple[str, Any, list[Any]]) -> Any:
            name, dtype, dims = value
            return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(dtype), dims)

        inputs, outputs = [info(value) for value in self.inputs], [info(value) for value in self.outputs]
        graph = helper.make_graph(self.nodes, "minidl", inputs, outputs, self.initializers)
        versions = [helper.make_opsetid("", OPSET)]
        return helper.make_model(
            graph,
            opset_imports=versions,
            ir_version=helper.find_min_ir_version_for(versions),
            producer_name="minidl",
            producer_version=__version__,
        )


def export_onnx(model: Module, path: str | os.PathLike[str], input_shape: Any, *more: Any, dtype: Any = None) -> None:
    """Write a model, as it behaves in evaluation mode, to an ONNX file for ONNX Runtime and other runtimes.

    The graph is what the model's forward does in dry runs on random values: each layer, and each operation on values,
    becomes nodes. The batch size stays variable, if forward works with another one than that of ``input_shape``, and is
    that one otherwise; the other axes are those of ``input_shape``. Weights keep their ``state_dict()`` names. The
    model is not changed, except that layers without an input size are given one.

    Args:
        model: a module built from minidl's layers and operations; for layers of your own with a backward see
            `minidl.interop.onnx_nodes`.
        path: file name, ending in .onnx.
        input_shape: shape of the input, including the batch axis: (1, 1, 28, 28). The graph's input is named "input".
        *more: shapes of further inputs, as `Module.output_shape` takes them. Several inputs are named "input0",
            "input1", ..., those in a dict by its keys: "input0.left".
        dtype: of the inputs, or a list with one for each; None means that of the parameters.

    Raises:
        ValueError: the suffix is not .onnx, the model does not accept this shape, or a layer or an operation has no
            ONNX form.
        ImportError: the extra ``onnx`` is not installed.
        OSError: the file cannot be written.

    Source: https://onnx.ai/onnx/operators/
    """
    onnx = require_onnx("export_onnx")
    path = user_path(path)
    if path.suffix != ".onnx":
        raise ValueError(f"export_onnx writes files ending in .onnx, got {path}")
    exported = OnnxGraph(model, (input_shape, *more), dtype).model()
    try:
        onnx.checker.check_model(exported, full_check=True)
    except MemoryError:
        raise
    except Exception as error:  # onnx's errors have no common base class
        raise ValueError(f"the model has no valid ONNX form: {error}") from error
    write_atomically(through_link(path), exported.SerializeToString())


def _plain(value: Array) -> Array:
    return np.ascontiguousarray(value).reshape(np.shape(value))


def _what(note: Note) -> Any:
    """Return the part of a run's notes that two runs must share; a layer made within a call counts by its options."""
    what = note.what
    if note.kind is not None:
        what = (type(what).__name__, what.extra_repr())
    return what, note.kind, [isinstance(x, Value) for x in note.inputs]


def _name_of(what: Any) -> str:
    """Return the name of an operation: NumPy's, if it is one of those."""
    known = next((function for function, operation in FUNCTIONS.items() if operation is what), what)
    return str(getattr(known, "__name__", known))


def _dims(values: Sequence[Any], size: int) -> list[Any]:
    """Return the sizes of a value's axes; "N" for the batch, "M" for what else depends on it."""
    shape = values[0].shape
    same = [len({value.shape[axis] for value in values}) == 1 for axis in range(len(shape))]
    return [n if fixed else "N" if n == size else "M" for n, fixed in zip(shape, same, strict=True)]


def _names(inputs: tuple[Any, ...]) -> Iterator[str]:
    """Yield a name for each input: "input", or "input0", "input1", ..., and below them the keys of dicts and lists."""

    def below(value: Any, name: str) -> Iterator[str]:
        if isinstance(value, (tuple, list, dict)):
            for key, item in value.items() if isinstance(value, dict) else enumerate(value):
                yield from below(item, f"{name}.{key}")
        else:
            yield name

    for number, part in enumerate(inputs):
        yield from below(part, f"input{number}" if len(inputs) > 1 else "input")
