"""Correlation of images with filters, and its two gradients, by compiled loops.

`engine/correlation.py` has the formulas, and says what each function takes and returns.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ..._core import Array, memory
from ..._core.threads import cut, run
from ..correlation import phases
from ..layout import block, empty
from ..window import Geometry
from . import direct
from . import winograd_loops as loops
from .places import address, steps
from .plan import Plan, make_plan
from .vectors import BYTES
from .winograd import Tiling, applies, tiling

__all__ = ["correlate", "input_grad", "weight_grad"]

# Multiply-adds that are worth a separate piece, and the most pieces that are made for the threads' sake.
_WORK, _PIECES = 2**21, 16
_SUMS = 4  # pieces whose sums are added in the end
_CACHE = 2**19  # bytes of a slice of images' rows that the taps of one output row read


class _Piece(NamedTuple):
    """Some output rows of a slice of images that begins at ``first``."""

    plan: Plan
    first: int
    rows: slice


def correlate(x: Array, w: Array, bias: Array | None, geometry: Geometry, size: tuple[int, int]) -> Array:
    """Correlate images with filters and add a bias."""
    out = empty((len(x), len(w), *size), x.dtype)
    _correlate(_contiguous(x), w, geometry, block(out), bias)
    return out


def input_grad(grad: Array, w: Array, geometry: Geometry, size: tuple[int, int]) -> Array:
    """Return the gradient of the images."""
    f, c, kh, kw = w.shape
    groups = geometry.groups
    dx = empty((len(grad), c * groups, *size), grad.dtype)
    source, out = _contiguous(grad), block(dx)
    flipped = w.reshape(groups, f // groups, c, kh, kw).swapaxes(1, 2).reshape(groups * c, f // groups, kh, kw)
    _, (sh, sw), (top, left), (dh, dw), _ = geometry
    for rows, taps_h, before_h, dilation_h in phases(size[0], kh, sh, top, dh):
        for cols, taps_w, before_w, dilation_w in phases(size[1], kw, sw, left, dw):
            taps, target = flipped[:, :, taps_h, taps_w], out[rows, :, cols]
            if taps.size:
                kernel = taps.shape[2], taps.shape[3]
                phase = Geometry(kernel, (1, 1), (before_h, before_w), (dilation_h, dilation_w), groups)
                _correlate(source, taps[:, :, ::-1, ::-1], phase, target, None)
            else:
                target[...] = 0
    return dx


def weight_grad(
    x: Array, grad: Array, shape: tuple[int, ...], geometry: Geometry, *, has_bias: bool
) -> tuple[Array, Array | None]:
    """Return the gradients of filters and bias."""
    f, c, kh, kw = shape
    like, size, taps = x.dtype.type(0), x.itemsize, f * c * kh * kw
    source, target = _contiguous(x), _contiguous(grad)
    from_x, from_g = address(source), address(target)

    if target.size and applies(shape, geometry, target.shape[::2], len(x), BYTES // size, sums=True):
        return _winograd_weight_grad(source, target, shape, geometry, has_bias)

    def work(piece: _Piece) -> Array:
        plan = piece.plan
        out: Array = np.zeros(taps + f, x.dtype)
        room = memory.empty((plan.size + plan.scratch,), x.dtype)
        to, at = address(out), address(room)
        direct.weight_grad(
            plan.numbers, plan.address, from_x + size * piece.first, from_g + size * piece.first, to,
            to + size * taps if has_bias else 0, at, at + size * plan.size, piece.rows.start, piece.rows.stop, size,
            like,
        )  # fmt: skip
        return out

    parts = run(work, _pieces(source, shape, geometry, target.shape[::2])) if target.size else []
    total: Array = parts[0] if len(parts) == 1 else np.zeros(taps + f) + sum(parts)
    total = total.astype(x.dtype, copy=False)
    dw = total[:taps].reshape(f, kh, kw, c).transpose(0, 3, 1, 2)
    return dw, total[taps:] if has_bias else None


def _correlate(x: Array, w: Array, geometry: Geometry, out: Array, bias: Array | None) -> None:
    """Fill the block ``out`` (OH, F, OW, N), x being a contiguous block (H, C, W, N)."""
    if not out.size:
        return
    if applies(w.shape, geometry, out.shape[::2], x.shape[3], BYTES // x.itemsize):
        _winograd(x, w, geometry, out, bias)
        return
    f, c, kh, kw = w.shape
    groups = geometry.groups
    like, size = x.dtype.type(0), x.itemsize
    packed = memory.empty((w.size,), x.dtype)
    direct.pack(address(w), steps(w), groups, f // groups, c, kh, kw, address(packed), size, like)
    if bias is not None:
        bias = np.ascontiguousarray(bias)
    row, channel, column, _ = steps(out)
    source, target, weights, start = address(x), address(out), address(packed), 0 if bias is None else address(bias)

    def work(piece: _Piece) -> None:
        plan = piece.plan
        room = memory.empty((plan.size + plan.scratch,), x.dtype)
        at = address(room)
        direct.correlate(
            plan.numbers, plan.address, source + size * piece.first, weights, start, target + size * piece.first,
            row, channel, column, at, at + size * plan.size, piece.rows.start, piece.rows.stop, size, like,
        )  # fmt: skip

    run(work, _pieces(x, w.shape, geometry, out.shape[::2]))


def _winograd(x: Array, w: Array, geometry: Geometry, out: Array, bias: Array | None) -> None:
    """Fill the block ``out`` (OH, F, OW, N) by tiles."""
    f, c, _, _ = w.shape
    like, size, lanes = x.dtype.type(0), x.itemsize, BYTES // x.itemsize
    transformed, packed = (memory.empty((16 * w.size // 9,), x.dtype) for _ in range(2))
    loops.filters(address(w), steps(w), f, c, address(transformed), size, like)
    direct.pack(address(transformed), (c, 1, 0, 0), 16, f, c, 1, 1, address(packed), size, like)
    if bias is not None:
        bias = np.ascontiguousarray(bias)
    row, channel, column, _ = steps(out)
    source, target, u, start = address(x), address(out), address(packed), 0 if bias is None else address(bias)
    height = out.shape[0]

    def work(piece: _TiledPiece) -> None:
        tiling = piece.tiling
        plan = tiling.plan
        room = memory.empty((plan.size + tiling.room_v + tiling.room_m + lanes,), x.dtype)
        planes = address(room)
        v, m = planes + size * plan.size, planes + size * (plan.size + tiling.room_v)
        loops.correlate(
            plan.numbers, tiling.address, source + size * piece.first, u, start, target + size * piece.first, row,
            channel, column, height, planes, v, m, m + size * tiling.room_m, tiling.tiles, piece.rows.start,
            piece.rows.stop, size, like,
        )  # fmt: skip

    run(work, _tiled_pieces(x, w.shape, geometry, out.shape[::2], _PIECES))


def _winograd_weight_grad(
    x: Array, grad: Array, shape: tuple[int, ...], geometry: Geometry, has_bias: bool
) -> tuple[Array, Array | None]:
    """Return the gradients of filters and bias, of contiguous blocks."""
    f, c, _, _ = shape
    like, size, lanes = x.dtype.type(0), x.itemsize, BYTES // x.itemsize
    from_x, from_g, height = address(x), address(grad), grad.shape[0]

    def work(piece: _TiledPiece) -> Array:
        tiling = piece.tiling
        plan = tiling.plan
        out: Array = np.zeros(16 * f * c + f, x.dtype)
        room = memory.empty((plan.size + tiling.room_v + tiling.room_m,), x.dtype)
        masks = np.zeros((3, lanes), x.dtype)
        count = int(plan.numbers[0]["slice"])
        masks[1], masks[2, (-count) % lanes :] = 1, 1
        planes, to = address(room), address(out)
        v, m = planes + size * plan.size, planes + size * (plan.size + tiling.room_v)
        loops.weight_grad(
            plan.numbers, tiling.address, from_x + size * piece.first, from_g + size * piece.first, to,
            to + size * 16 * f * c if has_bias else 0, height, planes, v, m, address(masks), tiling.tiles,
            piece.rows.start, piece.rows.stop, size, like,
        )  # fmt: skip
        return out

    parts = run(work, _tiled_pieces(x, shape, geometry, grad.shape[::2], _SUMS))
    total: Array = parts[0] if len(parts) == 1 else (np.zeros(16 * f * c + f) + sum(parts)).astype(x.dtype)
    dw = np.empty((f, 3, 3, c), x.dtype)
    loops.filters_grad(address(total), f, c, address(dw), size, like)
    return dw.transpose(0, 3, 1, 2), total[16 * f * c :] if has_bias else None


class _TiledPiece(NamedTuple):
    """Some output rows of a slice of images that begins at ``first``, in tiles."""

    tiling: Tiling
    first: int
    rows: slice


def _tiled_pieces(
    x: Array, shape: tuple[int, ...], geometry: Geometry, out: tuple[int, ...], most: int
) -> list[_TiledPiece]:
    f, c, kh, kw = shape
    images, lanes = x.shape[3], BYTES // x.itemsize
    sizes = [(first, count) for first, count in _slices(images, c * x.shape[2] * 4 * x.itemsize, lanes)]
    if sizes[-1][1] < lanes:  # too few for a vector: they go with the slice before
        (first, count), (_, more) = sizes[-2:]
        sizes[-2:] = [(first, count + more)]
    work = out[0] * out[1] * images * f * c * kh * kw
    parts = max(1, min(most, work // _WORK) // len(sizes))
    pieces = []
    for first, count in sizes:
        tiled = tiling(x.shape, count, f, geometry, (out[0], out[1]), x.itemsize, lanes)
        pairs = -(-out[0] // 2)
        for part in cut(pairs, -(-pairs // parts)):
            pieces.append(_TiledPiece(tiled, first, slice(2 * part.start, min(out[0], 2 * part.stop))))
    return pieces


def _contiguous(x: Array) -> Array:
    return np.ascontiguousarray(block(x))


def _pieces(x: Array, shape: tuple[int, ...], geometry: Geometry, out: tuple[int, ...]) -> list[_Piece]:
    """Cut a correlation of a block x with filters of ``shape`` into slices of images and rows of ``out`` (OH, OW)."""
    f, c, kh, kw = shape
    images, lanes = x.shape[3], BYTES // x.itemsize
    sizes = list(_slices(images, c * x.shape[2] * kh * x.itemsize, lanes))
    work = out[0] * out[1] * images * f * c * kh * kw
    parts = max(1, min(_PIECES, work // _WORK) // len(sizes))
    filters = f // geometry.groups
    pieces = []
    for first, count in sizes:
        plan = make_plan(x.shape, count, filters, geometry, (out[0], out[1]), x.itemsize, lanes)
        rows = max(int(plan.numbers[0]["rows"]), -(-out[0] // parts)) if parts > 1 else out[0]
        pieces += [_Piece(plan, first, part) for part in cut(out[0], rows)]
    return pieces


def _slices(images: int, row_bytes: int, lanes: int) -> Iterator[tuple[int, int]]:
    """Yield (first, count) of the images that are done at a time: what the taps read fits in the cache."""
    at_a_time = images
    while at_a_time > 2 * lanes and row_bytes * at_a_time > _CACHE:
        at_a_time = -(-at_a_time // 2 // lanes) * lanes
    for first in range(0, images, at_a_time):
        yield first, min(at_a_time, images - first)
