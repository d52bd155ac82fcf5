"""Pooling: the passes over images.

In max pooling padding is never read (it counts as minus infinity), the first maximum in row-major order wins a tie, and
where windows overlap their gradients add up.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._core import Array, memory
from .._core.threads import run
from .elementwise import kept_unless, parts, remove, select
from .layout import block, empty, images
from .window import Geometry, offsets

__all__ = [
    "LARGE",
    "adaptive_avg_pool",
    "adaptive_avg_pool_grad",
    "avg_pool",
    "avg_pool_grad",
    "avg_pool_into",
    "max_pool",
    "max_pool_grad",
    "max_pool_into",
]

Size = tuple[int, int]

# Pixels in a large window.
LARGE = 256


class _Piece(NamedTuple):
    """Some rows of windows, the input rows that belong to them, and the geometry of the two."""

    windows: slice
    inputs: slice
    geometry: Geometry


def max_pool(x: Array, geometry: Geometry, size: Size) -> Array:
    """Return the maxima (N, C, OH, OW) of the windows of x (N, C, H, W); ``size`` is (OH, OW)."""
    out = empty((*x.shape[:2], *size), x.dtype)
    max_pool_into(block(x), geometry, block(out))
    return out


def max_pool_into(source: Array, geometry: Geometry, target: Array) -> None:
    """Fill the block ``target`` (OH, C, OW, N) with the maxima of the windows of another, (H, C, W, N)."""

    def work(piece: _Piece) -> None:
        part, result = source[piece.inputs], target[piece.windows]
        result.fill(-np.inf)
        for _, _, rows, cols, in_rows, in_cols in offsets(part.shape[::2], piece.geometry, result.shape[::2]):
            view = result[rows, :, cols]
            np.maximum(view, part[in_rows, :, in_cols], out=view)

    run(work, _pieces(len(source), len(target), geometry, source.nbytes))


def max_pool_grad(grad: Array, x: Array, out: Array, geometry: Geometry) -> Array:
    """Return the gradient of x: each window's gradient goes to its first maximum, which ``out`` holds."""
    dx = empty(x.shape, x.dtype)
    source, winner, incoming, target = (block(a) for a in (x, out, grad, dx))
    overlapping = _overlap(geometry)
    tiled = not overlapping and _tiles(x.shape[2:], geometry, out.shape[2:])

    def work(piece: _Piece) -> None:
        part, best, result = source[piece.inputs], winner[piece.windows], target[piece.inputs]
        left = memory.empty(best.shape, x.dtype)  # what no pixel has taken yet; of equal pixels the first takes it
        left[...] = incoming[piece.windows]
        if not tiled:
            result.fill(0)
        meetings = list(offsets(part.shape[::2], piece.geometry, best.shape[::2]))
        for number, (_, _, rows, cols, in_rows, in_cols) in enumerate(meetings):
            view, there = result[in_rows, :, in_cols], left[rows, :, cols]
            if tiled and number == len(meetings) - 1:
                view[...] = there
                break
            # "not less" rather than "equal": a window whose maximum is NaN passes its gradient on as well
            smaller = memory.empty(there.shape, np.dtype(bool))
            mask = kept_unless(np.less(part[in_rows, :, in_cols], best[rows, :, cols], out=smaller))
            taken = select(there, mask, np.empty(mask.shape, left.dtype) if overlapping else view)
            remove(there, taken)
            if overlapping:
                view += taken

    # overlapping rows of windows add to the same pixels, so one thread does them all
    run(work, _pieces(x.shape[2], out.shape[2], geometry, 0 if overlapping else x.nbytes))
    return dx


def avg_pool(x: Array, geometry: Geometry, divisor: Array) -> Array:
    """Return the sums of the windows of x (N, C, H, W), each divided by its ``divisor`` (OH, OW)."""
    out = empty((*x.shape[:2], *divisor.shape), x.dtype)
    avg_pool_into(block(x), geometry, divisor, block(out))
    return out


