"""Pooling in forward and backward pairs.

In max pooling padding is never read (it counts as minus infinity), the first maximum in row-major order wins a tie, and
where windows overlap their gradients add up.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._core import Array, IntPair, check_flag, check_grad, check_images, check_int, check_pair, check_sequences
from .._core import memory as _memory
from .._core.threads import run
from . import _layout
from ._explain import explain
from ._mask import kept_unless, remove, select
from ._window import Pads, offsets, output_size

__all__ = [
    "MaxPool2dCache",
    "adaptive_avg_pool2d_backward",
    "adaptive_avg_pool2d_forward",
    "adaptive_max_pool2d_backward",
    "adaptive_max_pool2d_forward",
    "adaptive_max_pool2d_indices",
    "avg_pool2d_backward",
    "avg_pool2d_forward",
    "check_divisor",
    "lp_pool2d_backward",
    "lp_pool2d_forward",
    "max_pool1d_backward",
    "max_pool1d_forward",
    "max_pool2d_backward",
    "max_pool2d_forward",
    "max_pool2d_indices",
    "pool_options",
]


class PoolOptions(NamedTuple):
    """The options of one pooling, each as a (height, width) pair, pads as ((top, bottom), (left, right))."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    pads: Pads
    dilation: tuple[int, int]


class MaxPool2dCache(NamedTuple):
    """What `max_pool2d_backward` needs: input, output, options."""

    x: Array
    out: Array
    options: PoolOptions


def pool_options(
    owner: str, kernel_size: IntPair, stride: IntPair | None, padding: IntPair, dilation: IntPair
) -> PoolOptions:
    """Check a pooling's options; a stride of None, or () as PyTorch's functions have it, is the kernel size."""
    kernel = check_pair(owner, "kernel_size", kernel_size)
    strides = kernel if stride is None or stride == () else check_pair(owner, "stride", stride)
    ph, pw = check_pair(owner, "padding", padding, minimum=0)
    if ph > kernel[0] // 2 or pw > kernel[1] // 2:
        raise ValueError(
            f"{owner}: padding must be at most half of kernel_size {kernel}, got {padding!r}; "
            "a window of nothing but padding has no maximum"
        )
    return PoolOptions(kernel, strides, ((ph, ph), (pw, pw)), check_pair(owner, "dilation", dilation))


def check_divisor(owner: str, divisor: int) -> int:
    """Check a divisor for all windows, an integer other than 0."""
    if check_int(owner, "divisor_override", divisor, minimum=-(2**31)) == 0:
        raise ValueError(f"{owner}: divisor_override must not be 0")
    return divisor


def max_pool2d_forward(
    x: Array,
    kernel_size: IntPair,
    *,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    dilation: IntPair = 1,
    ceil_mode: bool = False,
) -> tuple[Array, MaxPool2dCache]:
    """Take the maximum of each window.

    out[n, c, oh, ow] = max over i, j of x[n, c, oh*SH + i*DH - PH, ow*SW + j*DW - PW];
    OH = floor((H + 2*PH - DH*(KH-1) - 1) / SH) + 1, rounded up with ceil_mode; C is unchanged.

    Args:
        x: input (N, C, H, W), float32 or float64. A NaN in a window makes its output NaN.
        kernel_size, padding, dilation: an int, or a (height, width) pair; padding at most half the kernel.
        stride: likewise; None means kernel_size.
        ceil_mode: round the output size up, letting a last window hang over the end.

    Returns:
        out (N, C, OH, OW) of x's dtype, and the cache for `max_pool2d_backward`.

    Raises:
        ValueError: shapes or options do not fit.
        TypeError: the dtype is not a float.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.MaxPool2d.html
    """
    check_images(x)
    options = pool_options("max_pool2d", kernel_size, stride, padding, dilation)
    check_flag("max_pool2d", "ceil_mode", ceil_mode)
    n, c, h, w = x.shape
    oh, ow = output_size((h, w), *options, ceil_mode=ceil_mode)
    out = _layout.empty((n, c, oh, ow), x.dtype)
    source, target = _layout.block(x), _layout.block(out)

    def work(piece: _Piece) -> None:
        part, result = source[piece.inputs], target[piece.windows]
        result.fill(-np.inf)
        for _, _, rows, cols, in_rows, in_cols in offsets((len(part), w), *piece.options, (len(result), ow)):
            view = result[rows, :, cols]
            np.maximum(view, part[in_rows, :, in_cols], out=view)

    run(work, _pieces(h, oh, options, x.nbytes))
    return out, MaxPool2dCache(x, out, options)


