"""Schedules made of schedules: one after another, or all at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..._core import check_int
from ..optimizer import Optimizer
from ..stored import stored_dict, stored_list
from .base import LRScheduler, check_optimizer

__all__ = ["ChainedScheduler", "SequentialLR"]


class _Combined(LRScheduler):
    """Schedules of the same optimizer, stepped at the same times."""

    def _combine(self, optimizer: Any, schedulers: Sequence[LRScheduler]) -> None:
        """Take the schedules, if they fit together."""
        owner = type(self).__name__
        self.schedulers = list(schedulers)
        for scheduler in self.schedulers:
            if not isinstance(scheduler, LRScheduler):
                raise TypeError(
                    f"{owner}: each scheduler must be an LRScheduler (ReduceLROnPlateau is none), got {scheduler!r}"
                )
        if any(scheduler.optimizer is not optimizer for scheduler in self.schedulers):
            raise ValueError(f"{owner}: the schedulers must be made for the same optimizer")
        intervals = {scheduler.interval for scheduler in self.schedulers}
        if len(intervals) > 1:
            each = ", ".join(f"{type(s).__name__} after each {s.interval}" for s in self.schedulers)
            raise ValueError(f"{owner}: its schedulers must be stepped at the same times, got {each}; set .interval")
        self.interval = intervals.pop()

    def _meet_groups(self) -> None:
        """Let every schedule meet them."""
        for scheduler in self.schedulers:
            scheduler._meet_groups()
        super()._meet_groups()

    def state_dict(self) -> dict[str, Any]:
        """Return what is needed to continue: plain numbers, and the states of the schedules."""
        return {**super().state_dict(), "schedulers": [scheduler.state_dict() for scheduler in self.schedulers]}

    def _loading(self, state: Mapping[str, Any]) -> Callable[[], None]:
        """Check a state, without changing anything; return what restores it, which does not fail."""
        what = f"{type(self).__name__}: cannot load state"
        own = stored_list(f"{what}: schedulers", stored_dict(f"{what}: it", state).get("schedulers", []))
        if own and len(own) != len(self.schedulers):  # states of earlier versions lack them
            raise ValueError(f"{what}: expected {len(self.schedulers)} schedulers, got {len(own)}")
        parts = [scheduler._loading(part) for scheduler, part in zip(self.schedulers, own, strict=False)]
        whole = super()._loading(state)

        def restore() -> None:
            for part in parts:
                part()
            whole()

        return restore


class SequentialLR(_Combined):
    """Schedules one after another: a warm-up, then a decay. It starts with the first learning rates, as in PyTorch.

    Args:
        optimizer: the optimizer to schedule.
        schedulers: schedules of the same optimizer; each counts its steps from its own beginning.
        milestones: the epochs at which the second and later schedules begin.

    Attributes:
        interval: that of the schedulers.

    Raises:
        ValueError: the schedulers do not fit: another optimizer, another interval, or one that is over too early.
        TypeError: one of them is something else.
    """

    def __init__(self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int]) -> None:
        if not schedulers or len(milestones) != len(schedulers) - 1:
            raise ValueError(
                f"SequentialLR: expected one milestone fewer than schedulers, got {len(milestones)} and "
                f"{len(schedulers)}"
            )
        self._combine(optimizer, schedulers)
        if any(isinstance(scheduler, ChainedScheduler) for scheduler in self.schedulers):
            raise ValueError("SequentialLR: a ChainedScheduler cannot be one of many; chain SequentialLRs instead")
        self.milestones = [check_int("SequentialLR", "milestones", m, minimum=0) for m in milestones]
        for scheduler, begin, end in zip(self.schedulers, [0, *self.milestones], self.milestones, strict=False):
            length = scheduler._length()
            if length is not None and end - begin > length:
                raise ValueError(
                    f"SequentialLR: {type(scheduler).__name__} ends after {length} steps, but the next "
                    f"schedule begins {end - begin} steps after it"
                )
        super().__init__(optimizer)

    def _length(self) -> int | None:
        """Return where the last schedule ends, if it does."""
        last = self.schedulers[-1]._length()
        return None if last is None else sum(self.milestones[-1:]) + last

    def _reach(self) -> int:
        """Return where the last schedule has come to where it goes, or begins."""
        return sum(self.milestones[-1:]) + (self.schedulers[-1]._reach() or 0)

    def _part(self, epoch: int) -> tuple[LRScheduler, int]:
        """Return the schedule that ``epoch`` falls into, and its own epoch."""
        number = bisect_right(self.milestones, epoch)
        return self.schedulers[number], epoch - (self.milestones[number - 1] if number else 0)

    def rate(self, epoch: int, group: int) -> float:
        """The rate of the schedule that ``epoch`` falls into."""
        scheduler, own = self._part(epoch)
        return scheduler.rate(own, group)

    def _formula(self, epoch: int, group: int) -> dict[str, Any]:
        """The options that this schedule sets."""
        scheduler, own = self._part(epoch)
        return scheduler._formula(own, group)

    def _following(self, epoch: int, group: int, lr: float) -> dict[str, Any]:
        """The first rate of a schedule that begins, as in PyTorch; otherwise what the schedule makes of the rate."""
        scheduler, own = self._part(epoch)
        return scheduler._following(own, group, lr) if own else scheduler._formula(0, group)


class ChainedScheduler(_Combined):
    """Schedules that all act in each step, one after the other: their factors are multiplied.

    The last one sets the rate if it is a LambdaLR or a OneCycleLR, whatever those before it did, as in PyTorch.

    Args:
        schedulers: schedules of the same optimizer, at least one.
        optimizer: that optimizer; None: the schedulers'.

    Attributes:
        interval: that of the schedulers.

    Raises:
        ValueError: there are none, or their optimizers or intervals differ.
        TypeError: one of them is something else, such as a ReduceLROnPlateau.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.ChainedScheduler.html
    """

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        schedulers = list(schedulers)
        if not schedulers:
            raise ValueError("ChainedScheduler: expected at least one scheduler")
        optimizer = getattr(schedulers[0], "optimizer", None) if optimizer is None else optimizer
        self._combine(optimizer, schedulers)
        super().__init__(check_optimizer("ChainedScheduler", optimizer))

    def _length(self) -> int | None:
        """Return where the first of the schedules ends, if one does."""
        left = [length - s.last_epoch for s in self.schedulers if (length := s._length()) is not None]
        return self.last_epoch + min(left) if left else None

    def _reach(self) -> int | None:
        """Return where the last of the schedules has come to where it goes."""
        left = [reach - s.last_epoch for s in self.schedulers if (reach := s._reach()) is not None]
        return self.last_epoch + max(left) if left else None

    def _formula(self, epoch: int, group: int) -> dict[str, Any]:
        """The rate that the schedules have set: together they have no formula of their own."""
        return {"lr": float(self.optimizer.param_groups[group]["lr"])}

    def _set(self) -> None:
        if self.last_epoch:  # in the beginning they have set the rates themselves
            for scheduler in self.schedulers:
                scheduler.step()
