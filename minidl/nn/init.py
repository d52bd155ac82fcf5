"""Initialisers: fill a Parameter, or an array such as its ``data``, in place. The defaults are PyTorch's.

Random numbers come from an explicit generator. What was given is returned.
All raise RuntimeError for a parameter that has no size yet, because its layer was made without an input size.
"""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np

from .._core import Array, check_choice, check_number, default_rng
from .parameter import Parameter
from .unsized import check_sized

__all__ = [
    "calculate_gain",
    "constant_",
    "dirac_",
    "eye_",
    "fan_in",
    "fan_out",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "sparse_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]


# what is filled: what comes in is what comes out
P = TypeVar("P", Parameter, Array)


def _values(owner: str, parameter: Parameter | Array) -> Array:
    """Return the array to fill, or raise TypeError."""
    data = parameter.data if isinstance(parameter, Parameter) else parameter
    if not isinstance(data, np.ndarray) or data.dtype.kind != "f":
        what = f"an array of {data.dtype}" if isinstance(data, np.ndarray) else repr(data)
        raise TypeError(f"{owner}: expected a Parameter or an array of floats, got {what}")
    check_sized(owner, data)
    return data


def fan_in(parameter: P) -> int:
    """Return how many inputs each output sees: K for an (M, K) weight, C/groups*KH*KW for a filter bank.

    Raises:
        ValueError: the parameter has fewer than two axes.
    """
    data = _values("init.fan_in", parameter)
    if data.ndim < 2:
        raise ValueError(f"fan_in needs a parameter of at least two axes, got shape {data.shape}")
    return math.prod(data.shape[1:])


def uniform_(parameter: P, a: float = 0.0, b: float = 1.0, *, rng: np.random.Generator | None = None) -> P:
    """Fill with values from the uniform distribution on [a, b); return the parameter.

    Args:
        parameter: changed in place.
        a, b: the interval.
        rng: generator; None means minidl's own.
    """
    data = _values("init.uniform_", parameter)
    draw = default_rng(rng).random(data.shape, dtype=data.dtype.type)
    data[...] = draw * (b - a) + a
    return parameter


def fan_out(parameter: P) -> int:
    """Return how many outputs each input reaches: M for an (M, K) weight, F*KH*KW for a filter bank.

    Raises:
        ValueError: the parameter has fewer than two axes.
    """
    fan_in(parameter)
    shape = _values("init.fan_out", parameter).shape
    return int(shape[0] * math.prod(shape[2:]))


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Return the factor on an initialiser's standard deviation for the activation that follows, as in PyTorch.

    Args:
        nonlinearity: 'linear', 'conv1d', 'conv2d', 'sigmoid' (1), 'tanh' (5/3), 'relu' (sqrt(2)), 'leaky_relu'
            (sqrt(2 / (1 + param**2))) or 'selu' (3/4).
        param: negative slope of the leaky ReLU; None means 0.01.

    Raises:
        ValueError: the nonlinearity is unknown.
    """
    slope = 0.01 if param is None else float(param)
    gains = dict.fromkeys(("linear", "conv1d", "conv2d", "sigmoid"), 1.0)
    gains |= {"tanh": 5 / 3, "relu": math.sqrt(2), "leaky_relu": math.sqrt(2 / (1 + slope**2)), "selu": 0.75}
    return gains[check_choice("calculate_gain", "nonlinearity", nonlinearity, tuple(gains))]


def normal_(parameter: P, mean: float = 0.0, std: float = 1.0, *, rng: np.random.Generator | None = None) -> P:
    """Fill with values from the normal distribution; return the parameter.

    Args:
        parameter: changed in place.
        mean, std: of the distribution.
        rng: generator; None means minidl's own.
    """
    data = _values("init.normal_", parameter)
    data[...] = default_rng(rng).standard_normal(data.shape, data.dtype.type) * std + mean
    return parameter


def trunc_normal_(
    parameter: P,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    *,
    rng: np.random.Generator | None = None,
) -> P:
    """Fill with values from the normal distribution, redrawn until they lie in [a, b]; return the parameter.

    Args:
        parameter: changed in place.
        mean, std: of the distribution before truncation.
        a, b: the limits.
        rng: generator; None means minidl's own.

    Raises:
        ValueError: almost no values would be drawn within the limits.
    """
    data = _values("init.trunc_normal_", parameter)
    if not a < b or a > mean + 4 * std or b < mean - 4 * std:
        raise ValueError(f"trunc_normal_: the limits [{a}, {b}] are too far from mean {mean} with std {std}")
    generator = default_rng(rng)
    values = generator.standard_normal(data.shape) * std + mean
    while (outside := (values < a) | (values > b)).any():
        values[outside] = generator.standard_normal(int(outside.sum())) * std + mean
    data[...] = values
    return parameter


def constant_(parameter: P, val: float) -> P:
    """Fill with one value; return the parameter."""
    data = _values("init.constant_", parameter)
    data.fill(val)
    return parameter


def ones_(parameter: P) -> P:
    """Fill with ones; return the parameter."""
    return constant_(parameter, 1)


def zeros_(parameter: P) -> P:
    """Fill with zeros; return the parameter."""
    return constant_(parameter, 0)


def eye_(parameter: P) -> P:
    """Make an (M, K) weight the identity; return the parameter.

    Raises:
        ValueError: the parameter does not have two axes.
    """
    data = _values("init.eye_", parameter)
    if data.ndim != 2:
        raise ValueError(f"eye_ needs a parameter of two axes, got shape {data.shape}")
    data[...] = np.eye(data.shape[0], data.shape[1])
    return parameter


def dirac_(parameter: P, groups: int = 1) -> P:
    """Make filters (F, C/groups, ...) pass their group's first channels on unchanged; return the parameter.

    Args:
        parameter: changed in place; three to five axes.
        groups: divides F.

    Raises:
        ValueError: the axes or groups do not fit.
    """
    data = _values("init.dirac_", parameter)
    shape: tuple[int, ...] = data.shape
    if len(shape) not in (3, 4, 5) or shape[0] % groups:
        raise ValueError(f"dirac_ needs filters of 3 to 5 axes whose number {groups} groups divide, got shape {shape}")
    data.fill(0)
    for group in range(groups):
        for channel in range(min(shape[0] // groups, shape[1])):
            filters = group * (shape[0] // groups) + channel
            data[(filters, channel, *(size // 2 for size in shape[2:]))] = 1
    return parameter


def orthogonal_(parameter: P, gain: float = 1.0, *, rng: np.random.Generator | None = None) -> P:
    """Make the rows (or columns, if there are fewer) of a weight orthogonal and of length ``gain``; return it.

    Args:
        parameter: changed in place; at least two axes, all but the first flattened.
        gain: the length.
        rng: generator; None means minidl's own.

    Source: Saxe et al. 2013, arXiv:1312.6120.
    """
    data = _values("init.orthogonal_", parameter)
    rows, columns = data.shape[0], fan_in(parameter)
    draw = default_rng(rng).standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(draw)
    q *= np.sign(np.diag(r))  # so that all orthogonal matrices are equally likely
    data[...] = gain * (q if rows >= columns else q.T).reshape(data.shape)
    return parameter


def sparse_(parameter: P, sparsity: float, std: float = 0.01, *, rng: np.random.Generator | None = None) -> P:
    """Fill an (M, K) weight with normal values, except for a share of zeros in each column; return the parameter.

    Args:
        parameter: changed in place; two axes.
        sparsity: the share of zeros, rounded up.
        std: of the normal distribution.
        rng: generator; None means minidl's own.

    Raises:
        ValueError: the parameter does not have two axes.
    """
    data = _values("init.sparse_", parameter)
    if data.ndim != 2:
        raise ValueError(f"sparse_ needs a parameter of two axes, got shape {data.shape}")
    rows, columns = data.shape
    generator = default_rng(rng)
    normal_(parameter, 0.0, std, rng=generator)
    zeros = math.ceil(check_number("sparse_", "sparsity", sparsity, maximum=1.0) * rows)
    order = generator.permuted(np.tile(np.arange(rows)[:, None], columns), axis=0)[:zeros]
    np.put_along_axis(data, order, 0, axis=0)
    return parameter


def xavier_uniform_(parameter: P, gain: float = 1.0, *, rng: np.random.Generator | None = None) -> P:
    """Fill with values from U(-bound, bound), bound = gain * sqrt(6 / (fan_in + fan_out)); return the parameter.

    Args:
        parameter: changed in place; at least two axes.
        gain: see `calculate_gain`.
        rng: generator; None means minidl's own.

    Source: Glorot & Bengio 2010.
    """
    bound = gain * math.sqrt(6 / (fan_in(parameter) + fan_out(parameter)))
    return uniform_(parameter, -bound, bound, rng=rng)


def xavier_normal_(parameter: P, gain: float = 1.0, *, rng: np.random.Generator | None = None) -> P:
    """Fill with values from a normal distribution with std gain * sqrt(2 / (fan_in + fan_out)); return the parameter.

    Args:
        parameter: changed in place; at least two axes.
        gain: see `calculate_gain`.
        rng: generator; None means minidl's own.

    Source: Glorot & Bengio 2010.
    """
    return normal_(parameter, 0.0, gain * math.sqrt(2 / (fan_in(parameter) + fan_out(parameter))), rng=rng)


def _kaiming_std(parameter: P, a: float, mode: str, nonlinearity: str) -> float:
    fan = {"fan_in": fan_in, "fan_out": fan_out}[check_choice("kaiming", "mode", mode, ("fan_in", "fan_out"))](
        parameter
    )
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


def kaiming_normal_(
    parameter: P,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    *,
    rng: np.random.Generator | None = None,
) -> P:
    """Fill with values from a normal distribution with std gain / sqrt(fan); return the parameter.

    Args:
        parameter: changed in place; at least two axes.
        a: slope of the leaky ReLU that follows.
        mode: 'fan_in' keeps the variance forward, 'fan_out' backward.
        nonlinearity: what follows; see `calculate_gain`.
        rng: generator; None means minidl's own.

    Source: He et al., "Delving deep into rectifiers", ICCV 2015, arXiv:1502.01852.
    """
    return normal_(parameter, 0.0, _kaiming_std(parameter, a, mode, nonlinearity), rng=rng)


def kaiming_uniform_(
    parameter: P,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    *,
    rng: np.random.Generator | None = None,
) -> P:
    """Fill with values from U(-bound, bound), bound = gain * sqrt(3 / fan); return the parameter.

    Args:
        parameter: changed in place; at least two axes.
        a: slope of the leaky ReLU that follows.
        mode: 'fan_in' keeps the variance forward, 'fan_out' backward.
        nonlinearity: what follows; see `calculate_gain`.
        rng: generator; None means minidl's own.

    Linear and Conv2d use a = sqrt(5), which gives bound = 1/sqrt(fan_in), as PyTorch does.

    Source: He et al., "Delving deep into rectifiers", ICCV 2015, arXiv:1502.01852.
    """
    bound = math.sqrt(3) * _kaiming_std(parameter, a, mode, nonlinearity)
    return uniform_(parameter, -bound, bound, rng=rng)
