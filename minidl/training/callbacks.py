"""The bundled callbacks: early stopping, monitors, averaged weights, limits, loggers; HealthMonitor is in health.py."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .._core import Array, check_flag, check_int, check_number, remove_leftovers, user_path, write_atomically
from ..nn import Module
from ..nn.state import match_state
from ..optim import EMA
from ..optim.stored import stored_count, stored_dict, stored_list, stored_number
from .best import Best
from .callback import Callback, StopTraining
from .health import HealthMonitor
from .history import csv_of
from .step import grad_norms

if TYPE_CHECKING:
    from .trainer import Trainer

__all__ = [
    "CSVLogger",
    "Callback",
    "EMAWeights",
    "EarlyStopping",
    "GradientMonitor",
    "HealthMonitor",
    "LearningRateMonitor",
    "StopTraining",
    "TensorBoardLogger",
    "TimeLimit",
]


class EarlyStopping(Callback):
    """End the fit when a measure has stopped improving, and restore the best weights.

    Args:
        monitor: column of the history to watch.
        patience: number of epochs without improvement that are tolerated.
        min_delta: how much better a value must be to count as an improvement.
        mode: 'min' if smaller is better, 'max' if larger is; 'auto': what the column's name says, if it is one of
            minidl's own or ends with "loss", "mae" or "accuracy".
        restore_best: whether to restore the weights of the best epoch when the fit ends, however it ends; with
            `EMAWeights`, the average that was validated.

    Attributes:
        best: the best value.
        best_epoch: its epoch.

    Raises:
        TypeError, ValueError: an option is invalid, the mode does not fit the column, or neither says which is better.
    """

    compared = "monitor", "patience", "min_delta", "mode", "restore_best"

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
        self.monitor, self.min_delta, self.mode = monitor, min_delta, "min" if self._best.smaller else "max"
        self.best_epoch = self._waited = 0
        self._weights: dict[str, Array] | None = None

    @property
    def best(self) -> float:
        """The best value."""
        return self._best.value

    def on_fit_start(self, trainer: Trainer) -> None:
        """Start over."""
        self._best = Best(*self._options)
        self.best_epoch, self._waited, self._weights = 0, 0, None

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Compare the epoch with the best one."""
        if self._best.improved(trainer.history.rows[-1]):
            self.best_epoch, self._waited = trainer.epoch, 0
            if self.restore_best:
                with trainer.judged() as model:
                    self._weights = model.state_dict()
            return
        self._waited += 1
        if self._waited > self.patience:
            trainer.stop = True
            kept = "" if self._weights is not None else "; the weights of the last epoch are kept"
            trainer.progress.line(f"stopped after epoch {trainer.epoch}: {self._reason()}{kept}")

    def on_fit_end(self, trainer: Trainer) -> None:
        """Restore the best weights, and say of which epoch they are if it is not the last."""
        if self._weights is None:
            return
        trainer.model.load_state_dict(self._weights)
        if self.best_epoch < trainer.epoch:
            trainer.progress.line(f"the weights of epoch {self.best_epoch} are kept, {self.monitor} {self.best:.4f}")

    def _reason(self) -> str:
        epochs = "1 epoch" if self._waited == 1 else f"{self._waited} epochs"
        if not self.best_epoch:
            return f"{self.monitor} was no finite number in {epochs}"
        least = f" by more than {self.min_delta:g}" if self.min_delta else ""
        return (
            f"{self.monitor} has not improved{least} for {epochs}, its best is {self.best:.4f} in epoch "
            f"{self.best_epoch}"
        )

    def state_dict(self) -> dict[str, Any]:
        """Best value, epoch and weights."""
        return {
            "best": self._best.value,
            "best_epoch": self.best_epoch,
            "waited": self._waited,
            "weights": self._weights,
        }

    def _loading(self, state: Any, model: Module | None) -> Callable[[], None]:
        own = stored_dict("EarlyStopping", state, "best", "best_epoch", "waited", "weights")
        best = Best(*self._options)
        best.value = stored_number("EarlyStopping: best", own["best"])
        epoch, waited = (stored_count(f"EarlyStopping: {name}", own[name]) for name in ("best_epoch", "waited"))
        weights = own["weights"]
        if weights is not None:
            known = stored_dict("EarlyStopping: weights", weights) if model is None else model.state_dict()
            weights = match_state("EarlyStopping", known, stored_dict("EarlyStopping: weights", weights), strict=True)[
                0
            ]

        def restore() -> None:
            self._best, self.best_epoch, self._waited, self._weights = best, epoch, waited, weights

        return restore


class LearningRateMonitor(Callback):
    """Record the learning rate of every step.

    Attributes:
        rates: learning rate of the first parameter group, one number per step.
    """

    def __init__(self) -> None:
        self.rates: list[float] = []

    def on_fit_start(self, trainer: Trainer) -> None:
        """Start over."""
        self.rates = []

    def on_batch_end(self, trainer: Trainer) -> None:
        """Record the rate of the step."""
        self.rates.append(trainer.lr)

    def state_dict(self) -> dict[str, Any]:
        """The rates."""
        return {"rates": self.rates}

    def _loading(self, state: Any, model: Module | None) -> Callable[[], None]:
        name = "LearningRateMonitor: rates"
        given = stored_list(name, stored_dict("LearningRateMonitor", state, "rates")["rates"])
        rates = [stored_number(name, rate) for rate in given]
        return lambda: setattr(self, "rates", list(rates))


