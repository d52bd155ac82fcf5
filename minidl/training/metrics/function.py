"""FunctionMetric: a function of all outputs and targets of an evaluation, as a metric."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..._core import class_hint
from ...nn.structure import joined, rebuild
from .base import Metric

__all__ = ["FunctionMetric", "as_metric"]


class FunctionMetric(Metric):
    """A measure that a function computes at once from everything that an evaluation has seen.

    It is no mean of the batches' values, which would be another number for most measures. All outputs are kept
    until then, so it is measured in validation and by `Trainer.evaluate`, not in training.

    Args:
        function: takes (outputs, targets), (N, ...) each, or structures of them; returns a number. Its name is the
            metric's.

    Raises:
        TypeError: it has no name.
    """

    in_training = False

    def __init__(self, function: Callable[[Any, Any], Any]) -> None:
        super().__init__()
        name = getattr(function, "__name__", "")
        if not name.isidentifier():
            raise TypeError(
                f"Trainer: a metric needs a name for its column, {function!r} has none; define it with def, or set its "
                "attribute __name__"
            )
        self.function, self.name = function, name
        self._parts: list[Any] = []

    def update(self, output: Any, target: Any) -> None:
        """Keep a copy of a batch."""
        self._parts.append(rebuild((output, target), np.array))

    def compute(self) -> float:
        """Return what the function returns for all batches together; NaN if there were none.

        Raises:
            TypeError: it is not a number.
        """
        if not self._parts:
            return math.nan
        value = self.function(*joined(self._parts))
        if np.ndim(value) or np.asarray(value).dtype.kind not in "biuf":
            got = f"an array of shape {np.shape(value)}" if np.ndim(value) else type(value).__name__
            raise TypeError(f"Trainer: the metric {self.name}() must return a number, got {got}")
        return float(value)

    def merge(self, other: Metric) -> None:
        """Add the batches of another one."""
        assert isinstance(other, FunctionMetric)
        self._parts += other._parts

    def state_dict(self) -> dict[str, Any]:
        """Return the batches."""
        return {"parts": list(self._parts)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._parts = list(state["parts"])

    def reset(self) -> None:
        """Forget everything that was added."""
        super().reset()
        self._parts = []


def as_metric(metric: Any) -> Metric:
    """Return what the Trainer was given as a metric as a `Metric`.

    Raises:
        TypeError: it is neither a Metric nor a function with a name.
    """
    if isinstance(metric, Metric):
        return metric
    if callable(metric) and not isinstance(metric, type):
        return FunctionMetric(metric)
    raise TypeError(
        f"Trainer: each metric must be a Metric or a function of (outputs, targets), got {metric!r}{class_hint(metric)}"
    )