def avg_pool_into(source: Array, geometry: Geometry, divisor: Array, target: Array) -> None:
    """Fill the block ``target`` (OH, C, OW, N) with the divided sums of the windows of another, (H, C, W, N)."""
    large = geometry.kernel[0] * geometry.kernel[1] > LARGE

    def work(piece: _Piece) -> None:
        part, result = source[piece.inputs], target[piece.windows]
        # the pixels of a large window are added in float64: in float32 the error grows with their number
        total = np.zeros(result.shape) if large else result
        total.fill(0)
        for _, _, rows, cols, in_rows, in_cols in offsets(part.shape[::2], piece.geometry, result.shape[::2]):
            view = total[rows, :, cols]
            view += part[in_rows, :, in_cols]
        np.divide(total, divisor[piece.windows, None, :, None], out=result, casting="same_kind")

    run(work, _pieces(len(source), len(divisor), geometry, source.nbytes))


def avg_pool_grad(grad: Array, shape: tuple[int, ...], geometry: Geometry, divisor: Array) -> Array:
    """Return the gradient of an input of ``shape``: each window's gradient, divided, goes to all of its pixels."""
    dx = empty(shape, grad.dtype)
    target, shared = block(dx), block(grad) / divisor[:, None, :, None]
    target.fill(0)
    for _, _, rows, cols, in_rows, in_cols in offsets(target.shape[::2], geometry, divisor.shape):
        target[in_rows, :, in_cols] += shared[rows, :, cols]
    return dx


def adaptive_avg_pool(x: Array, rows: list[slice], columns: list[slice]) -> Array:
    """Return the means (N, C, OH, OW) of the windows given by ranges of rows and columns of x (N, C, H, W)."""
    source = block(x)
    # first the columns, whose sums are then added up by rows
    by_columns = np.stack([source[:, :, part].mean(axis=2) for part in columns], axis=2)
    return images(np.stack([by_columns[part].mean(axis=0) for part in rows]))


def adaptive_avg_pool_grad(grad: Array, shape: tuple[int, ...], rows: list[slice], columns: list[slice]) -> Array:
    """Return the gradient of an input of ``shape``: each window's gradient goes to its pixels in equal shares."""
    n, c, h, _ = shape
    by_rows = np.zeros((h, c, len(columns), n), grad.dtype)
    for part, incoming in zip(rows, block(grad), strict=True):
        by_rows[part] += incoming / (part.stop - part.start)
    dx = empty(shape, grad.dtype)
    target = block(dx)
    target.fill(0)
    for j, part in enumerate(columns):
        target[:, :, part] += by_rows[:, :, j : j + 1] / (part.stop - part.start)
    return dx


def _pieces(height: int, count: int, geometry: Geometry, nbytes: int) -> list[_Piece]:
    """Cut ``count`` rows of windows over ``height`` rows of pixels that take ``nbytes`` in total."""
    kernel, stride, top, dilation = (pair[0] for pair in geometry[:4])
    reach = max(stride, dilation * (kernel - 1) + 1)
    pieces = []
    for windows in parts(count, nbytes):
        first = windows.start * stride - top
        begin = 0 if windows.start == 0 else max(0, first)
        end = height if windows.stop == count else max(0, min(height, (windows.stop - 1) * stride - top + reach))
        moved = geometry._replace(before=(begin - first, geometry.before[1]))
        pieces.append(_Piece(windows, slice(begin, end), moved))
    return pieces


def _overlap(geometry: Geometry) -> bool:
    """Return whether two windows may share a pixel."""
    kernel, stride, _, dilation, _ = geometry
    return any(s < d * (k - 1) + 1 for k, s, d in zip(kernel, stride, dilation, strict=True))


def _tiles(size: Size, geometry: Geometry, count: Size) -> bool:
    """Return whether windows that do not overlap cover every pixel."""
    axes = zip(size, *geometry[:4], count, strict=True)
    return all(s == k and d == 1 and before == 0 and o * s >= n for n, k, s, before, d, o in axes)
