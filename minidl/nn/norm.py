"""What all normalisations share: they standardise over some axes, then scale and shift.

    xhat = (x - mean) / sqrt(var + eps),     out = xhat * weight + bias

They differ only in the axes of mean and variance: (N, H, W) for a batch norm, (H, W) for an instance norm, a group's
channels and (H, W) for a group norm, the last axes for a layer norm. With g = grad * weight, means over the same axes,

    dx = (g - mean(g) - xhat * mean(g * xhat)) / sqrt(var + eps),     dweight = sum grad * xhat,     dbias = sum grad

and dx = g / sqrt(var + eps) where mean and variance were given, not taken from x. `batch_norm.py` and `layer_norm.py`
say which axes; the passes over memory are the engine's.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from .._core import Array, check_flag, check_float, check_grad, check_number, check_same_dtype
from ..engine import Engine, current_engine, sum_over
from .module import Module
from .parameter import Parameter, filled

__all__ = ["Norm", "NormCache", "check_norm", "machine_eps", "norm_backward", "norm_forward"]

Axes = tuple[int, ...]
Given = tuple[Array, Array] | None


class NormCache(NamedTuple):
    """Input as it was standardised; statistics and weight in shapes that broadcast to it; the engine."""

    x: Array
    mean: Array | None
    inverse_std: Array
    weight: Array | None
    bias_shape: tuple[int, ...] | None
    axes: Axes  # over which the statistics were taken; none if they were given
    param_shape: tuple[int, ...]
    shape: tuple[int, ...]  # of the input and the output
    engine: Engine


def norm_forward(
    x: Array,
    axes: Axes,
    eps: float,
    weight: Array | None,
    bias: Array | None,
    param_shape: tuple[int, ...],
    shape: tuple[int, ...],
    *,
    centred: bool = True,
    given: Given = None,
) -> tuple[Array, NormCache, tuple[Array | None, Array]]:
    """Standardise x over ``axes``, then scale and shift.

    Args:
        x: input in the shape in which it is standardised.
        axes: over which mean and variance are taken.
        eps: added to the variance.
        weight, bias: scale and shift, or None.
        param_shape: the shape in which they, and given statistics, broadcast to x.
        shape: of the output.
        centred: False takes the mean as 0 (RMS normalisation).
        given: mean and variance to use instead of x's own.

    Returns:
        the output, the cache for `norm_backward`, and (mean, var), the mean None if it is taken as 0.
    """
    engine = current_engine()
    mean: Array | None = None
    if given is not None:
        mean, var = (value.reshape(param_shape) for value in given)
    elif centred:
        mean, var = engine.moments(x, axes)
    else:
        var = engine.mean_square(x, axes)
    inverse_std = (1 / np.sqrt(var + eps)).astype(x.dtype, copy=False)
    factor = inverse_std if weight is None else inverse_std * weight.reshape(param_shape)
    out = engine.standardise(x, mean, factor, None if bias is None else bias.reshape(param_shape))
    taken = () if given is not None else axes
    bias_shape = None if bias is None else bias.shape
    cache = NormCache(x, mean, inverse_std, weight, bias_shape, taken, param_shape, shape, engine)
    return out.reshape(shape), cache, (mean, var)


def norm_backward(grad_output: Array, cache: NormCache) -> tuple[Array, Array | None, Array | None]:
    """Return (dx, dweight, dbias), by the formula at the top of this file; None for an absent parameter."""
    x, mean, inverse_std, weight, bias_shape, axes, param_shape, shape, engine = cache
    check_grad(grad_output, shape, x.dtype)
    grad = grad_output.reshape(x.shape)
    shared = tuple(axis for axis in range(x.ndim) if param_shape[axis] == 1)  # the axes along which parameters repeat
    common = tuple(axis for axis in axes if axis in shared) if axes else shared
    plain, product = engine.product_sums(grad, x, mean, common)
    product = product * inverse_std  # the sum of grad * xhat
    rest = tuple(axis for axis in shared if product.shape[axis] != 1)  # what the engine has not summed
    dw = None if weight is None else (sum_over(product, rest) if rest else product).reshape(weight.shape)
    db = None if bias_shape is None else (sum_over(plain, rest) if rest else plain).reshape(bias_shape)
    scale = np.ones(param_shape, x.dtype) if weight is None else weight.reshape(param_shape)
    factor = inverse_std * scale
    if not axes:
        return engine.standardise_grad(grad, x, mean, factor).reshape(shape), dw, db
    count = math.prod(x.shape[axis] for axis in axes)
    slope = inverse_std**2 * ((product * scale).sum(axis=axes, keepdims=True) / count)
    shift = None if mean is None else inverse_std * ((plain * scale).sum(axis=axes, keepdims=True) / count)
    return engine.standardise_grad(grad, x, mean, factor, slope, shift).reshape(shape), dw, db


def check_norm(x: Array, channels: int | None, weight: Array | None, bias: Array | None) -> None:
    """Check the dtypes, and the number of channels (axis 1) unless it is None."""
    check_float(x)
    if channels is not None and (x.ndim < 2 or x.shape[1] != channels):
        raise ValueError(f"expected an input of shape (N, {channels}, ...), got {x.shape}")
    for parameter in (weight, bias):
        if parameter is not None:
            check_same_dtype(x, parameter)


def machine_eps(x: Array) -> float:
    """Return the machine epsilon of x's dtype."""
    return float(np.finfo(check_float(x).dtype).eps)


class Norm(Module):
    """Base of the normalisation layers: a scale and a shift, and their gradients."""

    weight: Parameter | None
    bias: Parameter | None
    eps: float | None

    def _make(
        self, shape: int | tuple[int, ...], eps: float | None, affine: bool, bias: bool, dtype: DTypeLike | None
    ) -> None:
        owner = type(self).__name__
        self.eps = eps if eps is None else check_number(owner, "eps", eps)
        check_flag(owner, "bias", bias)
        self.weight = filled(shape, 1, dtype) if affine else None
        self.bias = filled(shape, 0, dtype) if affine and bias else None

    def _eps(self, x: Array) -> float:
        return machine_eps(x) if self.eps is None else self.eps

    def _parameters(self) -> tuple[Array | None, Array | None]:
        return (None if self.weight is None else self.weight.data), (None if self.bias is None else self.bias.data)

    def backward(self, grad_output: Array) -> Array:
        """Add the gradients of scale and shift; return that of the input."""
        dx, *grads = norm_backward(grad_output, self.take_saved())
        for parameter, grad in zip((self.weight, self.bias), grads, strict=True):
            if parameter is not None and grad is not None:
                parameter.add_grad(grad)
        return dx

    def multiply_adds(self, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> int:
        """One for each number: the scale and shift."""
        return math.prod(output_shape)
