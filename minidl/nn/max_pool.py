"""Maximum pooling of images and sequences.

Padding is never read (it counts as minus infinity), the first maximum in row-major order wins a tie, and where windows
overlap their gradients add up.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._core import Array, IntPair, check_flag, check_grad, check_images, check_int, check_sequences, plain, remembered
from ..engine import Engine, Geometry, current_engine, offsets, output_size, window_geometry
from .layer import Layer

__all__ = [
    "MaxPool1d",
    "MaxPool2d",
    "max_pool1d_backward",
    "max_pool1d_forward",
    "max_pool2d_backward",
    "max_pool2d_forward",
    "max_pool2d_indices",
    "pool_geometry",
]


@remembered
def pool_geometry(
    owner: str, kernel_size: IntPair, stride: IntPair | None, padding: IntPair, dilation: IntPair = 1
) -> Geometry:
    """Check the options of a pooling: those of windows, and padding of at most half the kernel."""
    geometry = window_geometry(owner, kernel_size, stride, padding, dilation)
    if any(pad > size // 2 for pad, size in zip(geometry.before, geometry.kernel, strict=True)):
        raise ValueError(
            f"{owner}: padding must be at most half of kernel_size {geometry.kernel}, got {padding!r}; "
            "a window of nothing but padding has no maximum"
        )
    return geometry


class MaxPoolCache(NamedTuple):
    """What `max_pool2d_backward` needs: input, output, geometry, and the engine that computed it."""

    x: Array
    out: Array
    geometry: Geometry
    engine: Engine


def max_pool2d_forward(
    x: Array,
    kernel_size: IntPair,
    *,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    dilation: IntPair = 1,
    ceil_mode: bool = False,
) -> tuple[Array, MaxPoolCache]:
    """Take the maximum of each window; formula and options are those of `MaxPool2d`.

    x is (N, C, H, W), kernel_size, stride, padding, dilation and ceil_mode as there. A NaN in a window makes its output
    NaN. Returns out (N, C, OH, OW) and the cache for `max_pool2d_backward`. Raises ValueError if shapes or options do
    not fit, TypeError if x is not float32 or float64.
    """
    check_images(x)
    geometry = pool_geometry("max_pool2d", kernel_size, stride, padding, dilation)
    size = output_size(x.shape[2:], geometry, None, check_flag("max_pool2d", "ceil_mode", ceil_mode))
    engine = current_engine()
    out = engine.max_pool(x, geometry, size)
    return out, MaxPoolCache(x, out, geometry, engine)


def max_pool2d_backward(grad_output: Array, cache: MaxPoolCache) -> Array:
    """Return the gradient of `max_pool2d_forward`: each window's gradient goes to its first maximum.

    Returns dx (N, C, H, W). Its sum is that of grad_output, except for windows that, because of dilation, see only
    padding: their output is -inf, as in PyTorch, and their gradient is dropped. ``grad_output`` must have the output's
    shape and dtype (ValueError, TypeError); ``cache`` is from `max_pool2d_forward`.
    """
    x, out, geometry, engine = cache
    check_grad(grad_output, out.shape, x.dtype)
    return engine.max_pool_grad(grad_output, x, out, geometry)


def max_pool2d_indices(cache: MaxPoolCache) -> Array:
    """Return the position of each window's maximum, as PyTorch's ``return_indices`` does.

    Args:
        cache: from `max_pool2d_forward` or `max_pool1d_forward`.

    Returns:
        integers (N, C, OH, OW), from 0 to H*W - 1: the pixel's index in row-major order; the first of equal ones.
    """
    x, out, geometry, _ = cache
    h, w = x.shape[2:]
    indices = np.zeros(out.shape, np.int64)
    pixels = np.arange(h * w).reshape(h, w)
    for _, _, rows, cols, in_rows, in_cols in reversed(list(offsets((h, w), geometry, out.shape[2:]))):
        here = ~(x[:, :, in_rows, in_cols] < out[:, :, rows, cols])  # also where both are NaN
        np.copyto(indices[:, :, rows, cols], pixels[in_rows, in_cols], where=here)
    return indices


def max_pool1d_forward(
    x: Array,
    kernel_size: int,
    *,
    stride: int | None = None,
    padding: int = 0,
    dilation: int = 1,
    ceil_mode: bool = False,
) -> tuple[Array, MaxPoolCache]:
    """Take the maximum of each window of a sequence: `max_pool2d_forward` on images with one row.

    x is (N, C, L); kernel_size, stride, padding, dilation and ceil_mode are those of `MaxPool1d`. Returns out (N, C,
    OL) and the cache for `max_pool1d_backward`. Raises ValueError if shapes or options do not fit, TypeError if x is
    not float32 or float64.
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


