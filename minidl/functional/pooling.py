"""Max pooling in forward and backward pairs.

Padding is never read (it counts as minus infinity), the first maximum in row-major order wins a tie, and
where windows overlap their gradients add up.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from . import _layout
from ._checks import Array, IntPair, check_flag, check_grad, check_images, check_pair
from ._mask import kept_unless, remove, select
from ._threads import run
from ._window import Pads, offsets, output_size

__all__ = ["MaxPool2dCache", "max_pool2d_backward", "max_pool2d_forward", "pool_options"]


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
    """Check a pooling's options; a stride of None is the kernel size."""
    kernel = check_pair(owner, "kernel_size", kernel_size)
    strides = kernel if stride is None else check_pair(owner, "stride", stride)
    ph, pw = check_pair(owner, "padding", padding, minimum=0)
    if ph > kernel[0] // 2 or pw > kernel[1] // 2:
        raise ValueError(
            f"{owner}: padding must be at most half of kernel_size {kernel}, got {padding!r}; "
            "a window of nothing but padding has no maximum"
        )
    return PoolOptions(kernel, strides, ((ph, ph), (pw, pw)), check_pair(owner, "dilation", dilation))


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


def max_pool2d_backward(grad_output: Array, cache: MaxPool2dCache) -> Array:
    """Gradient of `max_pool2d_forward`: each window's gradient goes to its first maximum.

    Args:
        grad_output: gradient of the output, (N, C, OH, OW).
        cache: from `max_pool2d_forward`.

    Returns:
        dx (N, C, H, W). Its sum is that of grad_output, except for windows that dilation keeps in the padding alone:
        their output is -inf, as in PyTorch, and their gradient goes nowhere.

    Raises:
        ValueError, TypeError: grad_output has not the output's shape or dtype.
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
        left = grad[piece.windows].copy()  # what no pixel has taken yet; of equal ones the first takes it
        if not tiled:
            result.fill(0)
        meetings = list(offsets((len(part), w), *piece.options, (len(best), ow)))
        for number, (_, _, rows, cols, in_rows, in_cols) in enumerate(meetings):
            view, there = result[in_rows, :, in_cols], left[rows, :, cols]
            if tiled and number == len(meetings) - 1:
                view[...] = there
                break
            # "not less" rather than "equal": a window whose maximum is NaN passes its gradient on as well
            mask = kept_unless(np.less(part[in_rows, :, in_cols], best[rows, :, cols]))
            taken = select(there, mask, np.empty(mask.shape, left.dtype) if overlapping else view)
            remove(there, taken)
            if overlapping:
                view += taken

    # rows of windows that overlap add to the same pixels: one thread's work
    run(work, _pieces(h, oh, options, 0 if overlapping else x.nbytes))
    return dx


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
