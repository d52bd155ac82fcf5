"""Best: the best value so far of a column of the history."""

from __future__ import annotations

import math
from collections.abc import Mapping

from .._core import check_number
from ..optim.direction import resolve_mode
from .columns import check_column

__all__ = ["Best"]


class Best:
    """The best value so far of a column.

    Args:
        owner: the callback's name, for error messages.
        monitor: name of the column.
        mode: 'min' or 'max': which is better; 'auto': what the name says.
        min_delta: how much better a value must be to count.

    Raises:
        ValueError: the mode does not fit the name, or neither says which is better.
    """

    def __init__(self, owner: str, monitor: str, mode: str, min_delta: float = 0.0) -> None:
        self.smaller = resolve_mode(owner, monitor, mode) == "min"
        self.owner, self.monitor, self.min_delta = owner, monitor, check_number(owner, "min_delta", min_delta)
        self.value = math.inf if self.smaller else -math.inf

    def improved(self, row: Mapping[str, float]) -> bool:
        """Look at a row of the history; return whether it is the best so far.

        Raises:
            ValueError: there is no such column.
        """
        check_column(self.owner, self.monitor, list(row))
        value = row[self.monitor]
        better = value < self.value - self.min_delta if self.smaller else value > self.value + self.min_delta
        if better:
            self.value = value
        return better