def max_pool1d_backward(grad_output: Array, cache: MaxPoolCache) -> Array:
    """Return the gradient of `max_pool1d_forward`: each window's gradient goes to its first maximum.

    Returns dx (N, C, L). ``grad_output`` must have the output's shape and dtype (ValueError, TypeError); ``cache``
    is from `max_pool1d_forward`.
    """
    check_grad(grad_output, (*cache.out.shape[:2], cache.out.shape[3]), cache.out.dtype)
    return max_pool2d_backward(grad_output[:, :, None], cache)[:, :, 0]


class _MaxPool(Layer):
    _options = "kernel_size", "stride", "padding", "dilation", "ceil_mode"

    def __init__(
        self,
        kernel_size: IntPair,
        stride: IntPair | None = None,
        padding: IntPair = 0,
        dilation: IntPair = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        owner = type(self).__name__
        pool_geometry(owner, kernel_size, stride, padding, dilation)
        self.kernel_size: Any = plain(kernel_size)
        self.stride: Any = self.kernel_size if stride is None else plain(stride)
        self.padding: Any = plain(padding)
        self.dilation: Any = plain(dilation)
        self.ceil_mode = check_flag(owner, "ceil_mode", ceil_mode)
        self.return_indices = check_flag(owner, "return_indices", return_indices)

    def _compute(self, x: Array) -> tuple[Any, MaxPoolCache]:
        out, cache = super()._compute(x)
        return (out, max_pool2d_indices(cache).reshape(out.shape)) if self.return_indices else out, cache


class MaxPool2d(_MaxPool):
    """Maximum of each window of an image.

    y[n, c, oh, ow] = max over i, j of x[n, c, oh*SH + i*DH - PH, ow*SW + j*DW - PW], where that lies in the image.

    Args:
        kernel_size: an int, or (KH, KW).
        stride: an int, or (SH, SW); None means kernel_size.
        padding: on each side, at most half the kernel; padding never wins.
        dilation: distance between the window's elements.
        return_indices: whether the output is a pair: the maxima, and the number of each one's pixel, row by row.
        ceil_mode: round the output size up instead of down.

    Shape:
        input (N, C, H, W), output (N, C, OH, OW) with
        OH = floor((H + 2*PH - DH*(KH - 1) - 1) / SH) + 1 and OW likewise. There are no parameters.

    A tie goes to the first maximum in row-major order; where windows overlap gradients add up.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.MaxPool2d.html
    """

    _pair = max_pool2d_forward, max_pool2d_backward


class MaxPool1d(_MaxPool):
    """Maximum of each window of a sequence.

    Args:
        kernel_size: an int.
        stride: an int; None means kernel_size.
        padding: on each side, at most half the kernel; padding never wins.
        dilation: distance between the window's elements.
        return_indices: whether the output is a pair: the maxima, and the number of each one's pixel, row by row.
        ceil_mode: round the output size up instead of down.

    Shape:
        input (N, C, L), output (N, C, OL), OL as OW of MaxPool2d.
    """

    _pair = max_pool1d_forward, max_pool1d_backward

    def __init__(
        self,
        kernel_size: int,
        stride: int | None = None,
        padding: int = 0,
        dilation: int = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        check_int("MaxPool1d", "kernel_size", kernel_size)
        super().__init__(kernel_size, stride, padding, dilation, return_indices, ceil_mode)
