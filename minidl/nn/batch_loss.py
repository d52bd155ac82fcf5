"""What a batch contributes to a mean over several batches: its loss, how much it counts, and its gradient."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from .._core import Array
from .loss import times
from .module import Module
from .structure import leaves

__all__ = ["BatchLoss", "batch_loss"]


class BatchLoss(NamedTuple):
    """The loss of a batch, beside that of other batches.

    The mean over several batches is sum(mean * weight) / sum(weight). Its gradient is made of theirs likewise, but that
    of a sum (``is_mean`` False) is simply their sum. A batch of which nothing counts (every label is ignored, every
    weight is 0) has weight 0 and the mean NaN; it is left out.
    """

    mean: float
    weight: float
    gradient: Any  # the argument for the loss's backward()
    is_mean: bool
    counted: Array | None  # which labels (N, ...) or samples (N,) count; None: all of them
    value: Any = None  # the mean, or the sum, as a LossValue, if it was wanted
    kept: Any = None  # the pass of the loss that this leads through: it lives as long as this


class _WeightedSum(Module):
    """Sum of w * l over losses l, of which one whose weight is 0 may be infinite."""

    def forward(self, weights: Array, each: Array) -> float:
        """Return the sum."""
        self.save_for_backward(weights)
        return float(times(weights, each).sum())

    def backward(self, grad_output: Any) -> tuple[None, Array]:
        """Return None for the weights, and the gradient of the losses."""
        weights: Array = self.take_saved()
        return None, weights * weights.dtype.type(grad_output)


def batch_loss(loss: Any, output: Any, target: Any, weights: Any = None, *, walked: bool = False) -> BatchLoss:
    """Call a loss on a batch, and find what its mean was divided by.

    That is the loss's ``divisor`` if its forward has set it (class weights are counted, what is ignored is not), and
    otherwise the number of samples. A sum is divided by the number of samples that count, for people to compare.

    Args:
        loss: a loss; it saves what its backward pass needs.
        output, target: the model's output, and what it should be; arrays, or structures of arrays that the loss knows.
        weights: a number for each sample (N,), for the mean sum(w * l) / sum(w); or None.
        walked: whether the way back to the model is kept, in ``value``.

    Raises:
        ValueError: the loss is not a number, or the weights do not fit.
    """
    is_mean, kept = bool(getattr(loss, "is_mean", True)), None
    first = output if type(output) is np.ndarray else next(leaves(output))
    samples = len(first)
    if weights is not None:
        weights = _checked(loss, np.asarray(weights, first.dtype), samples)
        each = _each(loss, output, target, samples)
        spread = np.broadcast_to(weights.reshape(-1, *(1,) * (each.ndim - 1)), each.shape)
        value = _WeightedSum()(spread, each) if walked else float(times(spread, each).sum())
        kept = loss._pass if walked else None
    else:
        value = loss(output, target)
        if np.ndim(value):
            raise ValueError(
                f"Trainer: the loss must be a number, {type(loss).__name__} gave an array of shape {np.shape(value)}; "
                "use reduction='mean' or 'sum'"
            )
    counted = _counted(loss, target, samples, weights)
    if counted is not None and not counted.any():
        return BatchLoss(math.nan, 0.0, 0.0, is_mean, counted)
    if not is_mean:
        kept = slice(None) if counted is None else counted.reshape(samples, -1).any(axis=1)
        weight = float((np.ones(samples) if weights is None else weights)[kept].sum())
        gradient: Any = 1.0 if weights is None else spread
        mean = float(value) / (weight or 1.0)
    elif weights is not None:
        shares = getattr(loss, "shares", None)
        weight = float((spread if shares is None else times(spread, np.asarray(shares, spread.dtype))).sum())
        gradient = spread / spread.dtype.type(weight or 1.0)
        value = value / (weight or 1.0)
        mean = float(value)
    else:
        weight, gradient, mean = _divisor(loss, samples), 1.0, float(value)
    mean = mean if weight else math.nan
    return BatchLoss(mean, weight, gradient, is_mean, counted, value if walked else None, kept)


def _divisor(loss: Any, samples: int) -> float:
    divisor = getattr(loss, "divisor", None)
    if divisor is not None and divisor < 0:
        raise ValueError(f"Trainer: the divisor of {type(loss).__name__} must not be negative, got {divisor}")
    return float(samples if divisor is None else divisor)


def _counted(loss: Any, target: Any, samples: int, weights: Array | None) -> Array | None:
    """Return which labels (N, ...) or samples (N,) count; None if all do."""
    counted, shares = None, getattr(loss, "shares", None)
    labels = np.asarray(target) if shares is None and hasattr(loss, "ignore_index") else None
    if shares is not None and np.shape(shares)[:1] == (samples,):
        counted = np.asarray(shares).astype(bool, copy=False)
    elif labels is not None and labels.dtype.kind in "iu" and labels.shape[:1] == (samples,):
        counted = labels != loss.ignore_index
    if weights is not None:
        some = weights != 0
        counted = some if counted is None else counted & some.reshape(-1, *(1,) * (counted.ndim - 1))
    return None if counted is None or np.count_nonzero(counted) == counted.size else counted


def _checked(loss: Any, weights: Array, samples: int) -> Array:
    """Return sample weights, or raise ValueError if they are not such."""
    if weights.shape != (samples,):
        raise ValueError(f"Trainer: expected sample weights of shape ({samples},), got {weights.shape}")
    good = np.isfinite(weights) & (weights >= 0)
    if not good.all():
        at = int(np.argmin(good))
        raise ValueError(f"Trainer: sample weights must be finite and not negative, got {weights[at]} at index {at}")
    if not hasattr(loss, "reduction"):
        raise ValueError(f"Trainer: sample weights need a loss with a reduction, {type(loss).__name__} has none")
    return weights


def _each(loss: Any, output: Any, target: Any, samples: int) -> Array:
    """Return the losses of the samples: of the loss with reduction 'none'."""
    reduction = loss.reduction
    loss.reduction = "none"
    try:
        each = loss(output, target)
    finally:
        loss.reduction = reduction
    if np.shape(each)[:1] != (samples,):
        raise ValueError(
            f"Trainer: sample weights need the loss of each sample, {type(loss).__name__} gives something of shape "
            f"{np.shape(each)} for {samples} samples with reduction 'none'"
        )
    return np.asarray(each)
