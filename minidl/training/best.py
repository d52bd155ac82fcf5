"""Best: the best value so far of a column of the history."""

from __future__ import annotations

import math
from collections.abc import Mapping

from .._core import check_choice, check_number

__all__ = ["Best"]


class Best:
    """The best value so far of a column.

    Args:
        owner: the callback's name, for error messages.
        monitor: name of the column.
        mode: 'min' or 'max': which is better; 'auto': smaller if the name contains "loss", otherwise larger.
        min_delta: how much better a value must be to count.
    """

    def __init__(self, owner: str, monitor: str, mode: str, min_delta: float = 0.0) -> None:
        check_choice(owner, "mode", mode, ("auto", "min", "max"))
        self.owner, self.monitor, self.min_delta = owner, monitor, check_number(owner, "min_delta", min_delta)
        self.smaller = mode == "min" or (mode == "auto" and "loss" in monitor)
        self.value = math.inf if self.smaller else -math.inf

    def improved(self, row: Mapping[str, float]) -> bool:
        """Look at a row of the history; return whether it is the best so far.

        Raises:
            ValueError: there is no such column.
        """
        if self.monitor not in row:
            hint = "; give fit() validation data" if self.monitor.startswith("val_") else ""
            raise ValueError(f"{self.owner}: there is no column {self.monitor!r}, only {', '.join(row)}{hint}")
        value = row[self.monitor]
        better = value < self.value - self.min_delta if self.smaller else value > self.value + self.min_delta
        if better:
            self.value = value
        return better
