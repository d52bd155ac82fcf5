"""Plans: the calls of a model for inputs of one shape, as steps that are bound to memory made once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from .._core import Array
from ..engine import Engine, Room, Step, laid_out, perform
from ..nn.modes import mode
from ..nn.structure import leaves, rebuild
from .calls import Call, Calls, Value
from .memory import Chunk, Chunks

__all__ = ["Binder", "Plan", "Planner", "Ready"]

#: Appends the steps of a call to a planner and returns True, or returns False: the call is then made as it is.
Binder = Callable[["Planner", Call], bool]


class Plan(NamedTuple):
    """What is to be done with inputs of one shape.

    Attributes:
        calls: the calls, simplified.
        engine: what computes them.
        binder_of: the Binder for a call, or None.
    """

    calls: Calls
    engine: Engine
    binder_of: Callable[[Call], Binder | None]

    def ready(self) -> Ready:
        """Make the memory, and bind the steps to it."""
        planner = Planner(self.engine, self.calls)
        for index, call in enumerate(self.calls.calls):
            planner.begin(index)
            binder = self.binder_of(call)
            if binder is None or not binder(planner, call):
                planner.as_it_is(call)
            planner.end()
        return planner.ready()


class Ready:
    """Steps bound to memory: one thread at a time may run them."""

    def __init__(self, steps: list[Step], entries: list[Array], results: Callable[[], Any]) -> None:
        self._steps, self._entries, self._results = steps, entries, results

    def run(self, inputs: tuple[Array, ...]) -> Any:
        """Return the output for inputs of the planned shapes."""
        for entry, x in zip(self._entries, inputs, strict=True):
            np.copyto(entry, x)
        perform(self._steps)
        return self._results()


class Planner:
    """Binds calls one after another.

    Attributes:
        engine: what computes.
        steps: those bound so far.
        values: the arrays of values by number: fixed ones, or what the last run has put there.
    """

    def __init__(self, engine: Engine, calls: Calls) -> None:
        self.engine, self.calls = engine, calls
        self.steps: list[Step] = []
        self.values: dict[int, Array] = {}
        self._chunk: dict[int, Chunk] = {}  # of the values that stay where they are
        self._chunks = Chunks()
        self._last: dict[int, int] = {}
        for index, call in enumerate(calls.calls):
            self._last.update(dict.fromkeys(call.numbers(), index))
        for ref in leaves(calls.output):
            if isinstance(ref, Value):
                self._last[ref.number] = len(calls.calls)
        self._index, self._scratch = -1, list[Chunk]()
        self._made: Chunk | None = None
        self.entries = []
        for ref in leaves(calls.inputs):
            self.place(ref, laid_out(ref.shape, ref.dtype, self.room))
            self.entries.append(self.values[ref.number])

    # Memory

    @property
    def room(self) -> Room:
        """Where the memory of a step comes from."""
        return Room(self._make, self._take_scratch)

    def _make(self, shape: tuple[int, ...], dtype: Any) -> Array:
        array, self._made = self._chunks.take(shape, dtype)
        return array

    def _take_scratch(self, shape: tuple[int, ...], dtype: Any) -> Array:
        array, chunk = self._chunks.take(shape, dtype)
        self._scratch.append(chunk)
        return array

    def begin(self, index: int) -> None:
        """Go on to the call of this number."""
        self._index = index

    def end(self) -> None:
        """Free the memory of what no later call needs."""
        chunks, self._scratch = self._scratch, []
        for number, chunk in list(self._chunk.items()):
            if self._last.get(number, -1) <= self._index and number in chunk.values:
                chunk.values.discard(number)
                chunks.append(chunk)
        self._chunks.give_back(chunks)

    def array(self, ref: Value) -> Array:
        """Return an array in which a value always is; it is copied there if need be."""
        if ref.number not in self._chunk:
            array = laid_out(ref.shape, ref.dtype, self.room)
            number, values = ref.number, self.values
            self.steps.append(lambda: np.copyto(array, values[number]))
            self._scratch.append(self._chunk_made())
            return array
        return self.values[ref.number]

    def _chunk_made(self) -> Chunk:
        assert self._made is not None
        return self._made

    def place(self, ref: Value, array: Array) -> None:
        """Note that a value is in an array that has just been made in `room`."""
        self._live_in(ref, array, self._chunk_made())

    def add(self, ref: Value, array: Array, steps: list[Step]) -> bool:
        """Note that a value is in an array that has just been made in `room`, and append the steps that fill it."""
        self.place(ref, array)
        self.steps += steps
        return True

    def view(self, ref: Value, array: Array, source: Value) -> None:
        """Note that a value is part of the memory of another, or has taken its place."""
        self._live_in(ref, array, self._chunk[source.number])

    def _live_in(self, ref: Value, array: Array, chunk: Chunk) -> None:
        self.values[ref.number], self._chunk[ref.number] = array, chunk
        chunk.values.add(ref.number)

    def stays(self, ref: Value) -> bool:
        """Return whether a value is always in one array."""
        return ref.number in self._chunk

    def ends_here(self, ref: Value) -> bool:
        """Return whether the memory of a value is free for the output of this call, the last that needs it."""
        chunk = self._chunk.get(ref.number)
        if chunk is None or chunk.kept:
            return False
        return all(self._last.get(number, -1) <= self._index for number in chunk.values)

    # Calls that are made as they are

    def as_it_is(self, call: Call) -> None:
        """Call the function itself; what it returns are new arrays."""
        self.calling(call, partial(call.function, **call.options) if call.options else call.function)

    def calling(self, call: Call, function: Callable[..., Any]) -> None:
        """Call a function of the call's inputs."""
        values, inputs, output = self.values, call.inputs, call.outputs
        for number in call.numbers():
            if number in self._chunk:
                self._chunk[number].kept = True  # the function may return a part of it

        def get(ref: Any) -> Any:
            return values[ref.number] if isinstance(ref, Value) else ref.data

        def one() -> None:
            values[output.number] = np.asarray(_apart(function, (values[inputs[0].number],)), output.dtype)

        def several() -> None:
            made = _apart(function, rebuild(inputs, get))
            for ref, value in zip(leaves(output, none=True), leaves(made, none=True), strict=True):
                if isinstance(ref, Value):
                    values[ref.number] = np.asarray(value, ref.dtype)

        simple = isinstance(output, Value) and len(inputs) == 1 and isinstance(inputs[0], Value)
        self.steps.append(one if simple else several)

    def ready(self) -> Ready:
        """Return the steps, with the memory they are bound to."""
        output, values = self.calls.output, self.values

        def get(ref: Any) -> Any:
            if isinstance(ref, Value):
                return values[ref.number].copy("C")
            return ref.data.copy() if isinstance(ref.data, np.ndarray) else ref.data

        if isinstance(output, Value):
            number = output.number
            return Ready(self.steps, self.entries, lambda: values[number].copy("C"))
        return Ready(self.steps, self.entries, lambda: rebuild(output, get))


def _apart(function: Callable[..., Any], arrays: tuple[Any, ...]) -> Any:
    """Call a function as no part of a forward pass that is being recorded around it; it saves nothing."""
    state = mode.__dict__
    before = state["record"], state["log"], state["enabled"]
    state["record"], state["log"], state["enabled"] = None, None, False
    try:
        return function(*arrays)
    finally:
        state["record"], state["log"], state["enabled"] = before
