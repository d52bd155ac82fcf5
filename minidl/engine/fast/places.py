"""Where arrays lie in memory, and how long it takes to go through them."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable

import numpy as np

from ..._core import Array
from ..layout import empty_like

__all__ = ["address", "in_passes", "laid_out"]


def _by_interface(x: Array) -> int:
    found: int = x.__array_interface__["data"][0]
    return found


def _by_object(x: Array) -> int:
    """Read the field ``data`` of the object itself, in a fifth of the time; NumPy's C interface fixes its place."""
    return _pointer(id(x) + _OFFSET).value or 0


_pointer = ctypes.c_void_p.from_address
_OFFSET = object.__basicsize__
_probes = [np.arange(8.0), np.arange(8.0)[3:], np.empty((2, 3, 4), np.float32)[1:, ::-1]]

#: Return where an array's first element lies.
address: Callable[[Array], int] = _by_interface
if sys.implementation.name == "cpython" and all(_by_object(x) == _by_interface(x) for x in _probes):
    address = _by_object


def laid_out(x: Array, model: Array) -> Array:
    """Return x with the memory layout of ``model``, an array of its shape made by `empty_like`: itself if it has it."""
    if x.strides == model.strides or x.size == 0:
        return x
    if all(n == 1 or s == t for n, s, t in zip(x.shape, x.strides, model.strides, strict=True)):
        return x
    moved = empty_like(model)
    moved[...] = x
    return moved


def in_passes(nbytes: float) -> float:
    """Estimate how long loops take, in nanoseconds, that read or write ``nbytes`` bytes in all."""
    return nbytes / 60
