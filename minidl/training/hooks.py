"""Hooks: calls the callbacks of a fit, in their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from .._core import Array
from .callback import Callback, StopTraining

if TYPE_CHECKING:
    from .trainer import Trainer

__all__ = ["Hooks"]


class Hooks:
    """Calls the hooks of callbacks.

    Args:
        callbacks: called in this order.
    """

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        self._callbacks = callbacks
        self._started: list[Callback] = []
        self._having: dict[str, list[Callback]] = {}

    def of(self, name: str) -> list[Callback]:
        """Return the callbacks that have a hook of their own of this name: the others need not be called."""
        if name not in self._having:
            empty = getattr(Callback, name)
            self._having[name] = [
                callback for callback in self._callbacks if getattr(getattr(callback, name), "__func__", None) != empty
            ]
        return self._having[name]

    def call(self, trainer: Trainer, *names: str) -> None:
        """Call the named hooks: the first of every callback, then the second of every callback.

        Raises:
            StopTraining: a callback raised it; the others have been called anyway.
        """
        reason: StopTraining | None = None
        for name in names:
            for callback in self._callbacks if name == "on_fit_start" else self.of(name):
                try:
                    getattr(callback, name)(trainer)
                except StopTraining as stop:
                    reason = reason or stop
                if name == "on_fit_start":
                    self._started.append(callback)
        if reason is not None:
            raise reason

    def judged_weights(self, trainer: Trainer) -> Mapping[str, Array] | None:
        """Return the weights that a callback of the running fit gives for the model when it is judged, or None.

        Raises:
            ValueError: several callbacks give some.
        """
        found = [(type(own).__name__, own.judged_weights(trainer)) for own in self._started]
        given = [(name, weights) for name, weights in found if weights is not None]
        if len(given) > 1:
            names = " and ".join(name for name, _ in given)
            raise ValueError(f"Trainer: {names} both say by which weights the model is judged; only one callback can")
        return given[0][1] if given else None

    def end(self, trainer: Trainer, failed: bool) -> None:
        """Call `on_fit_end` of every callback that was started, whatever the others raise.

        Args:
            trainer: what they get as their argument.
            failed: whether the fit has failed; then its exception is being raised, and those of the hooks are dropped.
        """
        first: BaseException | None = None
        for callback in self._started:
            try:
                callback.on_fit_end(trainer)
            except BaseException as error:
                first = first or error
        self._started = []
        if first is not None and not failed:
            raise first
