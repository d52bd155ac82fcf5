"""Forward hooks: functions that are called after a module's forward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from .module import Module

__all__ = ["ForwardHook", "RemovableHandle"]

ForwardHook: TypeAlias = "Callable[[Module, tuple[Any, ...], Any], Any]"


class RemovableHandle:
    """Returned by `Module.register_forward_hook`; `remove()` removes the hook."""

    def __init__(self, hooks: dict[RemovableHandle, ForwardHook]) -> None:
        self._hooks = hooks

    def remove(self) -> None:
        """Remove the hook; calling it again does nothing."""
        self._hooks.pop(self, None)
