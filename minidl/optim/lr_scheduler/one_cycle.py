"""OneCycleLR: the rate up and down again, once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..._core import check_choice, check_flag, check_int, check_number
from ..optimizer import Optimizer
from .base import LRScheduler, check_positive, for_each_group

__all__ = ["OneCycleLR"]


class OneCycleLR(LRScheduler):
    """Up from max_lr / div_factor to max_lr, then down to max_lr / (div_factor * final_div_factor); one step per batch.

    Args:
        optimizer: the optimizer whose learning rates, and momenta or first betas, are scheduled.
        max_lr: the peak, or a list with one for each group.
        total_steps: the number of steps in the whole cycle; or give epochs and steps_per_epoch.
        epochs, steps_per_epoch: their product is the number of steps.
        pct_start: the fraction of the steps in which the rate goes up.
        anneal_strategy: 'cos' or 'linear'.
        cycle_momentum: whether the momentum moves the other way, from max_momentum to base_momentum and back.
        base_momentum, max_momentum: its limits.
        div_factor, final_div_factor: see above; greater than 0.
        three_phase: down in two phases: first to where it began, then to the end.
        last_epoch: as for `LRScheduler`.

    Raises:
        ValueError: an option is out of range; from `step`: the cycle is over, or a parameter group has been added.

    Source: Smith & Topin 2017, arXiv:1708.07120.
    """

    interval = "step"

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        owner = "OneCycleLR"
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError(f"{owner}: give total_steps, or both epochs and steps_per_epoch")
            total_steps = check_int(owner, "epochs", epochs) * check_int(owner, "steps_per_epoch", steps_per_epoch)
        self.total_steps = check_int(owner, "total_steps", total_steps)
        self.anneal_strategy = check_choice(owner, "anneal_strategy", anneal_strategy, ("cos", "linear"))
        self.cycle_momentum = check_flag(owner, "cycle_momentum", cycle_momentum)
        peaks = for_each_group(owner, optimizer, max_lr, "values of max_lr")
        self.max_lr = [check_number(owner, "max_lr", peak) for peak in peaks]
        low = self.base_momentum = check_number(owner, "base_momentum", base_momentum)
        high = self.max_momentum = check_number(owner, "max_momentum", max_momentum)
        self.div_factor = check_positive(owner, "div_factor", div_factor)
        self.final_div_factor = check_positive(owner, "final_div_factor", final_div_factor)
        self.pct_start = check_number(owner, "pct_start", pct_start, maximum=1.0)
        self.three_phase = check_flag(owner, "three_phase", three_phase)
        first, last = 1 / self.div_factor, 1 / (self.div_factor * self.final_div_factor)
        rise = self.pct_start * self.total_steps
        # where the phases meet: the step, the rate there as a multiple of the peak, the momentum
        self.points = [(0.0, first, high), (rise - 1, 1.0, low), (float(self.total_steps - 1), last, high)]
        if self.three_phase:
            self.points.insert(2, (2 * rise - 2, first, high))
        if self.cycle_momentum and not all("momentum" in g or "betas" in g for g in optimizer.param_groups):
            raise ValueError(f"{owner}: the optimizer has no momentum to cycle; use cycle_momentum=False")
        for group, peak in zip(optimizer.param_groups, self.max_lr if last_epoch == -1 else (), strict=False):
            group["initial_lr"] = peak / self.div_factor
        super().__init__(optimizer, last_epoch)

    def _length(self) -> int:
        return self.total_steps

    def rate(self, epoch: int, group: int) -> float:
        """Interpolated between the two ends of the phase that the step is in."""
        return self.max_lr[group] * self._between(epoch, 1)

    def _between(self, epoch: int, column: int) -> float:
        """Interpolate a column of the points."""
        if epoch > self.total_steps:  # one step after the last rate is tolerated, as in PyTorch
            raise ValueError(f"OneCycleLR: the cycle of {self.total_steps} steps is over")
        number = 1
        while epoch > self.points[number][0] and number < len(self.points) - 1:
            number += 1
        before, after = self.points[number - 1], self.points[number]
        share = (epoch - before[0]) / (after[0] - before[0]) if after[0] != before[0] else 1.0
        if self.anneal_strategy == "linear":
            return before[column] + (after[column] - before[column]) * share
        return after[column] + (before[column] - after[column]) / 2 * (1 + math.cos(math.pi * share))

    def _formula(self, epoch: int, group: int) -> dict[str, Any]:
        """The rate, and the momentum or first beta if they move too."""
        options = super()._formula(epoch, group)
        if not self.cycle_momentum:
            return options
        momentum, own = self._between(epoch, 2), self.optimizer.param_groups[group]
        return {**options, **({"betas": (momentum, own["betas"][1])} if "betas" in own else {"momentum": momentum})}

    def _meet_groups(self) -> None:
        """Refuse groups that were added later: their max_lr is not known."""
        for_each_group("OneCycleLR", self.optimizer, self.max_lr, "parameter groups, as when the schedule was made")
        super()._meet_groups()
