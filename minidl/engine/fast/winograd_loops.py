"""The compiled loops of Winograd's F(2x2, 3x3), with images in the lanes: each transform is additions of whole vectors.

For a tile of 2 by 2 outputs, d its 4 by 4 inputs and g a filter's 3 by 3 numbers,

    out = A' [(G g G') * (B' d B)] A,   summed over channels in between: 16 products where the direct way has 36.

The filters' gradient is F(3x3, 2x2): the same transform of the inputs, the gradients' 2 by 2 in the filter's place.
Blocks of tiles of one row are transformed at a time, so that both sides of the products stay in the cache.

Source: Lavin & Gray 2015, "Fast algorithms for convolutional neural networks", arXiv:1509.09308.
"""

from __future__ import annotations

from typing import Any

from .compiled import compiled
from .direct import fill_planes, outer_products, products
from .runs import total
from .vectors import cast, lanes, load, store, winograd_gradient, winograd_input, winograd_output
from .winograd import GAP

__all__ = ["correlate", "filters", "filters_grad", "weight_grad"]


@compiled
def _spread(a: Any, b: Any, c: Any, like: Any) -> Any:
    """Return G (a, b, c): a, (a + b + c) / 2, (a - b + c) / 2, c."""
    half = cast(0.5, like)
    return a, half * (a + b + c), half * (a - b + c), c


@compiled
def _gathered(a: Any, b: Any, c: Any, d: Any) -> Any:
    """Return A' (a, b, c, d) for three outputs: a + b + c, b - c, b + c - d."""
    return a + b + c, b - c, b + c - d


@compiled
def filters(w: int, strides: Any, count: int, channels: int, out: int, size: int, like: Any) -> None:
    """Write G g G' for each filter, (16, F, C), given (F, C, 3, 3), strides in bytes."""
    plane = count * channels
    down, right = strides[2], strides[3]
    for f in range(count):
        for c in range(channels):
            at = w + f * strides[0] + c * strides[1]
            one = _spread(load(at, 0, like), load(at + down, 0, like), load(at + 2 * down, 0, like), like)
            at += right
            two = _spread(load(at, 0, like), load(at + down, 0, like), load(at + 2 * down, 0, like), like)
            at += right
            three = _spread(load(at, 0, like), load(at + down, 0, like), load(at + 2 * down, 0, like), like)
            for i in range(4):
                line = _spread(one[i], two[i], three[i], like)
                for j in range(4):
                    store(out, (4 * i + j) * plane + f * channels + c, line[j])


@compiled
def _column(u: int, at: int, plane: int, column: int, like: Any) -> Any:
    return _gathered(
        load(u, at + column * plane, like), load(u, at + (4 + column) * plane, like),
        load(u, at + (8 + column) * plane, like), load(u, at + (12 + column) * plane, like),
    )  # fmt: skip


@compiled
def filters_grad(u: int, count: int, channels: int, out: int, size: int, like: Any) -> None:
    """Write A' U A for each filter, (F, 3, 3, C), of the sums U (16, F, C)."""
    plane = count * channels
    for f in range(count):
        for c in range(channels):
            at = f * channels + c
            one = _column(u, at, plane, 0, like)
            two = _column(u, at, plane, 1, like)
            three = _column(u, at, plane, 2, like)
            four = _column(u, at, plane, 3, like)
            for i in range(3):
                line = _gathered(one[i], two[i], three[i], four[i])
                for j in range(3):
                    store(out, ((f * 3 + i) * 3 + j) * channels + c, line[j])


@compiled
def _inputs(p: Any, corner: int, v: int, tiles: int, vectors: int, step: int, plane: int, size: int, like: Any) -> None:
    """Write the transforms of a block of tiles that begins at ``corner``, each channel's ``step`` numbers on."""
    vector, images = lanes(like), p.slice
    for c in range(p.channels):
        for j in range(tiles):
            source = corner + size * (c * p.channel + 2 * j * images)
            for i in range(vectors):
                n = min(i * vector, images - vector)
                at = v + size * (c * step + (j * vectors + i) * vector)
                winograd_input(source + size * n, p.row, images, at, plane, like)


