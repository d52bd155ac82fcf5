"""The compiled loops of normalisations, over runs of numbers whose statistics repeat.

Whatever the axes over which statistics are taken, an array in memory order is (R0, K0, R1, K1): sums run over R0 and
R1, statistics are (K0, K1). A run is R1*K1 neighbouring numbers, in which statistics repeat every K1; they are given as
tiles of ``period`` numbers, a multiple of K1 and at least a vector or two, so that the inner loop is long.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .compiled import compiled, summing
from .runs import total, zero
from .vectors import cast, load, load_index, store

__all__ = [
    "PLAN",
    "backward",
    "backward_tiles",
    "forward",
    "moments",
    "mul_sums",
    "pool_moments",
    "standardise",
    "standardise_grad",
]

# The forms of statistics and factors, and the addresses of the ways from one to the other; see `norms._Plan`.
PLAN = np.dtype(
    [
        (name, np.int64)
        for name in (
            *("outer", "tiles", "inner", "kept", "period"),
            *("factor_outer", "factor_tiles", "factor_inner", "factor_kept", "factor_period"),
            *("weights", "of", "of_weight"),
        )
    ]
)

_TERMS = 128  # numbers that are added to one in the arrays' dtype, before float64


@compiled
def standardise(x: int, out: int, mean: int, factor: int, shift: int, runs: int, tiles: int, first: int, length: int,
                period: int, size: int, like: Any) -> None:  # fmt: skip
    """out = (x - mean)*factor + shift over ``runs`` runs, of which the one at i has the tile (first + i) % tiles."""
    for i in range(runs):
        tile = size * ((first + i) % tiles) * period
        m, f, s = mean + tile, factor + tile, shift + tile
        for begin in range(0, length, period):
            count = min(period, length - begin)
            source, target = x + size * (i * length + begin), out + size * (i * length + begin)
            for k in range(count):
                store(target, k, (load(source, k, like) - load(m, k, like)) * load(f, k, like) + load(s, k, like))


@compiled
def standardise_grad(g: int, x: int, out: int, mean: int, factor: int, slope: int, shift: int, runs: int, tiles: int,
                     first: int, length: int, period: int, size: int, like: Any) -> None:  # fmt: skip
    """out = g*factor - (x - mean)*slope - shift, over runs as in `standardise`."""
    for i in range(runs):
        tile = size * ((first + i) % tiles) * period
        m, f, a, s = mean + tile, factor + tile, slope + tile, shift + tile
        for begin in range(0, length, period):
            count = min(period, length - begin)
            at = size * (i * length + begin)
            for k in range(count):
                centred = load(x + at, k, like) - load(m, k, like)
                value = load(g + at, k, like) * load(f, k, like) - centred * load(a, k, like) - load(s, k, like)
                store(out + at, k, value)


@compiled
def _add(sums: int, tile: int, places: int, kept: int, many: int, size: int, like: Any) -> None:
    """Add a tile of ``many`` numbers, which repeat every ``kept``, to float64 sums."""
    for c in range(0, many, kept):
        for d in range(kept):
            store(sums, places + d, load(sums, places + d, 0.0) + load(tile, c + d, like))


@summing
def _sum_centred(x: int, count: int, mean: Any, like: Any) -> Any:
    first, second = like, like
    for k in range(count):
        d = load(x, k, like) - mean
        first += d
        second += d * d
    return first, second


@compiled
def moments(x: int, sums: int, squares: int, room: int, outer: int, tiles: int, inner: int, kept: int, period: int,
            size: int, like: Any) -> None:  # fmt: skip
    """Fill float64 means and variances (tiles, kept) of a piece (outer, tiles, inner, kept).

    ``room`` is for three tiles. The squares are taken relative to the mean of the piece.
    """
    length = inner * kept
    stride = tiles * length
    count = outer * inner
    many = max(1, _TERMS * period // length)
    for b in range(tiles):
        start = x + size * b * length
        for d in range(kept):
            store(sums, b * kept + d, 0.0)
            store(squares, b * kept + d, 0.0)
        if kept == 1:
            summed = 0.0
            for a in range(outer):
                for begin in range(0, length, 4096):
                    summed += total(start + size * (a * stride + begin), min(4096, length - begin), like)
            mean = cast(summed / count, like)
            off, spread = 0.0, 0.0
            for a in range(outer):
                for begin in range(0, length, 4096):
                    at = start + size * (a * stride + begin)
                    one, two = _sum_centred(at, min(4096, length - begin), mean, like)
                    off += one
                    spread += two
            off /= count
            store(sums, b, mean + off)
            store(squares, b, max(spread / count - off * off, 0.0))
        else:
            means, first, second = room, room + size * period, room + 2 * size * period
            for a in range(outer):
                if a % many == 0:
                    zero(first, period, like)
                for begin in range(0, length, period):
                    at = start + size * (a * stride + begin)
                    for k in range(min(period, length - begin)):
                        store(first, k, load(first, k, like) + load(at, k, like))
                if a % many == many - 1 or a == outer - 1:
                    _add(sums, first, b * kept, kept, period, size, like)
            for k in range(period):
                store(means, k, cast(load(sums, b * kept + k % kept, 0.0) / count, like))
            for d in range(kept):
                store(sums, b * kept + d, 0.0)
            for a in range(outer):
                if a % many == 0:
                    zero(first, period, like)
                    zero(second, period, like)
                for begin in range(0, length, period):
                    at = start + size * (a * stride + begin)
                    for k in range(min(period, length - begin)):
                        d = load(at, k, like) - load(means, k, like)
                        store(first, k, load(first, k, like) + d)
                        store(second, k, load(second, k, like) + d * d)
                if a % many == many - 1 or a == outer - 1:
                    _add(sums, first, b * kept, kept, period, size, like)
                    _add(squares, second, b * kept, kept, period, size, like)
            for d in range(kept):
                at_d = b * kept + d
                off = load(sums, at_d, 0.0) / count
                store(squares, at_d, max(load(squares, at_d, 0.0) / count - off * off, 0.0))
                store(sums, at_d, load(means, d, like) + off)


@compiled
def pool_moments(found: int, shares: int, parts: int, places: int, out: int) -> None:
    """Fill float64 means and variances (2, places) of an array whose parts have those at ``found``.

    Source: Chan, Golub and LeVeque 1983, "Algorithms for computing the sample variance".
    """
    for k in range(places):
        mean = 0.0
        for i in range(parts):
            mean += load(shares, i, 0.0) * load(found, 2 * i * places + k, 0.0)
        var = 0.0
        for i in range(parts):
            off = load(found, 2 * i * places + k, 0.0) - mean
            var += load(shares, i, 0.0) * (load(found, (2 * i + 1) * places + k, 0.0) + off * off)
        store(out, k, mean)
        store(out, places + k, var)


@summing
def _sum_products(g: int, x: int, count: int, mean: Any, like: Any) -> Any:
    first, second = like, like
    for k in range(count):
        grad = load(g, k, like)
        first += grad
        second += grad * (load(x, k, like) - mean)
    return first, second


@compiled
def mul_sums(g: int, x: int, mean: int, sums: int, products: int, room: int, outer: int, tiles: int, inner: int,
             kept: int, period: int, size: int, like: Any) -> None:  # fmt: skip
    """Fill float64 sums of g, and of g * (x - mean), (tiles, kept), of a piece (outer, tiles, inner, kept).

    ``mean`` is tiles as in `standardise`; ``room`` is for two tiles.
    """
    length = inner * kept
    stride = tiles * length
    many = max(1, _TERMS * period // length)
    for b in range(tiles):
        tile = mean + size * b * period
        for d in range(kept):
            store(sums, b * kept + d, 0.0)
            store(products, b * kept + d, 0.0)
        for a in range(outer):
            at = size * (a * stride + b * length)
            if kept == 1:
                for begin in range(0, length, 4096):
                    here = at + size * begin
                    one, two = _sum_products(g + here, x + here, min(4096, length - begin), load(tile, 0, like), like)
                    store(sums, b, load(sums, b, 0.0) + one)
                    store(products, b, load(products, b, 0.0) + two)
            else:
                first, second = room, room + size * period
                if a % many == 0:
                    zero(first, period, like)
                    zero(second, period, like)
                for begin in range(0, length, period):
                    here = at + size * begin
                    for k in range(min(period, length - begin)):
                        grad = load(g + here, k, like)
                        store(first, k, load(first, k, like) + grad)
                        store(second, k, load(second, k, like) + grad * (load(x + here, k, like) - load(tile, k, like)))
                if a % many == many - 1 or a == outer - 1:
                    _add(sums, first, b * kept, kept, period, size, like)
                    _add(products, second, b * kept, kept, period, size, like)


@compiled
def _finish(sums: int, squares: int, count: int, eps: float, mean: int, var: int, inverse: int, size: int,
           like: Any) -> None:  # fmt: skip
    """Write float64 means and variances in the arrays' dtype, and 1 / sqrt(var + eps)."""
    for k in range(count):
        store(mean, k, cast(load(sums, k, 0.0), like))
        value = load(squares, k, 0.0)
        store(var, k, cast(value, like))
        store(inverse, k, cast(1.0 / np.sqrt(value + eps), like))


