"""export_onnx: a module as an ONNX file, for evaluation. Which nodes a layer becomes is told in `onnx_nodes`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from .._core import Array
from .._version import __version__
from ..nn import Module
from ..nn.summary import dry_run
from .files import write_atomically

__all__ = ["OPSET", "OnnxGraph", "export_onnx", "onnx_nodes", "require_onnx"]

# The operators' version, of 2023: the first with every operator that is needed here.
OPSET = 20

AnyModule = TypeVar("AnyModule", bound=Module)
Exporter = Callable[[Any, Any, str], str]

_EXPORTERS: dict[type[Module], Exporter] = {}


def onnx_nodes(*kinds: type[Module]) -> Callable[[Exporter], Exporter]:
    """Say what nodes a module becomes: a decorator for functions (graph, layer, x) -> name of the output.

        @onnx_nodes(MyLayer)
        def _(graph, layer, x):
            return graph.node("Mul", x, graph.parameter("scale", layer.scale.data))

    A subclass uses its base's function if it does not change `forward`.

    Args:
        *kinds: classes of modules.
    """

    def register(function: Exporter) -> Exporter:
        _EXPORTERS.update(dict.fromkeys(kinds, function))
        return function

    return register


class OnnxGraph:
    """An ONNX graph that grows: values are known by name, and arrays given as inputs become constants.

    Args:
        model: the module that becomes the graph.
        input_shape: shape of its input, the batch axis included.

    Attributes:
        dtype: of the model's parameters and values.
        nodes, initializers: what there is so far, of the types of the package onnx.
    """

    def __init__(self, model: Module, input_shape: tuple[int, ...]) -> None:
        self._paths = {id(module): path for path, module in model.named_modules()}
        self._shapes: dict[int, tuple[tuple[int, ...], tuple[int, ...]]] = {}

        def record(module: Module, inputs: tuple[Any, ...], output: Any) -> None:
            self._shapes[id(module)] = np.shape(inputs[0]), np.shape(output)

        for path, module in model.named_modules():
            if getattr(module, "return_indices", False):
                raise ValueError(f'{type(module).__name__} "{path}" with return_indices has two outputs; ONNX gets one')
        output = dry_run(model, input_shape, record)
        self.dtype = output.dtype
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        same = output.shape[:1] == tuple(input_shape[:1])
        self.input, self.input_dims = "input", ["N", *input_shape[1:]]
        self.output_dims = ["N" if same else "M", *output.shape[1:]]
        self._at = ""
        self.output = self.layer(model, self.input)
        if self.output == self.input:  # a model that does nothing in evaluation
            self.output = self.node("Identity", self.input)

    def layer(self, layer: Module, x: str) -> str:
        """Add the nodes of a layer that gets the value ``x``; return its output's name.

        Raises:
            ValueError: nobody said what nodes this class becomes.
        """
        before, self._at = self._at, self._paths.get(id(layer), self._at)
        try:
            return _exporter(layer, self._at)(self, layer, x)
        finally:
            self._at = before

    def node(self, operator: str, *inputs: str | Array, **attributes: Any) -> str:
        """Add a node; return its output's name.

        Args:
            operator: its name in ONNX.
            *inputs: names of values ("" for an optional input left out), or arrays, which become constants.
            **attributes: the node's attributes; those that are None are left out.
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
        """Add an array that training changes, as an initializer called as in ``state_dict()``; return its name."""
        path = f"{self._at}.{name}" if self._at else name
        if all(path != known.name for known in self.initializers):
            self.initializers.append(require_onnx("export_onnx").numpy_helper.from_array(_plain(value), path))
        return path

    def number(self, value: float) -> Array:
        """Return a number as an array of the model's dtype, to give to `node`."""
        return np.asarray(value, self.dtype)

    def input_shape(self, layer: Module) -> tuple[int, ...]:
        """Return the shape of what the layer got in a dry run, the batch axis included."""
        return self._shapes[id(layer)][0]

    def output_shape(self, layer: Module) -> tuple[int, ...]:
        """Return the shape of what the layer gave in a dry run, the batch axis included."""
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
    """Write a model as it is in evaluation mode to an ONNX file, which ONNX Runtime and many others run.

    The batch size stays free; the other axes are those of ``input_shape``. Weights keep their ``state_dict()`` names.
    The model is not changed, except that layers without an input size get theirs.

    Args:
        model: a module of minidl's layers and containers; for layers of your own see `minidl.interop.onnx_nodes`.
        path: file name, ending in .onnx.
        input_shape: shape of the input, the batch axis included: (1, 1, 28, 28).

    Raises:
        ValueError: the suffix is not .onnx, the model does not take this shape, or a layer has no ONNX form.
        ImportError: the extra ``onnx`` is not installed.
        OSError: the file cannot be written.

    Source: https://onnx.ai/onnx/operators/
    """
    from . import _onnx_layers  # noqa: F401, PLC0415 - fills the table

    onnx = require_onnx("export_onnx")
    path = Path(path)
    if path.suffix != ".onnx":
        raise ValueError(f"export_onnx writes files ending in .onnx, got {path}")
    exported = OnnxGraph(model, input_shape).model()
    try:
        onnx.checker.check_model(exported, full_check=True)
    except Exception as error:  # onnx's own have no common base
        raise ValueError(f"the model has no valid ONNX form: {error}") from error
    write_atomically(path, exported.SerializeToString())


def require_onnx(what: str) -> Any:
    """Return the package onnx, an extra.

    Raises:
        ImportError: it is not installed; the message says how to install it.
    """
    try:
        import onnx  # noqa: PLC0415 - an extra, imported where it is used
        import onnx.checker  # noqa: PLC0415
        import onnx.defs  # noqa: PLC0415
        import onnx.helper  # noqa: PLC0415
        import onnx.numpy_helper  # noqa: PLC0415
        import onnx.shape_inference  # noqa: PLC0415
    except ImportError as error:
        raise ImportError(f"{what} needs an extra: pip install 'minidl[onnx]'") from error
    return onnx


def _plain(value: Array) -> Array:
    return np.ascontiguousarray(value).reshape(np.shape(value))


def _exporter(layer: Module, path: str) -> Exporter:
    kind = type(layer)
    for base in kind.__mro__:
        # A subclass with a forward of its own computes something else than its base.
        if base in _EXPORTERS and kind.forward is base.forward:
            return _EXPORTERS[base]
    place = f'{kind.__name__} "{path}"' if path else kind.__name__
    raise ValueError(f"{place} has no ONNX form; give it one with @minidl.interop.onnx_nodes({kind.__name__})")
