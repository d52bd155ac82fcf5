"""The compiled loops of correlations: filling planes, and products of taps in blocks that stay in registers."""

from __future__ import annotations

from typing import Any

from .compiled import compiled
from .runs import copy, total, zero
from .vectors import REGISTERS, fill, lanes, load, multiply_add, outer, store

__all__ = ["correlate", "fill_planes", "outer_products", "pack", "products", "weight_grad"]

_WIDE = REGISTERS >= 32
_TAPS = 64  # at a time: sums of sums lose less than long ones, and what the taps read stays in the first-level cache
_FEW_TAPS = 32  # at a time for one or two filters, whose products wait for what they read
_BLOCK = 8 if _WIDE else 4
_SIX = 6
_COLUMNS = 6 if _WIDE else 2
_GRADS = 2**15  # bytes of four filters' gradients at a time: with what the taps of a channel read they stay there, too
_FOUR = 4 if _WIDE else 2  # vectors for four filters


@compiled
def fill_planes(x: int, planes: int, p: Any, first: int, size: int, like: Any) -> None:
    """Copy what output rows from ``first`` need into the planes; x is where the group and the slice begin."""
    column, channel = p.images, p.width * p.images
    row = p.groups * p.channels * channel
    images, width = p.slice, p.plane_width
    gap = p.channel - p.phases_w * p.phase_w
    for q in range(p.plane_height):
        for a in range(p.phases_h):
            at = (first + q) * p.stride_h + a * p.step_h - p.top
            outside = at < 0 or at >= p.height
            for c in range(p.channels):
                for b in range(p.phases_w):
                    target = planes + size * (q * p.row + a * p.phase_h + c * p.channel + b * p.phase_w)
                    start = b * p.step_w - p.left  # the column at m is start + m*stride_w
                    begin = min(width, max(0, -(start // p.stride_w)))
                    end = max(begin, min(width, (p.width - 1 - start) // p.stride_w + 1))
                    if outside:
                        begin = end = width
                    zero(target, begin * images, like)
                    source = x + size * (at * row + c * channel + (start + begin * p.stride_w) * column)
                    copy(source, p.stride_w * column, target + size * begin * images, images, end - begin, images, size,
                         like)  # fmt: skip
                    zero(target + size * end * images, (width - end) * images, like)
                if p.by_rows:
                    zero(
                        planes + size * (q * p.row + a * p.phase_h + c * p.channel + p.phases_w * p.phase_w), gap, like
                    )


@compiled
def _block(left: int) -> int:
    """Return how many of the filters that are left are done together."""
    if left >= _BLOCK:
        return _BLOCK
    if _WIDE and left >= _SIX:
        return _SIX
    return 4 if left >= 4 else 2 if left >= 2 else 1


@compiled
def products(x: int, taps: int, begin: int, end: int, count: int, w: int, filters: int, bias: int, out: int, step: int,
              length: int, size: int, like: Any) -> None:  # fmt: skip
    """Fill ``filters`` rows of ``length`` numbers, whole vectors, ``step`` apart: bias plus products of taps.

    Of all ``count`` taps those from ``begin`` to ``end`` are taken, one at least.
    """
    vector = lanes(like)
    blocked = filters // _BLOCK * _BLOCK
    for q in range(0, length, 2 * vector):
        wide = q + vector < length
        for k in range(begin, end, _TAPS):
            many, source, places = min(_TAPS, end - k), x + size * q, taps + 8 * k
            for f in range(0, blocked, _BLOCK):
                at, start, weights = out + size * (f * step + q), bias + size * f, w + size * (f * count + k * _BLOCK)
                if wide:
                    if k > begin:
                        multiply_add(_BLOCK, 2, 0, source, places, many, weights, start, at, step, like)
                    elif bias:
                        multiply_add(_BLOCK, 2, 2, source, places, many, weights, start, at, step, like)
                    else:
                        multiply_add(_BLOCK, 2, 1, source, places, many, weights, start, at, step, like)
                elif k > begin:
                    multiply_add(_BLOCK, 1, 0, source, places, many, weights, start, at, step, like)
                elif bias:
                    multiply_add(_BLOCK, 1, 2, source, places, many, weights, start, at, step, like)
                else:
                    multiply_add(_BLOCK, 1, 1, source, places, many, weights, start, at, step, like)
    f = blocked
    while f < filters:
        rows = _block(filters - f)
        for i in range(rows):
            start = load(bias, f + i, like) if bias else like
            for q in range(0, length, vector):
                fill(out, (f + i) * step + q, start)
        at_a_time = _TAPS if rows > 2 else _FEW_TAPS
        for k in range(begin, end, at_a_time):
            many = min(at_a_time, end - k)
            weights, places = w + size * (f * count + k * rows), taps + 8 * k
            q = 0
            while q < length:
                at, source = out + size * (f * step + q), x + size * q
                wide = 1
                if _WIDE and rows == _SIX:
                    if q + 4 * vector <= length:
                        wide = 4
                        multiply_add(_SIX, 4, 0, source, places, many, weights, 0, at, step, like)
                    else:
                        multiply_add(_SIX, 1, 0, source, places, many, weights, 0, at, step, like)
                elif rows == 4:
                    if q + _FOUR * vector <= length:
                        wide = _FOUR
                        multiply_add(4, _FOUR, 0, source, places, many, weights, 0, at, step, like)
                    else:
                        multiply_add(4, 1, 0, source, places, many, weights, 0, at, step, like)
                elif rows == 2:
                    if q + 4 * vector <= length:
                        wide = 4
                        multiply_add(2, 4, 0, source, places, many, weights, 0, at, step, like)
                    else:
                        multiply_add(2, 1, 0, source, places, many, weights, 0, at, step, like)
                elif q + 8 * vector <= length:
                    wide = 8
                    multiply_add(1, 8, 0, source, places, many, weights, 0, at, step, like)
                elif q + 4 * vector <= length:
                    wide = 4
                    multiply_add(1, 4, 0, source, places, many, weights, 0, at, step, like)
                else:
                    multiply_add(1, 1, 0, source, places, many, weights, 0, at, step, like)
                q += wide * vector
        f += rows


@compiled
def pack(w: int, strides: Any, group: int, groups: int, filters: int, channels: int, kh: int, kw: int, out: int,
         size: int, like: Any) -> None:  # fmt: skip
    """Write filters (F, C, KH, KW), strides in bytes, as `products` reads them: blocks, in each (KH, C, KW, filters).

    The filters of the next group are ``group`` bytes on.
    """
    at = 0
    for g in range(groups):
        f = 0
        while f < filters:
            rows = _block(filters - f)
            for i in range(kh):
                for c in range(channels):
                    for j in range(kw):
                        source = w + g * group + f * strides[0] + c * strides[1] + i * strides[2] + j * strides[3]
                        for r in range(rows):
                            store(out, at, load(source + r * strides[0], 0, like))
                            at += 1
            f += rows


@compiled
def _inside(p: Any, row: int) -> Any:
    """Return from which tap to which an output row meets the images; all of them where it meets nothing but padding."""
    start = row * p.stride_h - p.top
    first = max(0, -(start // p.dilation_h))
    last = min(p.kernel_h, (p.height - 1 - start) // p.dilation_h + 1)
    if last <= first:
        return 0, p.taps
    each = p.taps // p.kernel_h
    return first * each, last * each


@compiled
def correlate(plan: Any, taps: int, x: int, w: int, bias: int, out: int, strides: Any, planes: int, scratch: int,
              first: int, last: int, size: int, like: Any) -> None:  # fmt: skip
    """Fill the output rows from ``first`` to ``last`` of a slice of images; x and ``out`` are where the slice begins.

    ``w`` is what `pack` wrote; ``out`` is (OH, F, OW, N), strides in bytes, images innermost.
    """
    out_row, out_channel, out_column = strides[0] // size, strides[1] // size, strides[2] // size
    p = plan[0]
    group, images = p.channels * p.width * p.images, p.slice
    straight = out_column == images and p.line == p.length and p.by_rows
    for g in range(p.groups):
        weights, start = w + size * g * p.filters * p.taps, bias + size * g * p.filters if bias else 0
        for r in range(first, last, p.rows):
            rows = min(p.rows, last - r)
            base = x + size * (g * group + r * p.row)
            if not p.direct:
                fill_planes(x + size * g * group, planes, p, r, size, like)
                base = planes
            target = out + size * (r * out_row + g * p.filters * out_channel)
            if straight:
                for i in range(rows):
                    begin, end = _inside(p, r + i)
                    products(base + size * i * p.row, taps, begin, end, p.taps, weights, p.filters, start,
                              target + size * i * out_row, out_channel, p.length, size, like)  # fmt: skip
            elif p.by_rows:
                for i in range(rows):
                    begin, end = _inside(p, r + i)
                    products(base + size * i * p.row, taps, begin, end, p.taps, weights, p.filters, start, scratch,
                              p.length, p.length, size, like)  # fmt: skip
                    for f in range(p.filters):
                        there = target + size * (i * out_row + f * out_channel)
                        copy(scratch + size * f * p.length, images, there, out_column, p.out_width, images, size, like)
            else:
                products(base, taps, 0, p.taps, p.taps, weights, p.filters, start, scratch, p.length, p.length, size,
                         like)  # fmt: skip
                for f in range(p.filters):
                    for i in range(rows):
                        source = scratch + size * (f * p.length + i * p.row)
                        there = target + size * (i * out_row + f * out_channel)
                        copy(source, images, there, out_column, p.out_width, images, size, like)


@compiled
def outer_products(x: int, xstep: int, taps: int, count: int, g: int, gstep: int, grow: int, filters: int, lines: int,
                    length: int, out: int, size: int, like: Any) -> None:  # fmt: skip
    """Add to out (filters, count) the products of gradients and inputs over ``lines`` runs of ``length``."""
    f = 0
    while f < filters:
        four = f + 4 <= filters
        grads = g + size * f * gstep
        k = 0
        while k < count:
            at, places = out + size * (f * count + k), taps + 8 * k
            if k + _COLUMNS <= count:
                if four:
                    outer(4, _COLUMNS, x, places, xstep, grads, gstep, grow, lines, length, at, count, like)
                else:
                    outer(1, _COLUMNS, x, places, xstep, grads, gstep, grow, lines, length, at, count, like)
                k += _COLUMNS
            elif k + 2 <= count:
                if four:
                    outer(4, 2, x, places, xstep, grads, gstep, grow, lines, length, at, count, like)
                else:
                    outer(1, 2, x, places, xstep, grads, gstep, grow, lines, length, at, count, like)
                k += 2
            else:
                if four:
                    outer(4, 1, x, places, xstep, grads, gstep, grow, lines, length, at, count, like)
                else:
                    outer(1, 1, x, places, xstep, grads, gstep, grow, lines, length, at, count, like)
                k += 1
        f += 4 if four else 1


@compiled
def weight_grad(plan: Any, taps: int, x: int, g: int, out: int, sums: int, planes: int, scratch: int, first: int,
                last: int, size: int, like: Any) -> None:  # fmt: skip
    """Add to ``out`` (filters, taps), and to ``sums`` (filters,) unless it is 0, what rows of a slice contribute.

    x and g are where the slice begins in contiguous (H, C, W, N) blocks.
    """
    p = plan[0]
    group, images = p.channels * p.width * p.images, p.slice
    gcolumn, gchannel = p.images, p.out_width * p.images
    grow = p.groups * p.filters * gchannel
    straight = p.by_rows and p.line == p.length and images == p.images
    if not p.direct:
        zero(planes + size * p.size, 16 * lanes(like), like)
    for n in range(p.groups):
        target = out + size * n * p.filters * p.taps
        for r in range(first, last, p.rows):
            rows = min(p.rows, last - r)
            base = x + size * (n * group + r * p.row)
            if not p.direct:
                fill_planes(x + size * n * group, planes, p, r, size, like)
                base = planes
            source = g + size * (r * grow + n * p.filters * gchannel)
            if straight:
                grads, step, row = source, gchannel, grow
            elif p.by_rows:
                grads, step, row = scratch, p.length, p.length * p.filters
                for i in range(rows):
                    for f in range(p.filters):
                        at = scratch + size * (i * row + f * step)
                        there = source + size * (i * grow + f * gchannel)
                        copy(there, gcolumn, at, images, p.out_width, images, size, like)
                        zero(at + size * p.line, p.length - p.line, like)
            else:
                grads, step, row = scratch, p.length, 0
                for f in range(p.filters):
                    at = scratch + size * f * step
                    zero(at, p.length, like)
                    for i in range(rows):
                        there = source + size * (i * grow + f * gchannel)
                        copy(there, gcolumn, at + size * i * p.row, images, p.out_width, images, size, like)
            lines = rows if p.by_rows else 1
            many = max(1, _GRADS // (4 * size * p.length))
            for i in range(0, lines, many):
                outer_products(base + size * i * p.row, p.row, taps, p.taps, grads + size * i * row, step, row,
                               p.filters, min(many, lines - i), p.length, target, size, like)  # fmt: skip
            if sums:
                for f in range(p.filters):
                    summed = like
                    for i in range(lines):
                        summed += total(grads + size * (i * row + f * step), p.length, like)
                    place = n * p.filters + f
                    store(sums, place, load(sums, place, like) + summed)
