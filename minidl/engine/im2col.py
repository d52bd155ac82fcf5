"""Convolution as in the textbook: windows as columns of a matrix, one product, columns added back into images.

This is the engine to read, and a second opinion on the default one. Choose it with ``minidl.set_engine("im2col")``.

    x (N, C, H, W)  --im2col-->  columns (N, C*KH*KW, OH*OW)
    filters (F, C*KH*KW)  @  columns  =  out (N, F, OH*OW)

Each window is one column, so each output pixel is the product of a row of filters and a column. Backward, with the
gradient of the output as (N, F, OH*OW):

    filters.T @ grad    =  gradient of the columns, which `col2im` adds back into the image
    grad @ columns.T    =  gradient of the filters, summed over the images

The columns repeat each pixel KH*KW times: that copy is what the default engine saves.
"""

from __future__ import annotations

import numpy as np

from .._core import Array
from .sums import sum_over
from .window import Geometry, offsets

__all__ = ["col2im", "correlate", "im2col", "input_grad", "weight_grad"]

Size = tuple[int, int]


def im2col(x: Array, geometry: Geometry, size: Size) -> Array:
    """Lay out every window of the images as a column.

    Args:
        x: images (N, C, H, W), taken as zero outside.
        geometry: how the windows lie on them.
        size: the number of windows along both axes, (OH, OW).

    Returns:
        Columns (N, C*KH*KW, OH*OW): cols[n, (c*KH + i)*KW + j, oh*OW + ow] is the pixel that window (oh, ow) of image n
        meets at offset (i, j) in channel c.
    """
    n, c, h, w = x.shape
    columns = np.zeros((n, c, *geometry.kernel, *size), x.dtype)
    for i, j, rows, cols, in_rows, in_cols in offsets((h, w), geometry, size):
        columns[:, :, i, j, rows, cols] = x[:, :, in_rows, in_cols]
    return columns.reshape(n, c * geometry.kernel[0] * geometry.kernel[1], size[0] * size[1])


def col2im(columns: Array, image_size: Size, geometry: Geometry, size: Size) -> Array:
    """Add columns (N, C*KH*KW, OH*OW) back into images (N, C, H, W); where windows overlap, values add up."""
    (n, rows_, _), (kh, kw) = columns.shape, geometry.kernel
    windows = columns.reshape(n, rows_ // (kh * kw), kh, kw, *size)
    x: Array = np.zeros((n, windows.shape[1], *image_size), columns.dtype)
    for i, j, rows, cols, in_rows, in_cols in offsets(image_size, geometry, size):
        x[:, :, in_rows, in_cols] += windows[:, :, i, j, rows, cols]
    return x


def correlate(x: Array, w: Array, bias: Array | None, geometry: Geometry, size: Size) -> Array:
    """Correlate images (N, C, H, W) with filters (F, C/groups, KH, KW), and add a bias (F,); out (N, F, OH, OW)."""
    columns = _by_group(im2col(x, geometry, size), geometry.groups)
    out: Array = np.matmul(_filters(w, geometry.groups), columns).reshape(len(x), len(w), *size)
    return out if bias is None else out + bias[:, None, None]


def input_grad(grad: Array, w: Array, geometry: Geometry, size: Size) -> Array:
    """Return the gradient of images of ``size`` (H, W), given that of the output, (N, F, OH, OW)."""
    n, f, oh, ow = grad.shape
    incoming = _by_group(grad.reshape(n, f, oh * ow), geometry.groups)
    columns = np.matmul(_filters(w, geometry.groups).swapaxes(1, 2), incoming)
    rows = columns.shape[1] * columns.shape[2]
    return col2im(columns.reshape(n, rows, oh * ow), size, geometry, (oh, ow))


def weight_grad(
    x: Array, grad: Array, shape: tuple[int, ...], geometry: Geometry, *, has_bias: bool
) -> tuple[Array, Array | None]:
    """Return the gradients of filters of ``shape`` and of the bias (None without one), given that of the output."""
    n, f, oh, ow = grad.shape
    columns = _by_group(im2col(x, geometry, (oh, ow)), geometry.groups)
    incoming = _by_group(grad.reshape(n, f, oh * ow), geometry.groups)
    dw: Array = np.matmul(incoming, columns.swapaxes(2, 3)).sum(axis=0).reshape(shape)
    return dw, sum_over(grad, (0, 2, 3)) if has_bias else None


def _by_group(matrix: Array, groups: int) -> Array:
    """(N, rows, OH*OW) -> (N, groups, rows/groups, OH*OW): a group's channels, or filters, lie next to each other."""
    n, rows, windows = matrix.shape
    return matrix.reshape(n, groups, rows // groups, windows)


def _filters(w: Array, groups: int) -> Array:
    """(F, C/groups, KH, KW) -> (groups, F/groups, C/groups*KH*KW): each filter is a row."""
    return w.reshape(groups, len(w) // groups, -1)
