"""FunctionCallback: a function of the Trainer, as a callback."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .._core import class_hint, described
from .callback import Callback

__all__ = ["FunctionCallback", "as_callbacks"]


class FunctionCallback(Callback):
    """Calls a function with the Trainer at the end of each epoch, as `Callback.on_epoch_end` is called.

    Args:
        function: takes the Trainer.
    """

    compared = ("function",)

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function
        self.__dict__["on_epoch_end"] = function  # the function itself, whose module tells whose it is


def as_callbacks(callbacks: Any) -> list[Callback]:
    """Return what the Trainer was given as its callbacks as a list of them.

    Raises:
        TypeError: it is no list of them, or one is neither a Callback nor a function.
    """
    if isinstance(callbacks, Callback) or not isinstance(callbacks, Iterable):
        raise TypeError(f"Trainer: callbacks must be a list, callbacks=[...], got {described(callbacks)}")
    return [_as_callback(callback) for callback in callbacks]


def _as_callback(callback: Any) -> Callback:
    if isinstance(callback, Callback):
        return callback
    if callable(callback) and not isinstance(callback, type):
        return FunctionCallback(callback)
    raise TypeError(
        "Trainer: each callback must be a Callback or a function of the Trainer, got "
        f"{callback!r}{class_hint(callback)}"
    )
