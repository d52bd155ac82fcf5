"""What all normalisations share: they standardise over some axes, then scale and shift.

    xhat = (x - mean) / sqrt(var + eps),     out = xhat * weight + bias

They differ only in the axes of mean and variance: (N, H, W) for a batch norm, (H, W) for an instance norm, a group's
channels and (H, W) for a group norm, the last axes for a layer norm. With g = grad * weight, means over the same axes,

    dx = (g - mean(g) - xhat * mean(g * xhat)) / sqrt(var + eps),     dweight = sum grad * xhat,     dbias = sum grad

and dx = g / sqrt(var + eps) where mean and variance were given, not taken from x. `batch_norm.py` and `layer_norm.py`
say which axes, `sync_batch_norm.py` takes the means over several processes; the passes over memory are the engine's.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from .._core import Array, check_flag, check_float, check_grad, check_number, check_same_dtype
from ..engine import Engine, Joint, current_engine
from .module import Module
from .parameter import Parameter, filled

__all__ = ["Norm", "NormCache", "check_norm", "machine_eps", "norm_backward", "norm_forward"]

Axes = tuple[int, ...]
Given = tuple[Array, Array] | None


class NormCache(NamedTuple):
    """The input as it was standardised, and with what; the shapes of the parameters and the output; the engine."""

    x: Array
    kept: Any
    weight_shape: tuple[int, ...]
    bias_shape: tuple[int, ...]
    shape: tuple[int, ...]
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
    joint: Joint | None = None,
) -> tuple[Array, NormCache, tuple[Array, Array]]:
    """Standardise x over ``axes``, then scale and shift; the arguments are those of the engine's `normalise`.

    Returns the output of ``shape``, the cache for `norm_backward`, and (mean, var), the mean None if it is taken as 0.
    """
    engine = current_engine()
    out, kept = engine.normalise(x, axes, eps, weight, bias, param_shape, centred, given, joint)
    weight_shape, bias_shape = (() if parameter is None else parameter.shape for parameter in (weight, bias))
    return out.reshape(shape), NormCache(x, kept, weight_shape, bias_shape, shape, engine), (kept.mean, kept.var)


def norm_backward(grad_output: Array, cache: NormCache) -> tuple[Array, Array | None, Array | None]:
    """Return (dx, dweight, dbias), by the formula at the top of this file; None for an absent parameter."""
    x, kept, weight_shape, bias_shape, shape, engine = cache
    check_grad(grad_output, shape, x.dtype)
    dx, dw, db = engine.normalise_grad(grad_output.reshape(x.shape), x, kept)
    return (
        dx.reshape(shape),
        None if dw is None else dw.reshape(weight_shape),
        None if db is None else db.reshape(bias_shape),
    )


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
