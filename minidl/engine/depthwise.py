"""Depthwise correlation, one input channel for each group: a multiplication and an addition for each kernel offset.

out[oh, c, ow, n] = sum over i, j of w[c, i, j] * x[oh*SH + i*DH - top, c, ow*SW + j*DW - left, n]

A matrix product would have one row per channel, too few for BLAS to help. There are as many filters as channels.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .._core import Array, memory
from .sums import sum_of_channels
from .window import Geometry, offsets

__all__ = ["correlate", "prepare", "restore", "scratch", "weight_grad"]


def scratch(x: Array, shape: tuple[int, ...], out: Array) -> tuple[int, int]:
    """Return the bytes of scratch memory that an input row and an output row of one image take."""
    return x.shape[1] * x.shape[2] * x.itemsize, shape[0] * out.shape[2] * x.itemsize


def prepare(w: Array, groups: int) -> Array:
    """(C, 1, KH, KW) -> (KH, KW, C, 1, 1), to be multiplied with (OH, C, OW, N)."""
    return w[:, 0].transpose(1, 2, 0)[..., None, None]


def restore(total: Array, shape: tuple[int, ...], groups: int) -> Array:
    """(KH, KW, C) -> (C, 1, KH, KW)."""
    return total.transpose(2, 0, 1)[:, None]


def correlate(
    x: Array, filters: Array, shape: tuple[int, ...], geometry: Geometry, out: Array, bias: Array | None
) -> None:
    """Fill the block ``out`` (OH, C, OW, N), x being (H, C, W, N) and ``shape`` that of the filters."""
    out[...] = 0 if bias is None else bias[:, None, None]
    for i, j, rows, cols, seen in _meetings(x, shape, geometry, out):
        view = out[rows, :, cols]
        view += np.multiply(seen, filters[i, j], out=memory.empty(view.shape, out.dtype))


def weight_grad(
    x: Array, grad: Array, shape: tuple[int, ...], geometry: Geometry, has_bias: bool
) -> tuple[Array, Array]:
    """Return the filters' gradient as (KH, KW, C) and the bias's (zeros without one), given the output's."""
    dw: Array = np.zeros((shape[2], shape[3], shape[0]), grad.dtype)
    for i, j, rows, cols, seen in _meetings(x, shape, geometry, grad):
        product = np.multiply(seen, grad[rows, :, cols], out=memory.empty(seen.shape, grad.dtype))
        dw[i, j] = sum_of_channels(product)
    return dw, sum_of_channels(grad) if has_bias else np.zeros(shape[0], grad.dtype)


def _meetings(
    x: Array, shape: tuple[int, ...], geometry: Geometry, out: Array
) -> Iterator[tuple[int, int, slice, slice, Array]]:
    """Yield (i, j, output rows, output columns, what they see of x) for each kernel offset that meets the image."""
    for i, j, rows, cols, in_rows, in_cols in offsets(x.shape[::2], geometry, out.shape[::2]):
        yield i, j, rows, cols, x[in_rows, :, in_cols]
