"""Place: how far a fit has come, as callbacks read it from the Trainer."""

from __future__ import annotations

from .history import History
from .state import FitState

__all__ = ["Place"]


class Place:
    """The part of a Trainer that tells how far the fit has come: ``trainer.epoch`` is ``trainer.state.epoch``, etc.

    Attributes:
        state: of the current or last fit.
    """

    state: FitState

    @property
    def epoch(self) -> int:
        """The current epoch, counted from 1."""
        return self.state.epoch

    @property
    def batch(self) -> int:
        """The current batch of the loader, counted from 1."""
        return self.state.batch

    @property
    def steps(self) -> int:
        """The optimiser's steps in this fit."""
        return self.state.steps

    @property
    def batch_loss(self) -> float:
        """Loss of the last step."""
        return self.state.batch_loss

    @property
    def lr(self) -> float:
        """Learning rate of the first parameter group in the last step."""
        return self.state.lr

    @property
    def history(self) -> History:
        """The history of the current or last fit."""
        return self.state.history

    @property
    def stop(self) -> bool:
        """Whether the fit ends after the current epoch; a callback may set it."""
        return self.state.stop

    @stop.setter
    def stop(self, value: bool) -> None:
        self.state.stop = value
