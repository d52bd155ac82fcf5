"""Saved: what modules keep between their passes, whose it is, and in whose memory it lies."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from .._core import Array
from .parameter import Parameter

if TYPE_CHECKING:
    from .module import Module

__all__ = ["TWICE", "Locked", "forget", "holds", "remember", "shares", "trains", "without_input_grad"]

TWICE = object()  # stands for what a module has saved that ran more than once in an explicit forward
_OWN = frozenset({"_saved", "_buffers", "_forward_hooks"})


class Locked(list[Array]):
    """Arrays that are read-only, as long as this exists."""

    def __del__(self) -> None:
        for array in self:
            base = array.base
            if not isinstance(base, np.ndarray) or base.flags.writeable:
                array.setflags(write=True)


def trains(module: Module) -> bool:
    """Return whether a module, or one inside, has a Parameter that is trained."""
    inside = False
    for name, value in vars(module).items():
        if isinstance(value, Parameter):
            if value.requires_grad:
                return True
        elif hasattr(value, "_saved") or (isinstance(value, (list, tuple, dict)) and value and name not in _OWN):
            inside = True
    return inside and any(parameter.requires_grad for parameter in module.params())


def remember(log: list[tuple[Module, Any]]) -> list[tuple[Module, Any]]:
    """Return what the modules of a call have saved, by module; of one that ran more than once, that it did."""
    if len(log) < 2:
        return log
    memory: dict[int, tuple[Module, Any]] = {}
    for module, value in log:
        memory[id(module)] = (module, TWICE if id(module) in memory else value)
    return list(memory.values())


def forget(log: list[tuple[Module, Any]]) -> None:
    """Let the modules of a call that failed keep nothing."""
    for module, _ in log:
        module._saved.clear()


def holds(value: Any, array: Array, base: Any) -> bool:
    """Return whether a saved value is, or contains, an array with this base or a view of the same memory."""
    if value is array:
        return True
    if isinstance(value, np.ndarray):
        return (base is not None and (value.base is base or value is base)) or value.base is array
    return any(holds(item, array, base) for item in _inside(value))


def shares(value: Any, x: Array) -> bool:
    """Return whether a saved value lies, or contains an array that lies, in an array's memory."""
    if isinstance(value, np.ndarray):
        return np.shares_memory(x, value)
    if hasattr(value, "steps"):  # the Record of a derived module, which was called by an explicit one
        return any(shares(memory, x) for _, _, memory, _, _ in value.steps)
    return any(shares(item, x) for item in _inside(value))


def _inside(value: Any) -> Iterable[Any]:
    """Return what a tuple, list, dict or plain object holds."""
    if isinstance(value, (tuple, list)):
        return value
    if isinstance(value, dict):
        return value.values()
    held = vars(value).values() if hasattr(value, "__dict__") and not hasattr(value, "_saved") else ()
    return [item for item in held if isinstance(item, (np.ndarray, tuple, list, dict))]


def without_input_grad(module: Module, backward: Callable[..., Any], grad: Any) -> None:
    """Run a backward pass for the sake of the parameters alone."""
    own = vars(module)
    before = own.get("needs_input_grad")
    own["needs_input_grad"] = False
    try:
        backward(module, grad)
    finally:
        if before is None:
            del own["needs_input_grad"]
        else:
            own["needs_input_grad"] = before
