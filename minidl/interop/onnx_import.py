"""from_onnx: an ONNX file as a module, with a backward pass. `onnx_builders` says which module each node becomes."""

from __future__ import annotations

import os
import re
from collections import Counter
from typing import Any, NamedTuple

import numpy as np

from .._core import Array, printable, reading, user_path
from ..nn import Module, ModuleDict, Parameter
from .onnx_builders import BUILDERS, constant
from .onnx_external import load_external_data
from .onnx_node import Constant, Node
from .onnx_package import require_onnx
from .onnx_pooling import rounds_up
from .onnx_sizes import check_fields, check_parts, check_values

__all__ = ["OnnxModel", "from_onnx"]

FIRST_OPSET = 13
FIRST_EXACT = 22  # before that, onnx counts windows that begin in the padding at the end, and refuses right shapes


class Step(NamedTuple):
    """One step of the forward pass: the name of a module, those of its inputs, and that of its output."""

    module: str
    inputs: tuple[str, ...]
    output: str


class OnnxModel(Module):
    """A network read from an ONNX file, made by `from_onnx`: modules, and the values that pass between them.

    Its forward takes the graph's inputs, in their order, and gives its output; a tuple if there are several.

    Args:
        modules: the modules by name, in the order of the forward pass; they become ``nodes``.
        steps: one for each module, in the same order.
        sources, results: names of the network's inputs and outputs.
    """

    def __init__(self, modules: dict[str, Module], steps: list[Step], sources: list[str], results: list[str]) -> None:
        super().__init__()
        self.nodes = ModuleDict(modules)
        self.steps, self.sources, self.results = steps, sources, results

    def forward(self, *inputs: Any) -> Any:
        """Run the nodes in order."""
        if len(inputs) != len(self.sources):
            raise TypeError(f"expected {len(self.sources)} inputs ({', '.join(self.sources)}), got {len(inputs)}")
        nodes = dict(self.nodes.items())
        values = dict(zip(self.sources, inputs, strict=True))
        for step in self.steps:
            values[step.output] = nodes[step.module](*(values[name] for name in step.inputs))
        outputs = tuple(values[name] for name in self.results)
        return outputs[0] if len(outputs) == 1 else outputs


def from_onnx(path: str | os.PathLike[str]) -> OnnxModel:
    """Read a network from an ONNX file.

    Supported are the operators that `export_onnx` writes. Initializers become Parameters, one that several nodes use a
    single one; nodes become layers (Conv2d, Linear, BatchNorm2d, ...) where minidl has the layer. Like every new module
    it is in training mode: call ``eval()`` to use it as it was exported. It can be trained, saved, and exported again.

    Args:
        path: file name. Weights that are kept in other files are read from the folder of this one, or below it.

    Returns:
        A module that maps the graph's inputs to its outputs, and has a backward pass.

    Raises:
        FileNotFoundError: there is no such file, or one with its weights is missing.
        ImportError: the extra ``onnx`` is not installed.
        ValueError: the file is damaged, its weights are kept outside of its folder, it takes more memory than is
            allowed (`docs/interop.md`), or an operator or option in it is not supported; the message names the node.
        TypeError: ``path`` is no path.
    """
    onnx = require_onnx("from_onnx")
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"from_onnx: expected the path of an .onnx file, got {type(path).__name__}: save it to a file")
    path = user_path(path)
    damaged = "is not an ONNX model, or it is damaged"
    with reading(path, damaged):
        content = path.read_bytes()
        check_fields(content, str(path))
        model = onnx.load_model_from_string(content)
    try:
        given = len(content) + load_external_data(model, path.parent)
    except (ValueError, FileNotFoundError) as error:
        raise type(error)(f"{path}: {printable(error)}") from error
    check_parts(model.graph, str(path), given)
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    with reading(path, damaged):
        onnx.checker.check_model(model, full_check=opset >= FIRST_EXACT or not any(map(rounds_up, model.graph.node)))
        model = onnx.shape_inference.infer_shapes(model)
    check_values(model, str(path), given)
    if opset < FIRST_OPSET:
        raise ValueError(f"{path}: operators of version {opset}; from_onnx reads {FIRST_OPSET} and later")
    with reading(path, "cannot be read"):
        reader = _Reader(model.graph)
        for proto in model.graph.node:
            reader.read(proto)
        return reader.model()


