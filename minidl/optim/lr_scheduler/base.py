"""What every schedule has, and LRScheduler, the base of those that are formulas."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from ..._core import check_int, check_number
from ..optimizer import Optimizer
from ..stored import stored_count, stored_dict, stored_list, stored_number

__all__ = ["ChainableLR", "LRScheduler", "Schedule", "check_optimizer", "check_positive", "for_each_group"]


def check_optimizer(owner: str, optimizer: Any) -> Optimizer:
    """Return the optimizer, or raise TypeError."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{owner}: optimizer must be an Optimizer, got {optimizer!r}")
    return optimizer


def for_each_group(owner: str, optimizer: Any, value: Any, what: str) -> list[Any]:
    """Return one value for each group of the optimizer, given as a list, or the same for all of them."""
    groups = check_optimizer(owner, optimizer).param_groups
    values = list(value) if isinstance(value, (list, tuple)) else [value] * len(groups)
    if len(values) != len(groups):
        raise ValueError(f"{owner}: expected {len(groups)} {what}, got {len(values)}")
    return values


def check_positive(owner: str, argument: str, value: Any, *, maximum: float = math.inf) -> float:
    """Return a number greater than 0, or raise TypeError / ValueError."""
    number = check_number(owner, argument, value, maximum=maximum)
    if number == 0:
        raise ValueError(f"{owner}: {argument} must be greater than 0")
    return number


class Schedule:
    """What every schedule has: an optimizer, whose learning rates it sets.

    Attributes:
        interval: when the Trainer calls `step`: after each "epoch", or after each "step" of the optimizer.
        last_epoch: the number of steps so far.
    """

    interval = "epoch"
    last_epoch = 0

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = check_optimizer(type(self).__name__, optimizer)

    def _length(self) -> int | None:
        """Return the number of steps after which the schedule cannot go on; None: it has no end."""
        return None

    def _reach(self) -> int | None:
        """Return the number of steps after which the rate has come to where it goes; None: it goes nowhere."""
        return self._length()

    def get_last_lr(self) -> list[float]:
        """Return the current learning rates of the groups."""
        return [float(group["lr"]) for group in self.optimizer.param_groups]


