"""Correlations of 3 by 3 filters by Winograd's method: where it applies, and how it is laid out."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ..window import Geometry
from .plan import Plan, make_plan

__all__ = ["GAP", "Tiling", "applies", "tiling"]

_BLOCK = 2**22  # bytes of the two sides of the products at a time
GAP = 272  # numbers between the 16 planes, which would otherwise share a few places of the cache


class Tiling(NamedTuple):
    """A plan for tiles of 2 by 2 outputs, and the rooms for a block of them, in numbers."""

    plan: Plan
    taps: Any  # of the products: where each channel begins
    address: int
    tiles: int  # at a time
    room_v: int
    room_m: int


def applies(
    shape: tuple[int, ...], geometry: Geometry, out: tuple[int, ...], images: int, lanes: int, *, sums: bool = False
) -> bool:
    """Return whether the method applies to filters of ``shape``, and is the faster one as measured.

    With ``sums``: for the gradient of the filters. Few channels, few tiles, or images that fill vectors badly make
    the transforms dearer than what they save.
    """
    if geometry.kernel != (3, 3) or geometry.stride != (1, 1) or geometry.dilation != (1, 1) or geometry.groups > 1:
        return False
    tiles = (out[0] + 1) // 2 * ((out[1] + 1) // 2) * images
    full = images >= 0.75 * lanes * -(-images // lanes) and images >= lanes
    return full and tiles >= 256 and min(shape[:2]) >= 16 and (sums or shape[0] * shape[1] >= 512)


@lru_cache(maxsize=1024)
def tiling(
    memory: tuple[int, ...], images: int, filters: int, geometry: Geometry, out: tuple[int, int],
    itemsize: int, lanes: int,
) -> Tiling:  # fmt: skip
    """Lay out a correlation, as `make_plan` does, for whole tiles."""
    plan = make_plan(memory, images, filters, geometry, out, itemsize, lanes, tile=2)
    channels, width = memory[1], -(-images // lanes) * lanes
    across = (out[1] + 1) // 2
    tiles = max(1, min(across, _BLOCK // (16 * itemsize * (channels + filters) * width)))
    tiles = -(-across // -(-across // tiles))  # as even as possible
    taps = np.arange(channels, dtype=np.int64) * (tiles * width)
    room_v, room_m = (16 * (count * tiles * width + GAP) for count in (channels, filters))
    return Tiling(plan, taps, taps.ctypes.data, tiles, room_v, room_m)
