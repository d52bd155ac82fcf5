"""Windows of images as columns of a matrix, and columns added back into images.

The two are each other's adjoint, so each is the other's backward pass: the gradient of `im2col` with respect
to x is ``col2im(grad_cols, (H, W), ...)``, and the gradient of `col2im` is ``im2col(grad_x, ...)``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .. import engine
from .._core import Array, IntPair, check_float, check_grad, check_images, check_pair, plain
from ..engine import output_size as count_windows
from ..engine import window_geometry
from .layer import Layer

__all__ = [
    "Fold",
    "Unfold",
    "col2im",
    "fold_backward",
    "fold_forward",
    "im2col",
    "unfold_backward",
    "unfold_forward",
]


def im2col(
    x: Array, kernel_size: IntPair, *, stride: IntPair = 1, padding: IntPair = 0, dilation: IntPair = 1
) -> Array:
    """Lay out every window as a column, in the orientation of ``torch.nn.functional.unfold``.

    cols[n, (c*KH + i)*KW + j, oh*OW + ow] = x_padded[n, c, oh*SH + i*DH, ow*SW + j*DW]

    Args:
        x: images (N, C, H, W), float32 or float64, taken as zero outside.
        kernel_size, stride, padding, dilation: an int, or a (height, width) pair.

    Returns:
        Columns (N, C*KH*KW, L) of x's dtype, L = OH*OW windows in row-major order.

    Raises:
        ValueError: no window fits, or the shape is wrong.
        TypeError: the dtype is not a float.
    """
    check_images(x)
    geometry = window_geometry("im2col", kernel_size, stride, padding, dilation)
    return engine.im2col(x, geometry, count_windows(x.shape[2:], geometry))


def col2im(
    cols: Array,
    image_size: IntPair,
    kernel_size: IntPair,
    *,
    stride: IntPair = 1,
    padding: IntPair = 0,
    dilation: IntPair = 1,
) -> Array:
    """Add columns back into images, like ``torch.nn.functional.fold``: where windows overlap, values add up.

    Args:
        cols: columns (N, C*KH*KW, L), as `im2col` makes them.
        image_size: (H, W) of the images; pixels that no window covers are zero.
        kernel_size, stride, padding, dilation: as given to `im2col`.

    Returns:
        Images (N, C, H, W) of cols' dtype.

    Raises:
        ValueError: the number of rows is not a multiple of KH*KW, or L is not the number of windows.
        TypeError: the dtype is not a float.
    """
    check_float(cols, "matrix of columns")
    geometry = window_geometry("col2im", kernel_size, stride, padding, dilation)
    size = check_pair("col2im", "image_size", image_size)
    count = count_windows(size, geometry)
    area = geometry.kernel[0] * geometry.kernel[1]
    if cols.ndim != 3 or cols.shape[1] % area or cols.shape[2] != count[0] * count[1]:
        raise ValueError(
            f"col2im: expected columns of shape (N, C*{area}, {count[0] * count[1]}) for image size {size} and kernel "
            f"{geometry.kernel}, got {cols.shape}"
        )
    return engine.col2im(cols, size, geometry, count)


class WindowCache(NamedTuple):
    """What the backward pass needs: the images' size, the output's shape and dtype, and the windows' options."""

    image_size: tuple[int, int]
    out_shape: tuple[int, ...]
    dtype: np.dtype[Any]
    kernel_size: IntPair
    options: dict[str, IntPair]


def unfold_forward(
    x: Array, kernel_size: IntPair, *, dilation: IntPair = 1, padding: IntPair = 0, stride: IntPair = 1
) -> tuple[Array, WindowCache]:
    """Lay out every window as a column: `im2col` as half of a pair.

    x, kernel_size, dilation, padding and stride, and the exceptions, are those of `im2col`. Returns columns (N,
    C*KH*KW, L) and the cache for `unfold_backward`.
    """
    options = {"stride": stride, "padding": padding, "dilation": dilation}
    cols = im2col(x, kernel_size, **options)
    return cols, WindowCache(x.shape[2:], cols.shape, x.dtype, kernel_size, options)


def unfold_backward(grad_output: Array, cache: WindowCache) -> Array:
    """Return the gradient of `unfold_forward`: the columns added back into images.

    Returns dx (N, C, H, W). ``grad_output`` must have the output's shape and dtype (ValueError, TypeError);
    ``cache`` is from `unfold_forward`.
    """
    check_grad(grad_output, cache.out_shape, cache.dtype)
    return col2im(grad_output, cache.image_size, cache.kernel_size, **cache.options)


def fold_forward(
    x: Array,
    output_size: IntPair,
    kernel_size: IntPair,
    *,
    dilation: IntPair = 1,
    padding: IntPair = 0,
    stride: IntPair = 1,
) -> tuple[Array, WindowCache]:
    """Add columns back into images: `col2im` as half of a pair.

    x is (N, C*KH*KW, L); output_size (H, W), kernel_size, dilation, padding and stride, and the exceptions, are those
    of `col2im`. Returns images (N, C, H, W) and the cache for `fold_backward`.
    """
    options = {"stride": stride, "padding": padding, "dilation": dilation}
    out = col2im(x, output_size, kernel_size, **options)
    return out, WindowCache(out.shape[2:], out.shape, out.dtype, kernel_size, options)


def fold_backward(grad_output: Array, cache: WindowCache) -> Array:
    """Return the gradient of `fold_forward`: the gradient's windows as columns.

    Returns dx (N, C*KH*KW, L). ``grad_output`` must have the output's shape and dtype (ValueError, TypeError);
    ``cache`` is from `fold_forward`.
    """
    return im2col(check_grad(grad_output, cache.out_shape, cache.dtype), cache.kernel_size, **cache.options)


class _Windows(Layer):
    def __init__(self, kernel_size: IntPair, dilation: IntPair = 1, padding: IntPair = 0, stride: IntPair = 1) -> None:
        super().__init__()
        window_geometry(type(self).__name__, kernel_size, stride, padding, dilation)
        self.kernel_size, self.dilation = plain(kernel_size), plain(dilation)
        self.padding, self.stride = plain(padding), plain(stride)


class Unfold(_Windows):
    """Lay out every window of images as a column.

    Args:
        kernel_size, dilation, padding, stride: an int, or a (height, width) pair.

    Shape:
        input (N, C, H, W), output (N, C*KH*KW, L), L = OH*OW windows in row-major order.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.Unfold.html
    """

    _pair = unfold_forward, unfold_backward
    _options = "kernel_size", "dilation", "padding", "stride"


class Fold(_Windows):
    """Add columns, as Unfold makes them, back into images: where windows overlap, values add up.

    Args:
        output_size: (H, W) of the images.
        kernel_size, dilation, padding, stride: an int, or a (height, width) pair.

    Shape:
        input (N, C*KH*KW, L), output (N, C, H, W).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.Fold.html
    """

    _pair = fold_forward, fold_backward
    _options = "output_size", "kernel_size", "dilation", "padding", "stride"

    def __init__(
        self,
        output_size: IntPair,
        kernel_size: IntPair,
        dilation: IntPair = 1,
        padding: IntPair = 0,
        stride: IntPair = 1,
    ) -> None:
        check_pair("Fold", "output_size", output_size)
        super().__init__(kernel_size, dilation, padding, stride)
        self.output_size = plain(output_size)
