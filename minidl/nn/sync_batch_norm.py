"""Batch normalisation over the samples of all processes, and a function that gives a model this kind."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

import numpy as np

from .._core import Array, check_kind
from ..distributed import Group, active_group
from ..engine import Joint
from .batch_norm import BatchNorm1d, BatchNorm2d, Statistics, unbiased
from .module import Module
from .naming import layer_at
from .norm import check_norm, norm_forward

__all__ = ["SyncBatchNorm2d", "convert_sync_batchnorm"]

Model = TypeVar("Model", bound=Module)


class SyncBatchNorm2d(BatchNorm2d):
    """`BatchNorm2d` whose mean and variance in training are those of the samples of all processes together.

    That holds for what the ranks of a communicator do together, such as a fit of several processes; there forward and
    backward exchange a few numbers for each channel, so that every rank must make the same passes: also one that has no
    samples, with an empty batch. Output, input gradient and running statistics are those of `BatchNorm2d` on the whole
    batch; the gradients of weight and bias are this rank's share of the sum. Anywhere else, and in evaluation, this is
    `BatchNorm2d` to the bit, as it is for export and in files; state dicts are interchangeable.

    The arguments num_features, eps, momentum, affine, track_running_stats, bias and dtype, and the attributes are those
    of `BatchNorm1d`. Without running statistics evaluation uses those of the process's own batch.

    Shape:
        input and output: (N, C, H, W), the same; N may be 0, and another one on each rank.

    Raises:
        ValueError: all ranks together have only one value per channel; each of them raises it.

    Source: Ioffe & Szegedy 2015, arXiv:1502.03167; Chan, Golub and LeVeque 1983, "Algorithms for computing the sample
    variance", for how the statistics of parts are joined.
    """

    communicates: ClassVar[bool] = True

    def _standardise(self, x: Array, running: Statistics | None) -> tuple[Array, Any, Statistics | None]:
        group = active_group() if self.training else None
        if group is None:
            return super()._standardise(x, running)
        weight, bias = self._parameters()
        check_norm(x, None, weight, bias)
        channels = (1, x.shape[1], 1, 1)
        out, cache, (mean, var) = norm_forward(
            x, (0, 2, 3), self._eps(x), weight, bias, channels, x.shape, joint=_of_all(group, x.shape)
        )
        count = cache.kept.number
        return out, cache, (mean.reshape(-1), unbiased(var.reshape(-1), count)) if count else None


def _of_all(group: Group, shape: tuple[int, ...]) -> Joint:
    """Return what joins the statistics of all ranks: each way one exchange, from which all have the same bits."""

    def moments(count: int, mean: Array, var: Array) -> tuple[int, Array, Array]:
        ranks = group.gather(np.stack([np.full_like(mean, count), mean, var]))  # (ranks, 3, C)
        counts = [int(numbers[0, 0]) for numbers in ranks]
        total = sum(counts)
        if total == 0:
            return 0, np.zeros_like(mean), np.ones_like(var)
        if total == 1:
            raise ValueError(
                f"expected more than one value per channel when training, got input shape {shape} on rank "
                f"{group.rank}, and one value on all ranks together"
            )
        shares = [own / total for own in counts]
        with np.errstate(over="ignore", invalid="ignore"):  # infinities are for the loss to show
            joint_mean = sum(share * own for share, (_, own, _) in zip(shares, ranks, strict=True))
            spreads = (own + (centre - joint_mean) ** 2 for _, centre, own in ranks)
            return total, joint_mean, sum(share * spread for share, spread in zip(shares, spreads, strict=True))

    return Joint(moments, group.sum)


def convert_sync_batchnorm(model: Model) -> Model:
    """Make each `BatchNorm2d` of a model, wherever it is, a `SyncBatchNorm2d`; return the model.

    The modules stay the same objects with another class: their Parameters, buffers, options, modes and hooks, and the
    optimisers and names that refer to them, are as before. `functional.batch_norm` in a forward of your own is not a
    module, and goes on with each process's own statistics.

    Args:
        model: is changed in place; it may be a BatchNorm2d itself.

    Raises:
        TypeError: it is not a Module.
        ValueError: it has a BatchNorm1d, or a batch normalisation of a class of your own, which would go on with each
            process's own statistics; the message names them, and nothing has changed.

    Source: PyTorch's `SyncBatchNorm.convert_sync_batchnorm`.
    """
    norms = {
        path: module
        for path, module in check_kind("convert_sync_batchnorm", "model", model, Module).named_modules()
        if isinstance(module, (BatchNorm1d, BatchNorm2d)) and not module.communicates
    }
    others = [layer_at(type(norm).__name__, path) for path, norm in norms.items() if type(norm) is not BatchNorm2d]
    if others:
        raise ValueError(
            f"convert_sync_batchnorm: there is no synchronised form of {', '.join(others)}: put a BatchNorm2d or a "
            "normalisation of each sample (LayerNorm, GroupNorm) there, or derive your own class from SyncBatchNorm2d"
        )
    for norm in norms.values():
        norm.__class__ = SyncBatchNorm2d
    return model
