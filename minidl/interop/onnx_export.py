"""export_onnx: a module as an ONNX file, for evaluation. `onnx_layers` says which nodes each layer becomes."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from .._core import Array, user_path
from .._version import __version__
from ..nn import Module
from ..nn.naming import layer_at
from ..nn.summary import dry_run
from .files import write_atomically
from .onnx_layers import EXPORTERS, Exporter
from .onnx_package import require_onnx

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
        input_shape: shape of its input, including the batch axis.

    Attributes:
        dtype: dtype of the model's parameters and values.
        nodes, initializers: those added so far, as objects of the package onnx.
    """

    def __init__(self, model: Module, input_shape: tuple[int, ...]) -> None:
        self._paths = {id(module): path for path, module in model.named_modules()}
        self._shapes: dict[int, tuple[tuple[int, ...], tuple[int, ...]]] = {}

        def record(module: Module, inputs: tuple[Any, ...], output: Any) -> None:
            self._shapes[id(module)] = np.shape(inputs[0]), np.shape(output)

        for path, module in model.named_modules():
            if getattr(module, "return_indices", False):
                layer = layer_at(type(module).__name__, path)
                raise ValueError(f"{layer} with return_indices has two outputs; only one can be exported")
        output = dry_run(model, (input_shape,), record)
        self.dtype = output.dtype
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        same = output.shape[:1] == tuple(input_shape[:1])
        self.input, self.input_dims = "input", ["N", *input_shape[1:]]
        self.output_dims = ["N" if same else "M", *output.shape[1:]]
        self._at = ""
        self.output = self.layer(model, self.input)
        if self.output == self.input:  # a model that does nothing in evaluation mode
            self.output = self.node("Identity", self.input)

    def layer(self, layer: Module, x: str) -> str:
        """Add the nodes of a layer whose input is the value ``x``; return the name of its output.

        Raises:
            ValueError: no exporter is registered for this class; see `onnx_nodes`.
        """
        before, self._at = self._at, self._paths.get(id(layer), self._at)
        try:
            return _exporter(layer, self._at)(self, layer, x)
        finally:
            self._at = before

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
        path = f"{self._at}.{name}" if self._at else name
        if all(path != known.name for known in self.initializers):
            self.initializers.append(require_onnx("export_onnx").numpy_helper.from_array(_plain(value), path))
        return path

    def number(self, value: float) -> Array:
        """Return a number as an array of the model's dtype, as an input for `node`."""
        return np.asarray(value, self.dtype)

    def input_shape(self, layer: Module) -> tuple[int, ...]:
        """Return the shape of the layer's input in a dry run, including the batch axis."""
        return self._shapes[id(layer)][0]

    def output_shape(self, layer: Module) -> tuple[int, ...]:
        """Return the shape of the layer's output in a dry run, including the batch axis."""
        return self._shapes[id(layer)][1]

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
        kind = helper.np_dtype_to_tensor_dtype(self.dtype)
        graph = helper.make_graph(
            self.nodes,
            "minidl",
            [helper.make_tensor_value_info(self.input, kind, self.input_dims)],
            [helper.make_tensor_value_info(self.output, kind, self.output_dims)],
            self.initializers,
        )
        versions = [helper.make_opsetid("", OPSET)]
        return helper.make_model(
            graph,
            opset_imports=versions,
            ir_version=helper.find_min_ir_version_for(versions),
            producer_name="minidl",
            producer_version=__version__,
        )


def export_onnx(model: Module, path: str | os.PathLike[str], input_shape: tuple[int, ...]) -> None:
    """Write a model, as it behaves in evaluation mode, to an ONNX file for ONNX Runtime and other runtimes.

    The batch size stays variable; the other axes are those of ``input_shape``. Weights keep their ``state_dict()``
    names. The model is not changed, except that layers without an input size are given one.

    Args:
        model: a module built from minidl's layers and containers; for your own layers see
            `minidl.interop.onnx_nodes`.
        path: file name, ending in .onnx.
        input_shape: shape of the input, including the batch axis: (1, 1, 28, 28).

    Raises:
        ValueError: the suffix is not .onnx, the model does not accept this shape, or a layer has no ONNX form.
        ImportError: the extra ``onnx`` is not installed.
        OSError: the file cannot be written.

    Source: https://onnx.ai/onnx/operators/
    """
    onnx = require_onnx("export_onnx")
    path = user_path(path)
    if path.suffix != ".onnx":
        raise ValueError(f"export_onnx writes files ending in .onnx, got {path}")
    exported = OnnxGraph(model, input_shape).model()
    try:
        onnx.checker.check_model(exported, full_check=True)
    except Exception as error:  # onnx's errors have no common base class
        raise ValueError(f"the model has no valid ONNX form: {error}") from error
    write_atomically(path, exported.SerializeToString())


def _plain(value: Array) -> Array:
    return np.ascontiguousarray(value).reshape(np.shape(value))


def _exporter(layer: Module, path: str) -> Exporter:
    kind = type(layer)
    for base in kind.__mro__:
        # A subclass with its own forward computes something other than its base.
        if base in EXPORTERS and kind.forward is base.forward:
            return EXPORTERS[base]
    owner = layer_at(kind.__name__, path)
    raise ValueError(f"{owner} has no ONNX form; give it one with @minidl.interop.onnx_nodes({kind.__name__})")
