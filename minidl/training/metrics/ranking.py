"""ROC AUC: how well outputs rank samples, whatever the threshold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..._core import Array, check_choice
from ..judging import rows
from .classification import AVERAGES, ClassMetric

__all__ = ["ROCAUC"]


class ROCAUC(ClassMetric):
    """Area under the receiver operating characteristic: how often a sample that is yes is ranked above one that is no.

    A tie counts one half. With "multilabel" each label is ranked by itself; with "multiclass" each class against the
    rest, by its probability: outputs that are not probabilities, each row with the sum 1, are taken as logits, of which
    the softmax is taken. It is NaN for a label or class with an output that is NaN, or if all its samples have the same
    target; then so is an average. All outputs are kept until `reset`, and in checkpoints.

    Args:
        average: over the classes or labels: "macro", the mean of their areas; "weighted", weighted with how many
            samples each has; "micro", the area of all of them together; None: an area for each, (C,) or (L,).
        task: see `ClassMetric`; "binary" gives a number in any case.

    Source: https://scikit-learn.org/stable/modules/generated/sklearn.metrics.roc_auc_score.html
    """

    name = "roc_auc"
    needs_threshold = False

    def __init__(self, average: str | None = "macro", *, task: str | None = None) -> None:
        super().__init__(task)
        self.average = average if average is None else check_choice("ROCAUC", "average", average, AVERAGES)

    def update(self, output: Array, target: Array) -> None:
        """Add a batch."""
        output, target, kind = self.arrays(output, target)
        if kind == "multiclass":
            scores, truth = rows(output), self.labels(output, target).reshape(-1)
        else:
            scores, truth = self.truth(output, target, kind)
        self.add(outputs=[np.array(scores)], targets=[np.array(truth)])

    def gives_number(self) -> bool:
        """Return whether it is an average, or may be the area of one answer."""
        return self.average is not None or self.may_be_binary()

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of what was added."""
        return {name: np.concatenate(parts) for name, parts in self.sums.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.sums = {name: [np.array(whole)] for name, whole in state.items()}

    def compute(self) -> Any:
        """Return the area, from 0 to 1; or with ``average=None`` that of each class or label, float64."""
        if not self.sums:
            return math.nan
        scores, truth = (np.concatenate(self.sums[name]) for name in ("outputs", "targets"))
        if truth.ndim == 1:
            scores, truth = _odds(scores), truth[:, None] == np.arange(scores.shape[1])
        if self.average == "micro":
            return _area(scores.reshape(-1), truth.reshape(-1))
        areas = np.array([_area(*column) for column in zip(scores.T, truth.T, strict=True)])
        if len(areas) == 1:
            return float(areas[0])
        if self.average is None:
            return areas
        weights = truth.sum(axis=0) if self.average == "weighted" else np.ones(len(areas))
        return float((areas * weights).sum() / weights.sum()) if weights.any() else math.nan


def _odds(outputs: Array) -> Array:
    """Return numbers (M, C) that rank samples as the probability of each class does.

    Of logits these are log p/(1 - p), which, unlike p, does not become 1 for a net that is sure.
    """
    wide = outputs.astype(np.float64)
    if (wide >= 0).all() and (abs(wide.sum(axis=1) - 1) < 0.01).all():  # in float16 the sum is as far off as that
        return wide
    with np.errstate(invalid="ignore", divide="ignore"):
        below = wide - wide.max(axis=1, keepdims=True)
        parts = np.exp(below)
        rest = parts.sum(axis=1, keepdims=True) - parts
        top = wide.argmax(axis=1)[:, None]
        np.put_along_axis(parts, top, 0, axis=1)
        np.put_along_axis(rest, top, parts.sum(axis=1, keepdims=True), axis=1)
        return np.asarray(below - np.log(rest))


def _area(scores: Array, truth: Array) -> float:
    """Return the area by Mann and Whitney's count, from the ranks, where tied scores share the mean of theirs."""
    yes = int(np.count_nonzero(truth))
    no = truth.size - yes
    if not yes or not no or np.isnan(scores).any():
        return math.nan
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    twice = 2 * np.cumsum(count) - count + 1  # twice the mean rank, an integer
    return (int(twice[place[truth]].sum()) - yes * (yes + 1)) / (2 * yes * no)