class _Reader:
    """Reads the nodes of a graph, one after another, into the modules and steps of an OnnxModel."""

    def __init__(self, graph: Any) -> None:
        self.to_array = require_onnx("from_onnx").numpy_helper.to_array
        self.constants = {
            tensor.name: Constant(self.to_array(tensor), True, tensor.name) for tensor in graph.initializer
        }
        self.sources = [value.name for value in graph.input if value.name not in self.constants]
        self.results = [value.name for value in graph.output]
        self.uses = Counter(name for proto in graph.node for name in proto.input)
        self.weights: dict[str, dict[str, Parameter]] = {}
        values = (*graph.input, *graph.value_info, *graph.output)
        self.dims = {value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in values}
        self.dims |= {name: list(constant.value.shape) for name, constant in self.constants.items()}
        self.computed = set(self.sources)
        self.aliases: dict[str, str] = {}  # outputs of nodes that do nothing, and the values they stand for
        self.modules: dict[str, Module] = {}
        self.tried = Counter[str]()
        self.steps: list[Step] = []

    def model(self) -> OnnxModel:
        """Return the network, once all nodes are read."""
        results = [self.aliases.get(name, name) for name in self.results]
        self._check_computed(tuple(results))
        return OnnxModel(self.modules, self.steps, self.sources, results)

    def read(self, proto: Any) -> None:
        """Read a node; its inputs have been read before, since ONNX sorts nodes.

        Raises:
            ValueError: the operator or an option is not supported; the message names the node.
        """
        proto.input[:] = [self.aliases.get(name, name) for name in proto.input]
        first, output = proto.input[0] if proto.input else "", proto.output[0]
        node = Node(proto, self.constants, self.dims.get(first), self.weights, self.uses)
        try:
            if node.operator == "Constant":
                self.constants[output] = Constant(self._constant_value(node), False)
            elif node.operator in ("Identity", "Dropout"):
                _check_dropout(node)
                self.aliases[output] = first
            elif node.operator not in BUILDERS:
                raise ValueError(f"this operator is not supported; supported are {', '.join(sorted(BUILDERS))}")
            elif node.operator == "Transpose" and first in self.constants and not node.is_shared(0):  # of a weight
                self.constants[output] = _transposed(node, self.constants[first])
            else:
                self._add(node, output)
        except (ValueError, TypeError) as error:
            raise ValueError(f'node "{node.name}" ({node.operator}): {error}') from error

    def _add(self, node: Node, output: str) -> None:
        module = BUILDERS[node.operator](node)
        inputs = tuple(node.inputs())
        for given in inputs:
            if given in self.constants:
                self._step(f"{node.name}_input", constant(node, node.place(given)), (), given)
        self._check_computed(inputs)
        self._step(node.name, module, inputs, output)

    def _step(self, title: str, module: Module, inputs: tuple[str, ...], output: str) -> None:
        name = _free_name(title, self.modules, self.tried)
        self.modules[name] = module
        self.computed.add(output)
        self.steps.append(Step(name, inputs, output))

    def _check_computed(self, names: tuple[str, ...]) -> None:
        for name in names:
            if name not in self.computed:
                raise ValueError(f"{name!r} is a constant, or a second output of a node; neither is supported here")

    def _constant_value(self, node: Node) -> Array:
        for name, kind in (("value_float", np.float32), ("value_floats", np.float32), ("value_int", np.int64)):
            if (given := node.attribute(name, None)) is not None:
                return np.asarray(given, kind)
        if (given := node.attribute("value_ints", None)) is not None:
            return np.asarray(given, np.int64)
        if (given := node.attribute("value", None)) is None:
            raise ValueError("only numbers are supported")
        return self.to_array(given)  # type: ignore[no-any-return]


def _check_dropout(node: Node) -> None:
    mode = node.constant(2)
    if mode is not None and mode.value.item():
        raise ValueError("training_mode is not supported; Dropout does nothing in evaluation mode")


def _transposed(node: Node, weight: Constant) -> Constant:
    value = weight.value.transpose(node.attribute("perm", None))
    return weight._replace(value=value, layout=f"{weight.layout}T")


def _free_name(name: str, taken: dict[str, Module], tried: Counter[str]) -> str:
    """Return a name that can be part of a path and that no other module has; ``tried`` is for the next call."""
    name = re.sub(r"\W+", "_", name).strip("_") or "node"
    free = name
    while free in taken or hasattr(ModuleDict, free):
        free = f"{name}_{tried[name]}"
        tried[name] += 1
    return free
