"""Callback: hooks into a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .trainer import Trainer

__all__ = ["Callback"]


class Callback:
    """Base class: write the hooks you need. Each gets the Trainer, whose attributes tell where the fit is.

    Several callbacks are called in the order in which the Trainer got them. Set ``trainer.stop = True`` to end the
    fit after the current epoch. An exception ends the fit and reaches its caller.
    """

    def on_fit_start(self, trainer: Trainer) -> None:
        """Before the first epoch."""

    def on_epoch_start(self, trainer: Trainer) -> None:
        """Before the first batch of an epoch; ``trainer.epoch`` counts from 1."""

    def on_batch_end(self, trainer: Trainer) -> None:
        """After the optimiser's step; ``trainer.batch`` counts from 1, ``trainer.batch_loss`` is the loss."""

    def on_epoch_end(self, trainer: Trainer) -> None:
        """After the epoch's row, validation included, is in ``trainer.history``."""

    def on_fit_end(self, trainer: Trainer) -> None:
        """After the last epoch, however the fit ended: also after Ctrl-C or an exception."""
