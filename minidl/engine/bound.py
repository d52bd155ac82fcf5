"""Steps that are bound to their arrays: what the engine's functions do, prepared once and done many times.

Each function gets arrays that stay where they are, makes its output in a `Room`, and returns it with a list of steps:
calls without arguments that fill it. Images have the shape (N, C, H, W), in any memory layout.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from .._core import Array
from .._core.threads import one_blas_thread
from . import correlation, pooling
from .layout import block, images
from .product import product
from .window import Geometry, offsets

__all__ = ["Bound", "Room", "Step", "in_two_passes", "laid_out", "linear", "numpy_steps", "perform", "scaled"]

Step = Callable[[], Any]
Size = tuple[int, int]
Output = tuple[Array, list[Step]]

_SMALL = 2**20  # bytes of an unrolled image, beyond which the methods of `correlation.py` are faster
_MANY = 16  # pixels of a window that are added in one call
_PIECES = 2**21  # bytes of images that are worth pooling in pieces, several at a time
_WORK = 2**24  # multiply-adds of a product that is worth more than one thread


class Room(NamedTuple):
    """Where memory comes from: for an output, and for what is needed within one function's steps only."""

    make: Callable[[tuple[int, ...], Any], Array]
    scratch: Callable[[tuple[int, ...], Any], Array]


class Bound(NamedTuple):
    """The functions of this file that an engine may replace; ``activate`` is (name, a, b, x, out) -> steps."""

    correlate: Callable[..., Output]
    max_pool: Callable[..., Output]
    avg_pool: Callable[..., Output]
    activate: Callable[..., list[Step]] | None = None  # None: by what the activation's class says in NumPy


def laid_out(shape: tuple[int, ...], dtype: Any, room: Room) -> Array:
    """Return memory for a batch in the engine's layout, the batch innermost."""
    if len(shape) == 4:
        return images(room.make((shape[2], shape[1], shape[3], shape[0]), dtype))
    if len(shape) < 2:
        return room.make(shape, dtype)
    return room.make((*shape[1:], shape[0]), dtype).transpose(-1, *range(len(shape) - 1))


def correlate(x: Array, w: Array, bias: Array | None, geometry: Geometry, size: Size, room: Room) -> Output:
    """Bind the correlation of images with filters (F, C/groups, KH, KW), plus a bias if there is one.

    Few images are unrolled: a copy of all windows, and one product with the filters.
    """
    f, c, kh, kw = w.shape
    n, pixels = len(x), size[0] * size[1] * len(x)
    if geometry.groups > 1 or c * kh * kw * pixels * x.itemsize > _SMALL:
        out = laid_out((n, f, *size), x.dtype, room)
        return out, [partial(correlation.correlate_into, block(x), w, geometry, block(out), bias)]
    source, steps = _padded(x, geometry, size)
    windows = _windows(source, geometry, size).transpose(1, 4, 5, 2, 3, 0)
    target = room.make((f, *size, n), x.dtype)
    lowered = windows.reshape(c * kh * kw, pixels)
    if not np.may_share_memory(lowered, source):  # it is not a matrix as it lies there
        lowered = room.scratch(lowered.shape, x.dtype)
        steps.append(partial(np.copyto, lowered.reshape(windows.shape), windows))
    matrix = target.reshape(f, pixels)
    steps += _product(w.reshape(f, -1), lowered, bias, matrix)
    return target.transpose(3, 0, 1, 2), steps


def _padded(x: Array, geometry: Geometry, size: Size) -> tuple[Array, list[Step]]:
    """Return images, or copy them into zeros that stay, as far as the windows reach."""
    if _inside(x, geometry, size):
        return x, []
    (top, left), (h, w) = geometry.before, x.shape[2:]
    bottom, right = _reach(geometry, size)
    room = np.zeros((x.shape[1], max(bottom, top), max(right, left), len(x)), x.dtype).transpose(3, 0, 1, 2)
    inside = room[:, :, top : top + h, left : left + w]
    return room, [partial(np.copyto, inside, x[:, :, : inside.shape[2], : inside.shape[3]])]


def linear(x: Array, w: Array, bias: Array | None, room: Room) -> Output:
    """Bind out (N, M) = x (N, K) @ w.T, plus a bias (M,) if there is one."""
    out = room.make((len(w), len(x)), x.dtype)
    return out.T, _product(w, x.T, bias, out)


def _product(a: Array, b: Array, bias: Array | None, out: Array) -> list[Step]:
    """Bind out (M, N) = a (M, K) @ b (K, N), plus one number per row, in the threads that it is worth."""
    a = np.ascontiguousarray(a)
    if out.size * len(b) > _WORK:
        return [lambda: np.copyto(out, product(a, b, bias))]
    if out.shape[1] == 1:  # of vectors: a few calls less within NumPy
        b, out = b[:, 0], out[:, 0]
        steps: list[Step] = [partial(np.dot, a, b, out)] if b.flags.c_contiguous else [partial(np.matmul, a, b, out)]
        return steps if bias is None else [*steps, partial(np.add, out, bias.copy(), out)]
    steps = [partial(np.matmul, a, b, out)]
    return steps if bias is None else [*steps, partial(np.add, out, bias[:, None].copy(), out)]


