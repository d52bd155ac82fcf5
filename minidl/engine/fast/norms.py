"""Normalisation by compiled loops, in two passes over memory each way; `engine/normalising.py` has the formulas."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ..._core import Array
from ..._core.threads import cut, run
from .. import normalising
from ..layout import empty_like
from ..normalising import Joint, Standardised
from . import norm_loops
from .places import address, in_passes, laid_out
from .vectors import BYTES

__all__ = ["normalise", "normalise_grad"]

Axes = tuple[int, ...]

_PIECE = 2**18  # bytes of a piece of which sums are taken: read twice, the second time from the cache
_RUN = 2**19  # bytes of a piece that is standardised
_SMALL = 2**18  # bytes of an array that is done in one call
_VECTORS = 4  # in a period, at least


class _Form(NamedTuple):
    """An array in memory order as (outer, tiles, inner, kept): what is summed, and repeats, are outer and inner."""

    order: tuple[int, ...]  # the axes in memory
    outer: int
    tiles: int
    inner: int
    kept: int
    period: int

    @property
    def length(self) -> int:
        """Numbers in a run."""
        return self.inner * self.kept

    @property
    def places(self) -> int:
        """Of the numbers that do not repeat."""
        return self.tiles * self.kept


class _Plan(NamedTuple):
    """The form of the statistics, that of statistics and parameters together, and the way from one to the other."""

    statistics: _Form
    factors: _Form
    statistic_shape: tuple[int, ...]  # of means, in x's axes
    in_order: tuple[int, ...]  # the same in memory
    inverse: tuple[int, ...]
    of: Array  # for each place of the factors its statistic, and its parameter
    of_weight: Array
    weights: int
    numbers: Array  # the same for the compiled loops
    work: int  # float64 numbers of room that they need


class _Kept(NamedTuple):
    """What x was standardised with; ``values`` are means, variances and inverse deviations, (3, places)."""

    mean: Array | None
    var: Array
    values: Array
    plan: _Plan
    weight: Array | None
    has_bias: bool
    taken: bool  # whether the statistics are x's own
    param_shape: tuple[int, ...]
    number: int  # of values in each statistic
    joint: Joint | None


@lru_cache(maxsize=4096)
def _plan(
    shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int, axes: Axes | None, param_shape: tuple[int, ...]
) -> _Plan | None:
    """Lay out a normalisation of an array; axes of None: statistics are given, in the parameters' shape.

    Return None for an array that is not contiguous in some order of its axes, or has no such form.
    """
    if 0 in shape:
        return None
    ndim = range(len(shape))
    by_statistic = tuple(
        shape[axis] != 1 and (param_shape[axis] != 1 if axes is None else axis not in axes) for axis in ndim
    )
    by_factor = tuple(by_statistic[axis] or (shape[axis] != 1 and param_shape[axis] != 1) for axis in ndim)
    statistics, factors = (_form(shape, strides, kept, itemsize) for kept in (by_statistic, by_factor))
    if statistics is None or factors is None:
        return None
    order = statistics.order
    statistic_shape = tuple(n if keeps else 1 for n, keeps in zip(shape, by_statistic, strict=True))
    in_order = tuple(statistic_shape[axis] for axis in order)
    inverse = tuple(order.index(axis) for axis in ndim)
    factor_shape = tuple(n if keeps else 1 for n, keeps in zip(shape, by_factor, strict=True))

    def of(numbers: Array) -> Array:
        spread = np.broadcast_to(numbers, factor_shape).transpose(factors.order)
        return np.ascontiguousarray(spread.reshape(-1), np.int64)

    ids = np.arange(math.prod(in_order)).reshape(in_order).transpose(inverse)
    weights = math.prod(param_shape)
    of_weight = of(np.arange(weights).reshape(param_shape))
    of_statistic = of(ids)
    numbers = np.zeros(1, norm_loops.PLAN)
    numbers[0] = (
        *(statistics.outer, statistics.tiles, statistics.inner, statistics.kept, statistics.period),
        *(factors.outer, factors.tiles, factors.inner, factors.kept, factors.period),
        *(weights, of_statistic.ctypes.data, of_weight.ctypes.data),
    )
    sums, tile = (
        2 * max(statistics.places, factors.places),
        max(factors.tiles * factors.period, statistics.tiles * statistics.period),
    )
    work = sums + 3 * max(statistics.period, factors.period) + 4 * tile + 2 * (statistics.places + weights)
    return _Plan(
        statistics, factors, statistic_shape, in_order, inverse, of_statistic, of_weight, weights, numbers, work
    )


def _form(shape: tuple[int, ...], strides: tuple[int, ...], kept: tuple[bool, ...], itemsize: int) -> _Form | None:
    order = tuple(sorted(range(len(shape)), key=lambda axis: (-strides[axis], shape[axis] != 1)))
    step = itemsize
    for axis in reversed(order):
        if shape[axis] != 1 and strides[axis] != step:
            return None
        step *= shape[axis]
    groups: list[tuple[bool, int]] = []
    for axis in order:
        if shape[axis] != 1 and groups and groups[-1][0] == kept[axis]:
            groups[-1] = kept[axis], groups[-1][1] * shape[axis]
        elif shape[axis] != 1:
            groups.append((kept[axis], shape[axis]))
    sizes, place = [1, 1, 1, 1], 3
    for keeps, size in reversed(groups):
        place -= keeps != (place % 2 == 1)
        if place < 0:
            return None
        sizes[place] = size
        place -= 1
    outer, tiles, inner, last = sizes
    if tiles == 1 and outer == 1:  # rows, so that there is something to cut
        outer = math.gcd(inner, 2 ** max(0, (inner * last * itemsize // _PIECE).bit_length()))
        inner //= outer
    least = _VECTORS * BYTES // itemsize
    period = last * -(-least // last) if last < least else last
    return _Form(order, outer, tiles, inner, last, period)


def normalise(
    x: Array,
    axes: Axes,
    eps: float,
    weight: Array | None,
    bias: Array | None,
    param_shape: tuple[int, ...],
    centred: bool,
    given: tuple[Array, Array] | None,
    joint: Joint | None = None,
) -> tuple[Array, _Kept | Standardised]:
    """Standardise, then scale and shift."""
    plan = _plan(x.shape, x.strides, x.itemsize, axes if given is None else None, param_shape)
    if plan is None:
        return normalising.normalise(x, axes, eps, weight, bias, param_shape, centred, given, joint)
    size, like = x.itemsize, x.dtype.type(0)
    weight, bias = (None if value is None else np.ascontiguousarray(value) for value in (weight, bias))
    count = plan.statistics.places
    values = np.empty((3, count), x.dtype)  # mean, variance, 1 / deviation
    out = empty_like(x)
    work = np.empty(plan.work)
    at, room, source, target = address(values), address(work), address(x), address(out)
    of_weight, of_bias = (0 if value is None else address(value) for value in (weight, bias))
    small = x.nbytes <= _SMALL and joint is None
    values_each = plan.statistics.outer * plan.statistics.inner
    found = work[: 2 * count].reshape(2, count)
    if given is not None:
        found[0], found[1] = (value.reshape(-1)[_inside(plan)] for value in given)
    elif not small and centred:
        _moments(x, plan.statistics, found)
        if joint is not None:
            values_each, found[0], found[1] = joint.moments(values_each, found[0], found[1])
    elif not small:
        _mean_squares(x, plan.statistics, found)
    known = given is not None or not small
    tiles = norm_loops.forward(
        plan.numbers, source, target, of_weight, of_bias, float(eps), known, centred, small, at, room, size, like
    )
    if not small:
        _standardise(plan.factors, source, target, tiles, x)
    mean, var = (value.reshape(plan.in_order).transpose(plan.inverse) for value in values[:2])
    has_bias, taken = bias is not None, given is None
    centre = mean if centred else None
    return out, _Kept(centre, var, values, plan, weight, has_bias, taken, param_shape, values_each, joint)


def normalise_grad(grad: Array, x: Array, kept: _Kept | Standardised) -> tuple[Array, Array | None, Array | None]:
    """Return the gradients of x, weight and bias."""
    if isinstance(kept, Standardised):
        return normalising.normalise_grad(grad, x, kept)
    mean, _, values, plan, weight, has_bias, taken, param_shape, count, joint = kept
    size, like = x.itemsize, x.dtype.type(0)
    grad, dx = laid_out(grad, x), empty_like(x)
    work = np.empty(plan.work)
    dw = None if weight is None else np.empty(param_shape, x.dtype)
    db = np.empty(param_shape, x.dtype) if has_bias else None
    incoming, source, target, at, room = address(grad), address(x), address(dx), address(values), address(work)
    of_weight, to_weight, to_bias = (0 if value is None else address(value) for value in (weight, dw, db))
    small, centred = x.nbytes <= _SMALL and joint is None, mean is not None
    tiles = norm_loops.backward_tiles(plan.numbers, of_weight, at, room, size, like)
    sums = work[: 2 * plan.factors.places].reshape(2, -1)
    if not small:
        _product_sums(grad, x, plan.factors, tiles, sums)
    norm_loops.backward(
        plan.numbers, incoming, source, target, of_weight, to_weight, to_bias, taken, centred, small, at, room, size,
        like,
    )  # fmt: skip
    if joint is not None:  # slope and shift again, of all arrays; the loop divides by the number of this one's values
        sums[...] = joint.sums(sums) * (plan.statistics.outer * plan.statistics.inner / count)
        norm_loops.backward(
            plan.numbers, incoming, source, target, of_weight, 0, 0, taken, centred, small, at, room, size, like
        )
    if not small and taken:
        _standardise_grad(plan.factors, incoming, source, target, tiles, x)
    elif not small:
        _standardise(plan.factors, incoming, target, tiles, x)
    return dx, dw, db


def _standardise(form: _Form, source: int, target: int, tiles: int, x: Array) -> None:
    size, like, step = x.itemsize, x.dtype.type(0), x.itemsize * form.tiles * form.period

    def work(part: slice) -> None:
        begin = size * part.start * form.length
        norm_loops.standardise(
            source + begin, target + begin, tiles, tiles + step, tiles + 2 * step, part.stop - part.start, form.tiles,
            part.start, form.length, form.period, size, like,
        )  # fmt: skip

    run(work, _runs(form, x.nbytes), in_passes(2 * x.nbytes))


def _standardise_grad(form: _Form, grad: int, source: int, target: int, tiles: int, x: Array) -> None:
    size, like, step = x.itemsize, x.dtype.type(0), x.itemsize * form.tiles * form.period

    def work(part: slice) -> None:
        begin = size * part.start * form.length
        norm_loops.standardise_grad(
            grad + begin, source + begin, target + begin, tiles, tiles + step, tiles + 2 * step, tiles + 3 * step,
            part.stop - part.start, form.tiles, part.start, form.length, form.period, size, like,
        )  # fmt: skip

    run(work, _runs(form, x.nbytes), in_passes(3 * x.nbytes))


def _inside(plan: _Plan) -> Array:
    """Return for each statistic its place among the parameters, of which it has the shape."""
    places = np.empty(plan.statistics.places, np.int64)
    places[plan.of] = plan.of_weight
    return places


def _runs(form: _Form, nbytes: int) -> list[slice]:
    runs = form.outer * form.tiles
    return cut(runs, max(1, runs * _RUN // max(1, nbytes)))


class _Part(NamedTuple):
    """A piece of an array: where it begins, how much along the outer axis, which tiles; where its sums begin."""

    start: int  # numbers
    outer: int
    tiles: slice
    sums: int  # bytes


@lru_cache(maxsize=4096)
def _parts(form: _Form, nbytes: int) -> list[_Part]:
    """Cut an array into pieces along the outer axis, each with sums of its own, or along the tiles if it has none."""
    count = -(-nbytes // _PIECE)
    if count < 2:
        return [_Part(0, form.outer, slice(0, form.tiles), 0)]
    if form.outer > 1:
        row, step = form.tiles * form.length, 16 * form.places
        parts = cut(form.outer, -(-form.outer // count))
        return [
            _Part(part.start * row, part.stop - part.start, slice(0, form.tiles), step * i)
            for i, part in enumerate(parts)
        ]
    parts = cut(form.tiles, -(-form.tiles // count))
    return [_Part(part.start * form.length, 1, part, 8 * part.start * form.kept) for part in parts]


def _moments(x: Array, form: _Form, out: Array) -> None:
    """Fill float64 means and variances (2, places)."""
    source, like, size = address(x), x.dtype.type(0), x.itemsize
    parts, found, at = _room_for_sums(form, x.nbytes, out)

    def work(part: _Part) -> None:
        here = at + part.sums
        room: Array = np.empty(3 * form.period, x.dtype)
        norm_loops.moments(
            source + size * part.start, here, here + 8 * form.places, address(room), part.outer,
            part.tiles.stop - part.tiles.start, form.inner, form.kept, form.period, size, like,
        )  # fmt: skip

    run(work, parts, in_passes(2 * x.nbytes))
    if found is not out:
        shares = np.array([part.outer / form.outer for part in parts])
        norm_loops.pool_moments(at, address(shares), len(parts), form.places, address(out))


def _mean_squares(x: Array, form: _Form, out: Array) -> None:
    """Fill means of 0 and float64 mean squares (2, places)."""
    zeros = np.zeros((form.tiles, form.period), x.dtype)
    _product_sums(x, x, form, address(zeros), out)
    out[1] /= form.outer * form.inner
    out[0] = 0


def _product_sums(grad: Array, x: Array, form: _Form, mean: int, out: Array) -> None:
    """Fill float64 sums of grad and of grad * (x - mean), (2, places); ``mean`` is where its tiles are."""
    incoming, source, like, size = address(grad), address(x), x.dtype.type(0), x.itemsize
    parts, found, at = _room_for_sums(form, x.nbytes, out)

    def work(part: _Part) -> None:
        here, begin = at + part.sums, size * part.start
        room: Array = np.empty(2 * form.period, x.dtype)
        norm_loops.mul_sums(
            incoming + begin, source + begin, mean + size * part.tiles.start * form.period, here,
            here + 8 * form.places, address(room), part.outer, part.tiles.stop - part.tiles.start, form.inner,
            form.kept, form.period, size, like,
        )  # fmt: skip

    run(work, parts, in_passes(2 * x.nbytes))
    if found is not out:
        np.sum(found, axis=0, out=out)


def _room_for_sums(form: _Form, nbytes: int, out: Array) -> tuple[list[_Part], Array, int]:
    """Return the pieces, and where their float64 sums go: to ``out`` (2, places) unless several have the same."""
    parts = _parts(form, nbytes)
    found = np.empty((len(parts), 2, form.places)) if form.outer > 1 and len(parts) > 1 else out
    return parts, found, address(found)
