"""Calls: what a model's forward does with values of one shape, found by running it on a few random inputs.

Modules whose backward is derived are looked into; layers are not. What does something else for other values (an ``if``
on a sum, a random number) is found by comparing the runs, and noticed where a value is read; the innermost module in
which that happens is then taken as one call.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from .._core import Array
from ..interop.onnx_trace import equal
from ..nn import Module
from ..nn.modes import evaluating
from ..nn.naming import name_layer
from ..nn.record import has_backward
from ..nn.recording import plain
from ..nn.structure import leaves, rebuild
from ..nn.tensor import Tensor
from ..nn.trace import Fixed, Trace, Value

__all__ = ["Call", "Calls", "Fixed", "Value", "calls_of"]


@dataclass(frozen=True)
class Call:
    """One call.

    Attributes:
        what: the layer, the operation or function; of a pair of pure functions its name.
        function: what is called, with arrays for the inputs and the options by name.
        inputs, outputs: structures of Values, and Fixed ones.
        options: what else was given.
        inside: the module whose forward made the call.
        norms: normalisations that are folded into the layer.
    """

    what: Any
    function: Callable[..., Any]
    inputs: tuple[Any, ...]
    options: dict[str, Any]
    outputs: Any
    inside: Module
    norms: tuple[Module, ...] = ()

    def numbers(self) -> list[int]:
        """Return the numbers of the values that go in."""
        return [ref.number for ref in leaves(self.inputs) if isinstance(ref, Value)]


@dataclass(frozen=True)
class Calls:
    """The calls of a forward pass in order, and the Values that go in and come out."""

    calls: list[Call]
    inputs: tuple[Any, ...]
    output: Any


class _Watched(Tensor):
    """A value that tells when it is read: what is done with it then is not noted."""

    __slots__ = ()

    def _read(self) -> Any:
        self.record.has_read()  # type: ignore[attr-defined]
        return self.data

    def __bool__(self) -> bool:
        return bool(self._read())

    def __int__(self) -> int:
        return int(self._read())

    def __float__(self) -> float:
        return float(self._read())

    def __index__(self) -> int:
        return self._read().__index__()  # type: ignore[no-any-return]

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        return np.array(self._read(), dtype)

    def item(self) -> Any:
        """Return the only element as a Python number."""
        return self._read().item()

    def tolist(self) -> Any:
        """Return the elements as nested lists."""
        return self._read().tolist()

    def numpy(self) -> Array:
        """Return the array."""
        return self._read()  # type: ignore[no-any-return]


class _Tracing(Trace):
    """A trace that keeps how each call is made again."""

    def __init__(self, model: Module, whole: set[int]) -> None:
        super().__init__(model, partial(_kind_of, whole))
        self.reading: set[int] = set()
        self.calls: list[Call] = []
        self._inside = [model]
        self._function: Any = None

    def has_read(self) -> None:
        """Note that a value was read in the module that is running."""
        self.reading.add(id(self._inside[-1]))

    def call(self, module: Module, inputs: Any, options: Any, pair: Any = None, hooks: bool = True) -> Any:
        """Note the call of a layer, or look into a module."""
        forward = None if pair is None else pair[0]
        if self.kind_of(module, forward) is None:
            self._inside.append(module)
            try:
                return self._through(module, inputs, options, hooks)
            finally:
                self._inside.pop()
        own = has_backward(module) and type(module).__module__.startswith("minidl.nn.")
        function = partial(forward, module) if forward else module.forward if own else module
        arrays, named = rebuild(inputs, plain), rebuild(options, plain)
        state = self.state
        state["record"], state["log"] = None, None
        try:
            output = function(*arrays, **named)
        except BaseException as error:
            if function is not module:
                name_layer(error, module)
            raise
        finally:
            state["record"], state["log"] = self, ()
        self._function = function
        return self._noted(module, type(module), inputs, named, output)

    def pair(self, forward: Any, backward: Any, *inputs: Any, origin: Any = None) -> Any:
        """Do a pair of pure functions and note it."""
        out, _ = forward(*[plain(x) for x in inputs])
        self._function = lambda *arrays, **_: forward(*arrays)[0]
        return self._noted(origin[0], None, inputs, origin[1], out)

    def constant(self, data: Any, origin: Any = None) -> Tensor:
        """Return values as a Tensor; what was computed from the inputs is noted."""
        if origin is not None and not self._computing:
            self._function = origin[0]
        made = super().constant(data, origin)
        self._function = None
        return made

    def _number(self, x: Any) -> int:
        if type(x) is _Watched and x.number >= 0:
            return x.number
        return super()._number(x)

    def _new(self, data: Any) -> Tensor:
        made = super()._new(data)
        return _Watched(made.data, self, made.number)

    def _noted(self, what: Any, kind: Any, inputs: Any, options: dict[str, Any], output: Any) -> Any:
        function, self._function = self._function, None
        count, refs = len(self.notes), rebuild(tuple(inputs), self._ref)
        made = super()._noted(what, kind, inputs, options, output)
        if len(self.notes) > count:
            note = self.notes[-1]
            function = _first_of(what) if function is None else function
            self.calls.append(Call(what, function, refs, note.options, note.outputs, self._inside[-1]))
        return made

    def found(self, given: Any, output: Any) -> Calls:
        """Return the calls, with the values of Parameters in their places."""

        def settled(ref: Any) -> Any:
            parameter = self.parameters_by_number.get(ref.number) if isinstance(ref, Value) else None
            return ref if parameter is None else Fixed(parameter.data)

        calls = [replace(call, inputs=rebuild(call.inputs, settled)) for call in self.calls]
        return Calls(calls, given, rebuild(output, settled))


def _kind_of(whole: set[int], module: Module, forward: Any) -> type[Module] | None:
    """Return the class of what is one call; None for a module that is looked into."""
    known = forward is not None or has_backward(module) or id(module) in whole
    return type(module) if known else None


def _first_of(operation: Callable[..., Any]) -> Callable[..., Any]:
    """Return an operation without its gradients."""
    return lambda *arrays, **options: operation(*arrays, **options)[0]


def calls_of(model: Module, draw: Callable[[int], tuple[Any, ...]]) -> Calls:
    """Return the calls of a model in evaluation mode; ``draw(number)`` gives inputs of one shape, three different ones.

    Raises whatever the model's forward does with the first of them.
    """
    whole: set[int] = set()
    while True:
        first, reading = _run(model, draw(0), whole)
        if not reading - whole and id(model) not in whole:
            others: list[Calls] = []
            for number in (1, 2):
                try:
                    calls, more = _run(model, draw(number), whole)
                except Exception:  # whatever forward raises for these values, it may do something else for others
                    more = {id(model)}
                else:
                    others.append(calls)
                reading |= more
            reading |= {id(module) for module in _different(first, others, model)}
        if not reading - whole:
            return first
        whole |= reading


def _run(model: Module, inputs: tuple[Any, ...], whole: set[int]) -> tuple[Calls, set[int]]:
    """Return the calls of one forward pass, and the ids of the modules in which values were read."""
    trace = _Tracing(model, whole)
    with evaluating(model), np.errstate(all="ignore"):
        return trace.found(*trace.run(model, inputs)), trace.reading


def _different(first: Calls, others: list[Calls], model: Module) -> list[Module]:
    """Return the module in which the first difference between runs lies; none if the runs are the same."""
    for other in others:
        for a, b in zip(first.calls, other.calls, strict=False):
            if not _same(a, b):
                return [a.inside]
        longer = max((first.calls, other.calls), key=len)
        if len(first.calls) != len(other.calls):
            return [longer[min(len(first.calls), len(other.calls))].inside]
        if not _same_refs(first.output, other.output):
            return [model]
    return []


def _same(a: Call, b: Call) -> bool:
    same = a.what is b.what or (type(a.what) is type(b.what) and repr(a.what) == repr(b.what))
    return same and all(
        _same_refs(x, y) for x, y in ((a.inputs, b.inputs), (a.outputs, b.outputs), (a.options, b.options))
    )


def _same_refs(a: Any, b: Any) -> bool:
    if isinstance(a, Fixed) and isinstance(b, Fixed):
        return equal(a.data, b.data)
    if isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)):
        return len(a) == len(b) and all(map(_same_refs, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same_refs(a[key], b[key]) for key in a)
    return type(a) is type(b) and (a == b if isinstance(a, Value) else equal(a, b))
