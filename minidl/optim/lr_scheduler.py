"""Learning rate schedules, with PyTorch's names and numbers: call ``scheduler.step()`` after each epoch, or each step.

Every schedule but ReduceLROnPlateau is a formula: it computes the learning rate of each group from the number of steps
so far and the learning rate that the group started with.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from .._core import check_choice, check_flag, check_int, check_number
from .optimizer import Optimizer

__all__ = [
    "CosineAnnealingLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "OneCycleLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]


def _check_optimizer(owner: str, optimizer: Any) -> Optimizer:
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{owner}: optimizer must be an Optimizer, got {optimizer!r}")
    return optimizer


def _for_each_group(owner: str, optimizer: Any, value: Any, what: str) -> list[Any]:
    """Return one value for each group of the optimizer, given as a list, or the same for all of them."""
    groups = _check_optimizer(owner, optimizer).param_groups
    values = list(value) if isinstance(value, (list, tuple)) else [value] * len(groups)
    if len(values) != len(groups):
        raise ValueError(f"{owner}: expected {len(groups)} {what}, got {len(values)}")
    return values


def _check_positive(owner: str, argument: str, value: Any, *, maximum: float = math.inf) -> float:
    number = check_number(owner, argument, value, maximum=maximum)
    if number == 0:
        raise ValueError(f"{owner}: {argument} must be greater than 0")
    return number


class _Schedule:
    """What every schedule has: an optimizer, whose learning rates it sets."""

    interval = "epoch"

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = _check_optimizer(type(self).__name__, optimizer)

    def get_last_lr(self) -> list[float]:
        """Return the current learning rates of the groups."""
        return [float(group["lr"]) for group in self.optimizer.param_groups]


class LRScheduler(_Schedule):
    """Base class: a subclass implements `factor`, or `rate` if its rates are not multiples of the first learning rate.

    Args:
        optimizer: the optimizer whose groups' "lr" is set, at once and in every `step`.

    Attributes:
        last_epoch: the number of steps so far.
        base_lrs: the learning rates that the groups started with ("initial_lr" in the groups).
        interval: when the Trainer calls `step`: after each "epoch", or after each "step" of the optimizer.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        super().__init__(optimizer)
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self.base_lrs = [float(group["initial_lr"]) for group in optimizer.param_groups]
        self.last_epoch = 0
        self._set()

    def factor(self, epoch: int, group: int) -> float:
        """Return the factor on a group's first learning rate after ``epoch`` steps."""
        raise NotImplementedError(f"{type(self).__name__} does not define factor()")

    def rate(self, epoch: int, group: int) -> float:
        """Return the learning rate of a group after ``epoch`` steps."""
        return self.base_lrs[group] * self.factor(epoch, group)

    def step(self) -> None:
        """Count a step and set the learning rates."""
        self.last_epoch += 1
        self._set()

    def _set(self) -> None:
        for number, group in enumerate(self.optimizer.param_groups):
            group["lr"] = float(self.rate(self.last_epoch, number))

    def state_dict(self) -> dict[str, Any]:
        """Return what is needed to continue: plain numbers."""
        return {"last_epoch": self.last_epoch, "base_lrs": list(self.base_lrs)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned, for the same schedule, and set the learning rates.

        Raises:
            ValueError: the number of groups differs.
        """
        if len(state["base_lrs"]) != len(self.base_lrs):
            raise ValueError(
                f"{type(self).__name__}: cannot load state: expected {len(self.base_lrs)} groups, got "
                f"{len(state['base_lrs'])}"
            )
        self.last_epoch, self.base_lrs = int(state["last_epoch"]), [float(lr) for lr in state["base_lrs"]]
        self._set()


class LambdaLR(LRScheduler):
    """lr = lr0 * f(epoch).

    Args:
        optimizer: the optimizer to schedule.
        lr_lambda: f, or a list with one for each group.
    """

    def __init__(
        self, optimizer: Optimizer, lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]]
    ) -> None:
        self.lr_lambdas = _for_each_group("LambdaLR", optimizer, lr_lambda, "functions")
        super().__init__(optimizer)

    def factor(self, epoch: int, group: int) -> float:
        """f(epoch)."""
        return float(self.lr_lambdas[group](epoch))


class StepLR(LRScheduler):
    """lr = lr0 * gamma ** (epoch // step_size).

    Args:
        optimizer: the optimizer to schedule.
        step_size: epochs between two changes.
        gamma: the factor of each change.
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        self.step_size = check_int("StepLR", "step_size", step_size)
        self.gamma = check_number("StepLR", "gamma", gamma)
        super().__init__(optimizer)

    def factor(self, epoch: int, group: int) -> float:
        """gamma ** (epoch // step_size)."""
        return self.gamma ** (epoch // self.step_size)


class MultiStepLR(LRScheduler):
    """lr = lr0 * gamma ** (number of milestones reached).

    Args:
        optimizer: the optimizer to schedule.
        milestones: the epochs at which the rate changes.
        gamma: the factor of each change.
    """

    def __init__(self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1) -> None:
        self.milestones = sorted(check_int("MultiStepLR", "milestones", m, minimum=0) for m in milestones)
        self.gamma = check_number("MultiStepLR", "gamma", gamma)
        super().__init__(optimizer)

    def factor(self, epoch: int, group: int) -> float:
        """gamma ** (number of milestones reached)."""
        return self.gamma ** bisect_right(self.milestones, epoch)


class ExponentialLR(LRScheduler):
    """lr = lr0 * gamma ** epoch.

    Args:
        optimizer: the optimizer to schedule.
        gamma: the factor of each epoch.
    """

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        self.gamma = check_number("ExponentialLR", "gamma", gamma)
        super().__init__(optimizer)

    def factor(self, epoch: int, group: int) -> float:
        """gamma ** epoch."""
        return self.gamma**epoch


class LinearLR(LRScheduler):
    """lr = lr0 * factor, where the factor moves linearly from start_factor to end_factor within total_iters steps.

    Args:
        optimizer: the optimizer to schedule.
        start_factor, end_factor: the factor at the beginning, greater than 0, and from total_iters on; at most 1.
        total_iters: the number of steps between them.
    """

    def __init__(
        self, optimizer: Optimizer, start_factor: float = 1 / 3, end_factor: float = 1.0, total_iters: int = 5
    ) -> None:
        self.start_factor = _check_positive("LinearLR", "start_factor", start_factor, maximum=1.0)
        self.end_factor = check_number("LinearLR", "end_factor", end_factor, maximum=1.0)
        self.total_iters = check_int("LinearLR", "total_iters", total_iters)
        super().__init__(optimizer)

    def factor(self, epoch: int, group: int) -> float:
        """start_factor + (end_factor - start_factor) * min(1, epoch / total_iters)."""
        return self.start_factor + (self.end_factor - self.start_factor) * min(1.0, epoch / self.total_iters)


class CosineAnnealingLR(LRScheduler):
    """lr = eta_min + (lr0 - eta_min) * (1 + cos(pi * epoch / T_max)) / 2.

    Args:
        optimizer: the optimizer to schedule.
        T_max: epochs from the largest to the smallest rate.
        eta_min: the smallest rate.

    Source: Loshchilov & Hutter 2017, arXiv:1608.03983.
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        self.T_max = check_int("CosineAnnealingLR", "T_max", T_max)
        self.eta_min = check_number("CosineAnnealingLR", "eta_min", eta_min)
        super().__init__(optimizer)

    def rate(self, epoch: int, group: int) -> float:
        """The formula of the class."""
        wave = (1 + math.cos(math.pi * epoch / self.T_max)) / 2
        return self.eta_min + (self.base_lrs[group] - self.eta_min) * wave


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

    Raises:
        ValueError: an option is out of range; from `step`: the cycle is over.

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
    ) -> None:
        owner = "OneCycleLR"
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError(f"{owner}: give total_steps, or both epochs and steps_per_epoch")
            total_steps = check_int(owner, "epochs", epochs) * check_int(owner, "steps_per_epoch", steps_per_epoch)
        self.total_steps = check_int(owner, "total_steps", total_steps)
        self.anneal_strategy = check_choice(owner, "anneal_strategy", anneal_strategy, ("cos", "linear"))
        self.cycle_momentum = check_flag(owner, "cycle_momentum", cycle_momentum)
        peaks = _for_each_group(owner, optimizer, max_lr, "values of max_lr")
        self.peaks = [check_number(owner, "max_lr", peak) for peak in peaks]
        low = check_number(owner, "base_momentum", base_momentum)
        high = check_number(owner, "max_momentum", max_momentum)
        div_factor = _check_positive(owner, "div_factor", div_factor)
        first, last = 1 / div_factor, 1 / (div_factor * _check_positive(owner, "final_div_factor", final_div_factor))
        rise = check_number(owner, "pct_start", pct_start, maximum=1.0) * self.total_steps
        # where the phases meet: the step, the rate there as a multiple of the peak, the momentum
        self.points = [(0.0, first, high), (rise - 1, 1.0, low), (float(self.total_steps - 1), last, high)]
        if check_flag(owner, "three_phase", three_phase):
            self.points.insert(2, (2 * rise - 2, first, high))
        if self.cycle_momentum and not all("momentum" in g or "betas" in g for g in optimizer.param_groups):
            raise ValueError(f"{owner}: the optimizer has no momentum to cycle; use cycle_momentum=False")
        for group, peak in zip(optimizer.param_groups, self.peaks, strict=True):
            group["initial_lr"] = peak / div_factor
        super().__init__(optimizer)

    def rate(self, epoch: int, group: int) -> float:
        """Interpolated between the two ends of the phase that the step is in."""
        return self.peaks[group] * self._between(epoch, 1)

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

    def _set(self) -> None:
        super()._set()
        if self.cycle_momentum:
            momentum = self._between(self.last_epoch, 2)
            for group in self.optimizer.param_groups:
                if "betas" in group:
                    group["betas"] = (momentum, group["betas"][1])
                else:
                    group["momentum"] = momentum


class SequentialLR(LRScheduler):
    """Schedules one after another: a warm-up, then a decay.

    Args:
        optimizer: the optimizer to schedule.
        schedulers: schedules of the same optimizer; each counts its steps from its own beginning.
        milestones: the epochs at which the second and later schedules begin.
    """

    def __init__(self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int]) -> None:
        if not schedulers or len(milestones) != len(schedulers) - 1:
            raise ValueError(
                f"SequentialLR: expected one milestone fewer than schedulers, got {len(milestones)} and "
                f"{len(schedulers)}"
            )
        if any(scheduler.optimizer is not optimizer for scheduler in schedulers):
            raise ValueError("SequentialLR: the schedulers must be made for the same optimizer")
        self.schedulers = list(schedulers)
        self.milestones = [check_int("SequentialLR", "milestones", m, minimum=0) for m in milestones]
        super().__init__(optimizer)

    def rate(self, epoch: int, group: int) -> float:
        """The rate of the schedule that ``epoch`` falls into."""
        number = bisect_right(self.milestones, epoch)
        begin = self.milestones[number - 1] if number else 0
        return self.schedulers[number].rate(epoch - begin, group)


class ReduceLROnPlateau(_Schedule):
    """Multiply the learning rates by ``factor`` when a measure has not improved for more than ``patience`` epochs.

    Args:
        optimizer: the optimizer to schedule.
        mode: 'min' if lower is better, 'max' if higher is.
        factor: what the rates are multiplied by, less than 1.
        patience: epochs without improvement to tolerate.
        threshold: how much better a measure must be to count: by this fraction ('rel'), or by this amount ('abs').
        threshold_mode: 'rel' or 'abs'.
        cooldown: epochs to wait after a reduction before counting again.
        min_lr: no rate goes below this.
        eps: reductions smaller than this are skipped.

    Attributes:
        best: the best measure so far.
        num_bad_epochs: epochs since then.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float = 0.0,
        eps: float = 1e-8,
    ) -> None:
        owner = "ReduceLROnPlateau"
        super().__init__(optimizer)
        self.mode = check_choice(owner, "mode", mode, ("min", "max"))
        self.factor = check_number(owner, "factor", factor)
        if self.factor >= 1:
            raise ValueError(f"{owner}: factor must be less than 1, got {factor}")
        self.patience = check_int(owner, "patience", patience, minimum=0)
        self.threshold = check_number(owner, "threshold", threshold)
        self.threshold_mode = check_choice(owner, "threshold_mode", threshold_mode, ("rel", "abs"))
        self.cooldown = check_int(owner, "cooldown", cooldown, minimum=0)
        self.min_lr, self.eps = check_number(owner, "min_lr", min_lr), check_number(owner, "eps", eps)
        self.best = math.inf if mode == "min" else -math.inf
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
                reduced = max(group["lr"] * self.factor, self.min_lr)
                if group["lr"] - reduced > self.eps:
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
        """Restore what `state_dict` returned."""
        vars(self).update({name: type(value)(state[name]) for name, value in self.state_dict().items()})
