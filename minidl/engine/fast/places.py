"""Where arrays lie in memory."""

from __future__ import annotations

from ..._core import Array
from ..layout import empty_like

__all__ = ["address", "laid_out", "steps"]


def address(x: Array) -> int:
    """Return where an array's first element lies."""
    found: int = x.__array_interface__["data"][0]
    return found


def steps(x: Array) -> tuple[int, ...]:
    """Return an array's strides as numbers of elements."""
    return tuple(step // x.itemsize for step in x.strides)


def laid_out(x: Array, model: Array) -> Array:
    """Return x with the memory layout of ``model``, an array of its shape made by `empty_like`: itself if it has it."""
    if x.strides == model.strides or x.size == 0:
        return x
    if all(n == 1 or s == t for n, s, t in zip(x.shape, x.strides, model.strides, strict=True)):
        return x
    moved = empty_like(model)
    moved[...] = x
    return moved
