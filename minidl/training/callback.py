"""Callback: hooks into a fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .trainer import Trainer

__all__ = ["Callback", "StopTraining"]


class StopTraining(Exception):
    """Raise this in a callback to end the fit at once but cleanly: `fit` returns the history.

    Args:
        reason: shown to the user.
    """

    def __init__(self, reason: str = "a callback asked for it") -> None:
        super().__init__(reason)


class Callback:
    """Base class: override the hooks you need. Each gets the Trainer, whose attributes tell where the fit is.

    Callbacks are called in the order in which the Trainer got them: first `on_batch_end` (or `on_epoch_end`) of all
    of them, then `on_save` of all of them. Set ``trainer.stop = True`` to end the fit after the current epoch, or raise
    `StopTraining` to end it at once. Any other exception ends the fit and reaches its caller; `on_fit_end` of every
    callback is still called, and if several raise, the first exception is the one that is raised.
    """

    def on_fit_start(self, trainer: Trainer) -> None:
        """Before the first epoch."""

    def on_epoch_start(self, trainer: Trainer) -> None:
        """Before the first batch of an epoch; ``trainer.epoch`` counts from 1."""

    def on_batch_end(self, trainer: Trainer) -> None:
        """After the optimiser's step; ``trainer.batch`` counts from 1, ``trainer.batch_loss`` is the loss."""

    def on_epoch_end(self, trainer: Trainer) -> None:
        """After the epoch's row, validation included, has been added to ``trainer.history``."""

    def on_save(self, trainer: Trainer) -> None:
        """After `on_batch_end` or `on_epoch_end` of all callbacks: the time to save their states."""

    def on_fit_end(self, trainer: Trainer) -> None:
        """After the last epoch, however the fit ended, even after Ctrl-C or an exception."""

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint must hold for the fit to continue: numbers, text, arrays, lists, dicts."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned; called after `on_fit_start`."""
