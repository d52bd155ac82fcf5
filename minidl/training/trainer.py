"""Trainer: the loop around model, loss and optimiser."""

from __future__ import annotations

import math
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, TypeAlias

import numpy as np

from .._core import check_choice, check_int, check_kind, check_number, release_memory
from ..distributed import Communicator, Group, check_comm
from ..distributed.streams import diverge, rejoin
from ..nn import Module
from ..nn.modes import modes_kept
from ..optim import Optimizer
from .alike import check_alike
from .batches import Batch, Batches, BatchForm, count_batches
from .callback import Callback, StopTraining
from .checkpoint import Found, set_damaged_aside
from .continuing import Continuing
from .diagnosis import NonFinite, NonFiniteLossError, first_non_finite_parameter
from .evaluating import Evaluating
from .function_callback import as_callbacks
from .given import batches_of_fit
from .history import History
from .hooks import Hooks
from .losses import FunctionLoss, as_loss, parts_of
from .made_of import PARTS, describe_fit
from .measured import measured_columns
from .meter import metrics_for
from .metrics import Metric
from .optimizers import Optimizers, Schedule, schedules_of
from .preflight import check_data, check_parameters, check_start, find_start, take_over, tell_differences
from .progress import Progress
from .sharing import merged, shared
from .shown import describe_trainer, trainer_html
from .state import FitState, ranks_of
from .training_step import TrainingStep

__all__ = ["Trainer"]

AnyLoss: TypeAlias = Module | Callable[[Any, Any], Any]


