"""im2col and col2im: windows of images as columns of a matrix, and columns added back into images.

The two are each other's adjoint, so each is the other's backward pass: the gradient of `im2col` with respect
to x is ``col2im(grad_cols, (H, W), ...)``, and the gradient of `col2im` is ``im2col(grad_x, ...)``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._core import Array, IntPair, check_float, check_grad, check_images, check_pair
from ._explain import explain
from ._window import offsets, output_size

__all__ = ["col2im", "fold_backward", "fold_forward", "im2col", "unfold_backward", "unfold_forward"]


def im2col(
    x: Array, kernel_size: IntPair, *, stride: IntPair = 1, padding: IntPair = 0, dilation: IntPair = 1
) -> Array:
    """Lay every window out as a column, in the orientation of ``torch.nn.functional.unfold``.

    cols[n, (c*KH + i)*KW + j, oh*OW + ow] = x_padded[n, c, oh*SH + i*DH, ow*SW + j*DW]

    Args:
        x: images (N, C, H, W), float32 or float64, zero outside.
        kernel_size, stride, padding, dilation: an int, or a (height, width) pair.

    Returns:
        Columns (N, C*KH*KW, L) of x's dtype, L = OH*OW windows in row-major order.

    Raises:
        ValueError: not one window fits, or the shape is wrong.
        TypeError: the dtype is not a float.
    """
    check_images(x)
    kernel, strides, pads, dil = _options("im2col", kernel_size, stride, padding, dilation)
    n, c, h, w = x.shape
    oh, ow = output_size((h, w), kernel, strides, pads, dil)
    cols = np.zeros((n, c, *kernel, oh, ow), x.dtype)
    for i, j, rows, columns, in_rows, in_cols in offsets((h, w), kernel, strides, pads, dil, (oh, ow)):
        cols[:, :, i, j, rows, columns] = x[:, :, in_rows, in_cols]
    return cols.reshape(n, c * kernel[0] * kernel[1], oh * ow)


def col2im(
    cols: Array,
    image_size: IntPair,
    kernel_size: IntPair,
    *,
    stride: IntPair = 1,
    padding: IntPair = 0,
    dilation: IntPair = 1,
) -> Array:
    """Add columns back into images, as ``torch.nn.functional.fold``: where windows overlap, values add up.

    Args:
        cols: columns (N, C*KH*KW, L), as `im2col` makes them.
        image_size: (H, W) of the images; pixels that no window covers are zero.
        kernel_size, stride, padding, dilation: as given to `im2col`.

    Returns:
        Images (N, C, H, W) of cols' dtype.

    Raises:
        ValueError: the number of rows is no multiple of KH*KW, or L is not the number of windows.
        TypeError: the dtype is not a float.
    """
    check_float(cols, "matrix of columns")
    kernel, strides, pads, dil = _options("col2im", kernel_size, stride, padding, dilation)
    h, w = check_pair("col2im", "image_size", image_size)
    oh, ow = output_size((h, w), kernel, strides, pads, dil)
    area = kernel[0] * kernel[1]
    if cols.ndim != 3 or cols.shape[1] % area or cols.shape[2] != oh * ow:
        raise ValueError(
            f"col2im: expected columns of shape (N, C*{area}, {oh * ow}) for image size {(h, w)} and kernel "
            f"{kernel}, got {cols.shape}"
        )
    n, c = cols.shape[0], cols.shape[1] // area
    windows = cols.reshape(n, c, *kernel, oh, ow)
    x = np.zeros((n, c, h, w), cols.dtype)
    for i, j, rows, columns, in_rows, in_cols in offsets((h, w), kernel, strides, pads, dil, (oh, ow)):
        x[:, :, in_rows, in_cols] += windows[:, :, i, j, rows, columns]
    return x


def unfold_forward(
    x: Array, kernel_size: IntPair, *, dilation: IntPair = 1, padding: IntPair = 0, stride: IntPair = 1
) -> tuple[Array, Any]:
    """Lay every window out as a column: `im2col` as half of a pair.

    Args:
        x: images (N, C, H, W), float32 or float64.
        kernel_size, dilation, padding, stride: as there.

    Returns:
        Columns (N, C*KH*KW, L), and the cache for `unfold_backward`.

    Raises:
        ValueError, TypeError: as `im2col`.
    """
    options = {"stride": stride, "padding": padding, "dilation": dilation}
    cols = im2col(x, kernel_size, **options)
    return cols, (x.shape, cols.shape, x.dtype, kernel_size, options)


@explain
def unfold_backward(grad_output: Array, cache: Any) -> Array:
    """Gradient of `unfold_forward`: the columns added back into images.

    Returns:
        dx (N, C, H, W).
    """
    shape, out_shape, dtype, kernel_size, options = cache
    return col2im(check_grad(grad_output, out_shape, dtype), shape[2:], kernel_size, **options)


def fold_forward(
    x: Array,
    output_size: IntPair,
    kernel_size: IntPair,
    *,
    dilation: IntPair = 1,
    padding: IntPair = 0,
    stride: IntPair = 1,
) -> tuple[Array, Any]:
    """Add columns back into images: `col2im` as half of a pair.

    Args:
        x: columns (N, C*KH*KW, L), float32 or float64.
        output_size: (H, W) of the images.
        kernel_size, dilation, padding, stride: as there.

    Returns:
        Images (N, C, H, W), and the cache for `fold_backward`.

    Raises:
        ValueError, TypeError: as `col2im`.
    """
    options = {"stride": stride, "padding": padding, "dilation": dilation}
    out = col2im(x, output_size, kernel_size, **options)
    return out, (out.shape, out.dtype, kernel_size, options)


@explain
def fold_backward(grad_output: Array, cache: Any) -> Array:
    """Gradient of `fold_forward`: the gradient's windows as columns.

    Returns:
        dx (N, C*KH*KW, L).
    """
    out_shape, dtype, kernel_size, options = cache
    return im2col(check_grad(grad_output, out_shape, dtype), kernel_size, **options)


def _options(
    owner: str, kernel_size: IntPair, stride: IntPair, padding: IntPair, dilation: IntPair
) -> tuple[tuple[int, int], tuple[int, int], tuple[tuple[int, int], tuple[int, int]], tuple[int, int]]:
    kernel = check_pair(owner, "kernel_size", kernel_size)
    strides = check_pair(owner, "stride", stride)
    ph, pw = check_pair(owner, "padding", padding, minimum=0)
    return kernel, strides, ((ph, ph), (pw, pw)), check_pair(owner, "dilation", dilation)
