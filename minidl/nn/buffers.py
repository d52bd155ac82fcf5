"""A snapshot of a module's buffers."""

from __future__ import annotations

from .module import Module

__all__ = ["BufferSnapshot"]


class BufferSnapshot:
    """The buffers of a module and its descendants as they are now, to be put back with `restore`.

    Works for layers that change a buffer in place and for those that assign a new array.
    """

    def __init__(self, model: Module) -> None:
        self._buffers = [
            (module, name, value, value.copy())
            for module in model.modules()
            for name in module._buffers
            if (value := getattr(module, name)) is not None
        ]

    def restore(self) -> None:
        """Put every buffer back."""
        for module, name, array, value in self._buffers:
            array[...] = value
            setattr(module, name, array)
