"""Where arrays lie in memory."""

from __future__ import annotations

from ..._core import Array

__all__ = ["address", "steps"]


def address(x: Array) -> int:
    """Return where an array's first element lies."""
    found: int = x.__array_interface__["data"][0]
    return found


def steps(x: Array) -> tuple[int, ...]:
    """Return an array's strides as numbers of elements."""
    return tuple(step // x.itemsize for step in x.strides)
