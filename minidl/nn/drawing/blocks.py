"""Blocks: what a picture of a network is made of, read from the trace of one forward pass."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._core import printable
from ..modes import evaluating
from ..operations import FUNCTIONS
from ..record import has_backward
from ..structure import leaves
from ..summary import filled, watched
from ..trace import Note, Trace, Value

if TYPE_CHECKING:
    from ..module import Module

__all__ = ["Block", "Group", "Network", "read"]

_NAMES = {operation: function.__name__ for function, operation in FUNCTIONS.items()}
_SIGNS = {"add": "+", "subtract": "−", "multiply": "×", "divide": "÷", "true_divide": "÷", "power": "^", "matmul": "@"}
_FAMILIES = {
    **dict.fromkeys(("conv", "conv1d", "conv_transpose"), "convolution"),
    **dict.fromkeys(("linear", "bilinear", "embedding"), "linear"),
    **dict.fromkeys(("max_pool", "average_pool", "adaptive_pool", "resize"), "pooling"),
}


@dataclass
class Block:
    """A call of a layer, with the layers behind it that keep its shape; or of an operation.

    Attributes:
        kind: what it is: a class, or an operation.
        name: path inside the model, without that of the group it is in; "" for an operation.
        shape: of what comes out.
        params: numbers in its parameters that were not counted before.
        shared: whether its parameters were counted before.
        family: "convolution", "linear", "pooling" or "": its colour.
        sign: of an operation on two values that are computed, such as "+": drawn as a circle.
        more: the kinds of the layers that follow.
        detail: a longer description, shown under the pointer.
        inputs, outputs: numbers of the values.
        small: whether it could follow another layer: a layer with one input, of the same shape, and no matrix.
    """

    kind: str
    name: str
    shape: str
    params: int = 0
    shared: bool = False
    family: str = ""
    sign: str = ""
    more: list[str] = field(default_factory=list)
    detail: str = ""
    inputs: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()
    small: bool = False


@dataclass
class Group:
    """What a container's forward called, or a part that is drawn once for several that are alike.

    Attributes:
        kind: class of the container; "" of a part that is repeated.
        name: path inside the model, without that of the group it is in.
        items: in the order of the forward pass.
        times: how often it is repeated.
    """

    kind: str
    name: str
    items: list[Block | Group]
    times: int = 1

    @property
    def inputs(self) -> tuple[int, ...]:
        """Numbers of the values that come from outside, in the order in which they are used."""
        made = set(self.outputs)
        return tuple(dict.fromkeys(n for item in self.items for n in item.inputs if n not in made))

    @property
    def outputs(self) -> tuple[int, ...]:
        """Numbers of the values that are computed in it."""
        return tuple(n for item in self.items for n in item.outputs)


@dataclass
class Network:
    """A model's calls as a tree, the shapes of what goes in and comes out by number, and its parameters' size."""

    title: str
    root: Group
    inputs: dict[int, str]
    outputs: dict[int, str]
    params: int


class _Calls(Trace):
    """A trace that knows in which calls of which containers a note was made."""

    def __init__(self, model: Module) -> None:
        super().__init__(model, lambda module, pair: type(module) if pair is not None or has_backward(module) else None)
        self.inside: list[tuple[int, Module]] = []
        self.places: list[tuple[tuple[int, Module], ...]] = []
        self._entered = 0

    def _through(self, module: Module, inputs: tuple[Any, ...], options: dict[str, Any], hooks: bool) -> Any:
        self._entered += 1
        self.inside.append((self._entered, module))
        try:
            return super()._through(module, inputs, options, hooks)
        finally:
            self.inside.pop()

    def _noted(self, *call: Any) -> Any:
        made = super()._noted(*call)
        if len(self.notes) > len(self.places):
            self.places.append(tuple(self.inside))
        return made


class _Reader:
    """What turns notes into Blocks."""

    def __init__(self, model: Module, trace: _Calls, batch: int | None) -> None:
        self.trace, self.batch = trace, batch
        self.names = {id(module): name for name, module in model.named_modules()}
        self.parameter_names = {id(p): name for name, p in model.named_params()}
        self.counted: set[int] = set()

    def block(self, note: Note, place: str) -> Block:
        """Return the Block of a note that was made inside the container at ``place``."""
        values = [ref for ref in leaves(note.inputs) if isinstance(ref, Value)]
        outputs = [ref for ref in leaves(note.outputs) if isinstance(ref, Value)]
        given = {ref.number: self.trace.parameters_by_number.get(ref.number) for ref in values}
        block = Block(
            kind=self._kind(note),
            name="" if note.kind is None else within(place, self.names.get(id(note.what), "")),
            shape=", ".join(self.shape(ref.shape) for ref in outputs),
            inputs=tuple(dict.fromkeys(number for number, parameter in given.items() if parameter is None)),
            outputs=tuple(ref.number for ref in outputs),
        )
        parameters = [parameter for parameter in given.values() if parameter is not None]
        if note.kind is not None:
            parameters += note.what.params()
            block.detail = printable(" ".join(repr(note.what).split()))
            files = [kind.__module__.rpartition(".")[2] for kind in type(note.what).__mro__]
            block.family = next((_FAMILIES[file] for file in files if file in _FAMILIES), "")
        elif len(block.inputs) > 1 and block.kind in _SIGNS:
            block.sign = _SIGNS[block.kind]
        elif block.kind in _SIGNS and len(note.inputs) == 2:
            block.kind = f" {_SIGNS[block.kind]} ".join(self._operand(ref) for ref in note.inputs)
        fresh = {id(p): p.data.size for p in parameters if id(p) not in self.counted}
        self.counted |= fresh.keys()
        block.params, block.shared = sum(fresh.values()), bool(parameters) and not fresh
        alike = len(block.inputs) == len(outputs) == 1 and values[0].shape == outputs[0].shape
        block.small = alike and not block.sign and all(p.data.ndim < 2 for p in parameters)
        block.small &= note.kind is not None or isinstance(note.what, str)
        return block

    def _kind(self, note: Note) -> str:
        if note.kind is None:
            what = note.what if isinstance(note.what, str) else _NAMES.get(note.what, note.what.__name__)
            return {"total": "sum", "getitem": "x[...]"}.get(what, what)
        kernel, stride = (_sizes(getattr(note.what, name, None)) for name in ("kernel_size", "stride"))
        words = [type(note.what).__name__]
        if kernel:
            words.append("×".join(map(str, kernel)))
            words += [f"/ {'×'.join(map(str, dict.fromkeys(stride)))}"] if set(stride) - {1} else []
        return printable(" ".join(words))

    def _operand(self, ref: Any) -> str:
        """Return an operand as it is written: the value that is computed is x."""
        if isinstance(ref, Value):
            parameter = self.trace.parameters_by_number.get(ref.number)
            return "x" if parameter is None else self.parameter_names.get(id(parameter), "parameter").rpartition(".")[2]
        return f"{float(ref.data):.4g}" if np.ndim(ref.data) == 0 else "constant"

    def shape(self, shape: tuple[int, ...]) -> str:
        """Return a shape as text, without the batch axis."""
        rest = shape[1:] if shape[:1] == (self.batch,) else shape
        return " × ".join(map(str, rest)) if rest else "1"


def _sizes(value: Any) -> tuple[int, ...]:
    """Return a layer's option if it is a tuple of integers, as of a convolution, else an empty tuple."""
    return value if isinstance(value, tuple) and all(isinstance(n, int) for n in value) else ()


