"""Normalisation by compiled loops, in two passes over memory each way; `engine/sums.py` has the formulas."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ..._core import Array
from ..._core.threads import cut, run
from .. import sums
from ..layout import empty_like
from . import norm_loops
from .places import address, laid_out
from .vectors import BYTES

__all__ = ["mean_square", "moments", "product_sums", "standardise", "standardise_grad"]

Axes = tuple[int, ...]

_PIECE = 2**18  # bytes of a piece: read twice, the second time from the cache
_VECTORS = 4  # in a period, at least


class _Form(NamedTuple):
    """An array in memory order as (outer, tiles, inner, kept): sums are over outer and inner."""

    order: tuple[int, ...]  # the axes in memory
    outer: int
    tiles: int
    inner: int
    kept: int
    period: int

    def tile(self, statistic: Array | None, shape: tuple[int, ...], dtype: np.dtype) -> Array:
        """Return a statistic as tiles (tiles, period)."""
        if statistic is None:
            return np.zeros((self.tiles, self.period), dtype)
        if statistic.shape != shape:
            statistic = np.broadcast_to(statistic, shape)
        rows = statistic.transpose(self.order).reshape(self.tiles, self.kept)
        if self.kept == self.period:
            return np.ascontiguousarray(rows)
        return np.repeat(rows, self.period, axis=1) if self.kept == 1 else np.tile(rows, (1, self.period // self.kept))


@lru_cache(maxsize=4096)
def _form(shape: tuple[int, ...], strides: tuple[int, ...], kept: tuple[bool, ...], itemsize: int) -> _Form | None:
    """Return the form of a contiguous array, in any order of its axes; None if it has none."""
    order = tuple(sorted(range(len(shape)), key=lambda axis: (-strides[axis], shape[axis] != 1)))
    step = itemsize
    for axis in reversed(order):
        if shape[axis] != 1 and strides[axis] != step:
            return None
        step *= shape[axis]
    groups: list[tuple[bool, int]] = []
    for axis in order:
        if shape[axis] == 1:
            continue
        if groups and groups[-1][0] == kept[axis]:
            groups[-1] = kept[axis], groups[-1][1] * shape[axis]
        else:
            groups.append((kept[axis], shape[axis]))
    sizes = [1, 1, 1, 1]
    place = 3
    for keeps, size in reversed(groups):
        if keeps != (place % 2 == 1):
            place -= 1
        if place < 0:
            return None
        sizes[place] = size
        place -= 1
    outer, tiles, inner, last = sizes
    period = last * -(-_VECTORS * BYTES // itemsize // last) if last * itemsize < _VECTORS * BYTES else last
    return _Form(order, outer, tiles, inner, last, period)


def _form_of(x: Array, *statistics: Array | None) -> tuple[_Form | None, tuple[int, ...]]:
    """Return the form in which statistics broadcast to x, and the shape that they have together."""
    shape = np.broadcast_shapes(*(value.shape for value in statistics if value is not None))
    shape = (1,) * (x.ndim - len(shape)) + shape
    kept = tuple(a != 1 for a in shape)
    return _form(x.shape, x.strides, kept, x.itemsize), shape


def _runs(form: _Form, nbytes: int) -> list[slice]:
    """Cut the runs of an array into pieces for threads."""
    runs = form.outer * form.tiles
    return cut(runs, max(1, runs * 2**19 // max(1, nbytes)))


def standardise(x: Array, mean: Array | None, factor: Array, shift: Array | None) -> Array:
    form, shape = _form_of(x, mean, factor, shift)
    if form is None or not x.size:
        return sums.standardise(x, mean, factor, shift)
    out = empty_like(x)
    tiles = [form.tile(value, shape, x.dtype) for value in (mean, factor, shift)]
    at = [address(tile) for tile in tiles]
    source, target, like, size = address(x), address(out), x.dtype.type(0), x.itemsize
    length = form.inner * form.kept

    def work(part: slice) -> None:
        begin = size * part.start * length
        norm_loops.standardise(
            source + begin, target + begin, *at, part.stop - part.start, form.tiles, part.start, length, form.period,
            size, like,
        )  # fmt: skip

    run(work, _runs(form, x.nbytes))
    return out


def standardise_grad(
    grad: Array, x: Array, mean: Array | None, factor: Array, slope: Array | None = None, shift: Array | None = None
) -> Array:
    if slope is None:
        return standardise(grad, None, factor, None)
    form, shape = _form_of(x, mean, factor, slope, shift)
    if form is None or not x.size:
        return sums.standardise_grad(grad, x, mean, factor, slope, shift)
    grad, out = laid_out(grad, x), empty_like(x)
    tiles = [form.tile(value, shape, x.dtype) for value in (mean, factor, slope, shift)]
    at = [address(tile) for tile in tiles]
    incoming, source, target, like, size = address(grad), address(x), address(out), x.dtype.type(0), x.itemsize
    length = form.inner * form.kept

    def work(part: slice) -> None:
        begin = size * part.start * length
        norm_loops.standardise_grad(
            incoming + begin, source + begin, target + begin, *at, part.stop - part.start, form.tiles, part.start,
            length, form.period, size, like,
        )  # fmt: skip

    run(work, _runs(form, x.nbytes))
    return out


class _Part(NamedTuple):
    """A piece of an array: from where on, how much along the outer axis and the tiles, or along the inner one."""

    start: int  # numbers
    outer: int
    tiles: slice
    inner: int


def _parts(form: _Form, nbytes: int) -> tuple[list[_Part], str]:
    """Cut an array into pieces by outer, tiles or inner; say which."""
    length = form.inner * form.kept
    count = -(-nbytes // _PIECE)
    if count < 2:
        return [_Part(0, form.outer, slice(0, form.tiles), form.inner)], "tiles"
    if form.outer > 1:
        row = form.tiles * length
        parts = cut(form.outer, -(-form.outer // count))
        return [_Part(p.start * row, p.stop - p.start, slice(0, form.tiles), form.inner) for p in parts], "outer"
    if form.tiles > 1:
        parts = cut(form.tiles, -(-form.tiles // count))
        return [_Part(p.start * length, 1, p, form.inner) for p in parts], "tiles"
    parts = cut(form.inner, -(-form.inner // count))
    return [_Part(p.start * form.kept, 1, slice(0, 1), p.stop - p.start) for p in parts], "inner"


def moments(x: Array, axes: Axes) -> tuple[Array, Array]:
    kept = tuple(axis not in axes and x.shape[axis] != 1 for axis in range(x.ndim))
    form = _form(x.shape, x.strides, kept, x.itemsize)
    if form is None or not x.size:
        return sums.moments(x, axes)
    source, like, size = address(x), x.dtype.type(0), x.itemsize
    parts, by = _parts(form, x.nbytes)

    def work(part: _Part) -> tuple[Array, Array]:
        tiles = part.tiles.stop - part.tiles.start
        found: Array = np.empty((2, tiles, form.kept))
        room: Array = np.empty(3 * form.period, x.dtype)
        at = address(found)
        norm_loops.moments(
            source + size * part.start, at, at + 8 * tiles * form.kept, address(room), part.outer, tiles, part.inner,
            form.kept, form.period, size, like,
        )  # fmt: skip
        return found[0], found[1]

    found = run(work, parts)
    if by == "tiles":
        mean, var = (np.concatenate(same) if len(same) > 1 else same[0] for same in zip(*found, strict=True))
    else:
        total = form.outer * form.inner
        shares = [part.outer * part.inner / total for part in parts]
        mean = sum(share * own for share, (own, _) in zip(shares, found, strict=True))
        var = sum(share * (own_var + (own - mean) ** 2) for share, (own, own_var) in zip(shares, found, strict=True))
    return _statistic(mean, form, x, kept), _statistic(var, form, x, kept)


def _statistic(value: Array, form: _Form, x: Array, kept: tuple[bool, ...]) -> Array:
    """Return what was summed, (tiles, kept), in x's dtype and with x's axes, those that were summed of size 1."""
    in_order = tuple(x.shape[axis] if kept[axis] else 1 for axis in form.order)
    inverse = [form.order.index(axis) for axis in range(x.ndim)]
    return value.astype(x.dtype).reshape(in_order).transpose(inverse)


def mean_square(x: Array, axes: Axes) -> Array:
    squares, _ = _sums_of(x, x, None, axes) or (None, None)
    if squares is None:
        return sums.mean_square(x, axes)
    return squares / x.dtype.type(math.prod(x.shape[axis] for axis in axes))


def product_sums(grad: Array, x: Array, mean: Array | None, axes: Axes) -> tuple[Array, Array]:
    found = _sums_of(grad, x, mean, axes)
    if found is None:
        return sums.product_sums(grad, x, mean, axes)
    return found[1], found[0]


def _sums_of(grad: Array, x: Array, mean: Array | None, axes: Axes) -> tuple[Array, Array] | None:
    """Return the sums of grad * (x - mean), and of grad; None if x has no form, or the mean another one."""
    kept = tuple(axis not in axes and x.shape[axis] != 1 for axis in range(x.ndim))
    form = _form(x.shape, x.strides, kept, x.itemsize)
    shape = tuple(n if keeps else 1 for n, keeps in zip(x.shape, kept, strict=True))
    if form is None or not x.size or (mean is not None and np.broadcast_shapes(mean.shape, shape) != shape):
        return None
    grad = laid_out(grad, x)
    tile = form.tile(mean, shape, x.dtype)
    incoming, source, centre, like, size = address(grad), address(x), address(tile), x.dtype.type(0), x.itemsize
    parts, by = _parts(form, x.nbytes)

    def work(part: _Part) -> Array:
        tiles = part.tiles.stop - part.tiles.start
        found: Array = np.empty((2, tiles, form.kept))
        room: Array = np.empty(2 * form.period, x.dtype)
        at, begin = address(found), size * part.start
        norm_loops.mul_sums(
            incoming + begin, source + begin, centre + size * part.tiles.start * form.period, at,
            at + 8 * tiles * form.kept, address(room), part.outer, tiles, part.inner, form.kept, form.period, size, like,
        )  # fmt: skip
        return found

    found = run(work, parts)
    if len(found) == 1:
        plain, product = found[0]
    else:
        plain, product = np.concatenate(found, axis=1) if by == "tiles" else np.sum(found, axis=0)
    return _statistic(product, form, x, kept), _statistic(plain, form, x, kept)
