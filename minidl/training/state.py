"""FitState: everything that a fit consists of, and so everything that a checkpoint holds."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .._core import default_rng, printable
from ..data import DataLoader
from ..distributed import Group
from ..nn import Module
from ..nn.generators import generators
from ..optim import Optimizer
from ..optim.lr_scheduler import ReduceLROnPlateau
from ..optim.stored import stored_count, stored_dict, stored_flag, stored_list, stored_number
from .batches import Batches
from .callback import Callback
from .columns import check_column, plateau_column
from .history import History
from .made_of import differences
from .meter import Meter, Meters, meter_of
from .numbers import Numbers
from .optimizers import Optimizers, members
from .restoring import Restoring, check_generator, check_rows, entry
from .sharing import merged_states

__all__ = ["FitState", "ranks_of"]

# The counters in a checkpoint: the name in the file, and here.
_COUNTERS = {
    **{name: name for name in ("epoch", "batch", "steps", "batch_loss", "lr", "stop")},
    **{f"_{name}": name for name in ("finished", "passed", "skipped", "first_lr")},
}
_FLAGS, _NUMBERS = ("stop", "finished", "passed"), ("batch_loss", "lr", "first_lr")


@dataclass(eq=False)
class FitState:
    """What takes part in a fit, and how far it has come. The Trainer creates one for each fit and advances it.

    Attributes:
        model, loss, optimizer, scheduler: what is trained, and by what; `Trainer` describes them.
        own_step: whether the Trainer has a `training_step` of its own, which says what is measured in training.
        metrics: measured during the epoch, besides the loss: a list, or a dict of lists if there are several losses.
        callbacks: whose states belong to the fit.
        accumulate: batches per step.
        options: description of everything that the fit began with; see `describe_fit`.
        sample_weights: whether batches have a third element, the weights of the samples.
        loader, val: the training and the validation batches.
        history: a row for each finished epoch; while the validation is running, one for the current epoch too.
        epoch, batch: where the fit is, counted from 1; ``batch`` counts the loader's batches.
        steps: steps of the optimiser so far.
        batch_loss, lr: loss and learning rate of the last step.
        stop: whether to end the fit after the current epoch.
        finished: whether the current epoch has finished; False while it is running.
        passed: whether its pass over the training data has finished; what remains is the validation.
        skipped: batches of the epoch that made no step, because something was not finite.
        first_lr: learning rate at the beginning of the epoch.
        position: where the pass over the loader is, whatever callbacks do with the loader in the meantime.
        meter: running means of the epoch, of this rank.
        group: the ranks that fit together; None: one process.
    """

    model: Module
    loss: Module
    optimizer: Optimizer | Optimizers | None = None
    scheduler: Any = None
    metrics: Any = field(default_factory=list)
    callbacks: list[Callback] = field(default_factory=list)
    accumulate: int = 1
    loader: Any = None
    val: Batches | None = None
    history: History = field(default_factory=History)
    epoch: int = 0
    batch: int = 0
    steps: int = 0
    batch_loss: float = math.nan
    lr: float = math.nan
    stop: bool = False
    finished: bool = True
    passed: bool = True
    skipped: int = 0
    first_lr: float = math.nan
    position: dict[str, Any] = field(default_factory=dict)
    sample_weights: bool | str = False
    options: dict[str, Any] = field(default_factory=dict)
    own_step: bool = False
    group: Group | None = None
    meter: Any = field(init=False)

    def __post_init__(self) -> None:
        self.meter = self.new_meter()

    def new_meter(self) -> Meter | Meters | Numbers:
        """Return an empty meter for an epoch."""
        return Numbers() if self.own_step else meter_of(self.loss, self.metrics, training=True)

    # The epoch, step by step

    def begin_epoch(self) -> None:
        """Begin the next epoch."""
        self.epoch, self.batch, self.skipped = self.epoch + 1, 0, 0
        self.finished = self.passed = False
        self.meter = self.new_meter()
        self.first_lr = math.nan if self.optimizer is None else float(self.optimizer.param_groups[0]["lr"])

    def remaining(self) -> Iterable[Any]:
        """Return the batches left in the epoch: all of them, unless the fit was resumed in the middle of it."""
        if self.passed:
            return ()
        if hasattr(self.loader, "state_dict"):
            return self.loader  # type: ignore[no-any-return]
        return itertools.islice(self.loader, self.batch, None)

    def count_batch(self) -> None:
        """Count a batch that the loader has given."""
        self.batch += 1
        if hasattr(self.loader, "state_dict"):
            self.position = _position(self.loader.state_dict())

    def end_pass(self) -> None:
        """Note that the loader has given all its batches."""
        self.passed, self.position = True, dict.fromkeys(self.position, 0)

    def schedule(self, interval: str) -> None:
        """Step the learning rate schedule if it is one that is stepped after each ``interval``: "step" or "epoch"."""
        for scheduler in members(self.scheduler) if self.scheduler is not None else ():
            if scheduler.interval != interval:
                continue
            if isinstance(scheduler, ReduceLROnPlateau):
                row = self.history.rows[-1]
                column = plateau_column(scheduler.monitor, "val_loss" in row)
                check_column("ReduceLROnPlateau", column, list(row))
                scheduler.step(row[column])
            else:
                scheduler.step()

    # The checkpoint

    def state_dict(self) -> dict[str, Any]:
        """Return everything the fit needs to continue from here, and a description of what the state belongs to.

        With several ranks every one of them must call this: it holds each one's random generators and sums.
        """
        own = {"rngs": [rng.bit_generator.state for rng in self._rngs()], "meter": self.meter.state_dict()}
        ranks = [own]
        if self.group is not None:
            found = self.group.collect((own, self.stop), "a checkpoint")
            ranks, self.stop = [state for state, _ in found], any(stop for _, stop in found)
        meter = merged_states([one["meter"] for one in ranks], self.new_meter) if len(ranks) > 1 else self.meter
        return {
            "made_of": self._made_of(),
            "model": self.model.state_dict(),
            "loss": self.loss.state_dict(),
            "optimizer": None if self.optimizer is None else self.optimizer.state_dict(),
            "scheduler": _state_of(self.scheduler),
            "rngs": ranks[0]["rngs"],
            "loader": {**self.loader.state_dict(), **self.position} if hasattr(self.loader, "state_dict") else None,
            "callbacks": [callback.state_dict() for callback in self.callbacks],
            "history": self.history.rows,
            "meter": meter.state_dict(),
            **({"ranks": ranks} if self.group is not None else {}),
            **{key: getattr(self, name) for key, name in _COUNTERS.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned, in a fit made of the same parts.

        Raises:
            ValueError: the state belongs to something else, or is damaged: everything is read, cast and checked before
                anything is changed.
        """
        self.restoring(state).carry_out()

    def restoring(self, state: Mapping[str, Any]) -> Restoring:
        """Check everything in a state, without changing anything; return what restores it.

        Raises:
            ValueError: as for `load_state_dict`; the message names the entry.
        """
        self._check(state)
        counters = self._counters(state)
        restoring = Restoring()
        restoring.add("model", self.model, state["model"])
        restoring.add("loss", self.loss, state["loss"])
        if self.optimizer is not None:
            restoring.add("optimizer", self.optimizer, state["optimizer"])
        for number, (scheduler, its) in enumerate(self._of_schedulers(state)):
            restoring.add(f"scheduler[{number}]", scheduler, its)
        position = self.position
        if hasattr(self.loader, "state_dict") and (state["loader"] is not None or isinstance(self.loader, DataLoader)):
            restoring.add("loader", self.loader, state["loader"])
            with entry("loader"):
                position = _position(stored_dict("it", state["loader"]))
                reached = 0 if counters["passed"] else counters["batch"]
                if isinstance(self.loader, DataLoader) and position["batch"] != reached:
                    raise ValueError(f"it is at batch {position['batch']}, the fit at {reached}")
        own = self._of_rank(state)
        with entry("rngs"):
            rngs = list(zip(self._rngs(), stored_list("it", own["rngs"]), strict=False))
            for number, (rng, its) in enumerate(rngs):
                check_generator(f"number {number}", rng, its)
        for number, (callback, its) in enumerate(zip(self.callbacks, self._of_callbacks(state), strict=True)):
            restoring.add(f"callbacks[{number}], {type(callback).__name__}", callback, its, self.model)
        meter = self.new_meter()
        with entry("meter"), np.errstate(all="ignore"):
            if "meter" in own:
                meter.load_state_dict(own["meter"])
        with entry("history"):
            rows = check_rows(state["history"], counters["epoch"], counters["finished"])

        def restore() -> None:
            for rng, its in rngs:
                rng.bit_generator.state = its
            self.meter, self.history.rows, self.position = meter, rows, position
            for name, value in counters.items():
                setattr(self, name, value)

        restoring.then(restore)
        return restoring

    def ahead(self, state: Mapping[str, Any]) -> FitState:
        """Return a copy that is where a state is that has been checked; it shares everything but its schedules."""
        there = copy.copy(self)
        for name, value in self._counters(state).items():
            setattr(there, name, value)
        there.scheduler = [_ahead(scheduler, own) for scheduler, own in self._of_schedulers(state)]
        return there

    @property
    def _rank(self) -> int:
        return 0 if self.group is None else self.group.rank

    @property
    def ranks(self) -> int:
        """How many ranks fit together, 1 for one process."""
        return 1 if self.group is None else self.group.size

    def _of_rank(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return this rank's generators and sums; of another number of ranks, the first gets the sums of all."""
        if self.group is not None and ranks_of(state) == self.ranks:
            with entry("ranks"):
                return stored_dict(f"number {self._rank}", state["ranks"][self._rank], "rngs", "meter")
        return state if self._rank == 0 else {"rngs": state["rngs"]}

    def _counters(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Return the counters in a state, by their names here, or raise ValueError."""
        found: dict[str, Any] = {}
        for key, name in _COUNTERS.items():
            check: Any = stored_flag if name in _FLAGS else stored_number if name in _NUMBERS else stored_count
            with entry(key):
                found[name] = check("it", state[key])
        if hasattr(self.loader, "__len__") and found["batch"] > len(self.loader):
            raise ValueError(
                f"Trainer: cannot resume: batch: it must be at most {len(self.loader)}, got {found['batch']}"
            )
        return found

    def _of_schedulers(self, state: Mapping[str, Any]) -> list[tuple[Any, Any]]:
        """Return the schedules with their states."""
        own, saved = members(self.scheduler), state["scheduler"]
        with entry("scheduler"):
            several = isinstance(self.scheduler, (list, dict))
            return list(zip(own, stored_list("it", saved if several else [saved] * len(own), len(own)), strict=True))

    def _of_callbacks(self, state: Mapping[str, Any]) -> list[Any]:
        """Return the callbacks' states in our order: a file may have a different one, with checkpoints last."""
        saved: dict[str, list[Any]] = {}
        for name, own in zip(state["made_of"]["callbacks"], state["callbacks"], strict=True):
            saved.setdefault(name, []).append(own)
        return [saved[type(callback).__name__].pop(0) for callback in self.callbacks]

    def _check(self, state: Mapping[str, Any]) -> None:
        """Raise ValueError if the state belongs to something else; the message lists all differences."""
        names = {
            "made_of",
            "model",
            "loss",
            "optimizer",
            "scheduler",
            "rngs",
            "loader",
            "callbacks",
            "history",
            "meter",
        }
        if not isinstance(state, Mapping) or not names | set(_COUNTERS) <= set(state):
            raise ValueError("Trainer: cannot resume: this is not the state of a fit")
        with entry("made_of"):
            wrong = list(self._wrong(state))
        if wrong:
            listed = [
                f"{name} of the checkpoint: {_short(theirs)}, of this Trainer: {_short(ours)}"
                for name, theirs, ours in wrong[:20]
            ] + [f"and {len(wrong) - 20} more"] * (len(wrong) > 20)
            raise ValueError(f"Trainer: cannot resume: {printable('; '.join(listed))}")
        with entry("callbacks"):
            stored_list("it", state["callbacks"], len(self.callbacks))

    def _wrong(self, state: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
        """Yield (what, what it was, what it is) for each difference that is not allowed."""
        made_of = stored_dict("it", state["made_of"])
        if "options" in made_of:
            stored_dict("options", made_of["options"])
        saved = len(stored_list("rngs", state["rngs"]))
        for name, ours in self._made_of().items():
            if name == "options":
                continue
            theirs = made_of.get(name)
            if name == "sample_weights" and theirs is None:
                continue  # earlier versions took a third part for weights without asking
            same = sorted(theirs or []) == sorted(ours) if name == "callbacks" else theirs == ours
            if name == "random generators":  # earlier versions did not count all of them
                same = theirs == saved and theirs in (ours, ours - len(generators(self.model, self.loss)[1]))
            if not same:
                yield name, theirs, ours
        yield from (one for one in self.differences(state) if not self._may_differ(one[0], state))

    def differences(self, state: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
        """Return (option, what it was, what it is) for each option that differs from that of a checkpoint's fit."""
        # earlier versions did not write them, and had no other engine
        theirs = {"engine": "numpy", **state["made_of"].get("options", {})}
        return list(differences(theirs, self.options)) if self.options else []

    def _may_differ(self, option: str, state: Mapping[str, Any]) -> bool:
        """Return whether a fit may continue although an option differs: what changes no step that has been made.

        With another number of epochs the schedule may be another one, made for them.
        """
        longer = state["made_of"].get("options", {}).get("epochs") != self.options["epochs"]
        return option in ("epochs", "engine") or (option.startswith("scheduler.") and longer)

    def kinds(self) -> dict[str, Any]:
        """Return the names of the classes of optimiser and schedule; of several, all names, by name or in order."""
        return {"optimizer": _kinds(self.optimizer), "scheduler": _kinds(self.scheduler)}

    def generator(self) -> np.random.Generator:
        """Return minidl's own random generator, the first of those that a checkpoint holds."""
        return self._rngs()[0]

    def generators(self) -> list[np.random.Generator]:
        """Return every generator that the fit draws from."""
        own = getattr(self.loader, "rng", None)
        return [*self._rngs(), *([own] if isinstance(own, np.random.Generator) else [])]

    def _made_of(self) -> dict[str, Any]:
        """Return what must be the same in the fit that continues."""
        names = ("batch_size", "shuffle", "drop_last")
        return {
            **self.kinds(),
            "metrics": _names(self.metrics),
            "callbacks": [type(callback).__name__ for callback in self.callbacks],
            "accumulate": self.accumulate,
            "sample_weights": self.sample_weights,
            "loader": [getattr(self.loader, name) for name in names if hasattr(self.loader, name)],
            "batches": len(self.loader) if hasattr(self.loader, "__len__") else None,
            "random generators": len(self._rngs()),
            **({"options": self.options} if self.options else {}),
        }

    def _rngs(self) -> list[np.random.Generator]:
        """Return minidl's own random generator, those of the layers and the loss, and the validation loader's.

        Those inside lists, dicts and objects come last: earlier versions did not save them.
        """
        direct, inside = generators(self.model, self.loss)
        own = getattr(self.val, "rng", None)
        return [default_rng(), *direct, *([own] if isinstance(own, np.random.Generator) else []), *inside]


def ranks_of(state: Mapping[str, Any]) -> int:
    """Return by how many ranks the state of a fit was made."""
    with entry("ranks"):
        return len(stored_list("it", state["ranks"])) if "ranks" in state else 1


def _ahead(scheduler: Any, state: Any) -> Any:
    """Return a copy of a schedule, and of those in it, with the number of steps that is in a state."""
    there = copy.copy(scheduler)
    if isinstance(state, Mapping) and isinstance(state.get("last_epoch"), int):  # as those of minidl have
        there.last_epoch = state["last_epoch"]
        if parts := state.get("schedulers"):
            there.schedulers = [_ahead(*pair) for pair in zip(scheduler.schedulers, parts, strict=True)]
    return there


def _state_of(scheduler: Any) -> Any:
    """Return the state of a schedule, or of several; None if there is none."""
    states = [one.state_dict() for one in members(scheduler)]
    return states if isinstance(scheduler, (list, dict)) else states[0] if states else None


def _kinds(value: Any) -> Any:
    """Return the name of the class of an optimiser or schedule; of several, all names, by name or in order."""
    value = value.members if isinstance(value, Optimizers) else value
    if isinstance(value, dict):
        return {str(name): type(one).__name__ for name, one in value.items()}
    return [type(one).__name__ for one in value] if isinstance(value, list) else type(value).__name__


def _names(metrics: Any) -> list[str]:
    """Return the names of the metrics: a list, or a dict of lists for several losses."""
    if isinstance(metrics, dict):
        return [f"{key}_{metric.name}" for key, own in metrics.items() for metric in own]
    return [metric.name for metric in metrics]


def _position(loader: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a loader's state that says where its pass is."""
    return {name: value for name, value in loader.items() if name in ("seed", "batch")}


def _short(value: Any) -> str:
    """Return a value as text, cut if it is long."""
    text = str(value)
    return text if len(text) <= 200 else f"{text[:160]} ... ({len(text):,} characters)"
