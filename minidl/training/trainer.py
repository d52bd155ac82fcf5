"""Trainer: fit, evaluate and predict."""

from __future__ import annotations

import itertools
import math
import os
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from .._core import Array, check_choice, check_int, check_number
from ..data import ArrayDataset, DataLoader, Dataset
from ..nn import Loss, Module
from ..nn.modes import evaluating, modes_kept
from ..optim import Optimizer
from ..optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from .callbacks import Callback, StopTraining
from .checkpoint import ModelCheckpoint, latest_checkpoint
from .history import History
from .meter import Meter
from .metrics import Metric
from .progress import Progress
from .state import restore, state_of
from .step import NonFinite, Step, loss_of

__all__ = ["NonFiniteLossError", "Trainer"]

Batches = Iterable[tuple[Any, ...]]


class NonFiniteLossError(RuntimeError):
    """A loss or a gradient became NaN or infinite. The parameters are as the last step left them.

    Attributes:
        what: what is not finite.
        epoch, batch: where, counted from 1.
        lr: learning rate of the first parameter group.
        grad_norm: norm of all gradients together in the last step that was finite; NaN before the first.
        where: which layer, parameter or input was not finite first.
    """

    def __init__(self, what: str, epoch: int, batch: int, lr: float, grad_norm: float, where: str) -> None:
        norm = "" if math.isnan(grad_norm) else f" (gradient norm of the step before: {grad_norm:.3g})"
        super().__init__(
            f"{what} in epoch {epoch}, batch {batch}, at learning rate {lr:g}{norm}: {where}. The parameters are as "
            "the last step left them; try a lower learning rate, clip_grad_norm, or look at the data"
        )
        self.what, self.epoch, self.batch, self.lr = what, epoch, batch, lr
        self.grad_norm, self.where = grad_norm, where


