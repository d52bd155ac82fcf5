# mypy: disable-error-code="no-any-return"
# (what NumPy computes from arrays of either dtype is Any)
"""Normalisations in forward and backward pairs: all of them standardise over some axes, then scale and shift.

    xhat = (x - mean) / sqrt(var + eps),     out = xhat * weight + bias

They differ in the axes of mean and variance only: (N, H, W) for a batch norm, (H, W) for an instance norm, a group's
channels and (H, W) for a group norm, the last axes for a layer norm. With g = grad * weight, means over the same axes,

    dx = (g - mean(g) - xhat * mean(g * xhat)) / sqrt(var + eps),     dweight = sum grad * xhat,     dbias = sum grad

and dx = g / sqrt(var + eps) where mean and variance were given, not taken from x.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .._core import Array, check_float, check_grad, check_int, check_number, check_same_dtype
from .._core.threads import run
from . import _layout
from ._explain import explain

__all__ = [
    "batch_norm_backward",
    "batch_norm_forward",
    "group_norm_backward",
    "group_norm_forward",
    "instance_norm_backward",
    "instance_norm_forward",
    "layer_norm_backward",
    "layer_norm_forward",
    "local_response_norm_backward",
    "local_response_norm_forward",
    "rms_norm_backward",
    "rms_norm_forward",
]

Axes = tuple[int, ...]

# Bytes of x in a piece of work: with what is made of it, it fits a core's second-level cache.
_PIECE = 2**19


class NormCache(NamedTuple):
    """Input as it was standardised; statistics and weight in shapes that broadcast to it."""

    x: Array
    mean: Array | None
    inverse_std: Array
    weight: Array | None
    bias_shape: tuple[int, ...] | None
    axes: Axes  # over which the statistics were taken; none if they were given
    param_shape: tuple[int, ...]
    shape: tuple[int, ...]  # of the input and the output


def _mean_and_var(x: Array, axes: Axes, centred: bool) -> tuple[Array | None, Array]:
    """One pass: sums of x and x**2, x taken relative to its first number, so that a large mean does no harm."""
    count = math.prod(x.shape[axis] for axis in axes)
    first = x[tuple(slice(0, 1) if axis in axes else slice(None) for axis in range(x.ndim))]
    shift = first if centred else np.zeros_like(first)

    def sums(piece: Array, origin: Array) -> tuple[Array, Array]:
        moved = np.subtract(piece, origin, out=_layout.empty_like(piece)) if centred else piece
        return _sum(axes, moved), _sum(axes, moved, moved)

    total, squares = _sums(sums, (x, np.broadcast_to(shift, x.shape)), axes)
    if not centred:
        return None, squares / count
    offset = total / count
    return shift + offset, np.maximum(squares / count - offset * offset, 0)


def _standardise(
    x: Array,
    axes: Axes,
    eps: float,
    weight: Array | None,
    bias: Array | None,
    param_shape: tuple[int, ...],
    shape: tuple[int, ...],
    *,
    centred: bool = True,
    given: tuple[Array, Array] | None = None,
) -> tuple[Array, NormCache, tuple[Array | None, Array]]:
    """Return the output, the cache and (mean, var); in ``param_shape`` weight, bias and given statistics broadcast."""
    if given is None:
        mean, var = _mean_and_var(x, axes, centred)
    else:
        mean, var = (value.reshape(param_shape) for value in given)
    inverse_std = (1 / np.sqrt(var + eps)).astype(x.dtype, copy=False)
    factor = inverse_std if weight is None else inverse_std * weight.reshape(param_shape)

    def work(target: Array, piece: Array, scale: Array, centre: Array | None, shift: Array | None) -> None:
        if centre is None:
            np.multiply(piece, scale, out=target)
        else:
            np.subtract(piece, centre, out=target)
            target *= scale
        if shift is not None:
            target += shift

    out = _elementwise(work, x, factor, mean, None if bias is None else bias.reshape(param_shape))
    own = () if given is not None else axes
    bias_shape = None if bias is None else bias.shape
    cache = NormCache(x, mean, inverse_std, weight, bias_shape, own, param_shape, shape)
    return out.reshape(shape), cache, (mean, var)


def _backward(grad_output: Array, cache: NormCache) -> tuple[Array, Array | None, Array | None]:
    x, mean, inverse_std, weight, bias_shape, axes, param_shape, shape = cache
    check_grad(grad_output, shape, x.dtype)
    grad = grad_output.reshape(x.shape)
    over = tuple(axis for axis in range(x.ndim) if param_shape[axis] == 1)  # over which parameters are shared
    common = tuple(axis for axis in axes if axis in over) if axes else over
    scale = np.ones(param_shape, x.dtype) if weight is None else weight.reshape(param_shape)

    def sums(g: Array, piece: Array, *centre: Array) -> tuple[Array, Array]:
        centred = np.subtract(piece, centre[0], out=_layout.empty_like(piece)) if centre else piece
        return _sum(common, g), _sum(common, g, centred)

    plain, product = _sums(sums, (grad, x, *(() if mean is None else (np.broadcast_to(mean, x.shape),))), common)
    product = product * inverse_std  # sum of grad * xhat
    dw = None if weight is None else product.sum(axis=over, keepdims=True).reshape(weight.shape)
    db = None if bias_shape is None else plain.sum(axis=over, keepdims=True).reshape(bias_shape)
    factor = inverse_std * scale
    if not axes:
        return _elementwise(lambda target, g, w: np.multiply(g, w, out=target), grad, factor).reshape(shape), dw, db
    count = math.prod(x.shape[axis] for axis in axes)
    slope = inverse_std**2 * ((product * scale).sum(axis=axes, keepdims=True) / count)
    shift = None if mean is None else inverse_std * ((plain * scale).sum(axis=axes, keepdims=True) / count)

    def work(target: Array, g: Array, piece: Array, w: Array, m: Array, centre: Any, c: Any) -> None:
        if centre is None:
            np.multiply(piece, m, out=target)
        else:
            np.subtract(piece, centre, out=target)
            target *= m
        np.subtract(np.multiply(g, w, out=_layout.empty_like(piece)), target, out=target)
        if c is not None:
            target -= c

    dx = _elementwise(work, grad, x, factor, slope, mean, shift)
    return dx.reshape(shape), dw, db


def _sum(axes: Axes, *factors: Array) -> Array:
    """Sum the product of arrays of one shape over ``axes``, which are kept with size 1; the product is not stored."""
    rank = factors[0].ndim
    operands = [operand for factor in factors for operand in (factor, range(rank))]
    kept = [axis for axis in range(rank) if axis not in axes]
    return np.expand_dims(np.einsum(*operands, kept), axes)


def _sums(function: Callable[..., tuple[Array, ...]], arrays: tuple[Array, ...], axes: Axes) -> list[Array]:
    """Add up what ``function`` returns for each piece of the arrays: sums over ``axes``, which are kept with size 1."""
    cuts = _layout.pieces(*arrays, size=_PIECE)
    parts = run(lambda piece: function(*piece), cuts)
    if len(parts) == 1:
        return list(parts[0])
    cut_axis = next(axis for axis in range(arrays[0].ndim) if cuts[0][0].shape[axis] != arrays[0].shape[axis])
    if cut_axis in axes:
        return [np.add.reduce(same) for same in zip(*parts, strict=True)]
    return [np.concatenate(same, axis=cut_axis) for same in zip(*parts, strict=True)]


def _elementwise(function: Callable[..., object], x: Array, *others: Array | None) -> Array:
    """Have ``function`` fill its first argument from x and arrays that broadcast to it, or None, piece by piece."""
    out = _layout.empty_like(x)
    there = [np.broadcast_to(other, x.shape) for other in others if other is not None]

    def work(piece: tuple[Array, ...]) -> None:
        target, first, *rest = piece
        some = iter(rest)
        function(target, first, *(None if other is None else next(some) for other in others))

    run(work, _layout.pieces(out, x, *there, size=_PIECE))
    return out


def _check(x: Array, channels: int | None, weight: Array | None, bias: Array | None) -> None:
    check_float(x)
    if channels is not None and (x.ndim < 2 or x.shape[1] != channels):
        raise ValueError(f"expected an input of shape (N, {channels}, ...), got {x.shape}")
    for parameter in (weight, bias):
        if parameter is not None:
            check_same_dtype(x, parameter)


def batch_norm_forward(
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    running: tuple[Array, Array] | None = None,
    eps: float = 1e-5,
) -> tuple[Array, NormCache, tuple[Array, Array]]:
    """Standardise each channel over the batch and all pixels, then scale and shift; see the head of this file.

    Args:
        x: (N, C) or (N, C, L) or (N, C, H, W), float32 or float64.
        weight, bias: (C,) of the same dtype, or None.
        running: (mean, var), (C,) each, to be used in place of x's own: evaluation.
        eps: added to the variance.

    Returns:
        out of x's shape and dtype; the cache for `batch_norm_backward`; (mean, var), (C,) each, var divided by the
        number of values, not by one less.

    Raises:
        ValueError: the shapes do not fit, or there is but one value per channel to take statistics of.
        TypeError: the dtypes do not fit.

    Source: Ioffe & Szegedy 2015, arXiv:1502.03167;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.BatchNorm2d.html
    """
    _check(x, None, weight, bias)
    if x.ndim < 2:
        raise ValueError(f"expected an input of shape (N, C, ...), got {x.shape}")
    channels = x.shape[1]
    for parameter in (weight, bias, *(running or ())):
        if parameter is not None and parameter.shape != (channels,):
            raise ValueError(f"expected {len(parameter)} channels, got {channels} (input shape {x.shape})")
    if running is None and x.size == channels:
        raise ValueError(f"expected more than one value per channel when training, got input shape {x.shape}")
    if not x.size:  # an empty batch has no statistics
        running = np.zeros(channels, x.dtype), np.ones(channels, x.dtype)
    axes = (0, *range(2, x.ndim))
    param_shape = (1, channels, *(1,) * (x.ndim - 2))
    out, cache, (mean, var) = _standardise(x, axes, eps, weight, bias, param_shape, x.shape, given=running)
    assert mean is not None
    return out, cache, (mean.reshape(channels), var.reshape(channels))


def instance_norm_forward(
    x: Array, weight: Array | None = None, bias: Array | None = None, *, eps: float = 1e-5
) -> tuple[Array, NormCache, tuple[Array, Array]]:
    """Standardise each channel of each sample over its pixels, then scale and shift; see the head of this file.

    Args:
        x: (N, C, L) or (N, C, H, W), float32 or float64.
        weight, bias: (C,) of the same dtype, or None.
        eps: added to the variance.

    Returns:
        out of x's shape and dtype; the cache for `instance_norm_backward`; (mean, var), (N, C) each, var divided by
        the number of pixels.

    Raises:
        ValueError: the shapes do not fit, or there is but one pixel.
        TypeError: the dtypes do not fit.

    Source: Ulyanov et al. 2016, arXiv:1607.08022.
    """
    _check(x, None if weight is None else len(weight), weight, bias)
    if x.ndim < 3:
        raise ValueError(f"expected an input of shape (N, C, L) or (N, C, H, W), got {x.shape}")
    if math.prod(x.shape[2:]) == 1:
        raise ValueError(f"expected more than one pixel, got input shape {x.shape}")
    param_shape = (1, x.shape[1], *(1,) * (x.ndim - 2))
    out, cache, (mean, var) = _standardise(x, tuple(range(2, x.ndim)), eps, weight, bias, param_shape, x.shape)
    assert mean is not None
    return out, cache, (mean.reshape(x.shape[:2]), var.reshape(x.shape[:2]))


def group_norm_forward(
    x: Array, num_groups: int, weight: Array | None = None, bias: Array | None = None, *, eps: float = 1e-5
) -> tuple[Array, NormCache]:
    """Standardise groups of channels of each sample, then scale and shift; see the head of this file.

    Args:
        x: (N, C, ...), float32 or float64.
        num_groups: divides C.
        weight, bias: (C,) of the same dtype, or None.
        eps: added to the variance.

    Returns:
        out of x's shape and dtype, and the cache for `group_norm_backward`.

    Raises:
        ValueError: the shapes do not fit.
        TypeError: the dtypes do not fit.

    Source: Wu & He 2018, arXiv:1803.08494.
    """
    _check(x, None if weight is None else len(weight), weight, bias)
    check_int("group_norm", "num_groups", num_groups)
    if x.ndim < 2 or x.shape[1] % num_groups:
        raise ValueError(f"expected a number of channels divisible by num_groups={num_groups}, got shape {x.shape}")
    n, c, *pixels = x.shape
    grouped = x.reshape(n, num_groups, c // num_groups, *pixels)
    param_shape = (1, num_groups, c // num_groups, *(1 for _ in pixels))
    axes = tuple(range(2, grouped.ndim))
    out, cache, _ = _standardise(grouped, axes, eps, weight, bias, param_shape, x.shape)
    return out, cache


def layer_norm_forward(
    x: Array, ndim: int, weight: Array | None = None, bias: Array | None = None, *, eps: float = 1e-5
) -> tuple[Array, NormCache]:
    """Standardise over the last axes of each sample, then scale and shift; see the head of this file.

    Args:
        x: (N, ..., D1, ..., Dk), float32 or float64.
        ndim: how many axes, k.
        weight, bias: (D1, ..., Dk) of the same dtype, or None.
        eps: added to the variance.

    Returns:
        out of x's shape and dtype, and the cache for `layer_norm_backward`.

    Raises:
        ValueError: the shapes do not fit.
        TypeError: the dtypes do not fit.

    Source: Ba et al. 2016, arXiv:1607.06450.
    """
    axes, param_shape = _last(x, ndim, weight, bias)
    out, cache, _ = _standardise(x, axes, eps, weight, bias, param_shape, x.shape)
    return out, cache


def rms_norm_forward(x: Array, ndim: int, weight: Array | None = None, *, eps: float) -> tuple[Array, NormCache]:
    """Divide by the root of the mean square over the last axes, then scale: out = x / sqrt(mean(x**2) + eps) * weight.

    Args:
        x: (N, ..., D1, ..., Dk), float32 or float64.
        ndim: how many axes, k.
        weight: (D1, ..., Dk) of the same dtype, or None.
        eps: added to the mean square.

    Returns:
        out of x's shape and dtype, and the cache for `rms_norm_backward`.

    Raises:
        ValueError: the shapes do not fit.
        TypeError: the dtypes do not fit.

    Source: Zhang & Sennrich 2019, arXiv:1910.07467.
    """
    axes, param_shape = _last(x, ndim, weight, None)
    out, cache, _ = _standardise(x, axes, eps, weight, None, param_shape, x.shape, centred=False)
    return out, cache


def _last(x: Array, ndim: int, weight: Array | None, bias: Array | None) -> tuple[Axes, tuple[int, ...]]:
    _check(x, None, weight, bias)
    for parameter in (weight, bias):
        if parameter is not None and parameter.shape != x.shape[-ndim:]:
            raise ValueError(f"expected an input whose last axes are {parameter.shape}, got shape {x.shape}")
    return tuple(range(x.ndim - ndim, x.ndim)), (*(1,) * (x.ndim - ndim), *x.shape[-ndim:])


@explain
def batch_norm_backward(grad_output: Array, cache: NormCache) -> tuple[Array, Array | None, Array | None]:
    """Gradients of a normalisation with weight and bias; the formula is at the head of this file.

    The cache says what to do: this is also `instance_norm_backward`, `group_norm_backward` and `layer_norm_backward`.

    Returns:
        (dx, dweight, dbias) in the shapes of x and the parameters; None for a parameter that is not there.
    """
    return _backward(grad_output, cache)


instance_norm_backward = group_norm_backward = layer_norm_backward = batch_norm_backward


@explain
def rms_norm_backward(grad_output: Array, cache: NormCache) -> tuple[Array, Array | None]:
    """Gradients of `rms_norm_forward`; the formula is at the head of this file.

    Returns:
        (dx, dweight) in the shapes of x and the parameters; None for a parameter that is not there.
    """
    return _backward(grad_output, cache)[:2]


def local_response_norm_forward(
    x: Array, size: int, *, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> tuple[Array, Any]:
    """Divide each channel by its neighbours: out[c] = x[c] / (k + alpha/size * sum of x[c']**2)**beta.

    The sum is over the channels c' from c - size//2 to c + (size-1)//2 that there are.

    Args:
        x: (N, C, ...), float32 or float64.
        size: number of channels in a neighbourhood.
        alpha, beta, k: as in the formula.

    Returns:
        out of x's shape and dtype, and the cache for `local_response_norm_backward`.

    Raises:
        ValueError: x has no channels, or size is less than 1.
        TypeError: the dtype is not a float.

    Source: Krizhevsky et al. 2012; https://docs.pytorch.org/docs/stable/generated/torch.nn.LocalResponseNorm.html
    """
    check_float(x)
    check_int("local_response_norm", "size", size)
    check_number("local_response_norm", "k", k, minimum=float("-inf"))
    if x.ndim < 3:
        raise ValueError(f"expected an input of shape (N, C, ...) with at least 3 axes, got {x.shape}")
    divisor = k + alpha / size * _over_channels(x * x, size // 2, (size - 1) // 2)
    return x * divisor**-beta, (x, divisor, size, alpha, beta)


@explain
def local_response_norm_backward(grad_output: Array, cache: Any) -> Array:
    """Gradient of `local_response_norm_forward`.

    dx = grad * d**-beta - 2*alpha*beta/size * x * sum of grad[c'] * x[c'] * d[c']**(-beta-1), d the quantity in
    parentheses and the sum over the channels c' in whose neighbourhood c is.

    Returns:
        dx of x's shape and dtype.
    """
    x, divisor, size, alpha, beta = cache
    check_grad(grad_output, x.shape, x.dtype)
    spread = _over_channels(grad_output * x * divisor ** (-beta - 1), (size - 1) // 2, size // 2)
    return grad_output * divisor**-beta - 2 * alpha * beta / size * x * spread


def _over_channels(x: Array, before: int, after: int) -> Array:
    """Sum each channel with so many before and after it."""
    total, channels = np.zeros_like(x), x.shape[1]
    for offset in range(-min(before, channels - 1), min(after, channels - 1) + 1):
        into = slice(max(0, -offset), channels - max(0, offset))
        total[:, into] += x[:, into.start + offset : into.stop + offset]
    return total
