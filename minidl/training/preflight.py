"""Before the first step of a fit: what can be known to go wrong later is said now."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import Any

from .._core import check_flag
from ..nn import Module
from ..optim import Optimizer
from ..optim.direction import resolve_mode
from ..optim.lr_scheduler import ReduceLROnPlateau
from .batches import Batches, BatchForm, check_classes, check_parts, count_batches
from .callback import Callback
from .callbacks import EarlyStopping
from .checkpoint import Found, find_checkpoint
from .columns import check_column, expected_columns, plateau_column
from .continuing import Continuing
from .meter import meter_of
from .model_checkpoint import ModelCheckpoint
from .optimizers import Optimizers, members
from .progress import Progress
from .state import FitState, ranks_of

__all__ = [
    "check_data",
    "check_parameters",
    "check_start",
    "find_start",
    "take_over",
    "tell_differences",
]

# the argument that is the length of a schedule
_LENGTHS = {"OneCycleLR": "total_steps", "CosineAnnealingLR": "T_max", "LinearLR": "total_iters"}


def check_data(loss: Module, train: Batches, val: Batches | None, form: BatchForm, own_step: bool) -> None:
    """Raise if the batches of a fit do not have the parts or classes that it needs, as far as one can tell."""
    for data in (train, val):
        if data is not None and not (own_step and data is train):  # what a custom step takes is not known
            check_parts(data, form, loss)
    check_classes(loss, train)


def find_start(resume: str | os.PathLike[str] | None, exact: bool, progress: Progress) -> Found:
    """Return the checkpoint from which a fit is resumed, if it is; tell which files are damaged.

    Raises:
        FileNotFoundError, ValueError: as for `find_checkpoint`; or ``exact`` is given, but nothing to resume.
    """
    if not check_flag("Trainer.fit", "exact", exact) and resume is None:
        raise ValueError("Trainer.fit: exact=False says how to resume; give resume=folder, too")
    found = Found(None, [], None) if resume is None else find_checkpoint(resume)
    for note in found.notes:
        progress.note(note)
    return found


def check_start(state: FitState, found: Found, epochs: int, progress: Progress, *, exact: bool) -> Continuing | None:
    """Check what is watched, what a fit is resumed from, and its schedule from there on, before anything is changed.

    Returns:
        What a fit takes from a checkpoint that is not resumed exactly.

    Raises:
        ValueError: a column that is watched will not exist, the checkpoint belongs to something else, or the schedule
            ends before the fit does.
    """
    _check_monitors(state)
    place, (saved, _, file), continuing = state, found, None
    try:
        if saved is not None and exact:
            state.restoring(saved)
            place = state.ahead(saved)
        elif saved is not None:
            continuing = Continuing(state, saved)
            place = continuing.place
        elif file is not None:
            progress.line(f"there is no checkpoint in {file} yet: the fit begins from the start")
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    try:
        if not place.stop:
            check_schedule(place, epochs)
    except ValueError as error:
        if saved is None:
            raise
        raise ValueError(f"{file}: Trainer: cannot resume: {error}") from error
    return continuing


def _check_monitors(state: FitState) -> None:
    """Raise ValueError if the schedule or a callback watches a column that will not exist, or in the wrong direction.

    Callbacks that are not minidl's may add columns when an epoch ends; then only the schedule, which is stepped before
    that, can be checked.
    """
    validated = state.val is not None
    measured = meter_of(state.loss, state.metrics).names()
    columns = expected_columns(state.meter.names(), measured if validated else None)
    for schedule in members(state.scheduler):
        if not isinstance(schedule, ReduceLROnPlateau):
            continue
        column = plateau_column(schedule.monitor, validated)
        _check(state, "ReduceLROnPlateau", column, columns)
        try:
            resolve_mode("ReduceLROnPlateau", column, schedule.mode)
        except ValueError as error:
            raise ValueError(f"{error}, or name the column to watch, as in monitor='val_accuracy'") from None
    if any(_may_add_columns(callback) for callback in state.callbacks):
        return
    for callback in state.callbacks:
        if isinstance(callback, (EarlyStopping, ModelCheckpoint)) and callback.monitor is not None:
            _check(state, type(callback).__name__, callback.monitor, columns)


def _check(state: FitState, owner: str, column: str, columns: list[str]) -> None:
    """Check a column, unless a custom training step may provide it."""
    if not (state.own_step and column.startswith("train_")):
        check_column(owner, column, columns)


def _may_add_columns(callback: Callback) -> bool:
    return not str(callback.on_epoch_end.__module__).startswith("minidl.")


def check_schedule(state: FitState, epochs: int) -> None:
    """Compare the length of a schedule with the steps that the fit still makes.

    Warns if the fit ends long before the schedule does: a later fit may continue it. Of schedules that go on for ever,
    those in steps are compared as well; those in epochs are not, whose user has counted the fit's epochs.

    Raises:
        ValueError: the schedule ends before the fit does, its interval is unknown, or it is another optimizer's.
    """
    for schedule in members(state.scheduler):
        _check_schedule(schedule, state, epochs)


def _check_schedule(schedule: Any, state: FitState, epochs: int) -> None:
    name, accumulate = type(schedule).__name__, state.accumulate
    if not any(schedule.optimizer is optimizer for optimizer in members(state.optimizer)):
        raise ValueError(
            f"{name}: it was made for another optimizer than the Trainer's, whose rates it will not change"
        )
    intervals = ("epoch",) if isinstance(schedule, ReduceLROnPlateau) else ("epoch", "step")
    if schedule.interval not in intervals:
        raise ValueError(f"{name}: interval must be {' or '.join(map(repr, intervals))}, got {schedule.interval!r}")
    by_step = schedule.interval == "step"
    batches = count_batches(state.loader) if by_step else accumulate
    length = schedule._length()
    reach = schedule._reach() if by_step else length
    if (length is None and reach is None) or batches is None:
        return
    each = -(-batches // accumulate)
    begun = 0 if state.finished else each - (-(-state.batch // accumulate) if by_step else 0)
    left = (epochs - state.epoch) * each + begun
    if left <= 0:
        return
    # steps that were skipped, because a loss was not finite, did not move the schedule
    skipped = epochs * each - left - state.steps if by_step else 0
    fit = f"{epochs} epochs" + (f" of {each} steps" if by_step else "")
    fit += f" (accumulate={accumulate})" if by_step and accumulate > 1 else ""
    used = f", of which {schedule.last_epoch} are used up" if schedule.last_epoch else ""
    end = schedule.last_epoch + left
    advice = f"make it for {end}" + (f", as in {name}(..., {_LENGTHS[name]}={end})" if name in _LENGTHS else "")
    if length is not None and end > length:
        raise ValueError(f"{name}: it has {length} steps{used}, and ends before the fit does: {fit}; {advice}")
    if reach is not None and end + skipped < reach - 1:
        warnings.warn(
            f"{name}: it has {reach} steps{used}, but the fit ends after {end}, before the learning rate has come to "
            f"its end: {fit}; {advice}, unless another fit continues it",
            UserWarning,
            stacklevel=5,
        )


def check_parameters(model: Module, loss: Module, optimizer: Optimizer | Optimizers) -> str:
    """Name the trainable parameters that the optimizer does not have, and those that only it has; "" if none.

    Raises:
        ValueError: the optimizer has none of the model's parameters.
    """
    given = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    known, named = {id(parameter) for parameter in given}, dict(model.named_params())
    if not any(id(parameter) in known for parameter in named.values()):
        raise ValueError("Trainer.fit: the optimizer has none of the model's parameters; create it with model.params()")
    named.update(loss.named_params("loss"))
    own = {id(parameter) for parameter in named.values()}
    lacking = [repr(name) for name, p in named.items() if p.requires_grad and id(p) not in known]
    foreign = [str(parameter.shape) for parameter in given if id(parameter) not in own]
    parts = []
    if lacking:
        parts.append(
            f"the optimizer does not have {_some(lacking)}, which will not be trained; make the optimizer after the "
            "last change of the model, or freeze what is to stay as it is with requires_grad_(False)"
        )
    if foreign:
        parts.append(f"the optimizer has parameters that the model does not have, of shape {_some(foreign)}")
    return "; ".join(parts)


def take_over(state: FitState, continuing: Continuing, found: Found, progress: Progress) -> None:
    """Take what a fit takes from a checkpoint; tell that it is not the one that it continues, and in what."""
    continuing.carry_out()
    progress.line(
        f"resumed after epoch {state.epoch} from {found.file}, not exactly: weights, the optimizer's state and the "
        "history are the checkpoint's, everything else is as given now"
    )
    for what in continuing.anew:
        progress.note(f"begun anew: {what}")
    for name, theirs, ours in state.differences(found.state)[:20]:
        progress.line(f"resumed with {name} {ours}; it was {theirs}")


def tell_differences(state: FitState, saved: Mapping[str, Any], progress: Progress) -> None:
    """Tell what is not as it was in the fit that is resumed from ``saved``, though it may be."""
    found = state.differences(saved)
    if ranks_of(saved) != state.ranks:
        ranks = "1 rank" if state.ranks == 1 else f"{state.ranks} ranks"
        progress.note(
            f"resumed on {ranks}, it was made by {ranks_of(saved)}: it goes on from the same sample, but the bits "
            "differ: sums are taken in another order, and random layers and transforms draw other numbers"
        )
    for name, theirs, ours in found:
        progress.line(f"resumed with {name} {ours}; it was {theirs}")
    if state.optimizer is None or not any(name.startswith("scheduler.") for name, _, _ in found):
        return
    before, now = (_first_rate(one) for one in (saved["optimizer"], state.optimizer.state_dict()))
    if now != before:
        progress.note(
            f"the schedule is another one than before: the learning rate goes on at {now:g}, it was {before:g}"
        )


def _first_rate(state: Mapping[str, Any]) -> float:
    """Return the learning rate in the state of an optimiser, or of the first of several."""
    first = state["optimizers"][0] if "optimizers" in state else state
    return float(first["param_groups"][0]["lr"])


def _some(items: list[str]) -> str:
    more = f" and {len(items) - 6} more" if len(items) > 6 else ""
    return ", ".join(items[:6]) + more
