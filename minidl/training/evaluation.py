"""Evaluation and prediction: forward passes over batches, in evaluation mode, which save nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._core import Array
from ..data import ArrayDataset, DataLoader, Dataset
from ..nn import Module
from ..nn.modes import evaluating
from .batches import Batches, batch_parts
from .meter import Meter
from .metrics import Metric
from .progress import Progress
from .step import loss_of

__all__ = ["evaluate", "predict"]


def evaluate(
    model: Module, loss: Module, data: Batches, metrics: Sequence[Metric], progress: Progress
) -> dict[str, Any]:
    """Return loss, accuracy and metrics by name; `Trainer.evaluate` describes them."""
    meter = Meter(loss, metrics)
    with evaluating(model), np.errstate(over="ignore", invalid="ignore"):
        for batch, bar in progress.track(data, "evaluating"):
            x, target, *weights = batch_parts(batch)
            output = model(x)
            mean, weight, _ = loss_of(loss, output, target, *weights)
            meter.add(mean, weight, output, target)
            bar.set_postfix_str(str(meter), refresh=False)
    return meter.result("evaluate")


def predict(model: Module, data: Array | Dataset | Batches, batch_size: int, progress: Progress) -> Array:
    """Return the outputs for all samples; `Trainer.predict` describes them."""
    if isinstance(data, np.ndarray):
        data = ArrayDataset(data)
    if isinstance(data, Dataset):
        data = DataLoader(data, batch_size)
    outputs: list[Array] = []
    with evaluating(model), np.errstate(over="ignore", invalid="ignore"):
        for batch, _ in progress.track(data, "predicting"):
            outputs.append(model(batch[0] if isinstance(batch, (tuple, list)) else batch))
    if not outputs:
        raise ValueError("Trainer.predict: there are no samples")
    return np.concatenate([np.ascontiguousarray(output) for output in outputs])