class Trainer(Evaluating):
    """Trains a model: the loop of forward, loss, backward and step, with progress, history and callbacks.

    For what no option covers, override `training_step` in a subclass.

    Args:
        model: any Module from a batch of inputs to predictions. Several inputs in a tuple are its arguments by
            position, those in a dict by name; it may return a tuple or dict of outputs.
        loss: a loss from (prediction, target) to a number, such as CrossEntropyLoss(), or a function; or several, in a
            tuple or dict, each for the output and the target in the same place: the whole loss is their weighted sum. A
            single loss gets all outputs and targets.
        optimizer: over the model's parameters; None if you only `evaluate` and `predict`. Several, in a list or dict,
            take each step together; in a `training_step` they are ``self.optimizer[0]`` or ``self.optimizer["name"]``.
        loss_weights: of several losses, in the same structure; None: all 1.
        targets: for batches that are dicts of arrays, the names of the targets; all other entries are inputs.
        metrics: measured in training and validation besides loss and accuracy; see `minidl.training.metrics`. Copies
            of them are used, which learn from the loss what it judges. A function of (outputs, targets) is called once
            for all of a validation, not in training. With several losses a dict of them, by the name or number of the
            loss.
        scheduler: stepped after each epoch, or after each step if its ``interval`` is "step" (OneCycleLR's is);
            ReduceLROnPlateau gets its ``monitor``, or the validation loss, without validation the training loss. For
            several optimisers a list or dict of schedules.
        clip_grad_norm: upper limit for the norm of all gradients together; None for no limit.
        accumulate: batches per step of the optimiser; the step is that of one large batch, except with batch
            normalisation, which takes its statistics from each batch by itself, and losses of a ``whole_batch``.
        sample_weights: whether batches have a third element, a weight (N,) for each sample, so that the loss is
            sum(w * loss) / sum(w); in `fit` and `evaluate`. For batches that are dicts, the name of the weights.
        callbacks: called at the stages of a fit, in this order; see `Callback`. A function of the Trainer is called
            after each epoch.
        on_nonfinite: what to do when a loss or a gradient is not finite: 'raise', or 'skip' the step.
        progress: 'auto', 'bar', 'lines' or 'none'; see `minidl.training.progress.Progress`.
        comm: a communicator of mpi4py, such as ``MPI.COMM_WORLD``, whose ranks train together, each from its part of
            every batch, with the numbers of one process; see docs/scaling.md. None: this process alone.

    Attributes:
        state: the `FitState` of the current or last fit.
        epoch, batch, steps, batch_loss, lr, grad_norm, history: where the fit is; each has its own documentation.
        rank: the number of this process among those that train together, 0 for the first.
        stop: set it to True, in a callback, to end the fit after the current epoch.
        resumed: whether the fit continues from a checkpoint.

    Raises:
        TypeError: an argument is of the wrong kind.
        ValueError: an option is out of range.
    """

    def __init__(
        self,
        model: Module,
        loss: AnyLoss | Sequence[AnyLoss] | Mapping[str, AnyLoss],
        optimizer: Optimizer | Sequence[Optimizer] | Mapping[str, Optimizer] | None = None,
        *,
        loss_weights: Sequence[float] | Mapping[str, float] | None = None,
        targets: str | Sequence[str] | None = None,
        metrics: Iterable[Metric | Callable[[Any, Any], Any]] | Mapping[Any, Any] = (),
        scheduler: Schedule | Sequence[Schedule] | Mapping[str, Schedule] | None = None,
        clip_grad_norm: float | None = None,
        accumulate: int = 1,
        sample_weights: bool | str = False,
        callbacks: Iterable[Callback | Callable[[Any], Any]] = (),
        on_nonfinite: str = "raise",
        progress: str = "auto",
        comm: Communicator | None = None,
    ) -> None:
        check_kind("Trainer", "model", model, Module)
        self.loss = as_loss(loss, loss_weights)
        self.optimizer: Any = Optimizers(optimizer) if isinstance(optimizer, (list, tuple, Mapping)) else optimizer
        if self.optimizer is not None and not isinstance(self.optimizer, Optimizers):
            check_kind("Trainer", "optimizer", optimizer, Optimizer)
        self.metrics = metrics_for(self.loss, metrics)
        self.callbacks = as_callbacks(callbacks)
        if clip_grad_norm is not None:
            clip_grad_norm = check_number("Trainer", "clip_grad_norm", clip_grad_norm)
        self.model, self.scheduler = model, schedules_of(scheduler, self.optimizer)
        self.clip_grad_norm = clip_grad_norm
        self.accumulate = check_int("Trainer", "accumulate", accumulate)
        self.form, self.sample_weights = BatchForm(self.loss, targets, sample_weights), sample_weights
        if sample_weights and any(isinstance(part.loss, FunctionLoss) for part in parts_of(self.loss)):
            raise ValueError("Trainer: sample_weights need a loss with a reduction; a function of a batch has none")
        self.on_nonfinite = check_choice("Trainer", "on_nonfinite", on_nonfinite, ("raise", "skip"))
        self.comm = check_comm("Trainer", comm)
        self.progress = Progress(progress, self.rank)
        self.state, self.resumed = self._new_state(), False
        self._hooks, self._step = Hooks(self.callbacks), None
        self._running, self._noted, self._kept = False, "", 0
        self._made: dict[str, Any] = {}

    def fit(
        self,
        train: Any,
        val: Any = None,
        epochs: int = 1,
        *,
        batch_size: int | None = None,
        validation_split: float | None = None,
        rng: np.random.Generator | None = None,
        resume: str | os.PathLike[str] | None = None,
        exact: bool = True,
    ) -> History:
        """Train for some epochs, validating after each.

        The mode of every module is restored afterwards, even after an exception. Ctrl-C ends the fit; the history so
        far is returned, with ``interrupted`` set, and the model keeps what it has learned. After an exception,
        ``trainer.history`` has the epochs that were finished.

        Warns of trainable parameters that the optimiser does not have, of parameters that only it has, and of a
        schedule in steps that is much longer than the fit.

        Args:
            train: arrays (x, y) in a tuple, with ``sample_weights`` (x, y, weights), or in a dict; a dataset; or
                batches, each such a tuple or dict: a DataLoader, a list, whatever can be iterated over once per epoch.
            val: data or batches for validation, likewise; None for none.
            epochs: how many passes over ``train`` to make, counting those before a resume.
            batch_size: of arrays and datasets, which are shuffled for training; None: 32.
            validation_split: share of the samples in ``train`` to set apart for validation, of each class if the loss
                judges classes. The choice depends on nothing but the data: it is the same in every fit.
            rng: generator for the order of arrays and datasets; None means minidl's own.
            resume: folder or file of a `ModelCheckpoint`, from which the fit continues bit for bit as if it had not
                been stopped; a fit with a folder that does not contain one yet starts from the beginning. Model,
                optimiser, loader and callbacks must be created as they were for the first fit.
            exact: False takes the weights, the optimiser's state, the epoch and the history from ``resume``, and lets
                everything else be another: the optimiser's options, schedule (which starts over), batches, callbacks.

        Returns:
            The `History` of this fit. Losses and accuracies are means over samples, not over batches; the training
            ones are measured while the epoch trains. A batch of which nothing counts, because every label is ignored or
            every weight is 0, is left out, makes no step and leaves running statistics as they were.

        Raises:
            NonFiniteLossError: the loss or a gradient became NaN or infinite.
            RuntimeError: called in a callback of this Trainer's own fit; or another fit writes to the folder of a
                `ModelCheckpoint`.
            ValueError: there are no batches, or they are given with an option for arrays; the optimiser has none of the
                model's parameters, the schedule ends before the fit, a column that is watched cannot exist, or the
                checkpoints are damaged or belong to a different model.
        """
        with self._together() as group:
            train, val = batches_of_fit(train, val, self.form, self.loss, batch_size, validation_split, rng)
            epochs, optimizer = self._check_fit(train, val, epochs)
            differences = check_parameters(self.model, self.loss, optimizer)
            if differences and differences != self._noted:  # once, not in every fit
                warnings.warn(f"Trainer.fit: {differences}", UserWarning, stacklevel=2)
            self._noted = differences
            found = find_start(resume, exact, self.progress) if self.rank == 0 else Found(None, [], None)
            found = found if group is None else group.from_first(found, "the beginning of a fit")
            saved = found.state
            state = self._new_state(shared(group, train), val, group)
            options = {"clip_grad_norm": self.clip_grad_norm, "on_nonfinite": self.on_nonfinite}
            step = type(self).training_step.__qualname__
            state.options = describe_fit(state, epochs, training_step=step, **options)
            # what was made stays what it was made as, whatever earlier fits have changed
            self._made.update({name: value for name, value in state.options.items() if name not in self._made})
            state.options.update({name: self._made[name] for name in PARTS})
            if group is not None:
                check_alike(group, state, self.progress)
            continuing = check_start(state, found, epochs, self.progress, exact=exact)
            before, self.state, self.resumed = self.state, state, saved is not None
            self._hooks, self._kept = Hooks(self.callbacks), 0
            self._step = self._new_step(optimizer)
            try:
                with self._fitting():
                    self._begin(found, continuing, resume)
                    while not self._stops() and (self.epoch < epochs or not self.state.finished):
                        self._fit_epoch(epochs)
            except BaseException:
                if state.epoch == 0:  # it has not begun: the history of an earlier fit is not lost
                    self.state = before
                raise
            finally:
                self._given = self._done = ()
                release_memory()
            if group is not None:
                rejoin(group, state.generators())
            return self.history

    def _begin(self, found: Found, continuing: Continuing | None, resume: str | os.PathLike[str] | None) -> None:
        """Let callbacks begin, and continue from the checkpoint that was found, if any."""
        state, saved = self.state, found.state
        if continuing is not None:  # first, as callbacks that are new look at the weights
            take_over(state, continuing, found, self.progress)
        self._hooks.call(self, "on_fit_start")
        if saved is not None:
            if continuing is None:
                self.load_state_dict(saved)
                tell_differences(state, saved, self.progress)
            if found.notes and resume is not None and self.rank == 0:
                set_damaged_aside(resume)
            if self.stop:
                self.progress.note(f"the fit was stopped after epoch {self.epoch}; there is nothing left to do")
        if state.group is not None and (saved is None or continuing is not None or ranks_of(saved) != state.ranks):
            diverge(state.group, state.generators())
        self._hooks.judged_weights(self)  # by one callback at most
        self._kept = self.epoch - (not state.finished)

    def _fit_epoch(self, epochs: int) -> None:
        """Train for an epoch, or for what is left of it after a resume, then validate."""
        start, state = time.perf_counter(), self.state
        self.model.train()
        if state.finished:  # otherwise a resume continues in the middle of the epoch
            state.begin_epoch()
            self._hooks.call(self, "on_epoch_start")
        label = f"epoch {state.epoch}/{epochs}"
        for batches in self._batches(label):
            self._given, self._done = batches, ()
            self._hooks.call(self, "on_batch_start")
            if self._update(batches):
                state.schedule("step")
                self._hooks.call(self, "on_batch_end", "on_save")
            self._given = self._done = ()
        row = self._measure()
        seconds = time.perf_counter() - start
        row["seconds"] = seconds if state.group is None else float(state.group.gather(np.array([seconds]))[0, 0])
        state.schedule("epoch")
        numbers = "  ".join(f"{name} {row[name]:.4f}" for name in row if name.startswith(("train_", "val_")))
        state.finished = True
        with self.progress.epoch(f"{label}  {numbers}  {row['seconds']:.1f} s"):
            self._hooks.call(self, "on_epoch_end", "on_save")
            self._kept = state.epoch

    def _batches(self, label: str) -> Iterator[list[Batch]]:
        """Yield the batches of one step after another."""
        state, waiting = self.state, list[Batch]()
        total = count_batches(state.loader)
        for batch, bar in self.progress.track(state.remaining(), label, first=state.batch, total=total):
            state.count_batch()
            waiting.append(batch if state.own_step else self.form.split(batch))
            if len(waiting) == self.accumulate:
                yield waiting
                waiting.clear()
                bar.set_postfix_str(str(state.meter), refresh=False)
        state.end_pass()
        if waiting:
            yield waiting

    def _update(self, batches: list[Batch]) -> bool:
        """Take an optimiser step; return False if there was none: something is not finite, or nothing counts."""
        assert self._step is not None
        state = self.state
        state.lr = float(self._step.optimizer.param_groups[0]["lr"])
        try:
            done = self._step(batches)
        except NonFinite as problem:
            if self.on_nonfinite == "raise":
                raise self._non_finite(problem.what, problem.where) from None
            self.model.zero_grad()
            state.skipped += len(batches)
            return False
        with np.errstate(over="ignore", invalid="ignore"):
            for one in done:
                state.meter.take(one)
        mean, counted = self._step.whole
        if not counted:
            return False
        state.batch_loss, self._done = mean, done
        state.steps += 1
        return True

    def _measure(self) -> dict[str, float]:
        """Add the epoch's row to the history, with what training and validation measured; return it."""
        state = self.state
        row: dict[str, float] = {"epoch": state.epoch, "lr": state.first_lr}
        meter = merged(state.group, state.meter, state.new_meter)
        if state.skipped and not meter.counted:
            raise self._non_finite(f"every loss or gradient of epoch {state.epoch} was not finite", "no step was made")
        row.update(measured_columns("train", meter, state, self.progress))
        if state.skipped:
            row["skipped"] = state.skipped
        if broken := first_non_finite_parameter(self.model):
            raise self._non_finite("the last step was not finite", broken)
        state.history.rows.append(row)  # before the validation, so that Ctrl-C there does not lose the epoch
        self._hooks.call(self, "on_epoch_trained")
        if state.val is not None:
            with self.judged():
                self._hooks.call(self, "on_validation_start")
                meter = self._evaluate(state.val)
                row.update(measured_columns("val", meter, state, self.progress))
                self._hooks.call(self, "on_validation_end")
            if meter.counted and not math.isfinite(row["val_loss"]):
                where = "the parameters are finite, the model's output or the validation data is not"
                raise self._non_finite(f"the validation loss is {row['val_loss']}", where)
        return row

    def state_dict(self) -> dict[str, Any]:
        """Return everything a fit needs to continue from here; to be called in a callback, between two steps.

        Parameters, buffers, optimiser, schedule, the state of every random generator, the loader's position, the
        callbacks' states, the history, the sums of the current epoch, and a description of what the state belongs to.
        """
        return self.state.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned, in a Trainer created in the same way; `fit` does it for ``resume``.

        Raises:
            ValueError: the state belongs to something else, or is damaged; everything stays as it was.
        """
        self.state.load_state_dict(state)

    @property
    def grad_norm(self) -> float:
        """Norm of all gradients together in the last step, before clipping."""
        return math.nan if self._step is None else self._step.grad_norm

    # Beginning and end

    def _new_state(
        self, train: Batches | None = None, val: Batches | None = None, group: Group | None = None
    ) -> FitState:
        parts = (self.model, self.loss, self.optimizer, self.scheduler)
        return FitState(
            *parts,
            self.metrics,
            self.callbacks,
            self.accumulate,
            train,
            val,
            sample_weights=self.sample_weights,
            own_step=type(self).training_step is not TrainingStep.training_step,
            group=group,
        )

    def _check_fit(self, train: Batches, val: Batches | None, epochs: int) -> tuple[int, Any]:
        if self._running:
            raise RuntimeError(
                "Trainer.fit: this Trainer is in the middle of a fit; create another one for a fit within"
            )
        epochs = check_int("Trainer.fit", "epochs", epochs)
        check_data(self.loss, train, val, self.form, self.state.own_step)
        if self.optimizer is None:
            raise ValueError("Trainer.fit: there is no optimizer; give one: Trainer(model, loss, optimizer)")
        return epochs, self.optimizer

    @contextmanager
    def _fitting(self) -> Iterator[None]:
        """Surround a fit: Ctrl-C and StopTraining end it here; modes are restored however it ends."""
        self._running, failed = True, False
        try:
            with modes_kept(self.model), self.progress.table(lambda: self.history):
                try:
                    with nullcontext() if self.state.group is None else self.state.group.leaving():
                        yield
                except KeyboardInterrupt:
                    self.history.interrupted = True
                    finished = "1 epoch is" if self._kept == 1 else f"{self._kept} epochs are"
                    self.progress.line(f"interrupted in epoch {self.epoch}; {finished} finished")
                except StopTraining as reason:
                    self.progress.line(f"stopped in epoch {self.epoch}: {reason}")
                except BaseException:
                    failed = True
                    self.progress.line(f"failed in epoch {self.epoch}; trainer.history keeps what was measured")
                    raise
                finally:
                    try:
                        weights = self._hooks.judged_weights(self)
                        if weights is not None:
                            self.model.load_state_dict(weights)
                    finally:
                        self._hooks.end(self, failed)
        finally:
            self._running = False

    def __repr__(self) -> str:
        return f"Trainer({', '.join(f'{name}: {text}' for name, text in describe_trainer(self).items())})"

    def _repr_html_(self) -> str:
        return trainer_html(self)

    def _non_finite(self, what: str, where: str) -> NonFiniteLossError:
        return NonFiniteLossError(what, self.epoch, self.batch, self.lr, self.grad_norm, where)
