"""Trace: what a module's forward does in one dry run, noted as the nodes of a graph.

A trace is a Record whose notes are not for a backward pass: each says which operation or layer was called, on which
values, with which options. Values are recognised by their number and, where that is lost (`detach`), by their array.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .modes import mode
from .naming import name_layer
from .operations import FUNCTIONS, picked
from .parameter import Parameter
from .record import Record
from .recording import plain
from .structure import leaves, rebuild
from .tensor import Tensor

if TYPE_CHECKING:
    from .module import Module

__all__ = ["Fixed", "Note", "Trace", "Value"]

_LIKE = {np.zeros_like, np.ones_like, np.full_like, np.empty_like}  # they look at the shape only


@dataclass(frozen=True)
class Value:
    """A value that is computed from the inputs, or a Parameter."""

    number: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class Fixed:
    """A value that does not depend on the inputs."""

    data: Any


@dataclass
class Note:
    """One call: of an operation, a function without a gradient, a layer, or a pair of pure functions.

    Attributes:
        what: the operation or function; the layer; of a pair its name.
        kind: of a layer, the class whose forward was run, which may be a base of the layer's; else None.
        inputs: Values, and Fixed ones.
        options: what else was given.
        outputs: the Values that came out, in their structure.
    """

    what: Any
    kind: type[Module] | None
    inputs: list[Any]
    options: dict[str, Any]
    outputs: Any


class Trace(Record):
    """The notes of one dry run of a module.

    Args:
        module: the module that is run.
        kind_of: for a layer and the forward that is run (None: its own) the class whose ONNX form is known; None if its
            own calls are to be noted instead.
    """

    def __init__(self, module: Module, kind_of: Callable[[Module, Any], type[Module] | None]) -> None:
        super().__init__(module, 0)
        self.kind_of = kind_of
        self.notes: list[Note] = []
        self.parameters_by_number: dict[int, Parameter] = {}
        self._known: dict[int, tuple[Any, int]] = {}  # by the id of an array, or of a Parameter
        self._computing = False

    def run(self, module: Module, inputs: tuple[Any, ...]) -> tuple[Any, Any]:
        """Run a module on arrays; return the Values of the inputs, and those of the output, in their structures."""
        values = rebuild(inputs, lambda x: self._new(x) if isinstance(x, np.ndarray) else x)
        given = rebuild(values, self._ref)
        state = mode.__dict__
        before = state["record"], state["log"]
        state["record"], state["log"] = self, ()
        try:
            output = self.call(module, values, {})
        finally:
            state["record"], state["log"] = before
        return given, rebuild(output, self._ref)

    def call(self, module: Module, inputs: Any, options: Any, pair: Any = None, hooks: bool = True) -> Any:
        """Note the call of a layer that has an ONNX form, or go through it."""
        forward = None if pair is None else pair[0]
        kind = self.kind_of(module, forward)
        if kind is None:  # and its forward is derived
            return self._through(module, inputs, options, hooks)
        state = self.state
        state["record"] = None
        try:
            arrays, named = rebuild(inputs, plain), rebuild(options, plain)
            output = module.forward(*arrays, **named) if forward is None else forward(module, *arrays, **named)
        except BaseException as error:
            name_layer(error, module)
            raise
        finally:
            state["record"] = self
        for hook in tuple(module._forward_hooks.values()) if hooks else ():
            hook(module, arrays, output)
        return self._noted(module, kind, inputs, named, output)

    def apply(self, operation: Any, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Do an operation and note it."""
        self._computing = True
        try:
            out = super().apply(operation, inputs, options)
        finally:
            self._computing = False
        if operation is picked:  # x.max(dim), which picks the largest
            x, axis = plain(inputs[0]), options["axis"]
            for extreme in (np.max, np.min):
                if np.array_equal(out.data, extreme(x, axis=axis, keepdims=True), equal_nan=True):
                    operation, options = FUNCTIONS[extreme], {"axis": axis, "keepdims": True}
        return self._noted(operation, None, inputs, options, rebuild(out, plain))

    def pair(self, forward: Any, backward: Any, *inputs: Any, origin: Any = None) -> Any:
        """Do a pair of pure functions and note it."""
        out, _ = forward(*[plain(x) for x in inputs])
        return self._noted(origin[0], None, inputs, origin[1], out)

    def constant(self, data: Any, origin: Any = None) -> Tensor:
        """Return values as a Tensor; what was computed from the inputs is noted."""
        if origin is not None and origin[0] not in _LIKE and not self._computing:
            function, inputs, options = origin
            return self._noted(function, None, inputs, options, np.asarray(data))  # type: ignore[no-any-return]
        return super().constant(data)

    def number_of(self, x: Any) -> int:
        """Return the number of a value; -1 of one that does not depend on the inputs, or while an operation is done."""
        return -1 if self._computing else self._number(x)

    def _number(self, x: Any) -> int:
        if isinstance(x, Parameter):
            known = self._known.get(id(x))
            if known is None:
                number = self._next()
                known = self._known[id(x)] = x, number
                self.parameters_by_number[number] = x
            return known[1]
        if type(x) is Tensor and x.number >= 0:
            return x.number
        array = plain(x)
        known = self._known.get(id(array)) if isinstance(array, np.ndarray) else None
        return -1 if known is None else known[1]

    def _ref(self, x: Any) -> Any:
        number, data = self._number(x), plain(x)
        return Fixed(data) if number < 0 else Value(number, data.shape, data.dtype)

    def _new(self, data: Any) -> Tensor:
        array = np.asarray(data)
        number = self._next()
        self._known[id(array)] = array, number  # which keeps it alive, and its id taken
        return Tensor(array, self, number)

    def _noted(self, what: Any, kind: Any, inputs: Any, options: dict[str, Any], output: Any) -> Any:
        refs = [self._ref(x) for x in leaves(tuple(inputs), none=True)]
        depends = any(isinstance(ref, Value) for ref in leaves(refs))
        if not depends and kind is None:
            return rebuild(output, lambda y: super(Trace, self).constant(y) if _is_array(y) else y)
        made = rebuild(output, lambda y: self._new(y) if _is_array(y) else y)
        self.notes.append(Note(what, kind, refs, rebuild(options, plain), rebuild(made, self._ref)))
        return made


def _is_array(value: Any) -> bool:
    return isinstance(value, (np.ndarray, np.generic, float))
