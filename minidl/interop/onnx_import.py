"""from_onnx: an ONNX file as a module, with a backward pass. What a node becomes is told in `_onnx_builders`."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .._core import Array
from ..nn import Module, ModuleDict, no_grad
from .onnx_export import require_onnx

__all__ = ["Constant", "Node", "OnnxModel", "from_onnx"]

FIRST_OPSET = 13


class Constant(NamedTuple):
    """An array of the graph; ``learnt`` if it is an initializer, and so a weight."""

    value: Array
    learnt: bool


class Node:
    """A node while its module is built: what is asked for is ticked off, and what is left over is an input."""

    def __init__(self, proto: Any, constants: dict[str, Constant], dims: list[int] | None) -> None:
        get = require_onnx("from_onnx").helper.get_attribute_value
        self.operator: str = proto.op_type
        self.name = str(proto.name or proto.output[0])
        self.rank = None if dims is None else len(dims)
        self.channels = dims[1] if dims is not None and len(dims) > 1 else None
        self._inputs: list[str] = list(proto.input)
        self._constants, self._used = constants, set[int]()
        self._attributes = {a.name: get(a) for a in proto.attribute}

    def attribute(self, name: str, default: Any) -> Any:
        """Return an attribute; each may be asked for once."""
        value = self._attributes.pop(name, default)
        return value.decode() if isinstance(value, bytes) else value

    def constant(self, index: int) -> Constant | None:
        """Return an input that is a constant, or None if it is left out.

        Raises:
            ValueError: it is computed.
        """
        if index >= len(self._inputs) or not self._inputs[index]:
            return None
        if self._inputs[index] not in self._constants:
            raise ValueError(f"input {index} must be a constant, but it is computed")
        self._used.add(index)
        return self._constants[self._inputs[index]]

    def operands(self) -> list[Constant | None]:
        """Return every input: a Constant, or None if it is computed."""
        known = [self._constants.get(name) for name in self._inputs]
        self._used.update(index for index, constant in enumerate(known) if constant is not None)
        return known

    def ints(self, index: int, attribute: str | None = None) -> list[int] | None:
        """Return a constant input as a list of integers, or what older versions gave as an attribute instead."""
        if attribute is not None and attribute in self._attributes:
            return list(self.attribute(attribute, None))
        constant = self.constant(index)
        return None if constant is None else [int(v) for v in constant.value.reshape(-1)]

    def check(self, **expected: Any) -> None:
        """Take attributes that are supported with one value only.

        Raises:
            ValueError: another value.
        """
        for name, value in expected.items():
            given = self.attribute(name, value)
            given = given if np.ndim(value) or not np.ndim(given) else given[0] if len(set(given)) == 1 else given
            if given != value:
                raise ValueError(f"{name}={given!r} is not supported, only {value!r}")

    def inputs(self) -> list[str]:
        """Return the names of the inputs that are left, now that the module is built.

        Raises:
            ValueError: an attribute was not asked for.
        """
        if self._attributes:
            raise ValueError(f"attribute {next(iter(self._attributes))!r} is not supported")
        return [name for index, name in enumerate(self._inputs) if name and index not in self._used]


class Step(NamedTuple):
    """One step of the pass: a module's name, the values that it gets, the value that it gives."""

    module: str
    inputs: tuple[str, ...]
    output: str


class OnnxModel(Module):
    """A network read from an ONNX file: modules, and which value goes where. `from_onnx` makes it.

    Args:
        modules: by name, in the order of the forward pass; layers where minidl has the layer. They become ``nodes``.
        steps: for each of them the names of its inputs and its output.
        source, result: names of the network's input and output.
    """

    def __init__(self, modules: dict[str, Module], steps: list[Step], source: str, result: str) -> None:
        super().__init__()
        self.nodes = ModuleDict(modules)
        self.steps, self.source, self.result = steps, source, result

    def forward(self, x: Array) -> Array:
        """Run the nodes."""
        values = {self.source: x}
        for step in self.steps:
            values[step.output] = self.nodes[step.module](*(values[name] for name in step.inputs))
        self.save_for_backward(None)
        return values[self.result]

    def backward(self, grad_output: Array) -> Array | None:
        """Run the nodes back; a value that went several ways gets the sum of their gradients."""
        self.take_saved()
        grads: dict[str, Array | None] = {self.result: grad_output}
        for step in reversed(self.steps):
            grad = grads.pop(step.output, None)
            if grad is None:  # nothing that counts depends on it
                continue
            back = self.nodes[step.module].backward(grad)
            for name, part in zip(step.inputs, back if isinstance(back, tuple) else (back,), strict=True):
                if part is not None:
                    known = grads.get(name)
                    grads[name] = part if known is None else np.asarray(known + part)
        return grads.get(self.source)


