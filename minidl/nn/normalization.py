"""Normalisation layers. The arithmetic, one for all of them, is in `minidl.functional.normalization`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike

from .._core import Array, check_flag, check_float, check_int, check_number
from ..functional import normalization as f
from .module import Module
from .parameter import Parameter, filled

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "GroupNorm",
    "InstanceNorm2d",
    "LayerNorm",
    "LocalResponseNorm",
    "RMSNorm",
]


class _Norm(Module):
    """Base: a scale and a shift, and a backward function that returns the gradients of all three."""

    weight: Parameter | None
    bias: Parameter | None
    backward_function: ClassVar[Callable[..., tuple[Any, ...]]] = staticmethod(f.batch_norm_backward)

    eps: float | None

    def _make(
        self, shape: int | tuple[int, ...], eps: float | None, affine: bool, bias: bool, dtype: DTypeLike | None
    ) -> None:
        owner = type(self).__name__
        if eps is not None:
            check_number(owner, "eps", eps)
        self.eps = eps
        check_flag(owner, "bias", bias)
        self.weight = filled(shape, 1, dtype) if affine else None
        self.bias = filled(shape, 0, dtype) if affine and bias else None

    def _eps(self, x: Array) -> float:
        return float(np.finfo(check_float(x).dtype).eps) if self.eps is None else self.eps

    def _parameters(self) -> tuple[Array | None, Array | None]:
        return (None if self.weight is None else self.weight.data), (None if self.bias is None else self.bias.data)

    def backward(self, grad_output: Array) -> Array:
        """Add the gradients of scale and shift; return that of the input."""
        dx, *grads = type(self).backward_function(grad_output, self.take_saved())
        for parameter, grad in zip((self.weight, self.bias), grads, strict=False):
            if parameter is not None:
                parameter.add_grad(grad)
        return dx  # type: ignore[no-any-return]

    def multiply_adds(self, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> int:
        """One for each number: the scale and shift."""
        return math.prod(output_shape)


class _TrackedNorm(_Norm):
    """Base of the normalisations that keep running statistics of the channels."""

    running_mean: Array | None
    running_var: Array | None
    num_batches_tracked: Array | None
    dimensions: ClassVar[dict[int, str]]

    def __init__(
        self,
        num_features: int | None,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        bias: bool = True,
        dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__()
        owner = type(self).__name__
        self.num_features = None if num_features is None else check_int(owner, "num_features", num_features)
        if momentum is not None:
            check_number(owner, "momentum", momentum, maximum=1.0)
        self.momentum = momentum
        self.affine = check_flag(owner, "affine", affine)
        self.track_running_stats = check_flag(owner, "track_running_stats", track_running_stats)
        self._make(num_features or 0, eps, affine, bias, dtype)
        mean, var = (filled(num_features or 0, value, dtype).data for value in (0, 1))
        self.register_buffer("running_mean", mean if track_running_stats else None)
        self.register_buffer("running_var", var if track_running_stats else None)
        self.register_buffer("num_batches_tracked", np.zeros((), np.int64) if track_running_stats else None)

    def forward(self, x: Array) -> Array:
        """Standardise each channel; in training mode also move the running statistics."""
        if np.ndim(x) not in self.dimensions:
            raise ValueError(f"expected an input of shape {' or '.join(self.dimensions.values())}, got {np.shape(x)}")
        if self.num_features is None:
            self._fix_size(x.shape[1])
        if x.shape[1] != self.num_features:
            raise ValueError(f"expected {self.num_features} channels, got {x.shape[1]} (input shape {x.shape})")
        running = None
        if not self.training and self.running_mean is not None and self.running_var is not None:
            running = self.running_mean, self.running_var
        out, cache, statistics = self._standardise(x, running)
        if self.training and self.track_running_stats:
            self._track(*statistics, empty=not x.size)
        self.save_for_backward(cache)
        return out

    def _fix_size(self, channels: int) -> None:
        for parameter, value in ((self.weight, 1), (self.bias, 0)):
            if parameter is not None:
                parameter.data = np.full(channels, value, parameter.dtype)
        if self.running_mean is not None and self.running_var is not None:
            self.running_mean = np.zeros(channels, self.running_mean.dtype)
            self.running_var = np.ones(channels, self.running_var.dtype)
        self.num_features = channels

    def _standardise(self, x: Array, running: tuple[Array, Array] | None) -> tuple[Array, Any, tuple[Array, Array]]:
        """Return the output, the cache, and mean and variance (of a sample: divided by one less) of the channels."""
        out, cache, (mean, var) = f.batch_norm_forward(x, *self._parameters(), running=running, eps=self._eps(x))
        count = x.size // max(1, x.shape[1])
        return out, cache, (mean, var * (count / max(1, count - 1)))

    def _track(self, mean: Array, var: Array, *, empty: bool) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        share = self.momentum
        if self._counts:
            self.num_batches_tracked += 1
            share = 1 / int(self.num_batches_tracked) if share is None else share
        if empty:  # it counts, but has no statistics
            return
        self.running_mean += (share or 0.0) * (mean - self.running_mean)
        self.running_var += (share or 0.0) * (var - self.running_var)

    _counts: ClassVar[bool] = True

    def extra_repr(self) -> str:
        """Options in PyTorch's form."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(_TrackedNorm):
    """Batch normalisation of features: y = (x - mean) / sqrt(var + eps) * weight + bias, for each channel.

    Mean and variance are those of the batch (and of L) in training, the running ones in evaluation.

    Args:
        num_features: number of channels, C; None: fixed by the first input, or by `summary`.
        eps: added to the variance.
        momentum: the share of the new statistics in the running ones; None makes these the mean of all batches.
        affine: whether there are a weight and a bias.
        track_running_stats: False means that the batch's statistics are used in evaluation too.
        bias: whether there is a bias, if there is a weight.
        dtype: float32 (default) or float64.

    Shape:
        input and output: (N, C) or (N, C, L), the same.

    Attributes:
        weight, bias: Parameters (C,), ones and zeros at first; or None.
        running_mean, running_var: buffers (C,); the running variance is that of a sample, divided by one less.
        num_batches_tracked: buffer, the number of batches seen.

    Source: Ioffe & Szegedy 2015, arXiv:1502.03167.
    """

    dimensions = {2: "(N, C)", 3: "(N, C, L)"}  # noqa: RUF012