def within(place: str, name: str) -> str:
    """Return a path without that of the container it is in."""
    return printable(name.removeprefix(f"{place}.") if place else name)


def read(model: Module, shapes: tuple[Any, ...], dtype: Any) -> Network:
    """Run a model on zeros of these shapes, in evaluation mode, and return what it called."""
    inputs, trace = filled(model, shapes, dtype, np.zeros), _Calls(model)
    with watched(model, None), evaluating(model), np.errstate(all="ignore"):
        given, out = trace.run(model, inputs)
    first = next((ref for ref in leaves(given) if isinstance(ref, Value)), None)
    reader = _Reader(model, trace, first.shape[0] if first is not None and first.shape else None)
    root = Group(type(model).__name__, "", [])
    tree = [(root, "")]  # the groups that are open, with their paths
    opened: tuple[tuple[int, Module], ...] = ()
    for note, within_calls in zip(trace.notes, trace.places, strict=True):
        calls = within_calls[1:]  # the first is that of the model, which is the whole picture
        same = sum(1 for _ in takewhile(lambda pair: pair[0][0] == pair[1][0], zip(opened, calls, strict=False)))
        del tree[same + 1 :]
        for _, module in calls[same:]:
            group, place = tree[-1]
            path = reader.names.get(id(module), place)
            tree.append((Group(printable(type(module).__name__), within(place, path), []), path))
            group.items.append(tree[-1][0])
        opened = calls
        group, place = tree[-1]
        group.items.append(reader.block(note, place))

    def ends(refs: Any) -> dict[int, str]:
        return {ref.number: reader.shape(ref.shape) for ref in leaves(refs) if isinstance(ref, Value)}

    size = sum(p.data.size for p in model.params())
    return Network(printable(type(model).__name__), root, ends(given), ends(out), size)
