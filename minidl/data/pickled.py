"""Reading the pickles of CIFAR's Python files without pickle: nothing in them is called, and nothing can grow.

A pickle is a program. Even one that calls nothing can build values that refer to each other until they take hours to
look at, or ask for a table of any size. So its instructions are read one by one here, and only those are followed that
make what these files hold: a dict by text, of lists of numbers and texts, and of arrays of bytes.
"""

from __future__ import annotations

import io
import itertools
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

from .._core import Array

__all__ = ["read_pickle"]

_MARK = object()
_SCALARS = (int, str, bytes)
_RECONSTRUCT = {"numpy.core.multiarray _reconstruct", "numpy._core.multiarray _reconstruct"}
_CALLED = {*_RECONSTRUCT, "numpy dtype", "_codecs encode"}
_NAMED = {*_CALLED, "numpy ndarray"}
_PUSHED = {  # instructions whose argument is the value
    *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "NONE", "NEWTRUE", "NEWFALSE"),
    *("BINSTRING", "SHORT_BINSTRING", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_MOST = 1_000_000  # instructions; those of CIFAR-100 are 250,000
_LONGEST = 100  # characters of a key
_EMPTY: dict[str, Callable[[], Any]] = {
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
    "MARK": lambda: _MARK,
}


class _Global(str):
    """A name that the pickle mentions."""


class _Object:
    """What a call would have made: its arguments, and the state it was given."""

    def __init__(self, name: str, arguments: tuple[Any, ...]) -> None:
        self.name, self.arguments = name, arguments
        self.state: Any = ()

    def array(self) -> Array:
        """Return the array of bytes that this is."""
        if self.name not in _RECONSTRUCT or len(self.state) != 5:
            raise ValueError("its images are not an array")
        _, shape, dtype, fortran, content = self.state
        kind = dtype.arguments[0] if isinstance(dtype, _Object) and dtype.name == "numpy dtype" else ""
        if kind not in ("u1", "|u1", "uint8") or not isinstance(content, (str, bytes)):
            raise ValueError("its images are not bytes")
        content = content.encode("latin1") if isinstance(content, str) else content
        return np.frombuffer(content, np.uint8).reshape(shape, order="F" if fortran else "C")


def read_pickle(content: bytes) -> dict[str, Any]:
    """Return the entries of a pickled dict: numbers, texts, lists of them; arrays of bytes as objects with ``array()``.

    Raises:
        pickle.UnpicklingError: it holds something else, or asks to run something.
        ValueError: it is damaged.
    """
    loaded = _Machine(len(content)).run(content)
    if not isinstance(loaded, dict):
        raise pickle.UnpicklingError(f"expected a dict, got a {type(loaded).__name__}")
    return loaded


class _Machine:
    """The stack and the memo of a pickle of ``size`` bytes, and how many bytes it may still make of texts."""

    def __init__(self, size: int) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.left = size

    def run(self, content: bytes) -> Any:
        """Follow the instructions of a pickle; return its value."""
        import pickletools  # noqa: PLC0415 - for these files only

        for code, argument, _ in itertools.islice(pickletools.genops(io.BytesIO(content)), _MOST):
            if code.name == "STOP":
                return self.stack.pop()
            self.step(code.name, argument)
        raise pickle.UnpicklingError(f"it has no end, or more than {_MOST:,} instructions")

    def step(self, name: str, argument: Any) -> None:
        """Follow one instruction."""
        stack = self.stack
        if name in _PUSHED:
            stack.append(_CONSTANTS.get(name, argument))
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self.memo[len(self.memo) if name == "MEMOIZE" else argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument])
        elif name == "GLOBAL":
            self.mention(*argument.split(" ", 1))
        elif name in _TAKING:
            method, count = _TAKING[name]
            method(self, self.marked() if count is None else self.taken(count))
        elif name not in ("PROTO", "FRAME"):
            raise pickle.UnpicklingError(f"its instruction {name} is not one of those that CIFAR's files need")

    def taken(self, count: int) -> list[Any]:
        """Take values off the stack."""
        values = self.stack[-count:]
        if len(values) < count or any(value is _MARK for value in values):
            raise pickle.UnpicklingError("a value is missing")
        del self.stack[-count:]
        return values

    def marked(self) -> list[Any]:
        """Take the values since the last mark."""
        values: list[Any] = []
        while (value := self.stack.pop()) is not _MARK:
            values.append(value)
        return values[::-1]

    def extend(self, items: list[Any]) -> None:
        """Append to the list on the stack."""
        if type(self.stack[-1]) is not list or not all(isinstance(item, _SCALARS) for item in items):
            raise pickle.UnpicklingError("it holds a list of something else than numbers and texts")
        self.stack[-1].extend(items)

    def update(self, items: list[Any]) -> None:
        """Set entries of the dict on the stack."""
        keys = items[::2]
        texts = all(isinstance(key, (str, bytes)) and len(key) <= _LONGEST for key in keys)
        if type(self.stack[-1]) is not dict or len(items) % 2 or not texts:
            raise pickle.UnpicklingError("it holds a dict whose keys are not short texts")
        keys = [key.decode("latin1") if isinstance(key, bytes) else key for key in keys]
        self.stack[-1].update(zip(keys, items[1::2], strict=True))

    def gather(self, items: list[Any]) -> None:
        """Push a tuple."""
        self.stack.append(tuple(items))

    def build(self, items: list[Any]) -> None:
        """Give the object on the stack a state."""
        if not isinstance(self.stack[-1], _Object) or not isinstance(items[0], tuple):
            raise pickle.UnpicklingError("it gives a state to what has none")
        self.stack[-1].state = items[0]

    def mention(self, module: Any, name: Any) -> None:
        """Push a name, if it is one of the few that CIFAR's files use."""
        if not isinstance(module, str) or not isinstance(name, str) or f"{module} {name}" not in _NAMED:
            raise pickle.UnpicklingError(f"the file asks to run {_short(module)}.{_short(name)}, which is refused")
        self.stack.append(_Global(f"{module} {name}"))

    def call(self, function: Any, arguments: Any) -> None:
        """Push what stands for the result of a call."""
        if not isinstance(function, _Global) or function not in _CALLED or not isinstance(arguments, tuple):
            raise pickle.UnpicklingError(f"the file asks to run {_short(function)}, which is refused")
        if function != "_codecs encode":
            self.stack.append(_Object(str(function), arguments))
            return
        text, encoding = arguments
        if not isinstance(text, str) or not isinstance(encoding, str) or encoding != "latin1":
            raise pickle.UnpicklingError(f"unexpected encoding {_short(encoding)}")
        self.left -= len(text)
        if self.left < 0:
            raise pickle.UnpicklingError("it makes more bytes of its texts than it has")
        self.stack.append(text.encode("latin1"))


# Instructions that take values off the stack: how many, None for those since the last mark.
_TAKING: dict[str, tuple[Callable[[_Machine, list[Any]], None], int | None]] = {
    "TUPLE": (_Machine.gather, None),
    "TUPLE1": (_Machine.gather, 1),
    "TUPLE2": (_Machine.gather, 2),
    "TUPLE3": (_Machine.gather, 3),
    "APPEND": (_Machine.extend, 1),
    "APPENDS": (_Machine.extend, None),
    "SETITEM": (_Machine.update, 2),
    "SETITEMS": (_Machine.update, None),
    "STACK_GLOBAL": (lambda machine, items: machine.mention(*items), 2),
    "REDUCE": (lambda machine, items: machine.call(*items), 2),
    "BUILD": (_Machine.build, 1),
}


def _short(value: Any) -> str:
    """Return a name for an error; what is no text may take hours to show."""
    return value[:_LONGEST] if isinstance(value, str) else type(value).__name__
