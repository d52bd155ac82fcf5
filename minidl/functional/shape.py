"""Flattening in forward and backward pairs."""

from __future__ import annotations

import math

import numpy as np

from ._checks import Array, check_float, check_grad

__all__ = ["flatten_backward", "flatten_forward", "flatten_shape"]

FlattenCache = tuple[tuple[int, ...], tuple[int, ...]]


def flatten_shape(shape: tuple[int, ...], start_dim: int = 1, end_dim: int = -1) -> tuple[int, ...]:
    """Return ``shape`` with the axes from ``start_dim`` to ``end_dim`` (both included) made one.

    Raises:
        ValueError: the axes do not exist, or are in the wrong order.
    """
    ndim = len(shape)
    first, last = (d + ndim if d < 0 else d for d in (start_dim, end_dim))
    if not 0 <= first <= last < ndim:
        raise ValueError(f"cannot flatten axes {start_dim} to {end_dim} of an input of shape {shape}")
    return (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :])


def flatten_forward(x: Array, start_dim: int = 1, end_dim: int = -1) -> tuple[Array, FlattenCache]:
    """Make one axis of several, in row-major order: (N, C, H, W) becomes (N, C*H*W).

    Args:
        x: any shape, float32 or float64.
        start_dim, end_dim: first and last axis to join; negative ones count from the end.

    Returns:
        out of x's dtype, and the cache for `flatten_backward`.

    Raises:
        ValueError: the axes do not exist, or are in the wrong order.
        TypeError: the dtype is not a float.
    """
    check_float(x)
    shape = flatten_shape(x.shape, start_dim, end_dim)
    if x.flags.c_contiguous or shape[0] != x.shape[0]:
        return x.reshape(shape), (x.shape, shape)
    # Copy with the batch innermost, as image batches lie in memory: runs of N, not single elements.
    batch_last = np.ascontiguousarray(x.transpose(*range(1, x.ndim), 0)).reshape(*shape[1:], shape[0])
    return batch_last.transpose(-1, *range(len(shape) - 1)), (x.shape, shape)


def flatten_backward(grad_output: Array, cache: FlattenCache) -> Array:
    """Gradient of `flatten_forward`: grad_output in x's shape.

    Args:
        grad_output: gradient of the output.
        cache: from `flatten_forward`.

    Returns:
        dx in x's shape, a view where possible.

    Raises:
        ValueError, TypeError: grad_output has not the output's shape, or is not a float.
    """
    in_shape, out_shape = cache
    check_float(grad_output, "grad_output")
    return check_grad(grad_output, out_shape, grad_output.dtype).reshape(in_shape)
