"""The one place that knows how image batches lie in memory: H, C, W, N, the batch innermost.

Shapes are (N, C, H, W) everywhere in public. NumPy's inner loop runs along the last axis in memory, and with
the batch there it is long whatever the number of channels; rows of the image lie one after another, which is
what the convolution's lowering needs (see conv.py). An array in any other order is as right, only copied once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._core import Array
from .._core import memory as _memory
from .._core.threads import cut

__all__ = ["block", "empty", "empty_like", "images", "parts", "pieces", "sum_of_channels", "windows"]

# Bytes of the first array in a piece of elementwise work.
_PIECE = 2**21


def block(x: Array) -> Array:
    """View a batch of shape (N, C, H, W) with its axes as (H, C, W, N); no copy."""
    return x.transpose(2, 1, 3, 0)


def images(hcwn: Array) -> Array:
    """View an (H, C, W, N) block with its axes as (N, C, H, W); no copy."""
    return hcwn.transpose(3, 1, 0, 2)


def empty_like(x: Array, dtype: np.dtype[Any] | None = None) -> Array:
    """Return an uninitialised array of x's shape and memory order, over recycled memory."""
    dtype = x.dtype if dtype is None else dtype
    if x.flags.c_contiguous or x.ndim < 2:
        return _memory.empty(x.shape, dtype)
    if x.ndim == 4 and block(x).flags.c_contiguous:  # the usual case, quickly
        return images(_memory.empty(block(x).shape, dtype))
    order = sorted(range(x.ndim), key=lambda axis: -abs(x.strides[axis]))
    inverse = sorted(range(x.ndim), key=order.__getitem__)
    return _memory.empty(tuple(x.shape[axis] for axis in order), dtype).transpose(inverse)


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return an uninitialised array; a four-dimensional one, (N, C, H, W), is laid out H, C, W, N."""
    if len(shape) != 4:
        return _memory.empty(shape, dtype)
    n, c, h, w = shape
    return images(_memory.empty((h, c, w, n), dtype))


def windows(array: Array, shape: tuple[int, ...], strides: tuple[int, ...]) -> Array:
    """View a contiguous array with other strides, overlapping perhaps; as_strided takes ten times as long."""
    return np.ndarray(shape, array.dtype, array, 0, strides)


def sum_of_channels(contiguous: Array) -> Array:
    """Sum a contiguous (H, C, W, N) block over all but C: a product with ones, which BLAS does much faster."""
    rows = contiguous.reshape(len(contiguous), contiguous.shape[1], -1)
    return np.matmul(rows, np.ones(rows.shape[2], rows.dtype)).sum(axis=0)  # type: ignore[no-any-return]


def pieces(*arrays: Array, size: int = _PIECE) -> list[tuple[Array, ...]]:
    """Cut arrays of one shape along the outermost axis in memory, for elementwise work on about ``size`` bytes each."""
    first = arrays[0]
    if first.nbytes <= size or first.ndim == 0:
        return [arrays]
    outermost = max(range(first.ndim), key=lambda axis: abs(first.strides[axis]))
    before = (slice(None),) * outermost
    return [tuple(a[(*before, part)] for a in arrays) for part in parts(first.shape[outermost], first.nbytes, size)]


def parts(count: int, nbytes: int, size: int = _PIECE) -> list[slice]:
    """Cut ``count`` rows that take ``nbytes`` altogether into pieces of about ``size`` bytes."""
    return cut(count, count * size // max(1, nbytes))
