"""Optimisers' updates by compiled loops."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ..._core import Array
from ..._core.threads import cut, run
from .places import address, in_passes, laid_out
from .update_loops import LOOPS

__all__ = ["update"]

_PIECE = 2**16  # numbers


def update(name: str, numbers: tuple[float, ...], data: Array, grad: Array, slots: list[Array]) -> bool:
    """Update a parameter and its slots in place; return False, and do nothing, if they are laid out differently."""
    if not data.flags.c_contiguous or any(slot.strides != data.strides for slot in slots):
        return False
    size, loop, count = data.itemsize, LOOPS[name], data.size
    options, gradient = _in_dtype(numbers, data.dtype), laid_out(grad, data)
    places = [address(data), address(gradient), *[address(slot) for slot in slots]]
    places += [0] * (4 - len(places))
    rest = address(options), data.dtype.type(0)
    if count <= _PIECE:
        loop(*places, count, *rest)
        return True

    def work(part: slice) -> None:
        loop(*[place + size * part.start for place in places], part.stop - part.start, *rest)

    run(work, cut(count, _PIECE), in_passes((3 + 2 * len(slots)) * data.nbytes))
    return True


@lru_cache(maxsize=64)
def _in_dtype(numbers: tuple[float, ...], dtype: np.dtype[Any]) -> Array:
    """Return an optimiser's numbers, the same ones for all parameters, as an array that the loops read."""
    return np.array(numbers, dtype)