@compiled
def _tile(out: int, tiles: int, kept: int, period: int, values: int, of: int, weight: int, of_weight: int, size: int,
         like: Any) -> None:  # fmt: skip
    """Fill tiles (tiles, period) with values[of[k]], times weight[of_weight[k]]; an address of 0 stands for ones."""
    for b in range(tiles):
        for d in range(kept):
            place = b * kept + d
            value = load(values, load_index(of, place), like) if values else cast(1.0, like)
            if weight:
                value *= load(weight, load_index(of_weight, place), like)
            for c in range(0, period, kept):
                store(out, b * period + c + d, value)


@compiled
def _combine(plain: int, product: int, places: int, statistics: int, of: int, of_weight: int, inverse: int, weight: int,
            dw: int, db: int, weights: int, count: float, centred: bool, room: int, slope: int, shift: int, tiles: int,
            kept: int, period: int, size: int, like: Any) -> None:  # fmt: skip
    """Make of float64 sums, one for each of ``places``, the parameters' gradients and the tiles of slope and shift.

    ``room`` is for two float64 numbers for each statistic and two for each parameter.
    """
    along, across = room, room + 8 * statistics
    to_weight, to_bias = across + 8 * statistics, across + 8 * (statistics + weights)
    for k in range(2 * (statistics + weights)):
        store(room, k, 0.0)
    for k in range(places):
        s, w = load_index(of, k), load_index(of_weight, k)
        a = load(product, k, 0.0) * load(inverse, s, like)
        b = load(plain, k, 0.0)
        store(to_weight, w, load(to_weight, w, 0.0) + a)
        store(to_bias, w, load(to_bias, w, 0.0) + b)
        scale = load(weight, w, like) if weight else cast(1.0, like)
        store(along, s, load(along, s, 0.0) + a * scale)
        store(across, s, load(across, s, 0.0) + b * scale)
    for w in range(weights):
        if dw:
            store(dw, w, cast(load(to_weight, w, 0.0), like))
        if db:
            store(db, w, cast(load(to_bias, w, 0.0), like))
    if slope:
        for b in range(tiles):
            for d in range(kept):
                s = load_index(of, b * kept + d)
                i = load(inverse, s, like) + 0.0
                first = cast(i * i * load(along, s, 0.0) / count, like)
                second = cast(i * load(across, s, 0.0) / count, like) if centred else like
                for c in range(0, period, kept):
                    store(slope, b * period + c + d, first)
                    store(shift, b * period + c + d, second)