class GradientMonitor(Callback):
    """Record the norm of each parameter's gradient, as the mean over the steps of an epoch.

    Attributes:
        rows: one dict per epoch, from the parameter's name to its mean norm after clipping.
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []
        self._sums: dict[str, float] = {}
        self._steps = 0

    def on_fit_start(self, trainer: Trainer) -> None:
        """Start over."""
        self.rows = []

    def on_epoch_start(self, trainer: Trainer) -> None:
        """Start the epoch's means."""
        self._sums, self._steps = {}, 0

    def on_batch_end(self, trainer: Trainer) -> None:
        """Add the step's norms."""
        self._steps += 1
        for name, norm in grad_norms(trainer.model).items():
            self._sums[name] = self._sums.get(name, 0.0) + norm

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Record the means."""
        self.rows.append({name: total / max(1, self._steps) for name, total in self._sums.items()})

    def state_dict(self) -> dict[str, Any]:
        """The rows, and the sums of the current epoch."""
        return {"rows": self.rows, "sums": self._sums, "steps": self._steps}

    def _loading(self, state: Any, model: Module | None) -> Callable[[], None]:
        own = stored_dict("GradientMonitor", state, "rows", "sums", "steps")
        rows = [_norms("rows", row) for row in stored_list("GradientMonitor: rows", own["rows"])]
        sums, steps = _norms("sums", own["sums"]), stored_count("GradientMonitor: steps", own["steps"])

        def restore() -> None:
            self.rows, self._sums, self._steps = list(rows), dict(sums), steps

        return restore


def _norms(where: str, value: Any) -> dict[str, float]:
    """Return norms by parameter that were stored."""
    where = f"GradientMonitor: {where}"
    return {str(name): stored_number(where, norm) for name, norm in stored_dict(where, value).items()}


class EMAWeights(Callback):
    """Keep an exponential moving average of the weights, by which the model is judged.

    Each epoch is validated with the average, `EarlyStopping` and `ModelCheckpoint` keep the average as the best
    weights, wherever they stand among the callbacks, and the model has the average, or the best one, when the fit ends.
    Training goes on with the model's own weights; last.ckpt has both.

    Args:
        decay: how much of the average is kept at each step, from 0 to 1; less in the first steps, see ``warmup`` of
            `minidl.optim.EMA`.
        apply: whether the model is judged by the average, and has it in the end. With False it is only kept.

    Attributes:
        ema: the `minidl.optim.EMA`; ``with callback.ema.applied(): ...`` evaluates with the average.
    """

    compared = "decay", "apply"

    def __init__(self, decay: float = 0.999, apply: bool = True) -> None:
        self.decay = check_number("EMAWeights", "decay", decay, maximum=1.0)
        self.apply = check_flag("EMAWeights", "apply", apply)
        self.ema: EMA | None = None

    def on_fit_start(self, trainer: Trainer) -> None:
        """Start with the current weights."""
        self.ema = EMA(trainer.model, self.decay, warmup=True)

    def on_batch_end(self, trainer: Trainer) -> None:
        """Update the average."""
        if self.ema is not None:
            self.ema.update()

    def judged_weights(self, trainer: Trainer) -> Mapping[str, Array] | None:
        """Return the average."""
        return self.ema.average if self.apply and self.ema is not None else None

    def state_dict(self) -> dict[str, Any]:
        """The average."""
        return {"average": {} if self.ema is None else self.ema.state_dict()}

    def _loading(self, state: Any, model: Module | None) -> Callable[[], None]:
        average = stored_dict("EMAWeights", state, "average")["average"]
        if model is not None:
            EMA(model, self.decay, warmup=True).load_state_dict(average)  # which checks it

        def restore() -> None:
            if self.ema is not None:
                self.ema.load_state_dict(average)

        return restore


class TimeLimit(Callback):
    """End the fit, after the current step, when it has taken longer than a limit.

    Args:
        seconds: the limit.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = check_number("TimeLimit", "seconds", seconds)
        self._start = 0.0

    def on_fit_start(self, trainer: Trainer) -> None:
        """Start the clock."""
        self._start = time.monotonic()

    def on_batch_end(self, trainer: Trainer) -> None:
        """End the fit if the time is up."""
        if time.monotonic() - self._start >= self.seconds:
            raise StopTraining(f"the time limit of {self.seconds:g} s has been reached")


class CSVLogger(Callback):
    """Write the history to a CSV file after each epoch, replacing the file, or a link in its place, atomically.

    Args:
        path: file name.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = user_path(path)

    def on_fit_start(self, trainer: Trainer) -> None:
        """Delete what a process that was killed while it wrote the file has left beside it."""
        if trainer.rank == 0:
            remove_leftovers(self.path)

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Write the file; of several ranks the first does."""
        if trainer.rank == 0:
            write_atomically(self.path, csv_of(trainer.history).encode())


class TensorBoardLogger(Callback):
    """Write the history for TensorBoard, with the package tensorboardX (extra ``tensorboard``).

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
        self.folder = user_path(folder)
        self._writer: Any = None

    def on_fit_start(self, trainer: Trainer) -> None:
        """Open the event file; of several ranks the first does."""
        self._writer = self._make(str(self.folder)) if trainer.rank == 0 else None

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Write the epoch's numbers."""
        for name, value in trainer.history.rows[-1].items():
            if self._writer is not None and name != "epoch" and np.isfinite(value):
                self._writer.add_scalar(name, value, trainer.epoch)

    def on_fit_end(self, trainer: Trainer) -> None:
        """Close the event file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
