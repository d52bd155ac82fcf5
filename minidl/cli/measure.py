"""Measure a model on a dataset: probabilities, loss, accuracy, and scores by class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._core import Array
from ..data import DataLoader, Dataset
from ..modelfile import LoadedModel
from ..training.metrics import ClassificationReport, ConfusionMatrix, classification_report, wilson_interval
from ..training.progress import Progress

__all__ = ["Measured", "batch_size_for", "measure"]


@dataclass
class Measured:
    """Probabilities (N, C) and labels (N,) of a dataset, the classes' names, and what was measured."""

    probabilities: Array
    labels: Array
    classes: list[str]
    matrix: Array

    @property
    def report(self) -> ClassificationReport:
        """Precision, recall and F1 of each class, and their averages."""
        return classification_report(self.matrix, self.classes)

    @property
    def loss(self) -> float:
        """Mean cross-entropy; NaN if a probability is."""
        return float(self.losses().mean())

    @property
    def accuracy(self) -> float:
        """Share of the samples that are classified correctly."""
        return self.correct / len(self.labels)

    @property
    def correct(self) -> int:
        """Number of samples classified correctly."""
        return int(np.trace(self.matrix))

    @property
    def nan(self) -> Array:
        """Which samples the model's output was NaN for (N,); they are classified as nothing."""
        return np.asarray(np.isnan(self.probabilities).any(axis=1))

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the accuracy, by Wilson's formula."""
        return wilson_interval(self.correct, len(self.labels))

    @property
    def interval_text(self) -> str:
        """The interval in words."""
        low, high = self.interval
        return f"95 % interval {100 * low:.2f} to {100 * high:.2f} %"

    def summary(self) -> str:
        """Return the accuracy as text, with its interval, and with the number of NaN if there are any."""
        nan = int(self.nan.sum())
        note = f"; for {nan:,} the output is NaN, which counts as wrong" if nan else ""
        return f"{100 * self.accuracy:.2f} % ({self.correct:,} of {len(self.labels):,}; {self.interval_text}){note}"

    def as_dict(self) -> dict[str, Any]:
        """Return the measures as plain data."""
        report = self.report.as_dict()
        for row in (*report["classes"], *report["averages"].values()):
            row["samples"] = row.pop("support")
        facts = {"loss": self.loss, "samples": len(self.labels), "accuracy_interval": self.interval}
        return {**facts, **report, "confusion": self.matrix.tolist()}

    def losses(self) -> Array:
        """Return each sample's cross-entropy."""
        chosen = np.take_along_axis(self.probabilities, self.labels[:, None], axis=1)[:, 0]
        return np.asarray(-np.log(np.maximum(chosen, np.finfo(chosen.dtype).tiny)))


def batch_size_for(dataset: Dataset) -> int:
    """Return how many images are measured at a time: 256 of up to 64 x 64 pixels, fewer of larger ones, for the memory.

    256 images of 224 x 224 would take 6 GB in a resnet20.
    """
    height, width = (int(side) for side in np.shape(dataset[0][0])[1:])
    return max(1, min(256, 256 * 64 * 64 // (height * width)))


def measure(loaded: LoadedModel, dataset: Dataset, progress: str) -> Measured:
    """Run a model over a dataset.

    Args:
        loaded: its model returns logits (N, C), for C classes.
        dataset: images and labels.
        progress: as for `Trainer`.
    """
    outputs, labels = [], []
    for (images, target), _ in Progress(progress).track(DataLoader(dataset, batch_size_for(dataset)), "evaluating"):
        outputs.append(loaded.probabilities(images))
        labels.append(target)
    whole, label = np.concatenate(outputs), np.concatenate(labels)
    matrix = ConfusionMatrix(len(loaded.classes), task="multiclass")
    matrix.update(whole, label)
    return Measured(whole, label, loaded.classes, matrix.compute())
