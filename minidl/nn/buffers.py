"""A snapshot of a module's buffers."""

from __future__ import annotations

import numpy as np

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

    # Several processes, each with a copy of the model: their buffers become one. The first of them has samples.

    def changed(self) -> list[bool]:
        """Return which buffers are not as they were."""
        return [
            (new := getattr(module, name)) is not None
            and new.shape == value.shape
            and not np.array_equal(new, value, equal_nan=new.dtype.kind == "f")
            for module, name, _, value in self._taken
        ]

    def weighted(self, chosen: Array, weight: float, *, first: bool) -> Array:
        """Return the values of some buffers in a row, float64: times a weight, or of integers, those of the first."""
        parts = [
            np.float64(weight) * value if value.dtype.kind == "f" else np.float64(first) * value
            for value in self._values(chosen)
        ]
        return np.concatenate([part.reshape(-1) for part in parts]) if parts else np.empty(0)

    def average(self, chosen: Array, sums: Array, weight: float) -> None:
        """Set some buffers from the sums of what `weighted` gave in each process; ``weight`` is the sum of weights."""
        at = 0
        for value in self._values(chosen):
            own = sums[at : at + value.size].reshape(value.shape)
            value[...] = own / weight if value.dtype.kind == "f" else own
            at += value.size

    def _values(self, chosen: Array) -> list[Array]:
        return [getattr(module, name) for (module, name, *_), wanted in zip(self._taken, chosen, strict=True) if wanted]
