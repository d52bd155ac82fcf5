"""Changes of shape in forward and backward pairs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .._core import Array, check_float, check_grad, check_images, check_int
from ._explain import explain

__all__ = [
    "flatten_backward",
    "flatten_forward",
    "flatten_shape",
    "pixel_shuffle_backward",
    "pixel_shuffle_forward",
    "unflatten_backward",
    "unflatten_forward",
]

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


def unflatten_forward(x: Array, dim: int, unflattened_size: tuple[int, ...]) -> tuple[Array, FlattenCache]:
    """Make several axes of one, in row-major order: (N, C*H*W) becomes (N, C, H, W).

    Args:
        x: any shape, float32 or float64.
        dim: the axis.
        unflattened_size: what it becomes; one size may be -1.

    Returns:
        out of x's dtype, and the cache for `unflatten_backward`.

    Raises:
        ValueError: there is no such axis, or its size is not the product.
        TypeError: the dtype is not a float.
    """
    check_float(x)
    if not -x.ndim <= dim < x.ndim:
        raise ValueError(f"cannot unflatten axis {dim} of an input of shape {x.shape}")
    axis, sizes, have = dim % x.ndim, tuple(unflattened_size), x.shape[dim]
    known = math.prod(size for size in sizes if size != -1)
    if (have % known if -1 in sizes and known else have - known) or sizes.count(-1) > 1:
        raise ValueError(f"cannot make {sizes} of axis {dim} of an input of shape {x.shape}")
    shape = (*x.shape[:axis], *(have // known if size == -1 else size for size in sizes), *x.shape[axis + 1 :])
    return x.reshape(shape), (x.shape, shape)


unflatten_backward = flatten_backward


def pixel_shuffle_forward(x: Array, upscale_factor: int) -> tuple[Array, Any]:
    """Make larger images of many channels: out[n, c, h*r + i, w*r + j] = x[n, (c*r + i)*r + j, h, w].

    Args:
        x: images (N, C*r*r, H, W), float32 or float64.
        upscale_factor: r.

    Returns:
        out (N, C, H*r, W*r) of x's dtype, and the cache for `pixel_shuffle_backward`.

    Raises:
        ValueError: the number of channels is not divisible by r*r.
        TypeError: the dtype is not a float.

    Source: Shi et al. 2016, arXiv:1609.05158.
    """
    check_images(x)
    r = check_int("pixel_shuffle", "upscale_factor", upscale_factor)
    n, channels, h, w = x.shape
    if channels % (r * r):
        raise ValueError(f"expected a number of channels divisible by {r * r}, got {channels} (input shape {x.shape})")
    c = channels // (r * r)
    out = x.reshape(n, c, r, r, h, w).transpose(0, 1, 4, 2, 5, 3).reshape(n, c, h * r, w * r)
    return out, (x.shape, out.shape, x.dtype, r)


@explain
def pixel_shuffle_backward(grad_output: Array, cache: Any) -> Array:
    """Gradient of `pixel_shuffle_forward`: the pixels back in their channels.

    Returns:
        dx in x's shape.
    """
    shape, out_shape, dtype, r = cache
    check_grad(grad_output, out_shape, dtype)
    n, c = out_shape[:2]
    return grad_output.reshape(n, c, shape[2], r, shape[3], r).transpose(0, 1, 3, 5, 2, 4).reshape(shape)
