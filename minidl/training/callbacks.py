"""Callback: hooks into a fit; and the callbacks that come along."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._core import Array, check_flag, check_int, check_number
from ..optim import EMA
from .best import Best
from .step import grad_norms

if TYPE_CHECKING:
    from .trainer import Trainer

__all__ = [
    "CSVLogger",
    "Callback",
    "EMAWeights",
    "EarlyStopping",
    "GradientMonitor",
    "LearningRateMonitor",
    "StopTraining",
    "TensorBoardLogger",
    "TimeLimit",
]


class StopTraining(Exception):
    """Raise it in a callback to end the fit at once, in good order: `fit` returns the history.

    Args:
        reason: is shown.
    """

    def __init__(self, reason: str = "a callback asked for it") -> None:
        super().__init__(reason)


class Callback:
    """Base class: write the hooks you need. Each gets the Trainer, whose attributes tell where the fit is.

    Several callbacks are called in the order in which the Trainer got them, `ModelCheckpoint` last. Set
    ``trainer.stop = True`` to end the fit after the current epoch, raise `StopTraining` to end it at once. Any other
    exception ends the fit and reaches its caller; `on_fit_end` of all callbacks is still called, and of several
    exceptions the first is raised.
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

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint has to hold so that the fit can go on: numbers, text, arrays, lists, dicts."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned; called after `on_fit_start`."""


