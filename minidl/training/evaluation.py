"""Evaluation and prediction: forward passes over batches, in evaluation mode, which save nothing."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from ..data import ArrayDataset
from ..distributed import Group
from ..inference.repeated import Repeated
from ..nn import Module
from ..nn.modes import evaluating
from ..nn.structure import joined, leaves, rebuild
from .batches import Batches, BatchForm, count_batches
from .given import as_batches, size_of
from .meter import Meter, Meters
from .objective import Objective, call
from .order import check_order
from .progress import Progress
from .sharing import own_batches

__all__ = ["evaluate", "predict"]

AnyMeter: TypeAlias = Meter | Meters


def evaluate(
    model: Module, objective: Objective, data: Batches, meter: AnyMeter, progress: Progress, form: BatchForm
) -> AnyMeter:
    """Add loss, accuracy and metrics of all batches to a Meter, and return it; `Trainer.evaluate` describes them."""
    with evaluating(model):
        for batch, bar in progress.track(data, "evaluating", total=count_batches(data)):
            x, target, *weights = form.split(batch)
            with np.errstate(over="ignore", invalid="ignore"):  # of the arithmetic; a loader's warnings are shown
                meter.take(objective.measure(call(model, x), target, *weights))
            bar.set_postfix_str(str(meter), refresh=False)
    return meter


def predict(
    model: Module, data: Any, batch_size: int | None, progress: Progress, form: BatchForm, group: Group | None = None
) -> Any:
    """Return the outputs for all samples; `Trainer.predict` describes them."""
    source: Any = ArrayDataset(data) if hasattr(data, "__array__") else data
    if isinstance(data, (tuple, dict)):
        source = _batches_of(
            form.input_of(data) if isinstance(data, dict) and form.targets else data, size_of("predict", batch_size)
        )
    else:
        source = as_batches("predict", source, batch_size)
    check_order(source)
    source, outputs = own_batches(group, source), list[Any]()
    forward = Repeated(model)
    with evaluating(model):
        for batch, _ in progress.track(source, "predicting", total=count_batches(source)):
            with np.errstate(over="ignore", invalid="ignore"):
                outputs.append(call(forward, form.input_of(batch)))
    if group is not None:  # in the order of the batches
        parts = group.collect(list(zip(source.numbers, outputs, strict=True)), "predictions")
        outputs = [output for _, output in sorted((one for part in parts for one in part), key=lambda one: one[0])]
    if not outputs:
        raise ValueError("Trainer.predict: there are no samples")
    return joined(outputs, owner="Trainer.predict")


def _batches_of(inputs: Any, batch_size: int) -> list[Any]:
    """Return the batches of several inputs in a tuple or dict; one in a dict is an input by itself."""
    if isinstance(inputs, dict) and len(inputs) == 1:
        inputs = next(iter(inputs.values()))
    arrays = list(leaves(inputs))
    if not all(isinstance(x, np.ndarray) and x.ndim for x in arrays) or len({len(x) for x in arrays}) > 1:
        shapes = ", ".join(str(np.shape(x)) for x in arrays)
        raise ValueError(f"Trainer.predict: several inputs must be arrays of the same length, got shapes {shapes}")
    samples = len(arrays[0]) if arrays else 0
    slices = [slice(first, first + batch_size) for first in range(0, samples, batch_size)]
    return [(rebuild(inputs, lambda x, part=part: x[part]),) for part in slices]  # type: ignore[misc]