class Trainer:
    """Trains a model: the loop of forward, loss, backward and step, with progress, history and callbacks.

    Args:
        model: any Module from a batch of inputs to predictions.
        loss: a loss from (prediction, target) to a number, such as CrossEntropyLoss().
        optimizer: over the model's parameters; None if you only `evaluate` and `predict`.
        metrics: measured in training and validation besides loss and accuracy; see `minidl.training.metrics`.
        scheduler: stepped after each epoch, or after each step if its ``interval`` is "step" (OneCycleLR's is);
            ReduceLROnPlateau gets the validation loss, without validation the training loss.
        clip_grad_norm: the largest norm of all gradients together; None for no limit.
        accumulate: so many batches make one step, as one large batch would.
        callbacks: called at the stages of a fit, in this order; see `Callback`.
        on_nonfinite: what to do when a loss or a gradient is not finite: 'raise', or 'skip' the step.
        progress: 'auto', 'bar', 'lines' or 'none'; see `minidl.training.progress.Progress`.

    Attributes:
        epoch, batch: where a fit is, counted from 1; ``batch`` counts the loader's batches.
        steps: the optimiser's steps in this fit.
        batch_loss: loss of the last step.
        grad_norm: norm of all gradients together in the last step, before clipping.
        lr: learning rate of the first parameter group in the last step.
        history: of the current or last fit.
        stop: set it to True, in a callback, to end the fit after the current epoch.
        resumed: whether the fit goes on from a checkpoint.

    Raises:
        TypeError: an argument is of the wrong kind.
        ValueError: an option is out of range.
    """

    def __init__(
        self,
        model: Module,
        loss: Loss,
        optimizer: Optimizer | None = None,
        *,
        metrics: Iterable[Metric] = (),
        scheduler: LRScheduler | ReduceLROnPlateau | None = None,
        clip_grad_norm: float | None = None,
        accumulate: int = 1,
        callbacks: Iterable[Callback] = (),
        on_nonfinite: str = "raise",
        progress: str = "auto",
    ) -> None:
        _check_kind("model", model, Module)
        _check_kind("loss", loss, Module)
        if optimizer is not None:
            _check_kind("optimizer", optimizer, Optimizer)
        if scheduler is not None and not isinstance(scheduler, (LRScheduler, ReduceLROnPlateau)):
            raise TypeError(f"Trainer: scheduler must be a learning rate schedule, got {scheduler!r}")
        self.metrics = list(metrics)
        for metric in self.metrics:
            _check_kind("each metric", metric, Metric)
        names = [metric.name for metric in self.metrics]
        if len(set(names)) < len(names):
            raise ValueError(f"Trainer: the metrics must have different names, got {names}; set metric.name")
        self.callbacks = list(callbacks)
        for callback in self.callbacks:
            _check_kind("each callback", callback, Callback)
        self.callbacks.sort(key=lambda callback: isinstance(callback, ModelCheckpoint))  # they save what others know
        if clip_grad_norm is not None:
            check_number("Trainer", "clip_grad_norm", clip_grad_norm)
        self.model, self.loss, self.optimizer, self.scheduler = model, loss, optimizer, scheduler
        self.clip_grad_norm = clip_grad_norm
        self.accumulate = check_int("Trainer", "accumulate", accumulate)
        self.on_nonfinite = check_choice("Trainer", "on_nonfinite", on_nonfinite, ("raise", "skip"))
        self.progress = Progress(progress)
        self.history = History()
        self.epoch = self.batch = self.steps = 0
        self.batch_loss = self.lr = math.nan
        self.stop = self.resumed = False
        self._step: Step | None = None
        self._meter = Meter(loss)
        self._skipped, self._first_lr = 0, math.nan
        self._loader: Any = None
        self._val: Any = None
        self._at: dict[str, Any] = {}  # where the pass over the loader is
        self._started: list[Callback] = []
        self._finished = self._passed = True  # whether the epoch is, and its pass over the training data

    @property
    def grad_norm(self) -> float:
        """Norm of all gradients together in the last step, before clipping."""
        return math.nan if self._step is None else self._step.grad_norm

    def fit(
        self,
        train: Batches,
        val: Batches | None = None,
        epochs: int = 1,
        *,
        resume: str | os.PathLike[str] | None = None,
    ) -> History:
        """Train for some epochs, validating after each.

        The mode of every module is put back afterwards, also after an exception. Ctrl-C ends the fit; the history so
        far is returned, with ``interrupted`` set, and the model keeps what it has learnt.

        Args:
            train: batches (input, target) or (input, target, sample weights): a DataLoader, or anything that can be
                gone through once an epoch.
            val: batches for validation, likewise; None for none.
            epochs: how often to go through ``train``, those before a resume included.
            resume: folder or file of a `ModelCheckpoint`, from which the fit goes on bit for bit as if it had not been
                stopped; with a folder that holds none yet it begins. Model, optimiser, loader and callbacks must be
                made as they were for the first fit.

        Returns:
            The `History` of this fit. Losses and accuracies are means over samples, not over batches; the training
            ones are measured while the epoch trains.

        Raises:
            NonFiniteLossError: the loss or a gradient became NaN or infinite.
            ValueError: there are no batches, the optimiser has none of the model's parameters, or the checkpoints are
                damaged or those of another model.
        """
        optimizer = self._check_fit(train, val, epochs)
        state, notes = (None, []) if resume is None else latest_checkpoint(resume)
        for note in notes:
            self._tell(note)
        self.history, self.stop, self.resumed, self._loader = History(), False, state is not None, train
        self._val, self._at, self._started = val, {}, []
        self.epoch = self.batch = self.steps = 0
        self._step, self._finished = Step(self.model, self.loss, optimizer, self.clip_grad_norm), True
        with self._fitting():
            failed = False
            try:
                self._call("on_fit_start")
                if state is not None:
                    self.load_state_dict(state)
                    if self.stop:
                        self._tell(f"the fit had been stopped after epoch {self.epoch}; there is nothing to go on with")
                while (self.epoch < epochs or not self._finished) and not self.stop:
                    self._fit_epoch(optimizer, train, val, epochs)
            except KeyboardInterrupt:
                self.history.interrupted = True
                self.progress.line(f"interrupted in epoch {self.epoch}; {len(self.history)} epochs are finished")
            except StopTraining as reason:
                self.progress.line(f"stopped in epoch {self.epoch}: {reason}")
            except BaseException:
                failed = True
                raise
            finally:
                self._end(failed)
        return self.history

    def state_dict(self) -> dict[str, Any]:
        """Return all that a fit needs to go on from here; to be taken in a callback, between two steps.

        Parameters, buffers, optimiser, schedule, the state of every random generator, the loader's position, the
        callbacks' states, the history, the sums of the epoch that is going on, and what all this is the state of.
        """
        return state_of(self)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned, in a Trainer made in the same way; `fit` does it for ``resume``.

        Raises:
            ValueError: it is the state of something else.
        """
        restore(self, state)

    def evaluate(self, data: Batches) -> dict[str, Any]:
        """Return the mean loss over samples, where targets are classes the accuracy, and the metrics.

        Runs in evaluation mode and keeps nothing; every module's mode is put back.

        Args:
            data: batches (input, target): a DataLoader, or any iterable of them.

        Returns:
            {"loss": ..., "accuracy": ...}, accuracy from 0 to 1; and each metric by its name.

        Raises:
            ValueError: there are no batches.
        """
        _check_batches("evaluate", data)
        meter = Meter(self.loss, self.metrics)
        with evaluating(self.model), np.errstate(over="ignore", invalid="ignore"):
            for batch, bar in self.progress.track(data, "evaluating"):
                x, target, *weights = _parts(batch)
                output = self.model(x)
                loss, weight, _ = loss_of(self.loss, output, target, *weights)
                meter.add(loss, weight, output, target)
                bar.set_postfix_str(str(meter), refresh=False)
        return meter.result("evaluate")

    def predict(self, data: Array | Dataset | Batches, batch_size: int = 256) -> Array:
        """Return the model's outputs, computed in batches.

        Runs in evaluation mode and keeps nothing; every module's mode is put back.

        Args:
            data: an array of inputs (N, ...); a Dataset or a DataLoader, whose targets are passed over; or an iterable
                of batches.
            batch_size: how many samples at once, where the data is not in batches already.

        Returns:
            The outputs, (N, ...): logits for a classifier.

        Raises:
            ValueError: there are no samples.
        """
        if isinstance(data, np.ndarray):
            data = ArrayDataset(data)
        if isinstance(data, Dataset):
            data = DataLoader(data, batch_size)
        outputs: list[Array] = []
        with evaluating(self.model), np.errstate(over="ignore", invalid="ignore"):
            for batch, _ in self.progress.track(data, "predicting"):
                outputs.append(self.model(batch[0] if isinstance(batch, (tuple, list)) else batch))
        if not outputs:
            raise ValueError("Trainer.predict: there are no samples")
        return np.concatenate([np.ascontiguousarray(output) for output in outputs])

    def _fit_epoch(self, optimizer: Optimizer, train: Any, val: Batches | None, epochs: int) -> None:
        start = time.perf_counter()
        self.model.train()
        if self._finished:  # else a resume goes on in the middle of an epoch
            self.epoch, self.batch, self._skipped = self.epoch + 1, 0, 0
            self._finished = self._passed = False
            self._meter = Meter(self.loss, self.metrics)
            self._first_lr = float(optimizer.param_groups[0]["lr"])
            self._call("on_epoch_start")
        elif self._passed:
            train = ()
        elif not hasattr(train, "state_dict"):
            train = itertools.islice(train, self.batch, None)
        row: dict[str, float] = {"epoch": self.epoch, "lr": self._first_lr}
        label = f"epoch {self.epoch}/{epochs}"
        waiting: list[tuple[Any, ...]] = []
        for batch, bar in self.progress.track(train, label, first=self.batch, total=_length(train)):
            self.batch += 1
            if hasattr(train, "state_dict"):
                self._at = {k: v for k, v in train.state_dict().items() if k in ("seed", "batch")}
            waiting.append(_parts(batch))
            if len(waiting) == self.accumulate:
                self._do_step(optimizer, waiting)
                waiting = []
                bar.set_postfix_str(str(self._meter), refresh=False)
        self._passed, self._at = True, dict.fromkeys(self._at, 0)
        if waiting:
            self._do_step(optimizer, waiting)
        row.update({f"train_{name}": value for name, value in self._results(f"fit, epoch {self.epoch}").items()})
        if self._skipped:
            row["skipped"] = self._skipped
        broken = [name for name, p in self.model.named_params() if not np.isfinite(p.data).all()]
        if broken:
            raise self._non_finite("the last step was not finite", f'parameter "{broken[0]}" is not finite')
        self.history.rows.append(row)  # before validation: Ctrl-C there does not lose the epoch
        if val is not None:
            row.update({f"val_{name}": value for name, value in _numbers(self.evaluate(val)).items()})
            if not math.isfinite(row["val_loss"]):
                where = "the parameters are finite, the model's output or the validation data is not"
                raise self._non_finite(f"the validation loss is {row['val_loss']}", where)
        row["seconds"] = time.perf_counter() - start
        self._schedule("epoch")
        numbers = "  ".join(f"{name} {row[name]:.4f}" for name in row if name.startswith(("train_", "val_")))
        self.progress.line(f"{label}  {numbers}  {row['seconds']:.1f} s")
        self._finished = True
        self._call("on_epoch_end")

    def _do_step(self, optimizer: Optimizer, batches: list[tuple[Any, ...]]) -> None:
        assert self._step is not None
        self.lr = float(optimizer.param_groups[0]["lr"])
        try:
            done = self._step(batches)
        except NonFinite as problem:
            if self.on_nonfinite == "raise":
                raise self._non_finite(problem.what, problem.where) from None
            self.model.zero_grad()
            self._skipped += len(batches)
            return
        whole = sum(weight for _, weight, _, _ in done)
        self.batch_loss = sum(loss * weight for loss, weight, _, _ in done) / whole if whole else 0.0
        for loss, weight, output, target in done:
            self._meter.add(loss, weight, output, target)
        self.steps += 1
        self._schedule("step")
        self._call("on_batch_end")

    def _results(self, where: str) -> dict[str, float]:
        if self._skipped and self._skipped == self.batch:
            raise self._non_finite(f"every loss or gradient of epoch {self.epoch} was not finite", "no step was made")
        return _numbers(self._meter.result(where))

    def _schedule(self, interval: str) -> None:
        if self.scheduler is None or self.scheduler.interval != interval:
            return
        if isinstance(self.scheduler, ReduceLROnPlateau):
            row = self.history.rows[-1]
            self.scheduler.step(row["val_loss" if "val_loss" in row else "train_loss"])
        else:
            self.scheduler.step()

    def _non_finite(self, what: str, where: str) -> NonFiniteLossError:
        return NonFiniteLossError(what, self.epoch, self.batch, self.lr, self.grad_norm, where)

    def _check_fit(self, train: Batches, val: Batches | None, epochs: int) -> Optimizer:
        check_int("Trainer.fit", "epochs", epochs)
        _check_batches("fit", train)
        if val is not None:
            _check_batches("fit", val)
        if self.optimizer is None:
            raise ValueError("Trainer.fit: there is no optimizer; give one: Trainer(model, loss, optimizer)")
        own = {id(p) for p in self.model.params()}
        if not any(id(p) in own for group in self.optimizer.param_groups for p in group["params"]):
            raise ValueError(
                "Trainer.fit: the optimizer has none of the model's parameters; make it anew with model.params()"
            )
        return self.optimizer

    @contextmanager
    def _fitting(self) -> Iterator[None]:
        """Put modes and the first layer's flag back after a fit; judge overflow by the loss, not by warnings."""
        needs_input_grad = self.model.needs_input_grad
        self.model.needs_input_grad = False
        try:
            with modes_kept(self.model), np.errstate(over="ignore", invalid="ignore"):
                yield
        finally:
            self.model.needs_input_grad = needs_input_grad

    def _call(self, hook: str) -> None:
        """Call a hook of every callback; one that asks to stop does not keep the others from theirs."""
        reason: StopTraining | None = None
        for callback in self.callbacks:
            try:
                getattr(callback, hook)(self)
            except StopTraining as stop:
                reason = reason or stop
            if hook == "on_fit_start":
                self._started.append(callback)
        if reason is not None:
            raise reason

    def _tell(self, note: str) -> None:
        """Tell the user something, also where no progress is shown."""
        if self.progress.style == "none":
            warnings.warn(note, RuntimeWarning, stacklevel=3)
        self.progress.line(note)

    def _end(self, failed: bool) -> None:
        """Call `on_fit_end` of all that were started; raise the first exception, unless the fit has failed already."""
        first: BaseException | None = None
        for callback in self._started:
            try:
                callback.on_fit_end(self)
            except BaseException as error:
                first = first or error
        if first is not None and not failed:
            raise first


