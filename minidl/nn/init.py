"""Initialisers: fill a Parameter in place, from an explicit generator. The defaults are PyTorch's."""

from __future__ import annotations

import math

import numpy as np

from .._random import default_rng
from .parameter import Parameter

__all__ = ["fan_in", "kaiming_uniform_", "uniform_"]


def fan_in(parameter: Parameter) -> int:
    """Return how many inputs each output sees: K for an (M, K) weight, C/groups*KH*KW for a filter bank.

    Raises:
        ValueError: the parameter has fewer than two axes.
    """
    if parameter.data.ndim < 2:
        raise ValueError(f"fan_in needs a parameter of at least two axes, got shape {parameter.shape}")
    return math.prod(parameter.shape[1:])


def uniform_(
    parameter: Parameter, a: float = 0.0, b: float = 1.0, *, rng: np.random.Generator | None = None
) -> Parameter:
    """Fill with values from the uniform distribution on [a, b); return the parameter.

    Args:
        parameter: changed in place.
        a, b: the interval.
        rng: generator; None means minidl's own.
    """
    draw = default_rng(rng).random(parameter.shape, dtype=parameter.data.dtype.type)
    parameter.data[...] = draw * (b - a) + a
    return parameter


def kaiming_uniform_(
    parameter: Parameter, a: float = math.sqrt(5), *, rng: np.random.Generator | None = None
) -> Parameter:
    """Fill with values from U(-bound, bound), bound = sqrt(2 / (1 + a**2)) * sqrt(3 / fan_in); return the parameter.

    Args:
        parameter: changed in place; at least two axes.
        a: slope of the leaky ReLU that follows, as the paper has it.
        rng: generator; None means minidl's own.

    The default a = sqrt(5) gives bound = 1/sqrt(fan_in), which PyTorch uses for Linear and Conv2d.

    Source: He et al., "Delving deep into rectifiers", ICCV 2015, arXiv:1502.01852.
    """
    bound = math.sqrt(2 / (1 + a * a)) * math.sqrt(3 / fan_in(parameter))
    return uniform_(parameter, -bound, bound, rng=rng)
