"""Weights and biases: initial values, for layers that know their input size and for those that do not yet."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import DTypeLike

from . import init
from .parameter import Parameter, filled

__all__ = ["fix_size", "unsized", "weight_and_bias"]


def weight_and_bias(
    shape: tuple[int, ...],
    bias: bool,
    dtype: DTypeLike | None,
    rng: np.random.Generator | None,
    *,
    bias_size: int | None = None,
) -> tuple[Parameter, Parameter | None]:
    """Make the parameters of a linear or convolutional layer, from U(-1/sqrt(fan_in), 1/sqrt(fan_in)).

    Args:
        shape: the weight's shape, outputs first.
        bias: whether there is a bias, one number per output.
        dtype: float32 (None) or float64.
        rng: generator; None means minidl's own.
        bias_size: size of the bias, if it differs from the number of outputs.
    """
    dtype = np.float32 if dtype is None else dtype
    weight = init.kaiming_uniform_(Parameter(np.empty(shape, dtype)), math.sqrt(5), rng=rng)
    if not bias:
        return weight, None
    bound = 1 / math.sqrt(init.fan_in(weight))
    return weight, init.uniform_(Parameter(np.empty(bias_size or shape[0], dtype)), -bound, bound, rng=rng)


def unsized(bias: bool, dtype: DTypeLike | None) -> tuple[Parameter, Parameter | None]:
    """Make empty parameters, for a layer whose input size is not known until `fix_size`."""
    return filled(0, 0, dtype), filled(0, 0, dtype) if bias else None


def fix_size(
    weight: Parameter,
    bias: Parameter | None,
    shape: tuple[int, ...],
    rng: np.random.Generator | None,
) -> None:
    """Set the size and initial values of parameters made by `unsized`; they stay the same objects."""
    sized_weight, sized_bias = weight_and_bias(shape, bias is not None, weight.dtype, rng)
    weight.data = sized_weight.data
    if bias is not None and sized_bias is not None:
        bias.data = sized_bias.data
