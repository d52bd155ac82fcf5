"""The memory layout of image batches: H, C, W, N, the batch innermost.

Shapes are (N, C, H, W) everywhere else. NumPy's inner loop runs along the last axis in memory, and with the batch there
it is long whatever the number of channels; image rows are contiguous, which the convolutions rely on. An array in any
other layout gives the same numbers; it is copied once, by the first layer that needs this one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._core import Array, memory

__all__ = ["block", "empty", "empty_like", "flatten", "images", "in_memory_order", "windows"]


def block(x: Array) -> Array:
    """View a batch of shape (N, C, H, W) with its axes as (H, C, W, N); no copy."""
    return x.transpose(2, 1, 3, 0)


def images(hcwn: Array) -> Array:
    """View an (H, C, W, N) block with its axes as (N, C, H, W); no copy."""
    return hcwn.transpose(3, 1, 0, 2)


def in_memory_order(x: Array) -> Array:
    """View an array with its axes in the order in which `empty` lays them out."""
    return block(x) if x.ndim == 4 else x


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return an uninitialised array over recycled memory; a four-dimensional one is a batch of images."""
    if len(shape) != 4:
        return memory.empty(shape, dtype)
    n, c, h, w = shape
    return images(memory.empty((h, c, w, n), dtype))


def empty_like(x: Array, dtype: np.dtype[Any] | None = None) -> Array:
    """Return an uninitialised array of x's shape and memory order, over recycled memory."""
    dtype = x.dtype if dtype is None else dtype
    if x.flags.c_contiguous or x.ndim < 2:
        return memory.empty(x.shape, dtype)
    if x.ndim == 4 and block(x).flags.c_contiguous:  # the usual case, quickly
        return images(memory.empty(block(x).shape, dtype))
    if x.T.flags.c_contiguous:  # likewise, what a Linear gives
        return memory.empty(x.T.shape, dtype).T
    order = sorted(range(x.ndim), key=lambda axis: -abs(x.strides[axis]))
    inverse = sorted(range(x.ndim), key=order.__getitem__)
    return memory.empty(tuple(x.shape[axis] for axis in order), dtype).transpose(inverse)


def flatten(x: Array, shape: tuple[int, ...]) -> Array:
    """Return x reshaped to ``shape`` in row-major order: a view where possible, else one copy."""
    if x.flags.c_contiguous or shape[0] != x.shape[0]:
        return x.reshape(shape)
    # copy with the batch innermost, as in memory: runs of N numbers, not single ones
    batch_last = np.ascontiguousarray(x.transpose(*range(1, x.ndim), 0)).reshape(*shape[1:], shape[0])
    return batch_last.transpose(-1, *range(len(shape) - 1))


def windows(array: Array, shape: tuple[int, ...], strides: tuple[int, ...]) -> Array:
    """View a contiguous array with other strides, which may overlap; as_strided takes ten times as long."""
    return np.ndarray(shape, array.dtype, array, 0, strides)