class BatchNorm2d(_TrackedNorm):
    """Batch normalisation of images: y = (x - mean) / sqrt(var + eps) * weight + bias, for each channel.

    Mean and variance are those over N, H and W of the batch in training, the running ones in evaluation.

    Args:
        num_features: number of channels, C; None: fixed by the first input, or by `summary`.
        eps: added to the variance.
        momentum: the share of the new statistics in the running ones; None makes these the mean of all batches.
        affine: whether there are a weight and a bias.
        track_running_stats: False means that the batch's statistics are used in evaluation too.
        bias: whether there is a bias, if there is a weight.
        dtype: float32 (default) or float64.

    Shape:
        input and output: (N, C, H, W), the same.

    Attributes:
        weight, bias: Parameters (C,), ones and zeros at first; or None.
        running_mean, running_var: buffers (C,); the running variance is that of a sample, divided by one less.
        num_batches_tracked: buffer, the number of batches seen.

    Source: Ioffe & Szegedy 2015, arXiv:1502.03167.
    """

    dimensions = {4: "(N, C, H, W)"}  # noqa: RUF012


class InstanceNorm2d(_TrackedNorm):
    """Normalise each channel of each image over its pixels: y = (x - mean) / sqrt(var + eps) * weight + bias.

    Args:
        num_features: number of channels, C.
        eps: added to the variance.
        momentum: the share of the new statistics in the running ones.
        affine: whether there are a weight and a bias.
        track_running_stats: whether running statistics are kept, and used in evaluation.
        bias: whether there is a bias, if there is a weight.
        dtype: float32 (default) or float64.

    Shape:
        input and output: (N, C, H, W), the same.

    Attributes:
        weight, bias: Parameters (C,), or None.
        running_mean, running_var, num_batches_tracked: buffers, or None; the last stays 0, as PyTorch's does.

    Source: Ulyanov et al. 2016, arXiv:1607.08022.
    """

    dimensions = {4: "(N, C, H, W)"}  # noqa: RUF012
    _counts = False

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        *,
        bias: bool = True,
        dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, bias=bias, dtype=dtype)

    def _standardise(self, x: Array, running: tuple[Array, Array] | None) -> tuple[Array, Any, tuple[Array, Array]]:
        if running is not None:
            return super()._standardise(x, running)
        out, cache, (mean, var) = f.instance_norm_forward(x, *self._parameters(), eps=self._eps(x))
        count, samples = x.shape[2] * x.shape[3], max(1, len(x))
        return out, cache, (mean.sum(axis=0) / samples, var.sum(axis=0) / samples * (count / (count - 1)))


