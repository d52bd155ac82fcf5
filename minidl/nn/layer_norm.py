"""Normalisations of each sample separately: over groups of channels, and over the last axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .._core import Array, check_flag, check_int
from .batch_norm import batch_norm_backward
from .norm import Norm, NormCache, check_norm, norm_backward, norm_forward

__all__ = [
    "GroupNorm",
    "LayerNorm",
    "RMSNorm",
    "group_norm_backward",
    "group_norm_forward",
    "layer_norm_backward",
    "layer_norm_forward",
    "rms_norm_backward",
    "rms_norm_forward",
]

Axes = tuple[int, ...]


def group_norm_forward(
    x: Array, num_groups: int, weight: Array | None = None, bias: Array | None = None, *, eps: float = 1e-5
) -> tuple[Array, NormCache]:
    """Standardise groups of channels of each sample, then scale and shift; the formula is in `norm.py`.

    x is (N, C, ...), num_groups divides C; weight and bias are (C,) or None; eps is added to the variance. Returns out
    and the cache for `group_norm_backward`. Raises ValueError if shapes or options do not fit, TypeError if dtypes do
    not.
    """
    check_norm(x, None if weight is None else len(weight), weight, bias)
    check_int("group_norm", "num_groups", num_groups)
    if x.ndim < 2 or x.shape[1] % num_groups:
        raise ValueError(f"expected a number of channels divisible by num_groups={num_groups}, got shape {x.shape}")
    n, c, *pixels = x.shape
    grouped = x.reshape(n, num_groups, c // num_groups, *pixels)
    param_shape = (1, num_groups, c // num_groups, *(1 for _ in pixels))
    axes = tuple(range(2, grouped.ndim))
    out, cache, _ = norm_forward(grouped, axes, eps, weight, bias, param_shape, x.shape)
    return out, cache


def layer_norm_forward(
    x: Array, ndim: int, weight: Array | None = None, bias: Array | None = None, *, eps: float = 1e-5
) -> tuple[Array, NormCache]:
    """Standardise over the last ndim axes of each sample, then scale and shift; the formula is in `norm.py`.

    x is (N, ..., D1, ..., Dk), weight and bias are (D1, ..., Dk) or None; eps is added to the variance. Returns out and
    the cache for `layer_norm_backward`. Raises ValueError if shapes or options do not fit, TypeError if dtypes do not.
    """
    axes, param_shape = _last(x, ndim, weight, bias)
    out, cache, _ = norm_forward(x, axes, eps, weight, bias, param_shape, x.shape)
    return out, cache


group_norm_backward = layer_norm_backward = batch_norm_backward


def rms_norm_forward(x: Array, ndim: int, weight: Array | None = None, *, eps: float) -> tuple[Array, NormCache]:
    """Divide by the root mean square over the last ndim axes, then scale: out = x / sqrt(mean(x**2) + eps) * weight.

    x is (N, ..., D1, ..., Dk), weight is (D1, ..., Dk) or None. Returns out and the cache for `rms_norm_backward`.
    Raises ValueError if shapes or options do not fit, TypeError if dtypes do not.
    """
    axes, param_shape = _last(x, ndim, weight, None)
    out, cache, _ = norm_forward(x, axes, eps, weight, None, param_shape, x.shape, centred=False)
    return out, cache


def rms_norm_backward(grad_output: Array, cache: NormCache) -> tuple[Array, Array | None]:
    """Return the gradients of `rms_norm_forward`; the formula is at the top of `norm.py`, with mean 0.

    Returns (dx, dweight) in the shapes of x and the parameter; None for a parameter that does not exist.
    ``grad_output`` must have the output's shape and dtype (ValueError, TypeError); ``cache`` is from
    `rms_norm_forward`.
    """
    return norm_backward(grad_output, cache)[:2]


def _last(x: Array, ndim: int, weight: Array | None, bias: Array | None) -> tuple[Axes, tuple[int, ...]]:
    check_norm(x, None, weight, bias)
    for parameter in (weight, bias):
        if parameter is not None and parameter.shape != x.shape[-ndim:]:
            raise ValueError(f"expected an input whose last axes are {parameter.shape}, got shape {x.shape}")
    return tuple(range(x.ndim - ndim, x.ndim)), (*(1,) * (x.ndim - ndim), *x.shape[-ndim:])


class GroupNorm(Norm):
    """Normalise groups of channels of each sample: y = (x - mean) / sqrt(var + eps) * weight + bias.

    Args:
        num_groups: divides num_channels.
        num_channels: C.
        eps: added to the variance.
        affine: whether there are a weight and a bias.
        bias: whether there is a bias, if there is a weight.
        dtype: float32 (default) or float64.

    Shape:
        input and output: (N, C, ...), the same.

    Attributes:
        weight, bias: Parameters (C,), or None.

    Source: Wu & He 2018, arXiv:1803.08494.
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        *,
        bias: bool = True,
        dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__()
        self.num_groups = check_int("GroupNorm", "num_groups", num_groups)
        self.num_channels = check_int("GroupNorm", "num_channels", num_channels)
        if num_channels % num_groups:
            raise ValueError(f"GroupNorm: num_channels must be divisible by {num_groups} groups, got {num_channels}")
        self.affine = check_flag("GroupNorm", "affine", affine)
        self._make(num_channels, eps, affine, bias, dtype)

    def forward(self, x: Array) -> Array:
        """Standardise each group of each sample."""
        if np.ndim(x) < 2 or x.shape[1] != self.num_channels:
            raise ValueError(f"expected an input of shape (N, {self.num_channels}, ...), got {np.shape(x)}")
        out, cache = group_norm_forward(x, self.num_groups, *self._parameters(), eps=self._eps(x))
        self.save_for_backward(cache)
        return out

    def extra_repr(self) -> str:
        """Options in PyTorch's form."""
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