def from_onnx(path: str | os.PathLike[str]) -> OnnxModel:
    """Read a network from an ONNX file, of the operators that `export_onnx` writes.

    Initializers become Parameters, nodes become layers (Conv2d, Linear, BatchNorm2d, ...), in training mode as every
    new module: call ``eval()`` to use it as it was exported.

    Args:
        path: file name.

    Returns:
        A module from the graph's one input to its one output, which runs forward and backward.

    Raises:
        FileNotFoundError: there is no such file.
        ImportError: the extra ``onnx`` is not installed.
        ValueError: the file is damaged, or an operator or option in it is not supported; the message names the node.
    """
    onnx = require_onnx("from_onnx")
    path = Path(path)
    content = path.read_bytes()
    try:
        model = onnx.load_model_from_string(content)
        onnx.checker.check_model(model, full_check=True)
        model = onnx.shape_inference.infer_shapes(model)
    except Exception as error:  # protobuf's and onnx's errors have no common base
        raise ValueError(f"{path} is not an ONNX model, or it is damaged: {error}") from error
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    if opset < FIRST_OPSET:
        raise ValueError(f"{path}: operators of version {opset}; from_onnx reads {FIRST_OPSET} and later")
    try:
        return _build(model.graph)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _build(graph: Any) -> OnnxModel:
    from ._onnx_builders import BUILDERS  # noqa: PLC0415 - the builders need Node

    read = require_onnx("from_onnx").numpy_helper.to_array
    constants = {tensor.name: Constant(read(tensor), True) for tensor in graph.initializer}
    sources = [value.name for value in graph.input if value.name not in constants]
    if len(sources) != 1 or len(graph.output) != 1:
        raise ValueError(f"expected one input and one output, got {len(sources)} and {len(graph.output)}")
    values = (*graph.input, *graph.value_info, *graph.output)
    known = {value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in values}
    known |= {name: list(constant.value.shape) for name, constant in constants.items()}
    computed = {sources[0]}
    modules: dict[str, Module] = {}
    steps: list[Step] = []
    same: dict[str, str] = {}  # values that are another value
    for proto in graph.node:
        proto.input[:] = [same.get(name, name) for name in proto.input]
        node = Node(proto, constants, known.get(proto.input[0]) if proto.input else None)
        try:
            if node.operator == "Constant":
                constants[proto.output[0]] = Constant(_constant_value(node, read), False)
                continue
            if node.operator in ("Identity", "Dropout"):
                mode = node.constant(2)
                if node.operator == "Dropout" and mode is not None and mode.value.item():
                    raise ValueError("training_mode is not supported; Dropout does nothing in evaluation")
                same[proto.output[0]] = proto.input[0]
                continue
            if node.operator not in BUILDERS:
                raise ValueError(f"this operator is not supported; supported are {', '.join(sorted(BUILDERS))}")
            if proto.input[0] in constants and node.operator == "Transpose":  # of a weight, before it is used
                given = constants[proto.input[0]]
                with no_grad():
                    constants[proto.output[0]] = given._replace(value=BUILDERS["Transpose"](node)(given.value))
                continue
            module = BUILDERS[node.operator](node)
            inputs = tuple(node.inputs())
            _check_computed(inputs, computed)
            name = _free_name(node.name, modules)
        except (ValueError, TypeError) as error:
            raise ValueError(f'node "{node.name}" ({node.operator}): {error}') from error
        modules[name] = module
        computed.add(proto.output[0])
        steps.append(Step(name, inputs, proto.output[0]))
    result = same.get(graph.output[0].name, graph.output[0].name)
    _check_computed((result,), computed)
    return OnnxModel(modules, steps, sources[0], result)


def _check_computed(names: tuple[str, ...], computed: set[str]) -> None:
    for name in names:
        if name not in computed:
            raise ValueError(f"{name!r} is a constant, or another output of a node; that is not supported here")


def _constant_value(node: Node, read: Any) -> Array:
    for name, kind in (("value_float", np.float32), ("value_floats", np.float32), ("value_int", np.int64)):
        if (given := node.attribute(name, None)) is not None:
            return np.asarray(given, kind)
    if (given := node.attribute("value_ints", None)) is not None:
        return np.asarray(given, np.int64)
    if (given := node.attribute("value", None)) is None:
        raise ValueError("only numbers are supported")
    return read(given)  # type: ignore[no-any-return]


def _free_name(name: str, taken: dict[str, Module]) -> str:
    """Return a name that can stand in a path and that no other module has."""
    name = re.sub(r"\W+", "_", name).strip("_") or "node"
    if name in taken or hasattr(ModuleDict, name):
        name = next(f"{name}_{n}" for n in range(len(taken) + 2) if f"{name}_{n}" not in taken)
    return name
