"""ReduceLROnPlateau: smaller rates when a measure has stopped improving."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from ..._core import check_choice, check_int, check_number
from ..direction import resolve_mode
from ..optimizer import Optimizer
from ..stored import stored_count, stored_dict, stored_number
from .base import Schedule

__all__ = ["ReduceLROnPlateau"]


class ReduceLROnPlateau(Schedule):
    """Multiply the learning rates by ``factor`` when a measure has not improved for more than ``patience`` epochs.

    Args:
        optimizer: the optimizer to schedule.
        mode: 'min' if lower is better, 'max' if higher is; 'auto': what the monitor's name says, 'min' without one.
        factor: what the rates are multiplied by, less than 1.
        patience: epochs without improvement to tolerate.
        threshold: how much better a measure must be to count: by this fraction ('rel'), or by this amount ('abs').
        threshold_mode: 'rel' or 'abs'.
        cooldown: epochs to wait after a reduction before counting again.
        min_lr: no rate goes below this.
        eps: reductions smaller than this are skipped.
        monitor: column of the history that the Trainer gives to `step`, such as "val_accuracy"; None: the validation
            loss, or the training loss without validation. Has no meaning outside a Trainer.

    Raises:
        ValueError: an option is out of range, the mode does not fit the monitor, or neither says what is better.

    Attributes:
        best: the best measure so far.
        num_bad_epochs: epochs since then.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "auto",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float = 0.0,
        eps: float = 1e-8,
        *,
        monitor: str | None = None,
    ) -> None:
        owner = "ReduceLROnPlateau"
        super().__init__(optimizer)
        check_choice(owner, "mode", mode, ("auto", "min", "max"))
        self.monitor = monitor
        self.mode = resolve_mode(owner, monitor, mode) if monitor is not None else mode.replace("auto", "min")
        self.factor = check_number(owner, "factor", factor)
        if self.factor >= 1:
            raise ValueError(f"{owner}: factor must be less than 1, got {factor}")
        self.patience = check_int(owner, "patience", patience, minimum=0)
        self.threshold = check_number(owner, "threshold", threshold)
        self.threshold_mode = check_choice(owner, "threshold_mode", threshold_mode, ("rel", "abs"))
        self.cooldown = check_int(owner, "cooldown", cooldown, minimum=0)
        self.min_lr, self.eps = check_number(owner, "min_lr", min_lr), check_number(owner, "eps", eps)
        self.best = math.inf if self.mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = self.last_epoch = 0

    def step(self, metrics: float) -> None:
        """Record an epoch's measure, and reduce the learning rates if it is time."""
        current = float(metrics)
        self.last_epoch += 1
        if self._better(current):
            self.best, self.num_bad_epochs = current, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            for group in self.optimizer.param_groups:
                before = float(group["lr"])
                reduced = max(before * self.factor, self.min_lr)
                if before - reduced > self.eps:
                    group["lr"] = reduced
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0

    def _better(self, current: float) -> bool:
        sign = 1 if self.mode == "min" else -1
        if self.threshold_mode == "rel":
            return sign * current < sign * self.best * (1 - sign * self.threshold)
        return sign * current < sign * self.best - self.threshold

    def state_dict(self) -> dict[str, Any]:
        """Return what is needed to continue: plain numbers."""
        names = ("best", "num_bad_epochs", "cooldown_counter", "last_epoch")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned.

        Raises:
            ValueError: entries are missing or are no such numbers; nothing has changed then.
        """
        self._loading(state)()

    def _loading(self, state: Mapping[str, Any]) -> Callable[[], None]:
        """Check a state, without changing anything; return what restores it, which does not fail."""
        what = "ReduceLROnPlateau: cannot load state"
        stored_dict(f"{what}: it", state, *self.state_dict())
        own: dict[str, Any] = {
            name: stored_number(f"{what}: {name}", state[name])
            if name == "best"
            else stored_count(f"{what}: {name}", state[name])
            for name in self.state_dict()
        }
        return lambda: vars(self).update(own)
