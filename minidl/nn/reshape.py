"""Layers that only change the shape: Flatten, Unflatten, PixelShuffle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .._core import Array, check_float, check_grad, check_images, check_int
from ..engine import flatten
from .layer import Layer

__all__ = [
    "Flatten",
    "PixelShuffle",
    "Unflatten",
    "flatten_backward",
    "flatten_forward",
    "flatten_shape",
    "pixel_shuffle_backward",
    "pixel_shuffle_forward",
    "unflatten_backward",
    "unflatten_forward",
]


class ShapeCache(NamedTuple):
    """What the backward pass of a reshape needs: the shapes before and after, and the dtype."""

    before: tuple[int, ...]
    after: tuple[int, ...]
    dtype: np.dtype[Any]


def flatten_shape(shape: tuple[int, ...], start_dim: int = 1, end_dim: int = -1) -> tuple[int, ...]:
    """Return ``shape`` with the axes from ``start_dim`` to ``end_dim`` (both included) joined into one.

    Raises:
        ValueError: the axes do not exist, or are in the wrong order.
    """
    ndim = len(shape)
    first, last = (d + ndim if d < 0 else d for d in (start_dim, end_dim))
    if not 0 <= first <= last < ndim:
        raise ValueError(f"cannot flatten axes {start_dim} to {end_dim} of an input of shape {shape}")
    return (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :])


def flatten_forward(x: Array, start_dim: int = 1, end_dim: int = -1) -> tuple[Array, ShapeCache]:
    """Join the axes from start_dim to end_dim, in row-major order: (N, C, H, W) becomes (N, C*H*W).

    x may have any shape. Returns out and the cache for `flatten_backward`. Raises ValueError if the axes do not exist
    or are in the wrong order, TypeError if x is not float32 or float64.
    """
    check_float(x)
    shape = flatten_shape(x.shape, start_dim, end_dim)
    return flatten(x, shape), ShapeCache(x.shape, shape, x.dtype)


def flatten_backward(grad_output: Array, cache: ShapeCache) -> Array:
    """Return the gradient of `flatten_forward`, or of `unflatten_forward`: grad_output in x's shape.

    Returns dx in x's shape, a view where possible. ``grad_output`` must have the output's shape and dtype
    (ValueError, TypeError); ``cache`` is from the forward function.
    """
    return check_grad(grad_output, cache.after, cache.dtype).reshape(cache.before)


def unflatten_forward(x: Array, dim: int, unflattened_size: tuple[int, ...]) -> tuple[Array, ShapeCache]:
    """Split axis dim into unflattened_size, in row-major order: (N, C*H*W) becomes (N, C, H, W).

    x may have any shape; one size may be -1. Returns out and the cache for `unflatten_backward`. Raises ValueError if
    there is no such axis or its size is not the product, TypeError if x is not float32 or float64.
    """
    check_float(x)
    if not -x.ndim <= dim < x.ndim:
        raise ValueError(f"cannot unflatten axis {dim} of an input of shape {x.shape}")
    sizes = tuple(check_int("unflatten", "unflattened_size", size, minimum=-1) for size in unflattened_size)
    axis, have = dim % x.ndim, x.shape[dim]
    known = math.prod(size for size in sizes if size != -1)
    if (have % known if -1 in sizes and known else have - known) or sizes.count(-1) > 1:
        raise ValueError(f"cannot make {sizes} of axis {dim} of an input of shape {x.shape}")
    shape = (*x.shape[:axis], *(have // known if size == -1 else size for size in sizes), *x.shape[axis + 1 :])
    return x.reshape(shape), ShapeCache(x.shape, shape, x.dtype)


unflatten_backward = flatten_backward


def pixel_shuffle_forward(x: Array, upscale_factor: int) -> tuple[Array, ShapeCache]:
    """Turn channels into pixels: out[n, c, h*r + i, w*r + j] = x[n, (c*r + i)*r + j, h, w], r = upscale_factor.

    x is (N, C*r*r, H, W). Returns out (N, C, H*r, W*r) and the cache for `pixel_shuffle_backward`. Raises ValueError if
    r*r does not divide the channels, TypeError if x is not float32 or float64.
    """
    check_images(x)
    r = check_int("pixel_shuffle", "upscale_factor", upscale_factor)
    n, channels, h, w = x.shape
    if channels % (r * r):
        raise ValueError(f"expected a number of channels divisible by {r * r}, got {channels} (input shape {x.shape})")
    c = channels // (r * r)
    out = x.reshape(n, c, r, r, h, w).transpose(0, 1, 4, 2, 5, 3).reshape(n, c, h * r, w * r)
    return out, ShapeCache(x.shape, out.shape, x.dtype)


def pixel_shuffle_backward(grad_output: Array, cache: ShapeCache) -> Array:
    """Return the gradient of `pixel_shuffle_forward`: the pixels moved back to their channels.

    Returns dx (N, C*r*r, H, W). ``grad_output`` must have the output's shape and dtype (ValueError, TypeError);
    ``cache`` is from `pixel_shuffle_forward`.
    """
    check_grad(grad_output, cache.after, cache.dtype)
    (n, channels, h, w), c = cache.before, cache.after[1]
    r = math.isqrt(channels // max(1, c))
    return grad_output.reshape(n, c, h, r, w, r).transpose(0, 1, 3, 5, 2, 4).reshape(cache.before)


class Flatten(Layer):
    """Join several axes into one, in row-major order.

    Args:
        start_dim: first axis to join.
        end_dim: last axis to join; negative ones count from the end.

    Shape:
        input (N, C, H, W), output (N, C*H*W) with the defaults.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.Flatten.html
    """

    _pair = flatten_forward, flatten_backward
    _options = "start_dim", "end_dim"

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = check_int("Flatten", "start_dim", start_dim, minimum=-32)
        self.end_dim = check_int("Flatten", "end_dim", end_dim, minimum=-32)
        if (start_dim < 0) == (end_dim < 0) and start_dim > end_dim:
            raise ValueError(f"Flatten: start_dim must not come after end_dim, got {start_dim} and {end_dim}")


class Unflatten(Layer):
    """Split one axis into several, in row-major order.

    Args:
        dim: the axis.
        unflattened_size: what it becomes, such as (C, H, W); one size may be -1.

    Shape:
        input (N, C*H*W), output (N, C, H, W) with dim=1.
    """

    _pair = unflatten_forward, unflatten_backward
    _options = "dim", "unflattened_size"

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        self.dim = check_int("Unflatten", "dim", dim, minimum=-32)
        if not isinstance(unflattened_size, (tuple, list)):
            raise TypeError(f"Unflatten: unflattened_size must be a tuple of integers, got {unflattened_size!r}")
        sizes = (check_int("Unflatten", "unflattened_size", size, minimum=-1) for size in unflattened_size)
        self.unflattened_size = tuple(sizes)


class PixelShuffle(Layer):
    """Turn channels into pixels: y[n, c, h*r + i, w*r + j] = x[n, (c*r + i)*r + j, h, w].

    Args:
        upscale_factor: r.

    Shape:
        input (N, C*r*r, H, W), output (N, C, H*r, W*r).

    Source: Shi et al. 2016, arXiv:1609.05158.
    """

    _pair = pixel_shuffle_forward, pixel_shuffle_backward
    _options = ("upscale_factor",)

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = check_int("PixelShuffle", "upscale_factor", upscale_factor)
