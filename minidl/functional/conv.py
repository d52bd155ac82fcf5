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

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from . import _layout, _memory
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
from ._window import Pads, output_size, resolve_padding, span

__all__ = ["Conv2dCache", "conv2d_backward", "conv2d_forward"]


# With fewer input channels the flipped convolution's product has too few rows for BLAS, and adding is faster.
_FEW_CHANNELS = 16

# Bytes of lowered rows at a time, whatever the batch; an output comes on top. A row of one image may exceed it.
WORKSPACE = 64 * 2**20


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
        if cache.geometry.stride == (1, 1) and cache.w.shape[1] >= _FEW_CHANNELS:
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


class _Tile(NamedTuple):
    """A piece of the work whose lowered rows fit the workspace: some images, some output rows."""

    images: slice
    rows: slice
    first_row: int  # the input row on which the first window begins; negative inside the padding
    height: int  # input rows that the windows span, padding included


def _tiles(n: int, row_bytes: int, kernel_height: int, oh: int, geometry: Geometry) -> Iterator[_Tile]:
    """Cut a batch into tiles of at most ``WORKSPACE`` bytes, or of one image and one output row.

    ``row_bytes`` is the size of one lowered row of one image.
    """
    stride, top, reach = geometry.stride[0], geometry.pads[0][0], geometry.dilation[0] * (kernel_height - 1) + 1
    images = max(1, min(n, WORKSPACE // (row_bytes * ((oh - 1) * stride + reach))))
    rows = oh if images > 1 else max(1, min(oh, (WORKSPACE // row_bytes - reach) // stride + 1))
    for begin in range(0, n, images):
        for row in range(0, oh, rows):
            end = min(row + rows, oh)
            height = (end - row - 1) * stride + reach
            yield _Tile(slice(begin, min(begin + images, n)), slice(row, end), row * stride - top, height)


def _lowered_bytes(x: Array, w: Array, ow: int) -> int:
    """Size of one lowered row of one image."""
    return int(x.shape[1] * w.shape[3] * ow * x.itemsize)


def _patches(x: Array, kernel: tuple[int, int], tile: _Tile, ow: int, geometry: Geometry) -> Array:
    """Lower a tile of (N, C, H, W) images to (G, OH, KH*C/G*KW, OW*N): a view of the rows, or a copy if DH > 1."""
    (sh, sw), (_, (left, _)), (dh, dw), groups = geometry
    kh, kw = kernel
    _, channels, _, w = x.shape
    c, oh = channels // groups, tile.rows.stop - tile.rows.start
    inside = _layout.block(x[tile.images])[max(0, tile.first_row) : max(0, tile.first_row + tile.height)]
    n = inside.shape[3]
    source = inside.reshape(len(inside), groups, c, w, n).swapaxes(0, 1)
    above = min(max(0, -tile.first_row), tile.height)
    below = above + len(inside)
    rows = _memory.empty((groups, tile.height, c, kw, ow, n), x.dtype)
    rows[:, :above] = 0
    rows[:, below:] = 0
    for j in range(kw):
        columns, in_cols = span(j * dw - left, sw, w, ow)
        middle = rows[:, above:below, :, j]
        middle[:, :, :, : columns.start] = 0
        middle[:, :, :, columns] = source[:, :, :, in_cols]
        middle[:, :, :, columns.stop :] = 0
    group_step, row_step = rows.strides[:2]
    item = rows.itemsize
    windows = as_strided(
        rows,
        shape=(groups, oh, kh, c * kw, ow * n),
        strides=(group_step, sh * row_step, dh * row_step, ow * n * item, item),
        writeable=False,
    )
    return windows.reshape(groups, oh, kh * c * kw, ow * n)


def _by_group(block: Array, groups: int) -> Array:
    """View an (OH, F, OW, N) block as (G, OH, F/G, OW*N); a copy of it if its last axes are not contiguous."""
    oh, f, ow, n = block.shape
    return block.reshape(oh, groups, f // groups, ow * n).swapaxes(0, 1)


def _correlate(x: Array, w: Array, geometry: Geometry) -> Array:
    """The product at the heart of it all; returns an (OH, F, OW, N) block."""
    n, _, h, wd = x.shape
    f, _, kh, kw = w.shape
    oh, ow = output_size((h, wd), (kh, kw), geometry.stride, geometry.pads, geometry.dilation)
    out = _memory.empty((oh, f, ow, n), x.dtype)
    filters = _matrix(w, geometry.groups)
    for tile in _tiles(n, _lowered_bytes(x, w, ow), kh, oh, geometry):
        patches = _patches(x, (kh, kw), tile, ow, geometry)
        target = out[tile.rows, :, :, tile.images]
        if target.flags.c_contiguous:
            np.matmul(filters, patches, out=_by_group(target, geometry.groups))
        else:
            piece = _memory.empty(target.shape, x.dtype)
            np.matmul(filters, patches, out=_by_group(piece, geometry.groups))
            target[...] = piece
    return out


def _weight_grad(grad: Array, cache: Conv2dCache) -> Array:
    groups = cache.geometry.groups
    f, c, kh, kw = cache.w.shape
    oh, ow = cache.out_shape[2:]
    total: Array = np.zeros((groups, kh * c * kw, f // groups), grad.dtype)
    for tile in _tiles(cache.x.shape[0], _lowered_bytes(cache.x, cache.w, ow), kh, oh, cache.geometry):
        patches = _patches(cache.x, (kh, kw), tile, ow, cache.geometry)
        # dW.T rather than dW: with the larger matrix on the left BLAS is a quarter faster
        piece = _by_group(grad[tile.rows, :, :, tile.images], groups)
        total += np.matmul(patches, piece.swapaxes(2, 3)).sum(axis=1)
    return total.reshape(groups, kh, c, kw, f // groups).transpose(0, 4, 2, 1, 3).reshape(cache.w.shape)


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
    (sh, sw), (_, (left, _)), (dh, dw), groups = cache.geometry
    n, channels, h, w = cache.x.shape
    _, c, kh, kw = cache.w.shape
    oh, ow = cache.out_shape[2:]
    filters = _matrix(cache.w, groups).swapaxes(2, 3)
    dx = _memory.empty((h, channels, w, n), grad.dtype)
    dx.fill(0)
    for tile in _tiles(n, _lowered_bytes(cache.x, cache.w, ow) * kh, kh, oh, cache.geometry):
        piece = grad[tile.rows, :, :, tile.images]
        count, images = len(piece), piece.shape[3]
        windows = _memory.empty((groups, count, kh * c * kw, ow * images), grad.dtype)
        np.matmul(filters, _by_group(piece, groups), out=windows)
        windows = windows.reshape(groups, count, kh, c * kw * ow * images)
        # first the kernel's height, whose contributions are whole rows, then its width
        rows = _memory.empty((groups, tile.height, c * kw * ow * images), grad.dtype)
        rows.fill(0)
        for i in range(kh):
            rows[:, i * dh : i * dh + (count - 1) * sh + 1 : sh] += windows[:, :, i]
        unrolled = rows.reshape(groups, tile.height, c, kw, ow, images)
        begin = max(0, tile.first_row)
        inside = slice(begin, max(begin, min(h, tile.first_row + tile.height)))
        unrolled = unrolled[:, inside.start - tile.first_row : inside.stop - tile.first_row].swapaxes(0, 1)
        target = dx[inside, :, :, tile.images].reshape(len(unrolled), groups, c, w, images)
        for j in range(kw):
            out_cols, in_cols = span(j * dw - left, sw, w, ow)
            target[:, :, :, in_cols] += unrolled[:, :, :, j, out_cols]
    return dx
