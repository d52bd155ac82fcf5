"""What a batch contributes to a mean over several batches: its loss, how much it counts, and its gradient."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._core import Array
from .loss import times

__all__ = ["BatchLoss", "batch_loss"]


class BatchLoss(NamedTuple):
    """The loss of a batch, beside that of other batches.

    The mean over several batches is sum(mean * weight) / sum(weight). Its gradient is made of theirs likewise, but that
    of a sum (``is_mean`` False) is simply their sum.
    """

    mean: float
    weight: float
    gradient: Any  # the argument for the loss's backward()
    is_mean: bool


def batch_loss(loss: Any, output: Array, target: Any, weights: Any = None) -> BatchLoss:
    """Call a loss on a batch, and find what its mean was divided by.

    That is the loss's ``divisor`` if its forward has set it (class weights are counted, what is ignored is not), and
    otherwise the number of samples. A sum is divided by the number of samples, for people to compare.

    Args:
        loss: a loss; it saves what its backward pass needs.
        output, target: the model's output, and what it should be.
        weights: a number for each sample (N,), for the mean sum(w * l) / sum(w); or None.

    Raises:
        ValueError: the loss is not a number, or the weights do not fit.
    """
    is_mean = bool(getattr(loss, "is_mean", True))
    if weights is not None:
        return _weighted(loss, output, target, np.asarray(weights, output.dtype), is_mean)
    value = loss(output, target)
    if np.ndim(value):
        raise ValueError(
            f"Trainer: the loss must be a number, {type(loss).__name__} gave an array of shape {np.shape(value)}; "
            "use reduction='mean' or 'sum'"
        )
    divisor = getattr(loss, "divisor", None)
    if not is_mean or divisor is None:
        weight = float(len(output))
    elif not divisor < 0:
        weight = float(divisor)
    else:
        raise ValueError(f"Trainer: the divisor of {type(loss).__name__} must not be negative, got {divisor}")
    return BatchLoss(float(value) if is_mean else float(value) / max(1.0, weight), weight, 1.0, is_mean)


def _weighted(loss: Any, output: Array, target: Any, weights: Array, is_mean: bool) -> BatchLoss:
    """Do what `batch_loss` does, with a weight for each sample."""
    if weights.shape != (len(output),):
        raise ValueError(f"Trainer: expected sample weights of shape ({len(output)},), got {weights.shape}")
    if not (np.isfinite(weights) & (weights >= 0)).all():
        at = int(np.argmin(np.isfinite(weights) & (weights >= 0)))
        raise ValueError(f"Trainer: sample weights must be finite and not negative, got {weights[at]} at index {at}")
    name = type(loss).__name__
    if not hasattr(loss, "reduction"):
        raise ValueError(f"Trainer: sample weights need a loss with a reduction, {name} has none")
    reduction = loss.reduction
    loss.reduction = "none"
    try:
        each = loss(output, target)
    finally:
        loss.reduction = reduction
    if np.shape(each)[:1] != weights.shape:
        raise ValueError(
            f"Trainer: sample weights need the loss of each sample, {name} gives something of shape {np.shape(each)} "
            f"for {len(output)} samples with reduction 'none'"
        )
    spread = np.broadcast_to(weights.reshape(-1, *(1,) * (each.ndim - 1)), each.shape)
    shares = getattr(loss, "shares", None)
    if not is_mean:
        whole = float(weights.sum())
    else:
        whole = float((spread if shares is None else times(spread, np.asarray(shares, spread.dtype))).sum())
    gradient = spread / spread.dtype.type(whole or 1.0) if is_mean else spread
    return BatchLoss(float(times(spread, each).sum()) / (whole or 1.0), whole, gradient, is_mean)
