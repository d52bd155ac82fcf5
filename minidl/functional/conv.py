"""Convolution (cross-correlation, as every framework calls it) in forward and backward pairs.

Only the kernel's width is unrolled (row lowering; Cho & Brand, MEC, ICML 2017, arXiv:1706.06873). With images
in (H, C, W, N) order the lowered rows are

    rows[g, y, c, j, ow, n] = x_padded[y, c, ow*SW + j*DW, n]        (groups g, channels c of the group)

a KW-fold copy instead of im2col's KH*KW-fold one. What output row ``r`` needs are the rows
r*SH + (0..KH-1)*DH, which lie next to each other when DH is 1: a (KH*C*KW, OW*N) matrix that overlaps with
the next row's, a view. Then, for all output rows in one batched product,

    out[r] = W (F, KH*C*KW) @ patches[r] (KH*C*KW, OW*N)             -> (OH, F, OW, N): the same order again
    dW     = sum over r of grad[r] @ patches[r].T
    dx     = the same convolution of grad, padded by D*(K-1) - P, with the flipped kernel   (stride 1)
    dx     = W.T @ grad[r], added into the rows and columns it came from                    (any stride)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

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
from ._window import Pads, offsets, output_size, resolve_padding, span

__all__ = ["Conv2dCache", "conv2d_backward", "conv2d_forward"]


class Geometry(NamedTuple):
    """The options of one convolution, each as a (height, width) pair, pads as ((top, bottom), (left, right))."""

    stride: tuple[int, int]
    pads: Pads
    dilation: tuple[int, int]
    groups: int


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
    geometry = _check(x, w, b, stride, padding, dilation, groups)
    out = _correlate(x, w, geometry)
    if b is not None:
        out += b[:, None, None]
    result = _layout.images(out)
    return result, Conv2dCache(x, w, b is not None, geometry, result.shape)


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
    check_grad(grad_output, cache.out_shape, cache.x.dtype)
    grad = np.ascontiguousarray(_layout.block(grad_output))
    dx = None
    if needs_input_grad:
        if cache.geometry.stride == (1, 1):
            dx = _layout.images(_input_grad_unit_stride(grad, cache))
        else:
            dx = _layout.images(_input_grad_any_stride(grad, cache))
    return dx, _weight_grad(grad, cache), grad.sum(axis=(0, 2, 3)) if cache.has_bias else None


def _check(
    x: Array,
    w: Array,
    b: Array | None,
    stride: IntPair,
    padding: IntPair | str,
    dilation: IntPair,
    groups: int,
) -> Geometry:
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
    return Geometry(strides, resolve_padding("conv2d", padding, kernel, strides, dilations), dilations, groups)


def _matrix(w: Array, groups: int) -> Array:
    """(F, C/G, KH, KW) -> (G, 1, F/G, KH*C/G*KW), the order of the patches' rows."""
    f, c, kh, kw = w.shape
    return (
        w.reshape(groups, f // groups, c, kh, kw).transpose(0, 1, 3, 2, 4).reshape(groups, 1, f // groups, kh * c * kw)
    )


def _patches(x: Array, kernel: tuple[int, int], out_size: tuple[int, int], geometry: Geometry) -> Array:
    """Lower (N, C, H, W) images to (G, OH, KH*C/G*KW, OW*N): a view of the rows, or a copy if DH > 1."""
    (sh, sw), ((top, bottom), (left, _)), (dh, dw), groups = geometry
    (kh, kw), (oh, ow) = kernel, out_size
    n, channels, h, w = x.shape
    c = channels // groups
    # negative padding, which an input gradient can need, crops
    cropped = _layout.block(x)[max(0, -top) : h - max(0, -bottom)]
    source = cropped.reshape(len(cropped), groups, c, w, n).swapaxes(0, 1)
    first = max(0, top)
    rows = np.zeros((groups, h + top + bottom, c, kw, ow, n), x.dtype)
    for j in range(kw):
        columns, in_cols = span(j * dw - left, sw, w, ow)
        rows[:, first : first + len(cropped), :, j, columns] = source[:, :, :, in_cols]
    group_step, row_step = rows.strides[:2]
    item = rows.itemsize
    windows = as_strided(
        rows,
        shape=(groups, oh, kh, c * kw, ow * n),
        strides=(group_step, sh * row_step, dh * row_step, ow * n * item, item),
        writeable=False,
    )
    return windows.reshape(groups, oh, kh * c * kw, ow * n)


def _correlate(x: Array, w: Array, geometry: Geometry) -> Array:
    """The product at the heart of it all; returns an (OH, F, OW, N) block."""
    n, _, h, wd = x.shape
    f, _, kh, kw = w.shape
    oh, ow = output_size((h, wd), (kh, kw), geometry.stride, geometry.pads, geometry.dilation)
    patches = _patches(x, (kh, kw), (oh, ow), geometry)
    out = np.empty((oh, f, ow, n), x.dtype)
    np.matmul(_matrix(w, geometry.groups), patches, out=_by_group(out, geometry.groups))
    return out


def _by_group(block: Array, groups: int) -> Array:
    """View an (OH, F, OW, N) block as (G, OH, F/G, OW*N)."""
    oh, f, ow, n = block.shape
    return block.reshape(oh, groups, f // groups, ow * n).swapaxes(0, 1)


def _weight_grad(grad: Array, cache: Conv2dCache) -> Array:
    groups = cache.geometry.groups
    f, c, kh, kw = cache.w.shape
    patches = _patches(cache.x, (kh, kw), (cache.out_shape[2], cache.out_shape[3]), cache.geometry)
    dw: Array = np.matmul(_by_group(grad, groups), patches.swapaxes(2, 3)).sum(axis=1)
    return dw.reshape(groups, f // groups, kh, c, kw).transpose(0, 1, 3, 2, 4).reshape(cache.w.shape)


def _input_grad_unit_stride(grad: Array, cache: Conv2dCache) -> Array:
    """Correlate the gradient with the flipped kernel; returns an (H, C, W, N) block."""
    (_, ((top, bottom), (left, right)), (dh, dw), groups) = cache.geometry
    f, c, kh, kw = cache.w.shape
    flipped = cache.w.reshape(groups, f // groups, c, kh, kw)[..., ::-1, ::-1].swapaxes(1, 2)
    reach_h, reach_w = dh * (kh - 1), dw * (kw - 1)
    pads = ((reach_h - top, reach_h - bottom), (reach_w - left, reach_w - right))
    full = Geometry((1, 1), pads, (dh, dw), groups)
    return _correlate(_layout.images(grad), flipped.reshape(groups * c, f // groups, kh, kw), full)


def _input_grad_any_stride(grad: Array, cache: Conv2dCache) -> Array:
    """Add each window's gradient into the input it was read from; returns an (H, C, W, N) block."""
    stride, pads, dilation, groups = cache.geometry
    n, channels, h, w = cache.x.shape
    _, c, kh, kw = cache.w.shape
    oh, ow = cache.out_shape[2:]
    columns = np.matmul(_matrix(cache.w, groups).swapaxes(2, 3), _by_group(grad, groups))
    windows = columns.reshape(groups, oh, kh, c, kw, ow, n)
    dx = np.zeros((h, groups, c, w, n), grad.dtype)
    for i, j, rows, cols, in_rows, in_cols in offsets((h, w), (kh, kw), stride, pads, dilation, (oh, ow)):
        dx[in_rows, :, :, in_cols] += windows[:, rows, i, :, j, cols].swapaxes(0, 1)
    return dx.reshape(h, channels, w, n)