def _numbers(results: Mapping[str, Any]) -> dict[str, float]:
    """Leave out what is not a number: a confusion matrix."""
    return {name: float(v) for name, v in results.items() if isinstance(v, (int, float, np.number))}


def _length(batches: Any) -> int | None:
    try:
        return len(batches)
    except TypeError:
        return None


def _check_kind(argument: str, value: Any, kind: type) -> None:
    if not isinstance(value, kind):
        hint = f"; did you mean {value.__name__}()?" if isinstance(value, type) else ""
        raise TypeError(f"Trainer: {argument} must be a {kind.__name__}, got {value!r}{hint}")


def _check_batches(method: str, data: Any) -> None:
    if isinstance(data, Dataset):
        raise TypeError(f"Trainer.{method}: expected batches, got a Dataset; use DataLoader(dataset, batch_size=32)")
    if isinstance(data, (np.ndarray, tuple)) or not isinstance(data, Iterable):
        raise TypeError(
            f"Trainer.{method}: expected batches, got {type(data).__name__}; use "
            "DataLoader(ArrayDataset(images, labels), batch_size=32)"
        )


def _parts(batch: Any) -> tuple[Any, ...]:
    if not isinstance(batch, (tuple, list)) or len(batch) not in (2, 3):
        size = f"{len(batch)} parts" if isinstance(batch, (tuple, list)) else type(batch).__name__
        raise ValueError(f"Trainer: expected batches (input, target), got {size}; a third part is sample weights")
    return tuple(batch)
