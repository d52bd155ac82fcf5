"""Metric: a measure that is accumulated over batches; and the means of losses and errors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..._core import Array
from ...nn import Loss
from ...nn.batch_loss import batch_loss
from ..judging import numbers, same_shape, task_of

__all__ = ["MeanAbsoluteError", "MeanLoss", "Metric", "share"]


class Metric:
    """Base class: define `update`, which calls `add`, and `compute`.

    Attributes:
        name: of the column in a History, where it is preceded by "train_" or "val_".
        sums: what has been accumulated so far.
        in_training: whether it is measured in training, too; otherwise in validation and by `Trainer.evaluate` only.
    """

    name = "metric"
    in_training = True

    def __init__(self) -> None:
        self.sums: dict[str, Any] = {}

    def told_by(self, loss: Any) -> None:
        """Hear, before the first batch, by which loss the Trainer trains; the default is to ignore it.

        The Trainer tells a copy: the metric that it was given stays as it is.

        Args:
            loss: ``loss.task`` says what it judges, ``loss.threshold`` above which output its answer is yes.

        Raises:
            ValueError: the metric cannot judge what the loss judges.
        """

    def update(self, output: Array, target: Array) -> None:
        """Add a batch.

        Args:
            output: what the model returned for N samples, (N, ...).
            target: what it should have been.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define update()")

    def compute(self) -> Any:
        """Return the measure of everything that was added: a number, or an array."""
        raise NotImplementedError(f"{type(self).__name__} does not define compute()")

    def gives_number(self) -> bool:
        """Return whether `compute` returns a number, which becomes a column, as far as it is known beforehand."""
        return True

    def add(self, **amounts: Any) -> None:
        """Add to the sums, which are int64 or float64: in a batch's own dtype they could overflow.

        Args:
            **amounts: numbers or arrays by name.
        """
        for name, amount in amounts.items():
            wide = _wide(amount)
            self.sums[name] = wide + self.sums[name] if name in self.sums else wide

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
        """Restore what `state_dict` returned, or raise ValueError."""
        for name, value in state.items():
            if not isinstance(name, str) or np.asarray(value).dtype.kind not in "biufc":
                raise ValueError(f"{type(self).__name__}: cannot load state: {name!r} is not a sum of numbers")
        self.sums = {name: np.copy(value) if np.ndim(value) else value for name, value in state.items()}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.compute() if self.sums else 'nothing yet'})"


def _wide(amount: Any) -> Any:
    if isinstance(amount, bool):
        return int(amount)
    if not isinstance(amount, (np.ndarray, np.generic)) or amount.dtype.kind not in "biufc":
        return amount
    return amount.astype(np.result_type(amount.dtype, np.int64 if amount.dtype.kind in "biu" else np.float64))


def share(part: float, whole: float) -> float:
    """Return part / whole; NaN if there is nothing."""
    return float(part) / float(whole) if whole else math.nan


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
        return share(self.sums.get("total", 0), self.sums.get("weight", 0))


class MeanAbsoluteError(Metric):
    """Mean over all elements of |output - target|, computed in float64; NaN if an output is NaN."""

    name = "mae"

    def told_by(self, loss: Any) -> None:
        """Refuse a loss for classification, whose outputs are not numbers to be met."""
        if task_of(loss)[0] in ("multiclass", "binary"):
            raise ValueError(
                f"MeanAbsoluteError: {type(loss).__name__} judges classes, not numbers; use Accuracy or F1Score"
            )

    def update(self, output: Array, target: Array) -> None:
        """Add a batch: two arrays of one shape; (N,) and (N, 1) fit as well."""
        pair = same_shape(numbers("MeanAbsoluteError", "outputs", output), np.asarray(target))
        if pair is None:
            raise ValueError(
                f"MeanAbsoluteError: expected targets of the outputs' shape {np.shape(output)}, got {np.shape(target)}"
            )
        wide = [numbers("MeanAbsoluteError", "a batch", values).astype(np.float64) for values in pair]
        self.add(error=float(np.abs(wide[0] - wide[1]).sum()), elements=wide[0].size)

    def compute(self) -> float:
        """Return the mean."""
        return share(self.sums.get("error", 0), self.sums.get("elements", 0))
