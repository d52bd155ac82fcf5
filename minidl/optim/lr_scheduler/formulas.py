"""Schedules that are formulas of the number of steps: LambdaLR, StepLR, MultiStepLR, ExponentialLR, LinearLR, cosine.

Each but LambdaLR also says what a step changes, by PyTorch's recurrence, for rates that are not those of the formula.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence

from ..._core import check_int, check_number
from ..optimizer import Optimizer
from .base import ChainableLR, LRScheduler, check_positive, for_each_group

__all__ = ["CosineAnnealingLR", "ExponentialLR", "LambdaLR", "LinearLR", "MultiStepLR", "StepLR"]


class LambdaLR(LRScheduler):
    """lr = lr0 * f(epoch), whatever the rate was changed to in the meantime, as in PyTorch.

    Args:
        optimizer: the optimizer to schedule.
        lr_lambda: f, or a list with one for each group.

    Raises:
        ValueError: there is not one function for each group; also from `step`, for a group that was added later.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        self.lr_lambdas = for_each_group("LambdaLR", optimizer, lr_lambda, "functions")
        self.lr_lambda = lr_lambda  # as it was given: a resume compares it
        super().__init__(optimizer, last_epoch)

    def _meet_groups(self) -> None:
        """Give new groups the function of all groups, if there is one."""
        new = len(self.optimizer.param_groups) - len(self.lr_lambdas)
        if isinstance(self.lr_lambda, (list, tuple)):
            for_each_group("LambdaLR", self.optimizer, self.lr_lambdas, "functions")
        else:
            self.lr_lambdas += [self.lr_lambda] * new
        super()._meet_groups()

    def factor(self, epoch: int, group: int) -> float:
        """f(epoch)."""
        return float(self.lr_lambdas[group](epoch))


class StepLR(ChainableLR):
    """lr = lr0 * gamma ** (epoch // step_size).

    Args:
        optimizer: the optimizer to schedule.
        step_size: epochs between two changes.
        gamma: the factor of each change.
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.step_size = check_int("StepLR", "step_size", step_size)
        self.gamma = check_number("StepLR", "gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def factor(self, epoch: int, group: int) -> float:
        """gamma ** (epoch // step_size)."""
        return self.gamma ** (epoch // self.step_size)

    def _change(self, epoch: int, group: int, lr: float) -> float:
        """Every step_size steps, lr * gamma."""
        return lr * self.gamma if epoch and epoch % self.step_size == 0 else lr


class MultiStepLR(ChainableLR):
    """lr = lr0 * gamma ** (number of milestones reached).

    Args:
        optimizer: the optimizer to schedule.
        milestones: the epochs at which the rate changes.
        gamma: the factor of each change.
    """

    def __init__(
        self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.milestones = sorted(check_int("MultiStepLR", "milestones", m, minimum=0) for m in milestones)
        self.gamma = check_number("MultiStepLR", "gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def factor(self, epoch: int, group: int) -> float:
        """gamma ** (number of milestones reached)."""
        return self.gamma ** bisect_right(self.milestones, epoch)

    def _change(self, epoch: int, group: int, lr: float) -> float:
        """At a milestone, lr * gamma, for each milestone there."""
        return lr * self.gamma ** self.milestones.count(epoch)


class ExponentialLR(ChainableLR):
    """lr = lr0 * gamma ** epoch.

    Args:
        optimizer: the optimizer to schedule.
        gamma: the factor of each epoch.
    """

    _waits = True

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = check_number("ExponentialLR", "gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def factor(self, epoch: int, group: int) -> float:
        """gamma ** epoch."""
        return self.gamma**epoch

    def _change(self, epoch: int, group: int, lr: float) -> float:
        """lr * gamma."""
        return lr * self.gamma if epoch else lr


class LinearLR(ChainableLR):
    """lr = lr0 * factor, where the factor moves linearly from start_factor to end_factor within total_iters steps.

    Args:
        optimizer: the optimizer to schedule.
        start_factor, end_factor: the factor at the beginning, greater than 0, and from total_iters on; at most 1.
        total_iters: the number of steps between them.
    """

    _waits = True

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        self.start_factor = check_positive("LinearLR", "start_factor", start_factor, maximum=1.0)
        self.end_factor = check_number("LinearLR", "end_factor", end_factor, maximum=1.0)
        self.total_iters = check_int("LinearLR", "total_iters", total_iters)
        super().__init__(optimizer, last_epoch)

    def factor(self, epoch: int, group: int) -> float:
        """start_factor + (end_factor - start_factor) * min(1, epoch / total_iters)."""
        return self.start_factor + (self.end_factor - self.start_factor) * min(1.0, epoch / self.total_iters)

    def _reach(self) -> int:
        return self.total_iters

    def _change(self, epoch: int, group: int, lr: float) -> float:
        """lr * (the factor now / the factor before)."""
        if epoch > self.total_iters:
            return lr
        return lr * self.factor(epoch, group) / (self.factor(epoch - 1, group) if epoch else 1.0)


class CosineAnnealingLR(ChainableLR):
    """lr = eta_min + (lr0 - eta_min) * (1 + cos(pi * epoch / T_max)) / 2.

    Args:
        optimizer: the optimizer to schedule.
        T_max: epochs from the largest to the smallest rate.
        eta_min: the smallest rate.

    Source: Loshchilov & Hutter 2017, arXiv:1608.03983.
    """

    _waits = True

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max = check_int("CosineAnnealingLR", "T_max", T_max)
        self.eta_min = check_number("CosineAnnealingLR", "eta_min", eta_min)
        super().__init__(optimizer, last_epoch)

    def rate(self, epoch: int, group: int) -> float:
        """The formula of the class."""
        wave = (1 + math.cos(math.pi * epoch / self.T_max)) / 2
        return self.eta_min + (self.base_lrs[group] - self.eta_min) * wave

    def _reach(self) -> int:
        return self.T_max

    def _change(self, epoch: int, group: int, lr: float) -> float:
        """The distance from eta_min shrinks with the wave; after a minimum the wave of lr0 begins again."""
        if epoch == 0:
            return lr
        angle = math.pi / self.T_max
        if (epoch - 1 - self.T_max) % (2 * self.T_max) == 0:
            return lr + (self.base_lrs[group] - self.eta_min) * (1 - math.cos(angle)) / 2
        share = (1 + math.cos(angle * epoch)) / (1 + math.cos(angle * (epoch - 1)))
        return self.eta_min + (lr - self.eta_min) * share