@compiled
def correlate(plan: Any, taps: int, x: int, u: int, bias: int, out: int, strides: Any, height: int, planes: int,
              v: int, m: int, dump: int, tiles: int, first: int, last: int, size: int, like: Any) -> None:  # fmt: skip
    """Fill the output rows from ``first`` to ``last`` of a slice of images, as `direct.correlate` does.

    ``u`` is (16, F, C) as `pack` writes it; ``height`` rows of output exist; ``v`` and ``m`` are rooms for blocks of
    ``tiles`` tiles, ``dump`` for a vector that lies outside.
    """
    out_row, out_channel, out_column = strides[0] // size, strides[1] // size, strides[2] // size
    p = plan[0]
    vector, images = lanes(like), p.slice
    vectors = -(-images // vector)
    step = tiles * vectors * vector
    v_plane, m_plane = p.channels * step + GAP, p.filters * step + GAP
    across = -(-p.out_width // 2)
    for r in range(first, last, p.rows):
        fill_planes(x, planes, p, r, size, like)
        for t in range(0, min(p.rows, last - r), 2):
            inside_h = r + t + 1 < height
            for j0 in range(0, across, tiles):
                many = min(tiles, across - j0)
                corner = planes + size * (t * p.row + 2 * j0 * images)
                _inputs(p, corner, v, many, vectors, step, v_plane, size, like)
                for k in range(16):
                    weights = u + size * k * p.filters * p.channels
                    products(v + size * k * v_plane, taps, 0, p.channels, p.channels, weights, p.filters, 0,
                             m + size * k * m_plane, step, many * vectors * vector, size, like)  # fmt: skip
                for f in range(p.filters):
                    start = load(bias, f, like) if bias else like
                    for j in range(many):
                        column = 2 * (j0 + j)
                        inside_w = column + 1 < p.out_width
                        here = out + size * ((r + t) * out_row + f * out_channel + column * out_column)
                        for i in range(vectors):
                            n = size * min(i * vector, images - vector)
                            right = here + n + size * out_column if inside_w else dump
                            below = here + n + size * out_row if inside_h else dump
                            both = here + n + size * (out_row + out_column) if inside_w and inside_h else dump
                            at = m + size * (f * step + (j * vectors + i) * vector)
                            winograd_output(at, m_plane, start, here + n, right, below, both)


@compiled
def weight_grad(plan: Any, taps: int, x: int, g: int, out: int, sums: int, height: int, planes: int, v: int, m: int,
                masks: int, tiles: int, first: int, last: int, size: int, like: Any) -> None:  # fmt: skip
    """Add to ``out`` (16, F, C), and to ``sums`` (F,) unless it is 0, what rows of a slice of images contribute.

    ``masks`` are three vectors: zeros, ones, and ones for the images that the last vector does not share with the
    one before.
    """
    p = plan[0]
    vector, images = lanes(like), p.slice
    vectors = -(-images // vector)
    step = tiles * vectors * vector
    v_plane, m_plane = p.channels * step + GAP, p.filters * step + GAP
    across = -(-p.out_width // 2)
    column, channel = p.images, p.out_width * p.images
    row = p.filters * channel
    for r in range(first, last, p.rows):
        fill_planes(x, planes, p, r, size, like)
        for t in range(0, min(p.rows, last - r), 2):
            inside_h = r + t + 1 < height
            for j0 in range(0, across, tiles):
                many = min(tiles, across - j0)
                corner = planes + size * (t * p.row + 2 * j0 * images)
                _inputs(p, corner, v, many, vectors, step, v_plane, size, like)
                for f in range(p.filters):
                    for j in range(many):
                        place = 2 * (j0 + j)
                        inside_w = place + 1 < p.out_width
                        here = g + size * ((r + t) * row + f * channel + place * column)
                        for i in range(vectors):
                            n = size * min(i * vector, images - vector)
                            right = here + n + size * column if inside_w else masks
                            below = here + n + size * row if inside_h else masks
                            both = here + n + size * (row + column) if inside_w and inside_h else masks
                            mask = masks + size * vector * (2 if i == vectors - 1 else 1)
                            at = m + size * (f * step + (j * vectors + i) * vector)
                            winograd_gradient(here + n, right, below, both, mask, at, m_plane, like)
                for k in range(16):
                    target = out + size * k * p.filters * p.channels
                    outer_products(v + size * k * v_plane, 0, taps, p.channels, m + size * k * m_plane, step, 0,
                                   p.filters, 1, many * vectors * vector, target, size, like)  # fmt: skip
    if sums:
        for r in range(first, last):
            for f in range(p.filters):
                for j in range(p.out_width):
                    summed = total(g + size * (r * row + f * channel + j * column), images, like)
                    store(sums, f, load(sums, f, like) + summed)