@compiled
def _rooms(p: Any, room: int, size: int) -> Any:
    """Return where sums, tiles for sums, tiles and the sums of parameters lie in a room of float64 numbers."""
    sums = 2 * max(p.tiles * p.kept, p.factor_tiles * p.factor_kept)
    between = room + 8 * sums
    tiles = between + 8 * 3 * max(p.period, p.factor_period)
    return between, tiles, tiles + 8 * 4 * max(p.factor_tiles * p.factor_period, p.tiles * p.period)


@compiled
def forward(plan: Any, x: int, out: int, weight: int, bias: int, eps: float, known: bool, centred: bool, small: bool,
            values: int, room: int, size: int, like: Any) -> Any:  # fmt: skip
    """Fill ``values``, mean, variance and 1 / deviation, and the output of a small array; return where the tiles are.

    The float64 means and variances lie in ``room`` if they are ``known``.
    """
    p = plan[0]
    places, form, period = p.tiles * p.kept, p.factor_tiles * p.factor_period, p.factor_period
    between, tiles, _ = _rooms(p, room, size)
    if not known and centred:
        moments(x, room, room + 8 * places, between, p.outer, p.tiles, p.inner, p.kept, p.period, size, like)
    elif not known:
        zero(tiles, p.tiles * p.period, like)
        mul_sums(x, x, tiles, room, room + 8 * places, between, p.outer, p.tiles, p.inner, p.kept, p.period, size, like)
        for k in range(places):
            store(room, k, 0.0)
            store(room, places + k, load(room, places + k, 0.0) / (p.outer * p.inner))
    inverse = values + 2 * size * places
    _finish(room, room + 8 * places, places, eps, values, values + size * places, inverse, size, like)
    _tile(tiles, p.factor_tiles, p.factor_kept, period, values, p.of, 0, 0, size, like)
    factor, shift = tiles + size * form, tiles + 2 * size * form
    _tile(factor, p.factor_tiles, p.factor_kept, period, inverse, p.of, weight, p.of_weight, size, like)
    if bias:
        _tile(shift, p.factor_tiles, p.factor_kept, period, 0, 0, bias, p.of_weight, size, like)
    else:
        zero(shift, form, like)
    if small:
        length = p.factor_inner * p.factor_kept
        standardise(x, out, tiles, factor, shift, p.factor_outer * p.factor_tiles, p.factor_tiles, 0, length, period,
                    size, like)  # fmt: skip
    return tiles


