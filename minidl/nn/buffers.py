"""A snapshot of a module's buffers."""

from __future__ import annotations

from .._core import Array
from .module import Module

__all__ = ["BufferSnapshot"]


class BufferSnapshot:
    """The buffers of a module and its descendants as they were when `take` was last called, for `restore`.

    Works for layers that change a buffer in place and for those that assign a new array.
    """

    def __init__(self, model: Module) -> None:
        self._places = [(module, name) for module in model.modules() for name in module._buffers]
        self._taken: list[tuple[Module, str, Array, Array]] = []

    def take(self) -> None:
        """Keep copies of the buffers as they are now."""
        self._taken = [
            (module, name, value, value.copy())
            for module, name in self._places
            if (value := getattr(module, name)) is not None
        ]

    def restore(self) -> None:
        """Restore every buffer."""
        for module, name, array, value in self._taken:
            if array.shape == (0,) and hasattr(module, "reset_running_stats"):  # its layer may have got its size since
                module.reset_running_stats()
            else:
                array[...] = value
                setattr(module, name, array)
