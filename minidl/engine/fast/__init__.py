"""The compiled engine: the engine's functions as machine code that numba makes for this machine; extra ``fast``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import correlation

__all__ = ["functions"]


def functions() -> dict[str, Callable[..., Any]]:
    """Return what this engine computes by itself, by the names of `Engine`'s fields; the rest is NumPy's."""
    return {
        "correlate": correlation.correlate,
        "input_grad": correlation.input_grad,
        "weight_grad": correlation.weight_grad,
    }
