"""Forward hooks: functions that are called after a module's forward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from .modes import mode
from .structure import leaves

if TYPE_CHECKING:
    from .module import Module

__all__ = ["ForwardHook", "RemovableHandle", "refuse_replaced", "run_hooks"]

ForwardHook: TypeAlias = "Callable[[Module, tuple[Any, ...], Any], Any]"


class RemovableHandle:
    """Returned by `Module.register_forward_hook`; `remove()` removes the hook."""

    def __init__(self, hooks: dict[RemovableHandle, ForwardHook]) -> None:
        self._hooks = hooks

    def remove(self) -> None:
        """Remove the hook; calling it again does nothing."""
        self._hooks.pop(self, None)


def run_hooks(module: Module, inputs: tuple[Any, ...], output: Any, saved: Any = ()) -> Any:
    """Run a module's forward hooks on arrays; return the output, or what replaced it.

    Meanwhile nothing is recorded, and an output of a module that has ``saved`` something is read-only.
    """
    state = mode.__dict__
    record, state["record"] = state["record"], None
    arrays = [x for x in leaves(output) if isinstance(x, np.ndarray) and x.flags.writeable] if saved else []
    for array in arrays:
        array.setflags(write=False)
    try:
        for hook in tuple(module._forward_hooks.values()):
            replaced = hook(module, inputs, output)
            if replaced is not None:
                output = replaced
    finally:
        state["record"] = record
        for array in arrays:
            array.setflags(write=True)
    return output


def refuse_replaced(module: Module, grad_output: Any) -> None:
    """Stand for the backward of a module whose output a hook has replaced, by a function that nobody knows here."""
    raise RuntimeError(
        "a forward hook has replaced its output, and the gradient of what the hook did is not known: do it in a "
        "forward, or in a module behind this one"
    )
