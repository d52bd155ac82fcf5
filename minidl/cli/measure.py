"""Measure a model on a dataset: probabilities, loss, accuracy, and scores by class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._core import Array
from ..data import DataLoader, Dataset
from ..functional import softmax_forward
from ..nn import Module
from ..nn.modes import evaluating
from ..training.metrics import Accuracy, ConfusionMatrix, F1Score, Precision, Recall
from ..training.progress import Progress

__all__ = ["Measured", "measure", "probabilities"]


@dataclass
class Measured:
    """Probabilities (N, C) and labels (N,) of a dataset, and the measures computed from them."""

    probabilities: Array
    labels: Array
    loss: float
    accuracy: float
    matrix: Array
    precision: Array
    recall: Array
    f1: Array

    @property
    def correct(self) -> int:
        """Number of samples classified correctly."""
        return int(np.trace(self.matrix))

    def scores(self, classes: list[str]) -> list[tuple[str, float, float, float, int]]:
        """Return (class, precision, recall, F1, number of samples) for each class."""
        columns = (self.precision, self.recall, self.f1, self.matrix.sum(axis=1))
        return list(zip(classes, *(column.tolist() for column in columns), strict=True))

    def as_dict(self, classes: list[str]) -> dict[str, Any]:
        """Return the measures as plain data."""
        return {
            "loss": self.loss,
            "accuracy": self.accuracy,
            "samples": len(self.labels),
            "classes": [
                {"class": name, "precision": p, "recall": r, "f1": f, "samples": n}
                for name, p, r, f, n in self.scores(classes)
            ],
            "confusion": self.matrix.tolist(),
        }

    def losses(self) -> Array:
        """Return each sample's cross-entropy."""
        chosen = np.take_along_axis(self.probabilities, self.labels[:, None], axis=1)[:, 0]
        return np.asarray(-np.log(np.maximum(chosen, np.finfo(chosen.dtype).tiny)))


def probabilities(model: Module, images: Array) -> Array:
    """Return the probabilities (N, C) of a batch of images, from a model that returns logits."""
    with evaluating(model), np.errstate(over="ignore", invalid="ignore"):
        return softmax_forward(np.ascontiguousarray(model(images)), axis=1)[0]


def measure(model: Module, dataset: Dataset, classes: int, progress: str) -> Measured:
    """Run a model over a dataset.

    Args:
        model: returns logits (N, C).
        dataset: images and labels.
        classes: C.
        progress: as for `Trainer`.
    """
    outputs, labels = [], []
    for (images, target), _ in Progress(progress).track(DataLoader(dataset, 256), "evaluating"):
        outputs.append(probabilities(model, images))
        labels.append(target)
    whole, label = np.concatenate(outputs), np.concatenate(labels)
    metrics: list[Any] = [Accuracy(), ConfusionMatrix(classes), Precision(classes), Recall(classes), F1Score(classes)]
    for metric in metrics:
        metric.update(whole, label)
    result = Measured(whole, label, 0.0, *(metric.compute() for metric in metrics))
    result.loss = float(result.losses().mean())
    return result