class EarlyStopping(Callback):
    """End the fit when a measure has not become better for some epochs, and go back to the best weights.

    Args:
        monitor: column of the history that is watched.
        patience: how many epochs without an improvement are borne.
        min_delta: by how much it must become better.
        mode: 'min', 'max', or 'auto': the smaller if "loss" is in the name.
        restore_best: whether the best epoch's weights are put back when the fit ends, however it ends.

    Attributes:
        best: the best value.
        best_epoch: its epoch.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 5,
        min_delta: float = 0.0,
        mode: str = "auto",
        restore_best: bool = True,
    ) -> None:
        self.patience = check_int("EarlyStopping", "patience", patience, minimum=0)
        self.restore_best = check_flag("EarlyStopping", "restore_best", restore_best)
        self._options = ("EarlyStopping", monitor, mode, min_delta)
        self._best = Best(*self._options)
        self.best_epoch = self._waited = 0
        self._weights: dict[str, Array] | None = None

    @property
    def best(self) -> float:
        """The best value."""
        return self._best.value

    def on_fit_start(self, trainer: Trainer) -> None:
        """Begin anew."""
        self._best = Best(*self._options)
        self.best_epoch, self._waited, self._weights = 0, 0, None

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Look at the measure."""
        if self._best.improved(trainer):
            self.best_epoch, self._waited = trainer.epoch, 0
            if self.restore_best:
                self._weights = trainer.model.state_dict()
            return
        self._waited += 1
        if self._waited > self.patience:
            trainer.stop = True

    def on_fit_end(self, trainer: Trainer) -> None:
        """Put the best weights back."""
        if self._weights is not None:
            trainer.model.load_state_dict(self._weights)

    def state_dict(self) -> dict[str, Any]:
        """Best value, epoch and weights."""
        return {
            "best": self._best.value,
            "best_epoch": self.best_epoch,
            "waited": self._waited,
            "weights": self._weights,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take them over."""
        self._best.value, self.best_epoch = state["best"], state["best_epoch"]
        self._waited, self._weights = state["waited"], state["weights"]


class LearningRateMonitor(Callback):
    """Note the learning rate of every step.

    Attributes:
        rates: learning rate of the first parameter group, one for each step.
    """

    def __init__(self) -> None:
        self.rates: list[float] = []

    def on_fit_start(self, trainer: Trainer) -> None:
        """Begin anew."""
        self.rates = []

    def on_batch_end(self, trainer: Trainer) -> None:
        """Note the rate with which the step was made."""
        self.rates.append(trainer.lr)

    def state_dict(self) -> dict[str, Any]:
        """The rates."""
        return {"rates": self.rates}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take them over."""
        self.rates = list(state["rates"])


class GradientMonitor(Callback):
    """Note the norm of each parameter's gradient: an epoch's mean over its steps.

    Attributes:
        rows: for each epoch a dict from the parameter's name to the mean norm, as it was after clipping.
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []
        self._sums: dict[str, float] = {}
        self._steps = 0

    def on_fit_start(self, trainer: Trainer) -> None:
        """Begin anew."""
        self.rows = []

    def on_epoch_start(self, trainer: Trainer) -> None:
        """Begin an epoch."""
        self._sums, self._steps = {}, 0

    def on_batch_end(self, trainer: Trainer) -> None:
        """Add the step's norms."""
        self._steps += 1
        for name, norm in grad_norms(trainer.model).items():
            self._sums[name] = self._sums.get(name, 0.0) + norm

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Take the means."""
        self.rows.append({name: total / max(1, self._steps) for name, total in self._sums.items()})

    def state_dict(self) -> dict[str, Any]:
        """The rows, and the sums of the epoch that is going on."""
        return {"rows": self.rows, "sums": self._sums, "steps": self._steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take them over."""
        self.rows, self._sums, self._steps = list(state["rows"]), dict(state["sums"]), state["steps"]


class EMAWeights(Callback):
    """Keep an exponential moving average of the weights, and give it to the model when the fit ends.

    Args:
        decay: how much of the average is kept at each step.
        apply: whether the model gets the average at the end.

    Attributes:
        ema: the `minidl.optim.EMA`; ``with callback.ema.applied(): ...`` evaluates with the average.
    """

    def __init__(self, decay: float = 0.999, apply: bool = True) -> None:
        self.decay = check_number("EMAWeights", "decay", decay, maximum=1.0)
        self.apply = check_flag("EMAWeights", "apply", apply)
        self.ema: EMA | None = None

    def on_fit_start(self, trainer: Trainer) -> None:
        """Begin with the weights as they are."""
        self.ema = EMA(trainer.model, self.decay)

    def on_batch_end(self, trainer: Trainer) -> None:
        """Move the average."""
        if self.ema is not None:
            self.ema.update()

    def on_fit_end(self, trainer: Trainer) -> None:
        """Give the model the average."""
        if self.ema is not None and self.apply:
            trainer.model.load_state_dict(self.ema.average)

    def state_dict(self) -> dict[str, Any]:
        """The average."""
        return {"average": {} if self.ema is None else self.ema.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take it over."""
        if self.ema is not None:
            self.ema.load_state_dict(state["average"])


class TimeLimit(Callback):
    """End the fit, after the step that is going on, when it has taken so long.

    Args:
        seconds: how long.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = check_number("TimeLimit", "seconds", seconds)
        self._start = 0.0

    def on_fit_start(self, trainer: Trainer) -> None:
        """Start the clock."""
        self._start = time.monotonic()

    def on_batch_end(self, trainer: Trainer) -> None:
        """Look at the clock."""
        if time.monotonic() - self._start >= self.seconds:
            raise StopTraining(f"the time limit of {self.seconds:g} s is over")


class CSVLogger(Callback):
    """Write the history to a CSV file after each epoch; the file is replaced as a whole.

    Args:
        path: file name.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Write the file."""
        trainer.history.to_csv(self.path)


class TensorBoardLogger(Callback):
    """Write the history for TensorBoard, through the package tensorboardX (extra ``tensorboard``).

    Args:
        folder: where the event files go.

    Raises:
        ImportError: the extra is not installed.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        try:
            import tensorboardX  # noqa: PLC0415 - an extra, imported where it is used
        except ImportError as error:
            raise ImportError("TensorBoardLogger needs an extra: pip install 'minidl[tensorboard]'") from error
        self._make: Any = tensorboardX.SummaryWriter
        self.folder = Path(folder)
        self._writer: Any = None

    def on_fit_start(self, trainer: Trainer) -> None:
        """Open the file."""
        self._writer = self._make(str(self.folder))

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Write the epoch's numbers."""
        for name, value in trainer.history.rows[-1].items():
            if name != "epoch" and np.isfinite(value):
                self._writer.add_scalar(name, value, trainer.epoch)

    def on_fit_end(self, trainer: Trainer) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
