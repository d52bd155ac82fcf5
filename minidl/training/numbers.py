"""Numbers: what a custom training step has measured, and their means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..optim.stored import stored_count, stored_dict, stored_list, stored_number
from .metrics import Metric

__all__ = ["Logged", "Numbers", "as_numbers"]


class Logged(NamedTuple):
    """What a training step has measured on a batch, and how many samples that are."""

    numbers: dict[str, float]
    samples: int = 1
    divisor: float | None = None  # of the mean that is the loss; None: the samples

    @property
    def weight(self) -> float:
        """How much the loss counts."""
        return self.samples if self.divisor is None else self.divisor


class Numbers:
    """Running means of the numbers that a training step gives: over samples, of the loss over its divisor."""

    metrics: Sequence[Metric] = ()
    nan = 0

    def __init__(self) -> None:
        self._sums: dict[str, list[float]] = {}
        self._samples = 0

    @property
    def counted(self) -> bool:
        """Whether there was a batch."""
        return self._samples > 0

    def names(self) -> list[str]:
        """Return the names that are known beforehand."""
        return ["loss"]

    def take(self, done: Any) -> None:
        """Add a batch."""
        self._samples += done.samples
        for name, value in done.numbers.items():
            sums = self._sums.setdefault(name, [0.0, 0.0])
            weight = done.weight if name == "loss" else done.samples
            sums[0] += value * weight
            sums[1] += weight

    def result(self, where: str) -> dict[str, Any]:
        """Return the mean of each number; ``where`` is for the error message if there was no batch."""
        if not self._samples:
            raise ValueError(f"Trainer.{where}: there are no batches, or nothing counts in them")
        return self.losses()

    def losses(self) -> dict[str, float]:
        """Return the mean of each number so far, the loss first."""
        means = {name: value / weight for name, (value, weight) in self._sums.items()}
        return {**({"loss": means["loss"]} if "loss" in means else {}), **means}

    def merge(self, other: Numbers) -> None:
        """Add what others have measured."""
        self._samples += other._samples
        for name, theirs in other._sums.items():
            sums = self._sums.setdefault(name, [0.0, 0.0])
            sums[0] += theirs[0]
            sums[1] += theirs[1]

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of all sums."""
        return {"samples": self._samples, "sums": {name: list(sums) for name, sums in self._sums.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned, or raise ValueError."""
        stored_dict("it", state, "samples", "sums")
        self._samples = stored_count("samples", state["samples"])
        self._sums = {}
        for name, sums in stored_dict("sums", state["sums"]).items():
            self._sums[str(name)] = [
                stored_number(f"sums of {name}", one) for one in stored_list(f"sums of {name}", sums, 2)
            ]

    def __str__(self) -> str:
        return " ".join(f"{name} {value:.4f}" for name, value in self.losses().items())


def as_numbers(numbers: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of a training step as floats, or raise TypeError."""
    for name, value in numbers.items():
        if not isinstance(value, (int, float, np.integer, np.floating)) and np.shape(value) != ():
            raise TypeError(f"Trainer.training_step: {name!r} must be a number, got a {type(value).__name__}")
    return {str(name): float(value) for name, value in numbers.items()}
