"""Correlation of images with filters, and its two gradients, by compiled loops.

`engine/correlation.py` has the formulas, and says what each function takes and returns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..._core import Array, memory
from ..._core.threads import run
from ..layout import block, empty
from ..window import Geometry
from . import direct, runs
from . import winograd_loops as winograd
from .layouts import Layout, Piece, input_phases, layout
from .places import address
from .vectors import BYTES

__all__ = ["Places", "call", "correlate", "filters_of", "input_grad", "pack", "perform", "room_for", "weight_grad"]

Shape = tuple[int, ...]


class Filters(NamedTuple):
    """Filters (F, C/groups, KH, KW) in memory, strides in bytes; those of the next group are ``group`` bytes on."""

    at: int
    shape: Shape
    strides: Shape
    group: int


class Places(NamedTuple):
    """Where images, packed filters, bias (0: none) and output (OH, F, OW, N) lie; the output's strides and rows."""

    source: int
    filters: int
    bias: int
    out: int
    strides: Shape
    rows: int


def filters_of(w: Array, groups: int) -> Filters:
    """Return where filters lie."""
    return Filters(address(w), w.shape, w.strides, len(w) // groups * w.strides[0])


def correlate(x: Array, w: Array, bias: Array | None, geometry: Geometry, size: tuple[int, int]) -> Array:
    """Correlate images with filters and add a bias."""
    out = empty((len(x), len(w), *size), x.dtype)
    target, source = block(out), np.ascontiguousarray(block(x))
    if bias is not None and bias.strides[0] != bias.itemsize:
        bias = bias.copy()
    filters = filters_of(w, geometry.groups)
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
        filters = Filters(
            last, (groups * c, f // groups, kh, kw), (over_c, over_f, -down, -right), f // groups * over_f
        )
        shape = len(range(*rows.indices(size[0]))), c * groups, len(range(*columns.indices(size[1]))), images
        place = to + rows.start * row + columns.start * column
        _correlate(source, filters, inner, place, shape, (row * rows.step, channel, column * columns.step, step), 0)
    return dx


def _correlate(x: Array, w: Filters, geometry: Geometry, out: int, shape: Shape, strides: Shape, bias: int) -> None:
    """Fill a block (OH, F, OW, N) in memory, images innermost, x being a contiguous block (H, C, W, N)."""
    if 0 in shape:
        return
    laid = layout(x.shape, w.shape, geometry, shape, x.itemsize, False)
    packed = pack(w, geometry, laid.tiled, x.dtype)
    perform(laid, Places(address(x), address(packed), bias, out, strides, shape[0]), x.dtype)


def perform(laid: Layout, places: Places, dtype: np.dtype[Any]) -> None:
    """Do all pieces, shared among threads."""

    def work(piece: Piece) -> None:
        room = memory.empty((room_for(piece, dtype.itemsize),), dtype)
        function, numbers = call(piece, places, address(room), dtype)
        function(*numbers)

    run(work, laid.pieces, laid.cost)


def pack(w: Filters, geometry: Geometry, tiled: bool, dtype: np.dtype[Any]) -> Array:
    """Return filters in the order in which the loops read them, transformed where tiles are."""
    f, c, kh, kw = w.shape
    size, like, groups = dtype.itemsize, dtype.type(0), geometry.groups
    packed = memory.empty(((16 * f * c) if tiled else (f * c * kh * kw),), dtype)
    to = address(packed)
    if tiled:
        transformed = memory.empty((16 * f * c,), dtype)
        between = address(transformed)
        winograd.filters(w.at, w.strides, f, c, between, size, like)
        direct.pack(between, (c * size, size, 0, 0), f * c * size, 16, f, c, 1, 1, to, size, like)
    else:
        direct.pack(w.at, w.strides, w.group, groups, f // groups, c, kh, kw, to, size, like)
    return packed


def room_for(piece: Piece, size: int) -> int:
    """Return how many numbers a piece needs besides its input and output."""
    plan, tiling = piece.plan, piece.tiling
    return plan.size + (plan.scratch if tiling is None else tiling.room_v + tiling.room_m + BYTES // size)


def call(piece: Piece, places: Places, room: int, dtype: np.dtype[Any]) -> tuple[Callable[..., None], tuple[Any, ...]]:
    """Return the compiled loops that do a piece, and their arguments; ``room`` is where what it needs begins."""
    plan, tiling, first, begin, end = piece
    size, like = dtype.itemsize, dtype.type(0)
    source, out = places.source + size * first, places.out + size * first
    beyond = room + size * plan.size
    if tiling is None:
        return direct.correlate, (
            *(plan.numbers, plan.address, source, places.filters, places.bias, out, places.strides, room, beyond),
            *(begin, end, size, like),
        )
    m = beyond + size * tiling.room_v
    return winograd.correlate, (
        *(plan.numbers, tiling.address, source, places.filters, places.bias, out, places.strides, places.rows, room),
        *(beyond, m, m + size * tiling.room_m, tiling.tiles, begin, end, size, like),
    )


def weight_grad(x: Array, grad: Array, shape: Shape, geometry: Geometry, *, has_bias: bool) -> tuple[Array, Any]:
    """Return the gradients of filters and bias."""
    f, c, kh, kw = shape
    size, like = x.itemsize, x.dtype.type(0)
    source, target = np.ascontiguousarray(block(x)), np.ascontiguousarray(block(grad))
    if not target.size:
        return np.zeros(shape, x.dtype), np.zeros(f, x.dtype) if has_bias else None
    tiled, pieces, cost = layout(source.shape, shape, geometry, target.shape, size, True)
    taps = 16 * f * c if tiled else f * c * kh * kw
    from_x, from_g = address(source), address(target)

    def work(piece: Piece) -> Array:
        plan, tiling, first, begin, end = piece
        out = memory.empty((taps + f,), x.dtype)
        to = address(out)
        runs.zero(to, taps + f, like)
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

    parts = run(work, pieces, cost)
    total = parts[0]
    if len(parts) > 1:
        addresses, room = np.array([address(part) for part in parts]), np.empty(runs.ROOM)
        runs.combine(address(addresses), len(parts), taps + f, address(total), address(room), size, like)
    if tiled:
        dw = memory.empty((f, 3, 3, c), x.dtype)
        winograd.filters_grad(address(total), f, c, address(dw), size, like)
        dw = dw.transpose(0, 3, 1, 2)
    else:
        dw = total[:taps].reshape(f, kh, c, kw).transpose(0, 2, 1, 3)
    return dw, total[taps:] if has_bias else None
