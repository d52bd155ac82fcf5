"""Metrics: measures of a classifier that are accumulated over batches, or over parts of a dataset.

A metric keeps sums. `update` adds a batch, `merge` adds another metric's sums, `compute` returns the measure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .._core import Array, check_int
from ..nn import Loss
from ..nn.batch_loss import batch_loss

__all__ = ["Accuracy", "ConfusionMatrix", "F1Score", "MeanLoss", "Metric", "Precision", "Recall", "TopK"]


class Metric:
    """Base class: define `update`, which calls `add`, and `compute`.

    Attributes:
        name: of the column in a History, where it is preceded by "train_" or "val_".
        sums: what has been accumulated so far.
    """

    name = "metric"

    def __init__(self) -> None:
        self.sums: dict[str, Any] = {}

    def update(self, output: Array, target: Array) -> None:
        """Add a batch.

        Args:
            output: logits or probabilities (N, C, ...).
            target: labels (N, ...), or probabilities (N, C, ...), the largest of which is taken as the label.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define update()")

    def compute(self) -> Any:
        """Return the measure of everything that was added: a number, or an array."""
        raise NotImplementedError(f"{type(self).__name__} does not define compute()")

    def add(self, **amounts: Any) -> None:
        """Add to the sums.

        Args:
            **amounts: numbers or arrays by name.
        """
        for name, amount in amounts.items():
            self.sums[name] = amount + self.sums[name] if name in self.sums else amount

    def merge(self, other: Metric) -> None:
        """Add the sums of another metric, which has seen other samples.

        Args:
            other: a metric created in the same way.
        """
        self.add(**other.sums)

    def reset(self) -> None:
        """Forget everything that was added."""
        self.sums = {}

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the sums."""
        return {name: np.copy(value) if np.ndim(value) else value for name, value in self.sums.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.sums = dict(state)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.compute() if self.sums else 'nothing yet'})"


def _labels(output: Array, target: Array) -> Array:
    """Return the target as labels (N, ...) for an output (N, C, ...)."""
    target = np.asarray(target)
    if target.shape == output.shape and target.ndim > 1:
        target = target.argmax(axis=1)
    if target.dtype.kind not in "iu" or target.shape != (len(output), *output.shape[2:]):
        raise ValueError(f"expected labels for an output of shape {output.shape}, got {target.dtype} {target.shape}")
    if target.size and not (target.min() >= 0 and target.max() < output.shape[1]):
        raise ValueError(f"expected labels from 0 to {output.shape[1] - 1}, got {target.min()} to {target.max()}")
    return target


def _share(part: float, whole: float) -> float:
    return float(part) / float(whole) if whole else math.nan


class TopK(Metric):
    """Share of samples whose label is among the k largest outputs; among equal outputs the first class wins.

    Args:
        k: number of outputs, from 1.
    """

    def __init__(self, k: int = 5) -> None:
        super().__init__()
        self.k = check_int("TopK", "k", k)
        self.name = f"top{k}"

    def update(self, output: Array, target: Array) -> None:
        """Add a batch."""
        labels = np.expand_dims(_labels(output, target), 1)
        own = np.take_along_axis(output, labels, axis=1)
        classes = np.arange(output.shape[1]).reshape(-1, *(1,) * (output.ndim - 2))
        before = ((output > own) | ((output == own) & (classes < labels))).sum(axis=1)
        self.add(correct=int((before < self.k).sum()), total=labels.size)

    def compute(self) -> float:
        """Return the share, from 0 to 1."""
        return _share(self.sums.get("correct", 0), self.sums.get("total", 0))


class Accuracy(TopK):
    """Share of samples whose label has the largest output."""

    def __init__(self) -> None:
        super().__init__(1)
        self.name = "accuracy"


class MeanLoss(Metric):
    """Mean over samples of a loss other than the one that is trained.

    Args:
        loss: a loss with reduction 'mean' or 'sum'.
        name: of the column.
    """

    def __init__(self, loss: Loss, name: str = "mean_loss") -> None:
        super().__init__()
        self.loss, self.name = loss, name

    def update(self, output: Array, target: Array) -> None:
        """Add a batch."""
        loss = batch_loss(self.loss, output, target)
        self.add(total=loss.mean * loss.weight if loss.weight else 0.0, weight=loss.weight)

    def compute(self) -> float:
        """Return the mean."""
        return _share(self.sums.get("total", 0), self.sums.get("weight", 0))


class ConfusionMatrix(Metric):
    """Counts of samples by label (row) and predicted class (column).

    Args:
        num_classes: C; None: the number of classes in the outputs.
    """

    name = "confusion"

    def __init__(self, num_classes: int | None = None) -> None:
        super().__init__()
        owner = type(self).__name__
        self.num_classes = num_classes if num_classes is None else check_int(owner, "num_classes", num_classes)

    def update(self, output: Array, target: Array) -> None:
        """Add a batch."""
        labels, count = _labels(output, target), self.num_classes or output.shape[1]
        if output.shape[1] != count:
            raise ValueError(f"{type(self).__name__}: expected outputs of {count} classes, got {output.shape[1]}")
        pairs = labels.reshape(-1) * count + output.argmax(axis=1).reshape(-1)
        self.add(matrix=np.bincount(pairs, minlength=count * count).reshape(count, count))

    def compute(self) -> Array:
        """Return the counts, int64 (C, C)."""
        if "matrix" not in self.sums:
            return np.zeros((self.num_classes or 0,) * 2, np.int64)
        return np.array(self.sums["matrix"])


class _Score(ConfusionMatrix):
    def compute(self) -> Array:
        """Return a score for each class, (C,), from 0 to 1; 0 if its denominator is 0."""
        matrix = super().compute().astype(np.float64)
        hits = np.diagonal(matrix)
        amount, whole = self.parts(hits, matrix.sum(axis=0), matrix.sum(axis=1))
        return np.divide(amount, whole, out=np.zeros_like(hits), where=whole != 0)

    def parts(self, hits: Array, predicted: Array, actual: Array) -> tuple[Array, Array]:
        """Return numerator and denominator of the score."""
        raise NotImplementedError


class Precision(_Score):
    """For each class, the share of its predictions that are correct; ``num_classes`` as in `ConfusionMatrix`."""

    name = "precision"

    def parts(self, hits: Array, predicted: Array, actual: Array) -> tuple[Array, Array]:
        """Return hits and predictions of each class."""
        return hits, predicted


class Recall(_Score):
    """For each class, the share of its samples that are recognised; ``num_classes`` as in `ConfusionMatrix`."""

    name = "recall"

    def parts(self, hits: Array, predicted: Array, actual: Array) -> tuple[Array, Array]:
        """Return hits and samples of each class."""
        return hits, actual


class F1Score(_Score):
    """For each class, the harmonic mean of precision and recall; ``num_classes`` as in `ConfusionMatrix`."""

    name = "f1"

    def parts(self, hits: Array, predicted: Array, actual: Array) -> tuple[Array, Array]:
        """Return twice the hits, and predictions plus samples, of each class."""
        return 2 * hits, predicted + actual
