"""Convolution (cross-correlation, as every framework calls it) in forward and backward pairs.

The engine is in `_correlation.py`; here are the arguments, the shapes and the formula.
"""

from __future__ import annotations

from typing import NamedTuple

from .._core import (
    Array,
    IntPair,
    check_bias,
    check_float,
    check_grad,
    check_images,
    check_int,
    check_pair,
    check_same_dtype,
    check_sequences,
)
from . import _layout
from ._correlation import correlate, input_grad, weight_grad
from ._explain import explain
from ._window import Geometry, Pads, output_size, resolve_padding

__all__ = [
    "Conv2dCache",
    "conv1d_backward",
    "conv1d_forward",
    "conv2d_backward",
    "conv2d_forward",
    "conv_transpose2d_backward",
    "conv_transpose2d_forward",
]


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


@explain
def conv2d_backward(
    grad_output: Array, cache: Conv2dCache, *, needs_input_grad: bool = True
) -> tuple[Array | None, Array, Array | None]:
    """Gradients of `conv2d_forward`.

    Returns:
        (dx, dw, db) in the shapes of x, w and b; dx is None if it was not asked for, db if there was no bias.
        Input pixels that no window covers have a zero gradient.
    """
    x, w, has_bias, geometry, out_shape = cache
    check_grad(grad_output, out_shape, x.dtype)
    grad = _layout.block(grad_output)
    dx = None
    if needs_input_grad:
        dx = _layout.empty(x.shape, x.dtype)
        input_grad(grad, w, geometry, _layout.block(dx))
    dw, db = weight_grad(_layout.block(x), grad, w.shape, geometry, has_bias=has_bias)
    return dx, dw, db


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
    check_bias(b, w.shape[0], w)
    kernel = (w.shape[2], w.shape[3])
    strides = check_pair("conv2d", "stride", stride)
    dilations = check_pair("conv2d", "dilation", dilation)
    pads = resolve_padding("conv2d", padding, kernel, strides, dilations)
    return Geometry(strides, (pads[0][0], pads[1][0]), dilations, groups), pads


def conv1d_forward(
    x: Array,
    w: Array,
    b: Array | None = None,
    *,
    stride: int = 1,
    padding: int | str = 0,
    dilation: int = 1,
    groups: int = 1,
) -> tuple[Array, Conv2dCache]:
    """Convolve a batch of sequences: `conv2d_forward` on images of one row.

    Args:
        x: input (N, C, L), float32 or float64.
        w: filters (F, C/groups, K) of the same dtype.
        b: bias (F,), or None.
        stride, padding, dilation, groups: as there, along L.

    Returns:
        out (N, F, OL) of x's dtype, and the cache for `conv1d_backward`.

    Raises:
        ValueError: shapes or options do not fit.
        TypeError: dtypes do not fit.
    """
    check_sequences(x, w.shape[1] * groups)
    if w.ndim != 3:
        raise ValueError(f"expected a weight of shape (F, C/groups, K), got {w.shape}")
    out, cache = conv2d_forward(
        x[:, :, None],
        w[:, :, None],
        b,
        stride=(1, stride),
        padding=padding if isinstance(padding, str) else (0, padding),
        dilation=(1, dilation),
        groups=groups,
    )
    return out[:, :, 0], cache


@explain
def conv1d_backward(
    grad_output: Array, cache: Conv2dCache, *, needs_input_grad: bool = True
) -> tuple[Array | None, Array, Array | None]:
    """Gradients of `conv1d_forward`.

    Returns:
        (dx, dw, db) in the shapes of x, w and b; dx is None if it was not asked for, db if there was no bias.
    """
    n, f, _, length = cache.out_shape
    check_grad(grad_output, (n, f, length), cache.x.dtype)
    dx, dw, db = conv2d_backward(grad_output[:, :, None], cache, needs_input_grad=needs_input_grad)
    return None if dx is None else dx[:, :, 0], dw[:, :, 0], db


