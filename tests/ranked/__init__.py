"""Checks that run on several ranks at once, each in the processes of one launch: `python -m ranked FOLDER CHECKS`.

A check is a function of the communicator, None in one process. What it returns on each rank, plain data for JSON, is
what a test judges: `launching.Ranked` has it by the check's name.
"""

from collections.abc import Callable
from typing import Any

CHECKS: dict[str, tuple[Callable[[Any], Any], tuple[int, ...]]] = {}


def check(*sizes, name=None):
    """Register a check, for some numbers of ranks: 2 and 3 if none are given."""

    def register(function):
        CHECKS[name or function.__name__] = function, sizes or (2, 3)
        return function

    return register
