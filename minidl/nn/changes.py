"""Changes: when parameters got new values, in the numbers of the forward passes."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from typing import Any

__all__ = ["changes", "mark_changed", "numbers"]

numbers = count(1)  # of the passes
changes = [0]  # when a parameter was last changed by an optimiser, in place or by loading


def mark_changed(parameters: Iterable[Any]) -> None:
    """Note that parameters have new values: a forward pass from before has no backward pass any more."""
    number = next(numbers)
    for parameter in parameters:
        parameter.changed = number
    changes[0] = number
