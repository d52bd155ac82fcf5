"""Normalisations that may keep running statistics of the channels: of the batch, and of each sample."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike

from .._core import Array, check_flag, check_int, check_number
from .norm import Norm, NormCache, check_norm, norm_backward, norm_forward
from .parameter import filled
from .unsized import check_unset

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "InstanceNorm2d",
    "batch_norm_backward",
    "batch_norm_forward",
    "instance_norm_backward",
    "instance_norm_forward",
]

Statistics = tuple[Array, Array]  # mean and variance


def batch_norm_forward(
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    running: tuple[Array, Array] | None = None,
    eps: float = 1e-5,
) -> tuple[Array, NormCache, tuple[Array, Array]]:
    """Standardise each channel over the batch and all pixels, then scale and shift; the formula is in `norm.py`.

    x is (N, C), (N, C, L) or (N, C, H, W); weight and bias are (C,) or None. running, (mean, var) of (C,) each,
    replaces x's own statistics in evaluation. eps is added to the variance. Returns out, the cache for
    `batch_norm_backward`, and (mean, var), where var is divided by the number of values, not by one less. Raises
    ValueError if shapes do not fit or there is only one value per channel, TypeError if dtypes do not fit.
    """
    check_norm(x, None, weight, bias)
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
    out, cache, (mean, var) = norm_forward(x, axes, eps, weight, bias, param_shape, x.shape, given=running)
    assert mean is not None
    return out, cache, (mean.reshape(channels), var.reshape(channels))


def batch_norm_backward(grad_output: Array, cache: NormCache) -> tuple[Array, Array | None, Array | None]:
    """Return the gradients of a normalisation; the formula is at the top of `norm.py`.

    The cache determines the axes, so this is also `instance_norm_backward`, `group_norm_backward` and
    `layer_norm_backward`.

    Returns (dx, dweight, dbias) in the shapes of x and the parameters; None for a parameter that does not exist.
    ``grad_output`` must have the output's shape and dtype (ValueError, TypeError); ``cache`` is from the forward
    function.
    """
    return norm_backward(grad_output, cache)


def instance_norm_forward(
    x: Array, weight: Array | None = None, bias: Array | None = None, *, eps: float = 1e-5
) -> tuple[Array, NormCache, tuple[Array, Array]]:
    """Standardise each channel of each sample over its pixels, then scale and shift; the formula is in `norm.py`.

    x is (N, C, L) or (N, C, H, W); weight and bias are (C,) or None; eps is added to the variance. Returns out, the
    cache for `instance_norm_backward`, and (mean, var), (N, C) each. Raises ValueError if shapes do not fit or there is
    only one pixel, TypeError if dtypes do not fit.
    """
    check_norm(x, None if weight is None else len(weight), weight, bias)
    if x.ndim < 3:
        raise ValueError(f"expected an input of shape (N, C, L) or (N, C, H, W), got {x.shape}")
    if math.prod(x.shape[2:]) == 1:
        raise ValueError(f"expected more than one pixel, got input shape {x.shape}")
    param_shape = (1, x.shape[1], *(1,) * (x.ndim - 2))
    out, cache, (mean, var) = norm_forward(x, tuple(range(2, x.ndim)), eps, weight, bias, param_shape, x.shape)
    assert mean is not None
    return out, cache, (mean.reshape(x.shape[:2]), var.reshape(x.shape[:2]))


instance_norm_backward = batch_norm_backward


def unbiased(var: Array, count: int) -> Array:
    """Return variances that were divided by the number of values as if divided by one less."""
    return var * (count / max(1, count - 1))


def track(running: tuple[Array, Array], mean: Array, var: Array, share: float) -> None:
    """Move running statistics towards new ones, by this share of the way, in place."""
    for before, new in zip(running, (mean, var), strict=True):
        before[...] += share * (new - before)


class _TrackedNorm(Norm):
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
            momentum = check_number(owner, "momentum", momentum, maximum=1.0)
        self.momentum = momentum
        self.affine = check_flag(owner, "affine", affine)
        self.track_running_stats = check_flag(owner, "track_running_stats", track_running_stats)
        self._make(num_features or 0, eps, affine, bias, dtype)
        mean, var = (filled(num_features or 0, value, dtype).data for value in (0, 1))
        self.register_buffer("running_mean", mean if track_running_stats else None)
        self.register_buffer("running_var", var if track_running_stats else None)
        self.register_buffer("num_batches_tracked", np.zeros((), np.int64) if track_running_stats else None)

    def forward(self, x: Array) -> Array:
        """Standardise each channel; in training mode also update the running statistics."""
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
            self._track(statistics)
        self.save_for_backward(cache)
        return out

    def _fix_size(self, channels: int) -> None:
        buffers = {"running_mean": self.running_mean, "running_var": self.running_var}
        check_unset(weight=self.weight, bias=self.bias, **buffers)
        for parameter, value in ((self.weight, 1), (self.bias, 0)):
            if parameter is not None:
                parameter.data = np.full(channels, value, parameter.dtype)
        self.num_features = channels
        self.reset_running_stats()

    def reset_running_stats(self) -> None:
        """Forget the running statistics: mean 0, variance 1, no batches."""
        if self.running_mean is not None and self.running_var is not None and self.num_features is not None:
            self.running_mean = np.zeros(self.num_features, self.running_mean.dtype)
            self.running_var = np.ones(self.num_features, self.running_var.dtype)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked = np.zeros((), np.int64)

    def _standardise(self, x: Array, running: Statistics | None) -> tuple[Array, Any, Statistics | None]:
        """Return the output, the cache, and mean and variance (unbiased: divided by one less) of the channels.

        A batch that is empty has no statistics: None.
        """
        out, cache, (mean, var) = batch_norm_forward(x, *self._parameters(), running=running, eps=self._eps(x))
        return out, cache, (mean, unbiased(var, x.size // x.shape[1])) if x.size else None

    def _track(self, statistics: Statistics | None) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        share = self.momentum
        if self._counts:
            self.num_batches_tracked += 1
            share = 1 / int(self.num_batches_tracked) if share is None else share
        if statistics is not None:  # an empty batch counts
            track((self.running_mean, self.running_var), *statistics, share or 0.0)

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
        num_features: number of channels, C; None: set by the first input, or by `summary`.
        eps: added to the variance.
        momentum: the weight of the new statistics in the running ones; None makes these the mean over all batches.
        affine: whether there are a weight and a bias.
        track_running_stats: False means that the batch's statistics are used in evaluation too.
        bias: whether there is a bias, if there is a weight.
        dtype: float32 (default) or float64.

    Shape:
        input and output: (N, C) or (N, C, L), the same.

    Attributes:
        weight, bias: Parameters (C,), initially ones and zeros; or None.
        running_mean, running_var: buffers (C,); the running variance is unbiased, divided by one less.
        num_batches_tracked: buffer, the number of batches seen.

    Source: Ioffe & Szegedy 2015, arXiv:1502.03167.
    """

    dimensions = {2: "(N, C)", 3: "(N, C, L)"}  # noqa: RUF012


