"""Correlation of images with filters, and its two gradients, by compiled loops.

`engine/correlation.py` has the formulas, and says what each function takes and returns.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..._core import Array, memory
from ..._core.threads import run
from ..layout import block, empty
from ..window import Geometry
from . import direct
from . import winograd_loops as winograd
from .layouts import Piece, input_phases, layout
from .places import address
from .vectors import BYTES

__all__ = ["correlate", "input_grad", "weight_grad"]

Shape = tuple[int, ...]


class _Filters(NamedTuple):
    """Filters (F, C/groups, KH, KW) in memory, strides in bytes; those of the next group are ``group`` bytes on."""

    at: int
    shape: Shape
    strides: Shape
    group: int


def correlate(x: Array, w: Array, bias: Array | None, geometry: Geometry, size: tuple[int, int]) -> Array:
    """Correlate images with filters and add a bias."""
    out = empty((len(x), len(w), *size), x.dtype)
    target, source = block(out), np.ascontiguousarray(block(x))
    if bias is not None and bias.strides[0] != bias.itemsize:
        bias = bias.copy()
    filters = _Filters(address(w), w.shape, w.strides, len(w) // geometry.groups * w.strides[0])
    start = 0 if bias is None else address(bias)
    _correlate(source, filters, geometry, address(out), target.shape, target.strides, start)
    return out


def input_grad(grad: Array, w: Array, geometry: Geometry, size: tuple[int, int]) -> Array:
    """Return the gradient of the images."""
    (f, c, _, _), groups = w.shape, geometry.groups
    dx = empty((len(grad), c * groups, *size), grad.dtype)
    source, out = np.ascontiguousarray(block(grad)), block(dx)
    (row, channel, column, step), images = out.strides, len(grad)
    at, to = address(w), address(dx)
    over_f, over_c, over_h, over_w = w.strides
    for rows, columns, taps_h, taps_w, inner in input_phases(size, geometry):
        if inner is None:
            out[rows, :, columns] = 0
            continue
        kh, kw = inner.kernel
        # the taps of this phase, the last one first, and channels for filters
        down, right = over_h * (taps_h.step or 1), over_w * (taps_w.step or 1)
        last = at + over_h * (taps_h.start or 0) + over_w * (taps_w.start or 0) + (kh - 1) * down + (kw - 1) * right
        filters = _Filters(
            last, (groups * c, f // groups, kh, kw), (over_c, over_f, -down, -right), f // groups * over_f
        )
        shape = len(range(*rows.indices(size[0]))), c * groups, len(range(*columns.indices(size[1]))), images
        place = to + rows.start * row + columns.start * column
        _correlate(source, filters, inner, place, shape, (row * rows.step, channel, column * columns.step, step), 0)
    return dx


def _correlate(x: Array, w: _Filters, geometry: Geometry, out: int, shape: Shape, strides: Shape, bias: int) -> None:
    """Fill a block (OH, F, OW, N) in memory, images innermost, x being a contiguous block (H, C, W, N)."""
    if 0 in shape:
        return
    size, like = x.itemsize, x.dtype.type(0)
    tiled, pieces = layout(x.shape, w.shape, geometry, shape, size, False)
    f, c, kh, kw = w.shape
    source, groups = address(x), geometry.groups
    if tiled:
        transformed, packed = (memory.empty((16 * f * c,), x.dtype) for _ in range(2))
        between, to = address(transformed), address(packed)
        winograd.filters(w.at, w.strides, f, c, between, size, like)
        direct.pack(between, (c * size, size, 0, 0), f * c * size, 16, f, c, 1, 1, to, size, like)
    else:
        packed = memory.empty((f * c * kh * kw,), x.dtype)
        to = address(packed)
        direct.pack(w.at, w.strides, w.group, groups, f // groups, c, kh, kw, to, size, like)

    def work(piece: Piece) -> None:
        plan, tiling, first, begin, end = piece
        from_x, to_out = source + size * first, out + size * first
        if tiling is None:
            room = memory.empty((plan.size + plan.scratch,), x.dtype)
            at = address(room)
            direct.correlate(
                plan.numbers, plan.address, from_x, to, bias, to_out, strides, at, at + size * plan.size, begin, end,
                size, like,
            )  # fmt: skip
            return
        room = memory.empty((plan.size + tiling.room_v + tiling.room_m + BYTES // size,), x.dtype)
        planes = address(room)
        v, m = planes + size * plan.size, planes + size * (plan.size + tiling.room_v)
        winograd.correlate(
            plan.numbers, tiling.address, from_x, to, bias, to_out, strides, shape[0], planes, v, m,
            m + size * tiling.room_m, tiling.tiles, begin, end, size, like,
        )  # fmt: skip

    run(work, pieces)


def weight_grad(x: Array, grad: Array, shape: Shape, geometry: Geometry, *, has_bias: bool) -> tuple[Array, Any]:
    """Return the gradients of filters and bias."""
    f, c, kh, kw = shape
    size, like = x.itemsize, x.dtype.type(0)
    source, target = np.ascontiguousarray(block(x)), np.ascontiguousarray(block(grad))
    if not target.size:
        return np.zeros(shape, x.dtype), np.zeros(f, x.dtype) if has_bias else None
    tiled, pieces = layout(source.shape, shape, geometry, target.shape, size, True)
    taps = 16 * f * c if tiled else f * c * kh * kw
    from_x, from_g = address(source), address(target)

    def work(piece: Piece) -> Array:
        plan, tiling, first, begin, end = piece
        out: Array = np.zeros(taps + f, x.dtype)
        to = address(out)
        sums = to + size * taps if has_bias else 0
        images, grads = from_x + size * first, from_g + size * first
        if tiling is None:
            room = memory.empty((plan.size + plan.scratch,), x.dtype)
            at = address(room)
            direct.weight_grad(
                plan.numbers, plan.address, images, grads, to, sums, at, at + size * plan.size, begin, end, size, like
            )
            return out
        room = memory.empty((plan.size + tiling.room_v + tiling.room_m,), x.dtype)
        masks = np.zeros((3, BYTES // size), x.dtype)
        masks[1], masks[2, -int(plan.numbers[0]["slice"]) % (BYTES // size) :] = 1, 1
        planes = address(room)
        v, m = planes + size * plan.size, planes + size * (plan.size + tiling.room_v)
        winograd.weight_grad(
            plan.numbers, tiling.address, images, grads, to, sums, target.shape[0], planes, v, m, address(masks),
            tiling.tiles, begin, end, size, like,
        )  # fmt: skip
        return out

    parts = run(work, pieces)
    total = parts[0] if len(parts) == 1 else (np.zeros(taps + f) + sum(parts)).astype(x.dtype)
    if tiled:
        dw = np.empty((f, 3, 3, c), x.dtype)
        winograd.filters_grad(address(total), f, c, address(dw), size, like)
    else:
        dw = total[:taps].reshape(f, kh, kw, c)
    return dw.transpose(0, 3, 1, 2), total[taps:] if has_bias else None