@compiled
def backward_tiles(plan: Any, weight: int, values: int, room: int, size: int, like: Any) -> Any:
    """Fill the tiles of mean and factor, and return where they are."""
    p = plan[0]
    _, tiles, _ = _rooms(p, room, size)
    form, period = p.factor_tiles * p.factor_period, p.factor_period
    inverse = values + 2 * size * p.tiles * p.kept
    _tile(tiles, p.factor_tiles, p.factor_kept, period, values, p.of, 0, 0, size, like)
    _tile(tiles + size * form, p.factor_tiles, p.factor_kept, period, inverse, p.of, weight, p.of_weight, size, like)
    return tiles


@compiled
def backward(plan: Any, g: int, x: int, dx: int, weight: int, dw: int, db: int, taken: bool, centred: bool,
             small: bool, values: int, room: int, size: int, like: Any) -> None:  # fmt: skip
    """Fill dw, db and the tiles of slope and shift, and the gradient of a small array.

    The sums of a large one lie in ``room``. Where statistics were given the tiles become those of g * factor.
    """
    p = plan[0]
    between, tiles, parameters = _rooms(p, room, size)
    places, form, period = p.factor_tiles * p.factor_kept, p.factor_tiles * p.factor_period, p.factor_period
    statistics, length = p.tiles * p.kept, p.factor_inner * p.factor_kept
    runs = p.factor_outer * p.factor_tiles
    if small:
        mul_sums(g, x, tiles, room, room + 8 * places, between, p.factor_outer, p.factor_tiles, p.factor_inner,
                 p.factor_kept, period, size, like)  # fmt: skip
    factor, slope, shift = tiles + size * form, tiles + 2 * size * form, tiles + 3 * size * form
    _combine(room, room + 8 * places, places, statistics, p.of, p.of_weight, values + 2 * size * statistics, weight, dw,
            db, p.weights, p.outer * p.inner + 0.0, centred, parameters, slope if taken else 0, shift, p.factor_tiles,
            p.factor_kept, period, size, like)  # fmt: skip
    if not taken:
        zero(tiles, form, like)
        zero(slope, form, like)
    if small and taken:
        standardise_grad(g, x, dx, tiles, factor, slope, shift, runs, p.factor_tiles, 0, length, period, size, like)
    elif small:
        standardise(g, dx, tiles, factor, slope, runs, p.factor_tiles, 0, length, period, size, like)