class _LastAxes(Norm):
    def _set_up(
        self, shape: int | Sequence[int], eps: float | None, affine: bool, bias: bool, dtype: DTypeLike | None
    ) -> None:
        owner = type(self).__name__
        sizes = shape if isinstance(shape, (tuple, list)) else (shape,)
        self.normalized_shape = tuple(check_int(owner, "normalized_shape", size) for size in sizes)
        self.elementwise_affine = check_flag(owner, "elementwise_affine", affine)
        self._make(self.normalized_shape, eps, affine, bias, dtype)

    def _check_last(self, x: Any) -> int:
        """Check the sizes of the last axes of a batch, and return their number."""
        shape = self.normalized_shape
        if np.shape(x)[-len(shape) :] != shape or np.ndim(x) <= len(shape):
            raise ValueError(f"expected a batch whose last axes are {shape}, got shape {np.shape(x)}")
        return len(shape)

    def extra_repr(self) -> str:
        """Options in PyTorch's form."""
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class LayerNorm(_LastAxes):
    """Normalise the last axes of each sample: y = (x - mean) / sqrt(var + eps) * weight + bias.

    Args:
        normalized_shape: the last axes (D1, ..., Dk), or an int for one.
        eps: added to the variance.
        elementwise_affine: whether there are a weight and a bias.
        bias: whether there is a bias, if there is a weight.
        dtype: float32 (default) or float64.

    Shape:
        input and output: (N, ..., D1, ..., Dk), the same.

    Attributes:
        weight, bias: Parameters (D1, ..., Dk), or None.

    Source: Ba et al. 2016, arXiv:1607.06450.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__()
        self._set_up(normalized_shape, eps, elementwise_affine, bias, dtype)

    def forward(self, x: Array) -> Array:
        """Standardise the last axes of each sample."""
        ndim = self._check_last(x)
        out, cache = layer_norm_forward(x, ndim, *self._parameters(), eps=self._eps(x))
        self.save_for_backward(cache)
        return out

    def extra_repr(self) -> str:
        """Options in PyTorch's form."""
        return f"{super().extra_repr()}, bias={self.bias is not None}"


class RMSNorm(_LastAxes):
    """Divide the last axes of each sample by their root mean square: y = x / sqrt(mean(x**2) + eps) * weight.

    Args:
        normalized_shape: the last axes (D1, ..., Dk), or an int for one.
        eps: added to the mean square; None means the dtype's machine epsilon.
        elementwise_affine: whether there is a weight.
        dtype: float32 (default) or float64.

    Shape:
        input and output: (N, ..., D1, ..., Dk), the same.

    Attributes:
        weight: Parameter (D1, ..., Dk), or None.

    Source: Zhang & Sennrich 2019, arXiv:1910.07467.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        *,
        dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__()
        self._set_up(normalized_shape, eps, elementwise_affine, False, dtype)

    def forward(self, x: Array) -> Array:
        """Divide the last axes of each sample by their root mean square."""
        ndim = self._check_last(x)
        out, cache = rms_norm_forward(x, ndim, self._parameters()[0], eps=self._eps(x))
        self.save_for_backward(cache)
        return out
