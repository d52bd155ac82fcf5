"""no_grad: run layers without keeping anything for a backward pass."""

from __future__ import annotations

import threading
from contextlib import ContextDecorator

__all__ = ["is_grad_enabled", "no_grad"]


class _Mode(threading.local):
    enabled = True


_mode = _Mode()


def is_grad_enabled() -> bool:
    """Return False inside `no_grad`, True elsewhere. Each thread has its own state."""
    return _mode.enabled


class no_grad(ContextDecorator):
    """Context manager, and decorator, inside which layers keep nothing for a backward pass.

    It saves memory when predicting. backward() after a forward pass in here is a RuntimeError.
    """

    def __init__(self) -> None:
        self._before: list[bool] = []

    def __enter__(self) -> None:
        self._before.append(_mode.enabled)
        _mode.enabled = False

    def __exit__(self, *error: object) -> None:
        _mode.enabled = self._before.pop()

    def _recreate_cm(self) -> no_grad:
        return no_grad()  # a decorated function may run in several threads, each with its own state