def conv_transpose2d_forward(
    x: Array,
    w: Array,
    b: Array | None = None,
    *,
    stride: IntPair = 1,
    padding: IntPair = 0,
    output_padding: IntPair = 0,
    groups: int = 1,
    dilation: IntPair = 1,
) -> tuple[Array, Conv2dCache]:
    """Spread each pixel over the image with a filter: what `conv2d_backward` does to a gradient.

    out[n, f, h*SH + i*DH - PH, w*SW + j*DW - PW] += w[c, f, i, j] * x[n, c, h, w], on top of b[f];
    OH = (H - 1)*SH - 2*PH + DH*(KH - 1) + output_padding + 1, OW likewise. Groups as in a convolution.

    Args:
        x: input (N, C, H, W), float32 or float64.
        w: filters (C, F/groups, KH, KW) of the same dtype.
        b: bias (F,), or None.
        stride, padding, dilation: an int, or a (height, width) pair.
        output_padding: rows and columns added at the end; less than the stride or the dilation.
        groups: number of independent groups; divides C and F.

    Returns:
        out (N, F, OH, OW) of x's dtype, and the cache for `conv_transpose2d_backward`.

    Raises:
        ValueError: shapes or options do not fit.
        TypeError: dtypes do not fit.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.ConvTranspose2d.html
    """
    owner = "conv_transpose2d"
    check_float(w, "weight")
    if w.ndim != 4:
        raise ValueError(f"expected a weight of shape (C, F/groups, KH, KW), got {w.shape}")
    check_images(x, w.shape[0])
    check_same_dtype(x, w)
    if w.shape[0] % check_int(owner, "groups", groups):
        raise ValueError(f"expected a number of channels divisible by groups={groups}, got {w.shape[0]}")
    strides, dilations = check_pair(owner, "stride", stride), check_pair(owner, "dilation", dilation)
    pads = check_pair(owner, "padding", padding, minimum=0)
    extra = check_pair(owner, "output_padding", output_padding, minimum=0)
    if any(e >= max(s, d) for e, s, d in zip(extra, strides, dilations, strict=True)):
        raise ValueError(f"{owner}: output_padding must be less than stride or dilation, got {output_padding}")
    filters = w.shape[1] * groups
    check_bias(b, filters, w)
    size = [
        (n - 1) * s - 2 * p + d * (k - 1) + e + 1
        for n, s, p, d, k, e in zip(x.shape[2:], strides, pads, dilations, w.shape[2:], extra, strict=True)
    ]
    if min(size) < 1:
        raise ValueError(f"the output would have size {tuple(size)}: input {x.shape[2:]} is too small")
    geometry = Geometry(strides, pads, dilations, groups)
    out = _layout.empty((x.shape[0], filters, *size), x.dtype)
    input_grad(_layout.block(x), w, geometry, _layout.block(out))
    if b is not None:
        out += b[:, None, None]
    return out, Conv2dCache(x, w, b is not None, geometry, out.shape)


@explain
def conv_transpose2d_backward(
    grad_output: Array, cache: Conv2dCache, *, needs_input_grad: bool = True
) -> tuple[Array | None, Array, Array | None]:
    """Gradients of `conv_transpose2d_forward`: dx is a convolution of the gradient.

    Returns:
        (dx, dw, db) in the shapes of x, w and b; dx is None if it was not asked for, db if there was no bias.
    """
    x, w, has_bias, geometry, out_shape = cache
    check_grad(grad_output, out_shape, x.dtype)
    grad = _layout.block(grad_output)
    dx = None
    if needs_input_grad:
        dx = _layout.empty(x.shape, x.dtype)
        correlate(grad, w, geometry, _layout.block(dx))
    dw, _ = weight_grad(grad, _layout.block(x), w.shape, geometry, has_bias=False)
    return dx, dw, grad_output.sum(axis=(0, 2, 3)) if has_bias else None