@explain
def max_pool2d_backward(grad_output: Array, cache: MaxPool2dCache) -> Array:
    """Gradient of `max_pool2d_forward`: each window's gradient goes to its first maximum.

    Returns:
        dx (N, C, H, W). Its sum is that of grad_output, except for windows that dilation keeps in the padding alone:
        their output is -inf, as in PyTorch, and their gradient goes nowhere.
    """
    x, out, options = cache
    check_grad(grad_output, out.shape, x.dtype)
    dx = _layout.empty(x.shape, x.dtype)
    (_, _, h, w), (_, _, oh, ow) = x.shape, out.shape
    source, winner, grad, target = (_layout.block(a) for a in (x, out, grad_output, dx))
    overlapping = any(
        s < d * (k - 1) + 1 for k, s, d in zip(options.kernel, options.stride, options.dilation, strict=True)
    )
    tiled = not overlapping and _tiles((h, w), options, (oh, ow))

    def work(piece: _Piece) -> None:
        part, best, result = source[piece.inputs], winner[piece.windows], target[piece.inputs]
        left = _memory.empty(best.shape, x.dtype)  # what no pixel has taken yet; of equal ones the first takes it
        left[...] = grad[piece.windows]
        if not tiled:
            result.fill(0)
        meetings = list(offsets((len(part), w), *piece.options, (len(best), ow)))
        for number, (_, _, rows, cols, in_rows, in_cols) in enumerate(meetings):
            view, there = result[in_rows, :, in_cols], left[rows, :, cols]
            if tiled and number == len(meetings) - 1:
                view[...] = there
                break
            # "not less" rather than "equal": a window whose maximum is NaN passes its gradient on as well
            smaller = _memory.empty(there.shape, np.dtype(bool))
            mask = kept_unless(np.less(part[in_rows, :, in_cols], best[rows, :, cols], out=smaller))
            taken = select(there, mask, np.empty(mask.shape, left.dtype) if overlapping else view)
            remove(there, taken)
            if overlapping:
                view += taken

    # rows of windows that overlap add to the same pixels: one thread's work
    run(work, _pieces(h, oh, options, 0 if overlapping else x.nbytes))
    return dx


def max_pool2d_indices(cache: MaxPool2dCache) -> Array:
    """Tell where each window's maximum is, as PyTorch's ``return_indices`` does.

    Args:
        cache: from `max_pool2d_forward` or `max_pool1d_forward`.

    Returns:
        integers (N, C, OH, OW), from 0 to H*W - 1: the number of the pixel, row by row; the first of equal ones.
    """
    x, out, options = cache
    h, w = x.shape[2:]
    indices = np.zeros(out.shape, np.int64)
    pixels = np.arange(h * w).reshape(h, w)
    for _, _, rows, cols, in_rows, in_cols in reversed(list(offsets((h, w), *options, out.shape[2:]))):
        here = ~(x[:, :, in_rows, in_cols] < out[:, :, rows, cols])  # also where both are NaN
        np.copyto(indices[:, :, rows, cols], pixels[in_rows, in_cols], where=here)
    return indices


class _Piece(NamedTuple):
    """Some rows of windows, the input rows from which they and no others read, and the options between the two."""

    windows: slice
    inputs: slice
    options: PoolOptions


def _pieces(height: int, count: int, options: PoolOptions, nbytes: int) -> list[_Piece]:
    """Cut ``count`` rows of windows over ``height`` rows of pixels of ``nbytes`` altogether."""
    (kernel, _), (stride, _), ((top, bottom), sides), (dilation, _) = options
    reach = max(stride, dilation * (kernel - 1) + 1)
    pieces = []
    for windows in _layout.parts(count, nbytes):
        first = windows.start * stride - top
        begin = 0 if windows.start == 0 else max(0, first)
        end = height if windows.stop == count else max(0, min(height, (windows.stop - 1) * stride - top + reach))
        moved = options._replace(pads=((begin - first, bottom), sides))
        pieces.append(_Piece(windows, slice(begin, end), moved))
    return pieces


