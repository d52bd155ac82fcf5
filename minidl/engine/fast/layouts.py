"""What a correlation's shapes decide: the method, the pieces and their plans. All of it is remembered."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from ..._core.threads import cut
from ..correlation import phases
from ..window import Geometry
from .places import in_passes
from .plan import Plan, make_plan
from .vectors import BYTES
from .winograd import Tiling, applies, tiling

__all__ = ["Layout", "Phase", "Piece", "input_phases", "layout"]

Shape = tuple[int, ...]

# Multiply-adds that are worth a separate piece, the most pieces for the threads' sake, and the most of which sums are
# kept. Multiply-adds in a nanosecond, for an estimate of the time.
_WORK, _PIECES, _SUMS = 2**22, 16, 4
_RATE = 64
# Bytes of a slice of images' rows that the taps of one output row read; and for the sums of the direct method.
_CACHE, _CACHE_OF_SUMS = 2**21, 2**19


class Piece(NamedTuple):
    """Some output rows of a slice of images that begins at ``first``."""

    plan: Plan
    tiling: Tiling | None  # of Winograd's method
    first: int
    start: int
    stop: int


class Layout(NamedTuple):
    """The pieces of a correlation, by Winograd's method or the direct one."""

    tiled: bool
    pieces: list[Piece]
    cost: float  # nanoseconds, roughly


@lru_cache(maxsize=4096)
def layout(memory: Shape, filters: Shape, geometry: Geometry, out: Shape, itemsize: int, sums: bool) -> Layout:
    """Lay out a correlation of images (H, C, W, N) with filters (F, C/groups, KH, KW) to ``out`` (OH, F, OW, N).

    ``sums``: for the gradient of the filters, the sums of all pieces.
    """
    f, c, kh, kw = filters
    height, _, width, images = out
    lanes = BYTES // itemsize
    size = height, width
    tiled = applies(filters, geometry, size, images, lanes, sums=sums)
    most = _CACHE_OF_SUMS if sums and not tiled else _CACHE
    sizes = list(_slices(images, c * memory[2] * (4 if tiled else kh) * itemsize, lanes, most))
    if tiled and len(sizes) > 1 and sizes[-1][1] < lanes:  # too few for a vector: they go with the slice before
        (first, count), (_, more) = sizes[-2:]
        sizes[-2:] = [(first, count + more)]
    work = height * width * images * f * c * kh * kw
    parts = max(1, min(_SUMS if sums else _PIECES, work // _WORK) // len(sizes))
    per_group = f // geometry.groups
    pieces = []
    for first, count in sizes:
        tiles = tiling(memory, count, per_group, geometry, size, itemsize, lanes) if tiled else None
        plan = tiles.plan if tiles else make_plan(memory, count, per_group, geometry, size, itemsize, lanes, 1, parts)
        unit = 2 if tiled else int(plan.numbers[0]["rows"]) if parts > 1 else height
        rows = max(unit, -(-height // parts // unit) * unit)
        for part in cut(-(-height // unit), rows // unit):
            pieces.append(Piece(plan, tiles, first, part.start * unit, min(height, part.stop * unit)))
    return Layout(tiled, pieces, work / _RATE + in_passes(height * width * images * f * itemsize))


def _slices(images: int, row_bytes: int, lanes: int, most: int) -> Iterator[tuple[int, int]]:
    """Yield (first, count) of the images that are done at a time: what the taps read fits in the cache."""
    at_a_time = images
    while at_a_time > 2 * lanes and row_bytes * at_a_time > most:
        at_a_time = -(-at_a_time // 2 // lanes) * lanes
    for first in range(0, images, at_a_time):
        yield first, min(at_a_time, images - first)


class Phase(NamedTuple):
    """Some pixels of an input's gradient, whose windows met the same part of the kernel: a correlation of stride 1."""

    rows: slice
    columns: slice
    taps_h: slice
    taps_w: slice
    geometry: Geometry | None  # None where no window met them


@lru_cache(maxsize=1024)
def input_phases(size: tuple[int, int], geometry: Geometry) -> list[Phase]:
    """Return the phases of an input of ``size`` (H, W); `engine/correlation.py` describes them."""
    (kh, kw), (sh, sw), (top, left), (dh, dw), groups = geometry
    found = []
    for rows, taps_h, before_h, dilation_h in phases(size[0], kh, sh, top, dh):
        for columns, taps_w, before_w, dilation_w in phases(size[1], kw, sw, left, dw):
            kernel = len(range(kh)[taps_h]), len(range(kw)[taps_w])
            befores, dilations = (before_h, before_w), (dilation_h, dilation_w)
            inner = Geometry(kernel, (1, 1), befores, dilations, groups) if min(kernel) else None
            rows_all = slice(rows.start, size[0], rows.step or 1)
            found.append(Phase(rows_all, slice(columns.start, size[1], columns.step or 1), taps_h, taps_w, inner))
    return found
