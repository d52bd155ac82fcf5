"""lr_find: the loss over learning rates that grow from step to step, and the rate that follows from it."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from .._core import Array, check_int, check_number, default_rng
from .callback import Callback, StopTraining
from .diagnosis import NonFiniteLossError
from .hooks import Hooks
from .progress import Progress

if TYPE_CHECKING:
    from .trainer import Trainer

__all__ = ["LRFind", "lr_find"]

_WINDOW = 5  # steps over which the loss is smoothed
_DIVERGED = 4.0  # times the smallest smoothed loss


class LRFind:
    """What `lr_find` has measured.

    Attributes:
        rates: learning rate of each step (S,), of the first parameter group.
        losses: loss of each step (S,).
        smooth: means of the losses over five steps around each.
        suggestion: a tenth of the rate at which ``smooth`` is smallest: near the largest rate that is safe.
    """

    def __init__(self, rates: list[float], losses: list[float]) -> None:
        self.rates, self.losses = np.array(rates), np.array(losses)
        half = _WINDOW // 2
        near = [self.losses[max(0, n - half) : n + half + 1] for n in range(len(losses))]
        self.smooth: Array = np.array([part.mean() for part in near])
        self.suggestion = float(self.rates[self.smooth.argmin()]) / 10

    @property
    def limits(self) -> tuple[float, float]:
        """Losses between which a picture shows the curve: what has grown out of bounds is above."""
        low, high = float(self.smooth.min()), float(self.smooth[: int(self.smooth.argmin()) + 1].max())
        return low, high + 0.5 * (high - low) if high > low else low + 1.0

    def __repr__(self) -> str:
        return (
            f"LRFind(suggestion={self.suggestion:.3g}, {len(self.rates)} steps from {self.rates[0]:.3g} to "
            f"{self.rates[-1]:.3g})"
        )


def lr_find(
    trainer: Trainer,
    train: Any,
    *,
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 100,
    batch_size: int | None = None,
) -> LRFind:
    """Find a learning rate: train for some steps, each with a larger rate, until the loss grows.

        found = lr_find(trainer, loader)
        optimizer.param_groups[0]["lr"] = found.suggestion
        minidl.plotting.lr_curve(found)

    It trains a copy: weights, buffers and the optimiser's state stay as they are, and so do minidl's random generator
    and the position of a DataLoader, also after Ctrl-C or an error. Callbacks, metrics and schedules are left out.

    Args:
        trainer: of the model to train; groups of parameters keep the ratios of their rates.
        train: data or batches, as `Trainer.fit` takes them; passed through more than once if there are few.
        low, high: the first rate, and the largest.
        steps: from one to the other, in equal ratios; 10 or more.
        batch_size: as for `Trainer.fit`.

    Raises:
        ValueError: ``low`` is not less than ``high``, or the loss is not finite at the lowest rates.
        TypeError, RuntimeError: as for `Trainer.fit`.
        KeyboardInterrupt: Ctrl-C.

    Source: Smith 2017, arXiv:1506.01186.
    """
    low = check_number("lr_find", "low", low, minimum=1e-30)
    high = check_number("lr_find", "high", high)
    if not low < high:
        raise ValueError(f"lr_find: low must be less than high, got {low:g} and {high:g}")
    steps = check_int("lr_find", "steps", steps, minimum=10)
    if trainer._running:
        raise RuntimeError("lr_find: this Trainer is in the middle of a fit")
    search = _Search(low, high, steps)
    with _untouched(train):
        double = _double(trainer, search)
        try:
            history = double.fit(train, epochs=steps, batch_size=batch_size)
        except NonFiniteLossError:  # that is how far one can go
            interrupted = False
        else:
            interrupted = history.interrupted
    if interrupted:
        raise KeyboardInterrupt
    if len(search.losses) < _WINDOW:
        raise ValueError(f"lr_find: the loss is not finite at rates from {low:g} on; begin with a lower one")
    return LRFind(search.rates, search.losses)


class _Search(Callback):
    """Sets the rate of each step, and notes its loss."""

    def __init__(self, low: float, high: float, steps: int) -> None:
        self.planned = np.geomspace(low, high, steps)
        self.rates: list[float] = []
        self.losses: list[float] = []
        self._best = math.inf
        self._bases: list[float] = []

    def on_batch_start(self, trainer: Trainer) -> None:
        """Set the rate."""
        groups = trainer.optimizer.param_groups
        if not self._bases:
            self._bases = [float(group["lr"]) for group in groups]
        first = self._bases[0]
        for group, base in zip(groups, self._bases, strict=True):
            group["lr"] = float(self.planned[len(self.rates)]) * (base / first if first else 1.0)

    def on_batch_end(self, trainer: Trainer) -> None:
        """Note the loss; end if it has grown, or the largest rate is reached."""
        self.rates.append(float(self.planned[len(self.rates)]))
        self.losses.append(trainer.batch_loss)
        if len(self.losses) >= _WINDOW:
            smooth = float(np.mean(self.losses[-_WINDOW:]))
            self._best = min(self._best, smooth)
            if smooth > _DIVERGED * abs(self._best):
                raise StopTraining("the loss has grown")
        if len(self.rates) == len(self.planned):
            raise StopTraining("the largest rate is reached")


def _double(trainer: Trainer, search: _Search) -> Trainer:
    """Return a Trainer of copies of the model, the loss and the optimiser, without anything that is only told."""
    left_out = (
        trainer.comm,
        trainer.state,
        trainer.callbacks,
        trainer.metrics,
        trainer.scheduler,
        trainer._hooks,
        trainer._step,
    )
    double = copy.deepcopy(trainer, {id(part): part for part in left_out if part is not None})
    double.callbacks, double.scheduler, double.on_nonfinite = [search], None, "raise"
    double.metrics = {} if isinstance(trainer.metrics, dict) else []
    double.progress, double._made = Progress("none", trainer.rank), {}
    double.state, double._hooks, double._step = double._new_state(), Hooks(double.callbacks), None
    return double


@contextmanager
def _untouched(train: Any) -> Iterator[None]:
    """Put minidl's random generator, and the position of a loader, back however the block ends."""
    generator = default_rng()
    before = generator.bit_generator.state
    position = train.state_dict() if hasattr(train, "load_state_dict") else None
    try:
        yield
    finally:
        generator.bit_generator.state = before
        if position is not None:
            train.load_state_dict(position)