def _tiles(size: tuple[int, int], options: PoolOptions, count: tuple[int, int]) -> bool:
    """Tell whether every pixel is in a window."""
    return all(
        s == k and d == 1 and before == 0 and o * s >= n
        for n, k, s, (before, _), d, o in zip(size, *options, count, strict=True)
    )


def max_pool1d_forward(
    x: Array,
    kernel_size: int,
    *,
    stride: int | None = None,
    padding: int = 0,
    dilation: int = 1,
    ceil_mode: bool = False,
) -> tuple[Array, MaxPool2dCache]:
    """Take the maximum of each window of a sequence: `max_pool2d_forward` on images of one row.

    Args:
        x: input (N, C, L), float32 or float64.
        kernel_size, stride, padding, dilation, ceil_mode: as there, along L.

    Returns:
        out (N, C, OL) of x's dtype, and the cache for `max_pool1d_backward`.

    Raises:
        ValueError: shapes or options do not fit.
        TypeError: the dtype is not a float.
    """
    check_sequences(x)
    out, cache = max_pool2d_forward(
        x[:, :, None],
        (1, kernel_size),
        stride=(1, kernel_size if stride is None else stride),
        padding=(0, padding),
        dilation=(1, dilation),
        ceil_mode=ceil_mode,
    )
    return out[:, :, 0], cache


@explain
def max_pool1d_backward(grad_output: Array, cache: MaxPool2dCache) -> Array:
    """Gradient of `max_pool1d_forward`: each window's gradient goes to its first maximum.

    Returns:
        dx (N, C, L).
    """
    check_grad(grad_output, (*cache.out.shape[:2], cache.out.shape[3]), cache.out.dtype)
    return max_pool2d_backward(grad_output[:, :, None], cache)[:, :, 0]


class AvgPool2dCache(NamedTuple):
    """What `avg_pool2d_backward` needs: shapes, options, and by what each window was divided, (OH, 1, OW, 1)."""

    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    options: PoolOptions
    divisor: Array


