"""Convolution (cross-correlation, as every framework calls it) in forward and backward pairs.

The engine is in `_correlation.py`; here are the arguments, the shapes and the formula.
"""

from __future__ import annotations

from typing import NamedTuple

from . import _layout
from ._checks import (
    Array,
    IntPair,
    check_float,
    check_grad,
    check_images,
    check_int,
    check_pair,
    check_same_dtype,
)
from ._correlation import correlate, input_grad, weight_grad
from ._window import Geometry, Pads, output_size, resolve_padding

__all__ = ["Conv2dCache", "conv2d_backward", "conv2d_forward"]


class Conv2dCache(NamedTuple):
    """What `conv2d_backward` needs: input, filters, options, the output's shape."""

    x: Array
    w: Array
    has_bias: bool
    geometry: Geometry
    out_shape: tuple[int, ...]


def conv2d_forward(
    x: Array,
    w: Array,
    b: Array | None = None,
    *,
    stride: IntPair = 1,
    padding: IntPair | str = 0,
    dilation: IntPair = 1,
    groups: int = 1,
) -> tuple[Array, Conv2dCache]:
    """Convolve a batch of images with a bank of filters.

    out[n, f, oh, ow] = b[f] + sum over c, i, j of w[f, c, i, j] * x_padded[n, c, oh*SH + i*DH, ow*SW + j*DW],
    OH = floor((H + 2*PH - DH*(KH-1) - 1) / SH) + 1, OW likewise. With groups, filter f sees the channels of
    its own group only.

    Args:
        x: input (N, C, H, W), float32 or float64.
        w: filters (F, C/groups, KH, KW) of the same dtype.
        b: bias (F,), or None.
        stride, dilation: an int, or a (height, width) pair.
        padding: zeros around the input: an int, a pair, 'valid' (none) or 'same' (output as large as the input;
            stride 1 only; an odd total puts the extra zero at the end).
        groups: number of independent groups; divides C and F.

    Returns:
        out (N, F, OH, OW) of x's dtype, and the cache for `conv2d_backward`.

    Raises:
        ValueError: shapes or options do not fit.
        TypeError: dtypes do not fit.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.Conv2d.html
    """
    geometry, pads = _check(x, w, b, stride, padding, dilation, groups)
    n, _, *size = x.shape
    f, _, *kernel = w.shape
    count = output_size((size[0], size[1]), (kernel[0], kernel[1]), geometry.stride, pads, geometry.dilation)
    out = _layout.empty((n, f, *count), x.dtype)
    correlate(_layout.block(x), w, geometry, _layout.block(out), b)
    return out, Conv2dCache(x, w, b is not None, geometry, out.shape)


def conv2d_backward(
    grad_output: Array, cache: Conv2dCache, *, needs_input_grad: bool = True
) -> tuple[Array | None, Array, Array | None]:
    """Gradients of `conv2d_forward`.

    Args:
        grad_output: gradient of the output, (N, F, OH, OW).
        cache: from `conv2d_forward`.
        needs_input_grad: False leaves dx out; a network's first layer does not need it.

    Returns:
        (dx, dw, db) in the shapes of x, w and b; dx is None if it was not asked for, db if there was no bias.
        Input pixels that no window covers have a zero gradient.

    Raises:
        ValueError, TypeError: grad_output has not the output's shape or dtype.
    """
    x, w, has_bias, geometry, out_shape = cache
    check_grad(grad_output, out_shape, x.dtype)
    grad = _layout.block(grad_output)
    dx = None
    if needs_input_grad:
        dx = _layout.empty(x.shape, x.dtype)
        input_grad(grad, w, geometry, _layout.block(dx))
    dw, db = weight_grad(_layout.block(x), grad, w.shape, geometry)
    return dx, dw, db if has_bias else None


def _check(
    x: Array,
    w: Array,
    b: Array | None,
    stride: IntPair,
    padding: IntPair | str,
    dilation: IntPair,
    groups: int,
) -> tuple[Geometry, Pads]:
    check_float(w, "weight")
    if w.ndim != 4:
        raise ValueError(f"expected a weight of shape (F, C/groups, KH, KW), got {w.shape}")
    groups = check_int("conv2d", "groups", groups)
    check_images(x, w.shape[1] * groups)
    check_same_dtype(x, w)
    if w.shape[0] % groups:
        raise ValueError(f"expected a number of filters divisible by groups={groups}, got {w.shape[0]}")
    if b is not None and (b.shape != (w.shape[0],) or b.dtype != w.dtype):
        raise ValueError(f"expected a bias of shape ({w.shape[0]},) and {w.dtype}, got {b.shape}, {b.dtype}")
    kernel = (w.shape[2], w.shape[3])
    strides = check_pair("conv2d", "stride", stride)
    dilations = check_pair("conv2d", "dilation", dilation)
    pads = resolve_padding("conv2d", padding, kernel, strides, dilations)
    return Geometry(strides, (pads[0][0], pads[1][0]), dilations, groups), pads