class GroupNorm(_Norm):
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
        out, cache = f.group_norm_forward(x, self.num_groups, *self._parameters(), eps=self._eps(x))
        self.save_for_backward(cache)
        return out

    def extra_repr(self) -> str:
        """Options in PyTorch's form."""
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


class LayerNorm(_Norm):
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
        self.normalized_shape = _shape("LayerNorm", normalized_shape)
        self.elementwise_affine = check_flag("LayerNorm", "elementwise_affine", elementwise_affine)
        self._make(self.normalized_shape, eps, elementwise_affine, bias, dtype)

    def forward(self, x: Array) -> Array:
        """Standardise the last axes of each sample."""
        _check_last(x, self.normalized_shape)
        out, cache = f.layer_norm_forward(x, len(self.normalized_shape), *self._parameters(), eps=self._eps(x))
        self.save_for_backward(cache)
        return out

    def extra_repr(self) -> str:
        """Options in PyTorch's form."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, "
            f"bias={self.bias is not None}"
        )


class RMSNorm(_Norm):
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

    backward_function = staticmethod(f.rms_norm_backward)

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        *,
        dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _shape("RMSNorm", normalized_shape)
        self.elementwise_affine = check_flag("RMSNorm", "elementwise_affine", elementwise_affine)
        self._make(self.normalized_shape, eps, elementwise_affine, False, dtype)

    def forward(self, x: Array) -> Array:
        """Divide the last axes of each sample by their root mean square."""
        _check_last(x, self.normalized_shape)
        out, cache = f.rms_norm_forward(x, len(self.normalized_shape), self._parameters()[0], eps=self._eps(x))
        self.save_for_backward(cache)
        return out

    def extra_repr(self) -> str:
        """Options in PyTorch's form."""
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class LocalResponseNorm(Module):
    """Divide each channel by its neighbours: y[c] = x[c] / (k + alpha/size * sum of x[c']**2)**beta.

    Args:
        size: number of neighbouring channels c', c among them.
        alpha, beta, k: as in the formula.

    Shape:
        input and output: (N, C, ...), the same.

    Source: Krizhevsky et al. 2012.
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = check_int("LocalResponseNorm", "size", size)
        for name, value in (("alpha", alpha), ("beta", beta), ("k", k)):
            check_number("LocalResponseNorm", name, value, minimum=-float("inf"))
        self.alpha, self.beta, self.k = alpha, beta, k

    def forward(self, x: Array) -> Array:
        """Divide each channel by its neighbours."""
        out, cache = f.local_response_norm_forward(x, self.size, alpha=self.alpha, beta=self.beta, k=self.k)
        self.save_for_backward(cache)
        return out

    def backward(self, grad_output: Array) -> Array:
        """Return the gradient of the input."""
        return f.local_response_norm_backward(grad_output, self.take_saved())

    def extra_repr(self) -> str:
        """Options in PyTorch's form."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


def _shape(owner: str, shape: int | Sequence[int]) -> tuple[int, ...]:
    sizes = shape if isinstance(shape, (tuple, list)) else (shape,)
    return tuple(check_int(owner, "normalized_shape", size) for size in sizes)


def _check_last(x: Any, shape: tuple[int, ...]) -> None:
    if np.shape(x)[-len(shape) :] != shape or np.ndim(x) <= len(shape):
        raise ValueError(f"expected a batch whose last axes are {shape}, got shape {np.shape(x)}")
