"""Standardising over axes, then scaling and shifting by parameters: what every normalisation layer computes.

y = (x - mean) * inverse_std * weight + bias,   inverse_std = 1 / sqrt(var + eps)

and, with xhat = (x - mean) * inverse_std, means taken over the axes and gw = grad * weight,

dx = inverse_std * (gw - mean(gw) - xhat * mean(gw * xhat)),   dweight = sum(grad * xhat),   dbias = sum(grad)

Given statistics are constants: dx = inverse_std * gw. Statistics that several arrays have jointly, each in a process of
its own, are means over all of them, in dx too; dweight and dbias are then this array's share.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .._core import Array
from .sums import mean_square, moments, product_sums, standardise, standardise_grad, sum_over

__all__ = ["Joint", "Standardised", "normalise", "normalise_grad"]

Axes = tuple[int, ...]


class Joint(NamedTuple):
    """How one array's statistics become those of several arrays together; all numbers are float64."""

    moments: Callable[[int, Array, Array], tuple[int, Array, Array]]  # (count, mean, var), (places,) each
    sums: Callable[[Array], Array]  # sums of grad and of grad * (x - mean), contiguous, which it may overwrite


class Standardised(NamedTuple):
    """What x was standardised with, in shapes that broadcast to it; a mean of None is 0."""

    mean: Array | None
    var: Array
    inverse_std: Array
    weight: Array | None
    has_bias: bool
    axes: Axes  # over which the statistics were taken; none if they were given
    param_shape: tuple[int, ...]
    number: int  # of values in each statistic
    joint: Joint | None


def normalise(
    x: Array,
    axes: Axes,
    eps: float,
    weight: Array | None,
    bias: Array | None,
    param_shape: tuple[int, ...],
    centred: bool,
    given: tuple[Array, Array] | None,
    joint: Joint | None = None,
) -> tuple[Array, Standardised]:
    """Standardise x over ``axes``, then scale and shift.

    Args:
        x: in any shape.
        axes: over which mean and variance are taken.
        eps: added to the variance.
        weight, bias: scale and shift, or None.
        param_shape: the shape in which they, and given statistics, broadcast to x.
        centred: False takes the mean as 0, and the mean square as the variance.
        given: mean and variance to use instead of x's own.
        joint: makes x's own mean and variance those of several arrays; x may be empty then.
    """
    mean: Array | None = None
    count = math.prod(x.shape[axis] for axis in axes)
    if given is not None:
        mean, var = (value.reshape(param_shape) for value in given)
    elif joint is not None:
        count, mean, var = _joint_moments(joint, x, axes, count)
    elif centred:
        mean, var = moments(x, axes)
    else:
        var = mean_square(x, axes)
    inverse_std = (1 / np.sqrt(var + eps)).astype(x.dtype, copy=False)
    factor = inverse_std if weight is None else inverse_std * weight.reshape(param_shape)
    out = standardise(x, mean, factor, None if bias is None else bias.reshape(param_shape))
    taken = () if given is not None else axes
    return out, Standardised(mean, var, inverse_std, weight, bias is not None, taken, param_shape, count, joint)


def _joint_moments(joint: Joint, x: Array, axes: Axes, count: int) -> tuple[int, Array, Array]:
    shape = [1 if axis in axes else size for axis, size in enumerate(x.shape)]
    own = moments(x, axes) if count else (np.zeros(shape), np.zeros(shape))
    count, mean, var = joint.moments(count, *(value.reshape(-1).astype(np.float64) for value in own))
    return count, mean.reshape(shape).astype(x.dtype), var.reshape(shape).astype(x.dtype)


def normalise_grad(grad: Array, x: Array, kept: Standardised) -> tuple[Array, Array | None, Array | None]:
    """Return the gradients of x, weight and bias, the latter of ``param_shape``; None for an absent parameter."""
    mean, _, inverse_std, weight, has_bias, axes, param_shape, count, joint = kept
    shared = tuple(axis for axis in range(x.ndim) if param_shape[axis] == 1)  # the axes along which parameters repeat
    common = tuple(axis for axis in axes if axis in shared) if axes else shared
    sums = product_sums(grad, x, mean, common)
    plain, product = sums[0], sums[1] * inverse_std  # the sums of grad and grad * xhat
    rest = tuple(axis for axis in shared if product.shape[axis] != 1)  # what the engine has not summed
    dw = None if weight is None else sum_over(product, rest, keepdims=True) if rest else product
    db = None if not has_bias else sum_over(plain, rest, keepdims=True) if rest else plain
    scale = np.ones(param_shape, x.dtype) if weight is None else weight.reshape(param_shape)
    factor = inverse_std * scale
    if not axes:
        return standardise_grad(grad, x, mean, factor), dw, db
    if joint is not None:
        plain, product = joint.sums(np.stack(sums).astype(np.float64)).astype(x.dtype)
        product, count = product * inverse_std, max(1, count)
    slope = inverse_std**2 * ((product * scale).sum(axis=axes, keepdims=True) / count)
    shift = None if mean is None else inverse_std * ((plain * scale).sum(axis=axes, keepdims=True) / count)
    return standardise_grad(grad, x, mean, factor, slope, shift), dw, db