def max_pool(x: Array, geometry: Geometry, size: Size, room: Room) -> Output:
    """Bind the maxima of windows."""
    if x.nbytes <= _PIECES and min(geometry.kernel) > 1:
        return in_two_passes(max_pool, x, geometry, size, room)
    out = _pooled(x, size, room)
    if x.nbytes > _PIECES:
        return out, [partial(pooling.max_pool_into, block(x), geometry, block(out))]
    steps: list[Step] = [] if _first_covers(x, geometry, size) else [partial(out.fill, -np.inf)]
    return out, steps + _taps(np.maximum, x, geometry, size, out, fresh=not steps)


def in_two_passes(pool: Callable[..., Output], x: Array, geometry: Geometry, size: Size, room: Room) -> Output:
    """Bind the maxima of windows as the maxima of their rows' maxima: KH + KW numbers are compared, not KH * KW."""
    (kh, kw), (sh, sw), (top, left), (dh, dw), _ = geometry
    scratch = room._replace(make=room.scratch)
    between, first = pool(x, Geometry((kh, 1), (sh, 1), (top, 0), (dh, 1)), (size[0], x.shape[3]), scratch)
    out, second = pool(between, Geometry((1, kw), (1, sw), (0, left), (1, dw)), size, room)
    return out, first + second


def avg_pool(x: Array, geometry: Geometry, divisor: Array, room: Room) -> Output:
    """Bind the sums of windows, divided."""
    out = _pooled(x, (divisor.shape[0], divisor.shape[1]), room)
    if x.nbytes > _PIECES or geometry.kernel[0] * geometry.kernel[1] > pooling.LARGE:
        return out, [partial(pooling.avg_pool_into, block(x), geometry, divisor, block(out))]
    steps: list[Step] = [] if _first_covers(x, geometry, divisor.shape) else [partial(out.fill, 0)]
    if geometry.kernel[0] * geometry.kernel[1] > _MANY and _inside(x, geometry, divisor.shape):
        steps = [partial(np.add.reduce, _windows(x, geometry, divisor.shape), (4, 5), None, out)]
    else:
        steps += _taps(np.add, x, geometry, divisor.shape, out, fresh=not steps)
    same = (divisor == divisor.flat[0]).all()
    return out, [*steps, partial(np.divide, out, divisor.flat[0] if same else divisor.copy(), out)]


def _pooled(x: Array, size: Size, room: Room) -> Array:
    """Return memory for windows of x in the order of x's own."""
    n, c, (oh, ow) = len(x), x.shape[1], size
    if x.strides[1] > x.strides[2]:  # what `correlate` makes of few images
        return room.make((c, oh, ow, n), x.dtype).transpose(3, 0, 1, 2)
    return laid_out((n, c, oh, ow), x.dtype, room)


def _inside(x: Array, geometry: Geometry, size: Any) -> bool:
    """Return whether no window extends past the images."""
    reach = _reach(geometry, size)
    return geometry.before == (0, 0) and reach[0] <= x.shape[2] and reach[1] <= x.shape[3]


def _reach(geometry: Geometry, size: Any) -> tuple[int, int]:
    """Return how many rows and columns of the padded images the windows cover."""
    kernel, stride, _, dilation, _ = geometry
    height, width = ((n - 1) * s + d * (k - 1) + 1 for n, s, d, k in zip(size, stride, dilation, kernel, strict=True))
    return height, width


def _windows(x: Array, geometry: Geometry, size: Any) -> Array:
    """View images, within which all windows lie, as (N, C, OH, OW, KH, KW)."""
    (sh, sw), (dh, dw), (n, c, h, w) = geometry.stride, geometry.dilation, x.strides
    shape = *x.shape[:2], *size, *geometry.kernel
    return np.lib.stride_tricks.as_strided(x, shape, (n, c, sh * h, sw * w, dh * h, dw * w), writeable=False)


def _first_covers(x: Array, geometry: Geometry, size: Any) -> bool:
    """Return whether the first offset in the kernel meets an input in every window."""
    first = next(offsets(x.shape[2:], geometry, (size[0], size[1])), None)
    return first is not None and first[2:4] == (slice(0, size[0]), slice(0, size[1]))


def _taps(function: np.ufunc, x: Array, geometry: Geometry, size: Any, out: Array, fresh: bool) -> list[Step]:
    """Bind out = function(out, x) for each offset in the kernel; the first two at once if ``out`` is fresh."""
    views = [
        (out[:, :, rows, cols], x[:, :, in_rows, in_cols])
        for _, _, rows, cols, in_rows, in_cols in offsets(x.shape[2:], geometry, (size[0], size[1]))
    ]
    if not fresh:
        return [partial(function, view, part, out=view) for view, part in views]
    (whole, first), *rest = views
    if not rest or rest[0][0].shape != whole.shape:
        return [partial(np.copyto, whole, first), *(partial(function, view, part, out=view) for view, part in rest)]
    return [
        partial(function, first, rest[0][1], out=whole),
        *(partial(function, view, part, out=view) for view, part in rest[1:]),
    ]


def scaled(x: Array, factor: Array, shift: Array, out: Array) -> list[Step]:
    """Bind out = x * factor + shift, the two one number for each channel."""
    shape = (-1, *(1,) * (x.ndim - 2))
    factor, shift = factor.reshape(shape), shift.reshape(shape)
    return [partial(np.multiply, x, factor, out), partial(np.add, out, shift, out)]


def perform(steps: list[Step]) -> None:
    """Do steps one after another, while BLAS is limited to one thread."""
    with one_blas_thread:
        for step in steps:
            step()


numpy_steps = Bound(correlate, max_pool, avg_pool)