class BatchNorm2d(_TrackedNorm):
    """Batch normalisation of images: `BatchNorm1d` over N, H and W.

    The arguments num_features, eps, momentum, affine, track_running_stats, bias and dtype, the attributes and the
    exceptions are the same.

    Shape:
        input and output: (N, C, H, W), the same.

    Source: Ioffe & Szegedy 2015, arXiv:1502.03167.
    """

    dimensions = {4: "(N, C, H, W)"}  # noqa: RUF012


class InstanceNorm2d(_TrackedNorm):
    """Normalise each channel of each image over its pixels: y = (x - mean) / sqrt(var + eps) * weight + bias.

    The arguments num_features, eps, momentum, affine, track_running_stats, bias and dtype are those of `BatchNorm1d`;
    by default there are no weight, bias or running statistics. num_batches_tracked stays 0, as in PyTorch.

    Shape:
        input and output: (N, C, H, W), the same.

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

    def _standardise(self, x: Array, running: Statistics | None) -> tuple[Array, Any, Statistics | None]:
        if running is not None:
            return super()._standardise(x, running)
        out, cache, (mean, var) = instance_norm_forward(x, *self._parameters(), eps=self._eps(x))
        if not x.size:
            return out, cache, None
        var = unbiased(var.sum(axis=0) / len(x), x.shape[2] * x.shape[3])
        return out, cache, (mean.sum(axis=0) / len(x), var)
