"""Meter: loss, accuracy and metrics of the batches of an epoch."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .._core import Array
from ..nn import Module
from .metrics import Metric

__all__ = ["Meter"]


class Meter:
    """Running means of loss and accuracy, over samples, weighted as the loss weights them; and metrics, reset.

    Args:
        loss: the loss whose mean is taken.
        metrics: copied.
    """

    def __init__(self, loss: Module, metrics: Sequence[Metric] = ()) -> None:
        self._loss = loss
        self._ignored = getattr(loss, "ignore_index", None)
        self._sums = {"total": 0.0, "weight": 0.0, "samples": 0, "correct": 0, "classified": 0}
        self.metrics = [copy.deepcopy(metric) for metric in metrics]
        for metric in self.metrics:
            metric.reset()

    def add(self, loss: float, weight: float, output: Array, target: Any) -> None:
        """Add a batch: the mean loss of ``weight`` samples (what the mean was divided by), outputs and targets."""
        sums, samples, target = self._sums, len(output), np.asarray(target)
        sums["samples"] += samples
        sums["total"] += loss * weight if weight else 0.0
        sums["weight"] += weight
        for metric in self.metrics:
            metric.update(*self._counted(output, target))
        if output.ndim < 2:
            return
        labels = target
        if target.dtype.kind == "f" and self._ignored is not None and target.shape == output.shape:
            labels = target.argmax(axis=1)  # class probabilities; only a classification loss has ignore_index
        if labels.dtype.kind in "iu" and labels.shape == (samples, *output.shape[2:]):
            counted = labels != self._ignored
            sums["correct"] += int(((output.argmax(axis=1) == labels) & counted).sum())
            sums["classified"] += int(counted.sum())

    def _counted(self, output: Array, target: Array) -> tuple[Array, Array]:
        """Leave out what the loss ignores."""
        ignored = target == self._ignored if self._ignored is not None and target.dtype.kind in "iu" else None
        if ignored is None or not ignored.any() or target.shape != (len(output), *output.shape[2:]):
            return output, target
        return np.moveaxis(output, 1, -1)[~ignored], target[~ignored]

    def result(self, where: str) -> dict[str, Any]:
        """Return loss, accuracy and the metrics by name; ``where`` is for the error if nothing was added."""
        sums = self._sums
        if not sums["samples"]:
            raise ValueError(
                f"Trainer.{where}: there are no batches; an iterator can be used only once, and drop_last "
                "leaves out a batch that is not full"
            )
        result: dict[str, Any] = self.losses()
        return {**result, **{metric.name: metric.compute() for metric in self.metrics}}

    def losses(self) -> dict[str, float]:
        """Return loss and accuracy so far."""
        sums = self._sums
        result = {"loss": sums["total"] / sums["weight"] if sums["weight"] else math.nan}
        if sums["classified"]:
            result["accuracy"] = sums["correct"] / sums["classified"]
        return result

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of all sums."""
        return {"sums": dict(self._sums), "metrics": [metric.state_dict() for metric in self.metrics]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._sums = dict(state["sums"])
        for metric, own in zip(self.metrics, state["metrics"], strict=True):
            metric.load_state_dict(own)

    def __str__(self) -> str:
        return " ".join(f"{name} {value:.4f}" for name, value in self.losses().items())