class LRScheduler(Schedule):
    """Base class: a subclass implements `factor`, or `rate` if its rates are not multiples of the first learning rate.

    Or `get_lr`, PyTorch's way, which returns the rates of all groups from `last_epoch`, `base_lrs` and the groups:

        class Warmup(LRScheduler):
            def get_lr(self):
                return [base_lr * min(1.0, (self.last_epoch + 1) / 5) for base_lr in self.base_lrs]

    Each step sets the rates of the formula; what was changed by hand or by another schedule is undone, as by PyTorch's
    LambdaLR. A group that is added to the optimizer later is scheduled from the next step on.

    Args:
        optimizer: the optimizer whose groups' "lr" is set, at once and in every `step`.
        last_epoch: the number of the last step that was done before, to go on from there; -1 to begin. What
            `load_state_dict` does is nearly always better.

    Raises:
        ValueError: ``last_epoch`` is not -1, and a group does not have the "initial_lr" that it began with.

    Attributes:
        last_epoch: the number of steps so far.
        base_lrs: the learning rates that the groups started with ("initial_lr" in the groups).
        interval: when the Trainer calls `step`: after each "epoch", or after each "step" of the optimizer.
    """

    # whether one that goes on from last_epoch leaves the rates as they are until its first step: PyTorch's choice
    _waits: ClassVar[bool] = False

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        super().__init__(optimizer)
        self.base_lrs: list[float] = []
        self.last_epoch = check_int(type(self).__name__, "last_epoch", last_epoch, minimum=-1) + 1
        if self.last_epoch and any("initial_lr" not in group for group in optimizer.param_groups):
            raise ValueError(
                f"{type(self).__name__}: to go on from last_epoch={last_epoch}, each group of the optimizer needs the "
                '"initial_lr" that it began with; load the state of an optimizer that had a schedule, or leave it out'
            )
        self._meet_groups()
        if not self.last_epoch or not self._waits:
            self._set()

    def factor(self, epoch: int, group: int) -> float:
        """Return the factor on a group's first learning rate after ``epoch`` steps."""
        raise NotImplementedError(f"{type(self).__name__} does not define factor()")

    def rate(self, epoch: int, group: int) -> float:
        """Return the learning rate of a group after ``epoch`` steps."""
        return self.base_lrs[group] * self.factor(epoch, group)

    def get_lr(self) -> list[float]:
        """Return the groups' learning rates after `last_epoch` steps; a subclass may define this instead of `rate`."""
        return [float(self.rate(self.last_epoch, group)) for group in range(len(self.base_lrs))]

    def _formula(self, epoch: int, group: int) -> dict[str, Any]:
        """Return the options of a group, by name, that the formula gives after ``epoch`` steps; none with `get_lr`."""
        if type(self).get_lr is not LRScheduler.get_lr:
            return {}
        return {"lr": float(self.rate(epoch, group))}

    def _following(self, epoch: int, group: int, lr: float) -> dict[str, Any]:
        """Return the options of a group after ``epoch`` steps, if its learning rate was ``lr`` after the step before.

        In the beginning, ``epoch`` is 0, and ``lr`` the rate that the group had.
        """
        return self._formula(epoch, group)

    def step(self) -> None:
        """Count a step and set the learning rates."""
        self._meet_groups()
        self.last_epoch += 1
        self._set()

    def _meet_groups(self) -> None:
        """Note the learning rates that groups start with which the optimizer did not have before."""
        for group in self.optimizer.param_groups[len(self.base_lrs) :]:
            self.base_lrs.append(float(group.setdefault("initial_lr", float(group["lr"]))))

    def _set(self) -> None:
        if type(self).get_lr is not LRScheduler.get_lr:
            for group, lr in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
                group["lr"] = float(lr)
            return
        for number, group in enumerate(self.optimizer.param_groups):
            group.update(self._following(self.last_epoch, number, float(group["lr"])))

    def state_dict(self) -> dict[str, Any]:
        """Return what is needed to continue: plain numbers.

        "lrs" are the groups' current rates where they are not those of the formula; None where they are.
        """
        self._meet_groups()
        rates = [(lr, self._formula(self.last_epoch, number).get("lr")) for number, lr in enumerate(self.get_last_lr())]
        return {
            "last_epoch": self.last_epoch,
            "base_lrs": list(self.base_lrs),
            "lrs": [None if lr == formula else lr for lr, formula in rates],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned, for the same schedule, and set the learning rates.

        Raises:
            ValueError: the number of groups differs, or there are no such numbers; nothing has changed then.
        """
        self._loading(state)()

    def _loading(self, state: Mapping[str, Any]) -> Callable[[], None]:
        """Check a state, without changing anything; return what restores it, which does not fail."""
        what = f"{type(self).__name__}: cannot load state"
        self._meet_groups()
        count = len(self.base_lrs)
        stored_dict(f"{what}: it", state, "last_epoch", "base_lrs")
        epoch = stored_count(f"{what}: last_epoch", state["last_epoch"])
        given = stored_list(f"{what}: base_lrs", state["base_lrs"])
        if len(given) != count:
            raise ValueError(f"{what}: expected {count} groups, got {len(given)}")
        base_lrs = [stored_number(f"{what}: base_lrs", lr, 0.0) for lr in given]
        own = stored_list(f"{what}: lrs", state.get("lrs", []))  # states of earlier versions lack them
        lrs = [None if lr is None else stored_number(f"{what}: lrs", lr, 0.0) for lr in own]

        def restore() -> None:
            self.last_epoch, self.base_lrs = epoch, list(base_lrs)
            for number, group in enumerate(self.optimizer.param_groups):
                group.update(self._formula(epoch, number))
                if lrs[number:] and lrs[number] is not None:
                    group["lr"] = lrs[number]

        trial = copy.copy(self)  # the formula may have an end
        trial.last_epoch, trial.base_lrs = epoch, base_lrs
        for number in range(count):
            try:
                trial._formula(epoch, number)
            except ArithmeticError as error:
                raise ValueError(f"{what}: there is no learning rate for last_epoch {epoch}") from error
        return restore


class ChainableLR(LRScheduler):
    """A formula that can be chained with others: it changes the current rate, as PyTorch's schedules of its name do.

    As long as a group has the rate of the formula, the next one is that of the formula too, without the rounding of
    many products. If its rate was changed by hand or by another schedule, `_change` continues from there.
    """

    def _following(self, epoch: int, group: int, lr: float) -> dict[str, Any]:
        """Continue the formula, or change the rate that the group has."""
        before = self._formula(epoch - 1, group)["lr"] if epoch else self.base_lrs[group]
        return self._formula(epoch, group) if lr == before else {"lr": float(self._change(epoch, group, lr))}

    def _change(self, epoch: int, group: int, lr: float) -> float:
        """Return what becomes of a group's rate ``lr`` in the step that is number ``epoch``; 0 is the beginning."""
        raise NotImplementedError(f"{type(self).__name__} does not define _change()")
