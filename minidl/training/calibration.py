"""Calibration: whether a model is as often right as it says; and the temperature that makes it so."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._core import Array, check_int

__all__ = ["TEMPERATURES", "Reliability", "fit_temperature", "reliability"]

TEMPERATURES = (0.05, 20.0)  # between these one is looked for
_HALVINGS = 50


@dataclass(frozen=True)
class Reliability:
    """Samples in bins by the probability of the class that is predicted.

    Attributes:
        edges: of the bins (B + 1,), evenly from 0 to 1; a bin includes its upper edge.
        counts: samples in each bin (B,).
        confidence: mean probability of the predicted class in each bin (B,); NaN in an empty one.
        accuracy: share of samples in each bin that are right (B,); NaN in an empty one.
    """

    edges: Array
    counts: Array
    confidence: Array
    accuracy: Array

    @property
    def error(self) -> float:
        """The expected calibration error: the mean over samples of |accuracy - confidence| of their bins."""
        filled = self.counts > 0
        gaps = np.abs(self.accuracy[filled] - self.confidence[filled])
        return float((self.counts[filled] * gaps).sum() / self.counts.sum())


def reliability(probabilities: Array, labels: Sequence[int] | Array, bins: int = 15) -> Reliability:
    """Compare how sure a classifier is with how often it is right.

        measured = reliability(F.softmax(trainer.predict(x)), y)
        print(measured.error)
        minidl.plotting.reliability_diagram(measured)

    Args:
        probabilities: of the classes (N, C).
        labels: classes (N,).
        bins: how many, evenly over [0, 1].

    Raises:
        ValueError: shapes or labels do not fit, or a value is not a probability.
        TypeError: labels are not integers.

    Source: Guo et al. 2017, arXiv:1706.04599.
    """
    wide, label = _checked("reliability", probabilities, labels)
    if wide.min() < 0 or wide.max() > 1 + 1e-6:
        raise ValueError(
            f"reliability: expected probabilities from 0 to 1, got {wide.min():.3g} to {wide.max():.3g}; of logits "
            "take the softmax"
        )
    bins = check_int("reliability", "bins", bins)
    sure, right = wide.max(axis=1), wide.argmax(axis=1) == label
    edges = np.linspace(0, 1, bins + 1)
    number = np.clip(np.searchsorted(edges, sure, side="left") - 1, 0, bins - 1)
    counts, sums, hits = (np.bincount(number, part, bins) for part in (None, sure, right))
    with np.errstate(invalid="ignore"):
        return Reliability(edges, counts, sums / counts, hits / counts)


def fit_temperature(logits: Array, labels: Sequence[int] | Array) -> float:
    """Return the temperature T with which softmax(logits / T) has the smallest mean cross-entropy.

    T above 1 makes a model less sure, T below 1 surer; what it predicts stays the same. Use samples that the model was
    not trained on, and not those on which the result is then measured.

        temperature = fit_temperature(trainer.predict(x_val), y_val)
        probabilities = F.softmax(trainer.predict(x) / temperature)

    Args:
        logits: (N, C); logarithms of probabilities are logits, too.
        labels: classes (N,).

    Returns:
        T from 0.05 to 20. The bounds themselves mean that there is no best one: with no mistake among the samples the
        loss falls for ever with T.

    Raises:
        ValueError: shapes or labels do not fit, or a logit is not finite.
        TypeError: labels are not integers.

    Source: Guo et al. 2017, arXiv:1706.04599.
    """
    wide, label = _checked("fit_temperature", logits, labels)
    wide = wide - wide.max(axis=1, keepdims=True)
    own = wide[np.arange(len(wide)), label].mean()

    def slope(log_t: float) -> float:
        """Return the derivative of the loss by 1 / T: the loss is convex in it."""
        weights = np.exp(wide / math.exp(log_t))
        return float(((weights * wide).sum(axis=1) / weights.sum(axis=1)).mean() - own)

    low, high = map(math.log, TEMPERATURES)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if slope(middle) > 0:  # too sure
            low = middle
        else:
            high = middle
    return math.exp((low + high) / 2)


def _checked(owner: str, values: Any, labels: Any) -> tuple[Array, Array]:
    """Return (N, C) in float64, and labels (N,), or raise."""
    wide, label = np.asarray(values, np.float64), np.asarray(labels)
    if wide.ndim != 2 or not wide.size:
        raise ValueError(f"{owner}: expected an array (N, C), got shape {wide.shape}")
    if not np.isfinite(wide).all():
        raise ValueError(f"{owner}: {np.count_nonzero(~np.isfinite(wide).all(axis=1))} samples have values not finite")
    if label.dtype.kind not in "iu":
        raise TypeError(f"{owner}: labels must be integers, got {label.dtype}")
    if label.shape != wide.shape[:1]:
        raise ValueError(f"{owner}: expected labels of shape {wide.shape[:1]}, got {label.shape}")
    if label.min() < 0 or label.max() >= wide.shape[1]:
        raise ValueError(f"{owner}: labels must be from 0 to {wide.shape[1] - 1}, got {label.min()} to {label.max()}")
    return wide, label
