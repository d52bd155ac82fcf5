"""Meter: loss, accuracy and metrics, accumulated over the batches of an epoch."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .._core import Array
from ..nn import Module
from .judging import as_classes, as_decisions, nan_rows, same_shape, task_of
from .metrics import Accuracy, MeanAbsoluteError, Metric

__all__ = ["Meter"]

# Names that minidl gives to columns; a metric of the kind that is named here may have one.
_OWN: dict[str, type[Metric] | None] = {
    **dict.fromkeys(("epoch", "lr", "seconds", "skipped", "grad_norm", "loss", "nan")),
    "accuracy": Accuracy,
    "mae": MeanAbsoluteError,
}


class Meter:
    """Running means of loss and accuracy over samples, weighted as the loss weights them; and metrics, reset.

    What the loss judges decides what is measured besides it: for classes and decisions the accuracy, for numbers the
    mean absolute error, "mae". A loss that does not say has an accuracy if targets are integer labels (N, ...) of
    outputs (N, C, ...), C > 1. Soft targets of decisions are neither right nor wrong: then there is no accuracy.

    Args:
        loss: the loss whose mean is taken; the metrics are told of it.
        metrics: copied, so that the originals stay as they are.

    Raises:
        ValueError: a metric has the name of another column, or cannot judge what the loss judges.
    """

    def __init__(self, loss: Module, metrics: Sequence[Metric] = ()) -> None:
        _check_names(metrics)
        self._loss = loss
        self._task, self._threshold = task_of(loss)
        self._sums = {"total": 0.0, "weight": 0.0, "samples": 0, "correct": 0, "classified": 0}
        self._sums.update(soft=0, error=0.0, elements=0, nan=0)
        self.metrics = [copy.deepcopy(metric) for metric in metrics]
        for metric in self.metrics:
            metric.reset()
            metric.told_by(loss)

    @property
    def counted(self) -> bool:
        """Whether anything counted so far; otherwise the loss is NaN."""
        return self._sums["weight"] > 0

    @property
    def nan(self) -> int:
        """The number of samples for which the output was NaN."""
        return int(self._sums["nan"])

    def add(self, loss: float, weight: float, output: Array, target: Any, counted: Array | None = None) -> None:
        """Add a batch.

        Args:
            loss: its mean.
            weight: what the mean was divided by; with 0 nothing counts.
            output, target: of the model, and what it should have been.
            counted: which labels (N, ...) or samples (N,) count, for the other measures; None: all.
        """
        sums, target = self._sums, np.asarray(target)
        sums["samples"] += len(output)
        if not weight:
            return
        sums["total"] += loss * weight
        sums["weight"] += weight
        if counted is not None:
            output, target = _chosen(output, target, counted)
        for metric in self.metrics:
            metric.update(output, target)
        nan = nan_rows(output)
        if nan is not None:
            sums["nan"] += int(nan.reshape(len(output), -1).any(axis=1).sum())
        labels = as_classes(output, target)
        if labels is None and self._task == "binary":
            self._add_decisions(output, target)
        elif labels is None and self._task == "regression":
            self._add_errors(output, target)
        elif labels is None and self._task == "multiclass" and target.shape == output.shape and output.shape[1] > 1:
            self._add_classes(output, target.argmax(axis=1), nan)  # of probabilities
        elif labels is not None:
            self._add_classes(output, labels, nan)

    def _add_classes(self, output: Array, labels: Array, nan: Array | None) -> None:
        """Count the samples whose label has the largest output."""
        right = output.argmax(axis=1) == labels
        if nan is not None:
            right &= ~nan
        self._sums["correct"] += int(np.count_nonzero(right))
        self._sums["classified"] += labels.size

    def _add_decisions(self, output: Array, target: Array) -> None:
        """Count the decisions that are right."""
        pair = as_decisions(output, target)
        if pair is None:
            self._sums["soft"] += 1
            return
        output, yes = pair
        right = ((output > self._threshold) == yes) & ~np.isnan(output)
        self._sums["correct"] += int(np.count_nonzero(right))
        self._sums["classified"] += yes.size

    def _add_errors(self, output: Array, target: Array) -> None:
        """Add the absolute errors."""
        pair = same_shape(output, target)
        if pair is not None:
            self._sums["error"] += float(np.abs(np.subtract(*pair, dtype=np.float64)).sum())
            self._sums["elements"] += pair[0].size

    def result(self, where: str) -> dict[str, Any]:
        """Return loss, accuracy and the metrics by name; ``where`` is for the error message if nothing was added.

        With "nan", the number of samples whose outputs were NaN, if there were any.
        """
        sums = self._sums
        if not sums["samples"]:
            raise ValueError(
                f"Trainer.{where}: there are no batches; an iterator can be used only once, and drop_last leaves "
                "out a batch that is not full"
            )
        result: dict[str, Any] = {**self.losses(), **({"nan": self.nan} if self.nan else {})}
        return {**result, **{metric.name: metric.compute() for metric in self.metrics}}

    def losses(self) -> dict[str, float]:
        """Return loss, and accuracy or mean absolute error, so far."""
        sums = self._sums
        result = {"loss": sums["total"] / sums["weight"] if sums["weight"] else math.nan}
        if sums["classified"] and not sums["soft"]:
            result["accuracy"] = sums["correct"] / sums["classified"]
        if sums["elements"]:
            result["mae"] = sums["error"] / sums["elements"]
        return result

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of all sums."""
        return {"sums": dict(self._sums), "metrics": [metric.state_dict() for metric in self.metrics]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned; in a file of an earlier version some sums are missing."""
        self._sums.update(state["sums"])
        for metric, own in zip(self.metrics, state["metrics"], strict=True):
            metric.load_state_dict(own)

    def __str__(self) -> str:
        return " ".join(f"{name} {value:.4f}" for name, value in self.losses().items())


def _chosen(output: Array, target: Array, counted: Array) -> tuple[Array, Array]:
    """Return outputs and targets of the samples (N,), or the labels (N, ...), that count."""
    if counted.ndim == 1:
        return output[counted], target[counted]
    if output.ndim > 1 and counted.shape == target.shape == (len(output), *output.shape[2:]):
        return np.moveaxis(output, 1, -1)[counted], target[counted]
    return output, target


def _check_names(metrics: Sequence[Metric]) -> None:
    """Raise ValueError if two metrics have one name, or one has the name of a column of the history."""
    names = [metric.name for metric in metrics]
    for metric in metrics:
        own = type(metric).__name__
        if not isinstance(metric.name, str) or not metric.name:
            raise TypeError(f"Trainer: the name of a metric must be text, {own} has {metric.name!r}; set metric.name")
        bare = metric.name.removeprefix("train_").removeprefix("val_")
        kind = _OWN.get(bare, Metric)
        if kind is None or not isinstance(metric, kind) or (bare in _OWN and bare != metric.name):
            raise ValueError(
                f"Trainer: {metric.name!r} is a column of minidl's own, {own} needs another name; set metric.name"
            )
    if len(set(names)) < len(names):
        raise ValueError(f"Trainer: the metrics must have different names, got {names}; set metric.name")
