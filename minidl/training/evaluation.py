"""Evaluation and prediction: forward passes over batches, in evaluation mode, which save nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._core import Array
from ..data import ArrayDataset, DataLoader
from ..data.collate import DatasetLike, is_dataset
from ..nn import Module
from ..nn.batch_loss import batch_loss
from ..nn.modes import evaluating
from .batches import Batches, batch_parts, check_batches, input_of
from .meter import Meter
from .metrics import Metric
from .order import check_order
from .progress import Progress

__all__ = ["evaluate", "predict"]


def evaluate(
    model: Module, loss: Module, data: Batches, metrics: Sequence[Metric], progress: Progress, sample_weights: bool
) -> Meter:
    """Return loss, accuracy and metrics of all batches, in a Meter; `Trainer.evaluate` describes them."""
    meter = Meter(loss, metrics)
    with evaluating(model):
        for batch, bar in progress.track(data, "evaluating"):
            x, target, *weights = batch_parts(batch, sample_weights)
            with np.errstate(over="ignore", invalid="ignore"):  # of the arithmetic; a loader's warnings are shown
                output = model(x)
                done = batch_loss(loss, output, target, *weights)
                meter.add(done.mean, done.weight, output, target, done.counted)
            bar.set_postfix_str(str(meter), refresh=False)
    if meter.nan:
        progress.line(f"evaluate: the output is NaN for {meter.nan:,} samples, which count as wrong")
    return meter


def predict(model: Module, data: Array | DatasetLike | Batches, batch_size: int, progress: Progress) -> Array:
    """Return the outputs for all samples; `Trainer.predict` describes them."""
    source: Any = ArrayDataset(data) if hasattr(data, "__array__") else data
    if is_dataset(source):
        source = DataLoader(source, batch_size)
    check_batches("predict", source)
    check_order(source)
    outputs: list[Array] = []
    with evaluating(model):
        for batch, _ in progress.track(source, "predicting"):
            with np.errstate(over="ignore", invalid="ignore"):
                outputs.append(model(input_of(batch)))
    if not outputs:
        raise ValueError("Trainer.predict: there are no samples")
    return np.concatenate([np.ascontiguousarray(output) for output in outputs])