def avg_pool2d_forward(
    x: Array,
    kernel_size: IntPair,
    *,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> tuple[Array, AvgPool2dCache]:
    """Take the mean of each window.

    out[n, c, oh, ow] = sum over i, j of x_padded[n, c, oh*SH + i, ow*SW + j] / divisor; OH and OW as in max pooling.

    Args:
        x: input (N, C, H, W), float32 or float64.
        kernel_size, stride, padding, ceil_mode: as in `max_pool2d_forward`; padding counts as zeros.
        count_include_pad: whether the divisor counts the padding; what ceil_mode lets hang over is never counted.
        divisor_override: a divisor for all windows, not 0.

    Returns:
        out (N, C, OH, OW) of x's dtype, and the cache for `avg_pool2d_backward`.

    Raises:
        ValueError: shapes or options do not fit.
        TypeError: the dtype is not a float.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.AvgPool2d.html
    """
    check_images(x)
    options = pool_options("avg_pool2d", kernel_size, stride, padding, 1)
    check_flag("avg_pool2d", "ceil_mode", ceil_mode)
    check_flag("avg_pool2d", "count_include_pad", count_include_pad)
    n, c, h, w = x.shape
    oh, ow = output_size((h, w), *options, ceil_mode=ceil_mode)
    if divisor_override is not None:
        divisor = np.full((oh, 1, ow, 1), check_divisor("avg_pool2d", divisor_override), x.dtype)
    else:
        rows = _counts(h, oh, options, 0, count_include_pad)
        cols = _counts(w, ow, options, 1, count_include_pad)
        divisor = (rows[:, None, None, None] * cols[None, None, :, None]).astype(x.dtype)
    out = _layout.empty((n, c, oh, ow), x.dtype)
    source, target = _layout.block(x), _layout.block(out)

    def work(piece: _Piece) -> None:
        part, result = source[piece.inputs], target[piece.windows]
        result.fill(0)
        for _, _, rows, cols, in_rows, in_cols in offsets((len(part), w), *piece.options, (len(result), ow)):
            view = result[rows, :, cols]
            view += part[in_rows, :, in_cols]
        result /= divisor[piece.windows]

    run(work, _pieces(h, oh, options, x.nbytes))
    return out, AvgPool2dCache(x.shape, out.shape, options, divisor)


@explain
def avg_pool2d_backward(grad_output: Array, cache: AvgPool2dCache) -> Array:
    """Gradient of `avg_pool2d_forward`: each window's gradient, divided, goes to all of its pixels.

    Returns:
        dx (N, C, H, W).
    """
    in_shape, out_shape, options, divisor = cache
    check_grad(grad_output, out_shape, divisor.dtype)
    dx = _layout.empty(in_shape, grad_output.dtype)
    target, grad = _layout.block(dx), _layout.block(grad_output) / divisor
    target.fill(0)
    for _, _, rows, cols, in_rows, in_cols in offsets(in_shape[2:], *options, out_shape[2:]):  # type: ignore[arg-type]
        target[in_rows, :, in_cols] += grad[rows, :, cols]
    return dx


def _counts(size: int, count: int, options: PoolOptions, axis: int, count_include_pad: bool) -> Array:
    """Return how many numbers each window along an axis has."""
    before, after = options.pads[axis]
    first: Array = np.arange(count) * options.stride[axis] - before
    last = np.minimum(first + options.kernel[axis], size + after)
    if not count_include_pad:
        first, last = np.maximum(first, 0), np.minimum(last, size)
    counts: Array = last - first
    return counts


def lp_pool2d_forward(
    x: Array, norm_type: float, kernel_size: IntPair, *, stride: IntPair | None = None, ceil_mode: bool = False
) -> tuple[Array, Any]:
    """Take the p-norm of each window: out = (sum of x**p)**(1/p), p = norm_type.

    Args:
        x: input (N, C, H, W), float32 or float64.
        norm_type: p, not 0; 1 is the sum, infinity would be the maximum.
        kernel_size, stride, ceil_mode: as in `avg_pool2d_forward`.

    Returns:
        out (N, C, OH, OW) of x's dtype, and the cache for `lp_pool2d_backward`.

    Raises:
        ValueError: shapes or options do not fit.
        TypeError: the dtype is not a float.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.LPPool2d.html
    """
    check_images(x)
    kernel = pool_options("lp_pool2d", kernel_size, stride, 0, 1).kernel
    mean, cache = avg_pool2d_forward(x**norm_type, kernel_size, stride=stride, ceil_mode=ceil_mode)
    total = mean * (kernel[0] * kernel[1])  # a window that hangs over counts as a whole one, as in PyTorch
    with np.errstate(invalid="ignore"):  # of a negative sum there is no root: NaN
        out = total ** (1 / norm_type)
    return out, (x, total, norm_type, kernel, cache)


@explain
def lp_pool2d_backward(grad_output: Array, cache: Any) -> Array:
    """Gradient of `lp_pool2d_forward`: dx = sum over windows of grad * total**(1/p - 1) * x**(p-1).

    Returns:
        dx (N, C, H, W).
    """
    x, total, p, kernel, inner = cache
    check_grad(grad_output, total.shape, total.dtype)
    with np.errstate(invalid="ignore", divide="ignore"):
        outer = grad_output * total ** (1 / p - 1) * (kernel[0] * kernel[1])
        dx: Array = avg_pool2d_backward(outer, inner) * x ** (p - 1)
    return dx


def adaptive_avg_pool2d_forward(x: Array, output_size: IntPair | tuple[int | None, int | None]) -> tuple[Array, Any]:
    """Take the mean of OH x OW windows that cover the image: out cell i has the rows floor(i*H/OH) to ceil((i+1)*H/OH).

    Args:
        x: input (N, C, H, W), float32 or float64.
        output_size: an int, or (OH, OW); None keeps the input's size. (1, 1) is global average pooling.

    Returns:
        out (N, C, OH, OW) of x's dtype, and the cache for `adaptive_avg_pool2d_backward`.

    Raises:
        ValueError: shapes or options do not fit.
        TypeError: the dtype is not a float.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.AdaptiveAvgPool2d.html
    """
    rows, cols = _adaptive_windows("adaptive_avg_pool2d", x, output_size)
    source = _layout.block(x)
    # first the columns, whose sums are then added up by rows
    by_columns = np.stack([source[:, :, part].mean(axis=2) for part in cols], axis=2)
    return _layout.images(np.stack([by_columns[part].mean(axis=0) for part in rows])), (x.shape, x.dtype, rows, cols)


@explain
def adaptive_avg_pool2d_backward(grad_output: Array, cache: Any) -> Array:
    """Gradient of `adaptive_avg_pool2d_forward`: each window's gradient goes to all of its pixels in equal shares.

    Returns:
        dx (N, C, H, W).
    """
    shape, dtype, rows, cols = cache
    check_grad(grad_output, (*shape[:2], len(rows), len(cols)), dtype)
    n, c, h, _ = shape
    by_rows = np.zeros((h, c, len(cols), n), dtype)
    for part, grad in zip(rows, _layout.block(grad_output), strict=True):
        by_rows[part] += grad / (part.stop - part.start)
    dx = _layout.empty(shape, dtype)
    target = _layout.block(dx)
    target.fill(0)
    for j, part in enumerate(cols):
        target[:, :, part] += by_rows[:, :, j : j + 1] / (part.stop - part.start)
    return dx


def adaptive_max_pool2d_forward(x: Array, output_size: IntPair | tuple[int | None, int | None]) -> tuple[Array, Any]:
    """Take the maximum of OH x OW windows that cover the image, placed as in `adaptive_avg_pool2d_forward`.

    Args:
        x: input (N, C, H, W), float32 or float64. A NaN in a window makes its output NaN.
        output_size: an int, or (OH, OW); None keeps the input's size.

    Returns:
        out (N, C, OH, OW) of x's dtype, and the cache for `adaptive_max_pool2d_backward`.

    Raises:
        ValueError: shapes or options do not fit.
        TypeError: the dtype is not a float.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.AdaptiveMaxPool2d.html
    """
    rows, cols = _adaptive_windows("adaptive_max_pool2d", x, output_size)
    out = _layout.empty((*x.shape[:2], len(rows), len(cols)), x.dtype)
    indices = np.empty(out.shape, np.int64)
    pixels = np.arange(x.shape[2] * x.shape[3]).reshape(x.shape[2:])
    for i, row in enumerate(rows):
        for j, col in enumerate(cols):
            numbers = pixels[row, col].reshape(-1)
            window = x[:, :, row, col].reshape(*x.shape[:2], len(numbers))
            winners = window.argmax(axis=2)
            indices[:, :, i, j] = numbers[winners]
            out[:, :, i, j] = np.take_along_axis(window, winners[:, :, None], axis=2)[:, :, 0]
    return out, (x.shape, x.dtype, indices)


@explain
def adaptive_max_pool2d_backward(grad_output: Array, cache: Any) -> Array:
    """Gradient of `adaptive_max_pool2d_forward`: each window's gradient goes to its first maximum.

    Returns:
        dx (N, C, H, W).
    """
    shape, dtype, indices = cache
    check_grad(grad_output, indices.shape, dtype)
    dx = np.zeros((*shape[:2], shape[2] * shape[3]), dtype)
    samples, channels = np.ogrid[: shape[0], : shape[1]]
    for i, j in np.ndindex(*indices.shape[2:]):  # one cell after the other: their windows may share a pixel
        dx[samples, channels, indices[:, :, i, j]] += grad_output[:, :, i, j]
    return dx.reshape(shape)


def adaptive_max_pool2d_indices(cache: Any) -> Array:
    """Tell where each window's maximum is, as PyTorch's ``return_indices`` does.

    Args:
        cache: from `adaptive_max_pool2d_forward`.

    Returns:
        integers (N, C, OH, OW), from 0 to H*W - 1: the number of the pixel, row by row; the first of equal ones.
    """
    indices: Array = cache[-1]
    return indices.copy()


def _adaptive_windows(owner: str, x: Array, size: Any) -> tuple[list[slice], list[slice]]:
    """Return the rows and the columns of the windows."""
    check_images(x)
    wanted = size if isinstance(size, (tuple, list)) else (size, size)
    if len(wanted) != 2:
        raise TypeError(f"{owner}: output_size must be an integer or a pair, got {size!r}")
    rows, cols = (
        [slice(i * have // count, -(-(i + 1) * have // count)) for i in range(count)]
        for have, count in (
            (have, have if count is None else check_int(owner, "output_size", count))
            for have, count in zip(x.shape[2:], wanted, strict=True)
        )
    )
    return rows, cols
