"""Trainer: fit, evaluate and predict."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..data import ArrayDataset, DataLoader, Dataset
from ..functional._checks import Array, check_int
from ..nn import Loss, Module
from ..nn.buffers import BufferSnapshot
from ..nn.summary import evaluating
from ..optim import Optimizer
from .callbacks import Callback
from .diagnosis import first_non_finite
from .history import History
from .progress import Progress

__all__ = ["NonFiniteLossError", "Trainer"]

Batches = Iterable[tuple[Any, ...]]


class NonFiniteLossError(RuntimeError):
    """A loss became NaN or infinite. The parameters are as the last step left them.

    Attributes:
        what: the loss that is not finite.
        epoch, batch: where, counted from 1.
        lr: learning rate of the first parameter group.
        where: which layer, parameter or input was not finite first.
    """

    def __init__(self, what: str, epoch: int, batch: int, lr: float, where: str) -> None:
        super().__init__(
            f"{what} in epoch {epoch}, batch {batch}, at learning rate {lr:g}: {where}. The parameters are as the last "
            "step left them; try a lower learning rate, or look at the data"
        )
        self.what, self.epoch, self.batch, self.lr, self.where = what, epoch, batch, lr, where


class Trainer:
    """Trains a model: the loop of forward, loss, backward and step, with progress, history and callbacks.

    Args:
        model: any Module from a batch of inputs to predictions.
        loss: a loss from (prediction, target) to a number, such as CrossEntropyLoss().
        optimizer: over the model's parameters; None if you only `evaluate` and `predict`.
        callbacks: called at the stages of a fit, in this order; see `Callback`.
        progress: 'auto', 'bar', 'lines' or 'none'; see `minidl.training.progress.Progress`.

    Attributes:
        epoch, batch: where a fit is, counted from 1.
        batch_loss: loss of the last batch.
        history: of the current or last fit.
        stop: set it to True, in a callback, to end the fit after the current epoch.

    Raises:
        TypeError: an argument is of the wrong kind.
    """

    def __init__(
        self,
        model: Module,
        loss: Loss,
        optimizer: Optimizer | None = None,
        *,
        callbacks: Iterable[Callback] = (),
        progress: str = "auto",
    ) -> None:
        _check_kind("model", model, Module)
        _check_kind("loss", loss, Module)
        if optimizer is not None:
            _check_kind("optimizer", optimizer, Optimizer)
        self.callbacks = list(callbacks)
        for callback in self.callbacks:
            _check_kind("each callback", callback, Callback)
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.progress = Progress(progress)
        self.history = History()
        self.epoch = self.batch = 0
        self.batch_loss = math.nan
        self.stop = False

    def fit(self, train: Batches, val: Batches | None = None, epochs: int = 1) -> History:
        """Train for some epochs, validating after each.

        The mode of every module is put back afterwards, also after an exception. Ctrl-C ends the fit; the history so
        far is returned, with ``interrupted`` set, and the model keeps what it has learnt.

        Args:
            train: batches (input, target): a DataLoader, or anything that can be gone through once an epoch.
            val: batches for validation, likewise; None for none.
            epochs: how often to go through ``train``.

        Returns:
            The `History` of this fit. Losses and accuracies are means over samples, not over batches; the training
            ones are measured while the epoch trains.

        Raises:
            NonFiniteLossError: the loss became NaN or infinite.
            ValueError: there are no batches, or the optimiser has none of the model's parameters.
        """
        optimizer = self._check_fit(train, val, epochs)
        self.history, self.stop = History(), False
        with self._fitting():
            try:
                self._call("on_fit_start")
                for epoch in range(1, epochs + 1):
                    self.epoch = epoch
                    self._fit_epoch(optimizer, train, val, epochs)
                    if self.stop:
                        break
            except KeyboardInterrupt:
                self.history.interrupted = True
                self.progress.line(f"interrupted in epoch {self.epoch}; {len(self.history)} epochs are finished")
            finally:
                self._call("on_fit_end")
        return self.history

    def evaluate(self, data: Batches) -> dict[str, float]:
        """Return the mean loss over samples and, where targets are classes, the accuracy.

        Runs in evaluation mode and keeps nothing; every module's mode is put back.

        Args:
            data: batches (input, target): a DataLoader, or any iterable of them.

        Returns:
            {"loss": ..., "accuracy": ...}, accuracy from 0 to 1.

        Raises:
            ValueError: there are no batches.
        """
        _check_batches("evaluate", data)
        meter = _Meter(self.loss)
        with evaluating(self.model), np.errstate(over="ignore", invalid="ignore"):
            for batch, bar in self.progress.track(data, "evaluating"):
                x, target = _pair(batch)
                output = self.model(x)
                meter.add(self._loss(output, target), output, target)
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

    def _fit_epoch(self, optimizer: Optimizer, train: Batches, val: Batches | None, epochs: int) -> None:
        start = time.perf_counter()
        self.model.train()
        self._call("on_epoch_start")
        row: dict[str, float] = {"epoch": self.epoch, "lr": float(optimizer.param_groups[0]["lr"])}
        meter = _Meter(self.loss)
        label = f"epoch {self.epoch}/{epochs}"
        for number, (batch, bar) in enumerate(self.progress.track(train, label), start=1):
            self.batch = number
            self._step(optimizer, *_pair(batch), meter)
            bar.set_postfix_str(str(meter), refresh=False)
            self._call("on_batch_end")
        row.update({f"train_{name}": value for name, value in meter.result(f"fit, epoch {self.epoch}").items()})
        broken = [name for name, p in self.model.named_params() if not np.isfinite(p.data).all()]
        if broken:
            raise self._non_finite("the last step was not finite", f'parameter "{broken[0]}" is not finite')
        self.history.rows.append(row)  # before validation: Ctrl-C there does not lose the epoch
        if val is not None:
            row.update({f"val_{name}": value for name, value in self.evaluate(val).items()})
            if not math.isfinite(row["val_loss"]):
                where = "the parameters are finite, the model's output or the validation data is not"
                raise self._non_finite(f"the validation loss is {row['val_loss']}", where)
        row["seconds"] = time.perf_counter() - start
        numbers = "  ".join(f"{name} {row[name]:.4f}" for name in row if name.startswith(("train_", "val_")))
        self.progress.line(f"{label}  {numbers}  {row['seconds']:.1f} s")
        self._call("on_epoch_end")

    def _step(self, optimizer: Optimizer, x: Any, target: Any, meter: _Meter) -> None:
        """One training step; when the loss is not finite, everything is left as it was before."""
        buffers = BufferSnapshot(self.model)
        self.model.zero_grad()
        optimizer.zero_grad()
        output = self.model(x)
        self.batch_loss = self._loss(output, target)
        if not math.isfinite(self.batch_loss):
            where = first_non_finite(self.model, x)
            buffers.restore()
            raise self._non_finite(f"the loss is {self.batch_loss}", where)
        self.model.backward(self.loss.backward())
        optimizer.step()
        meter.add(self.batch_loss, output, target)

    def _non_finite(self, what: str, where: str) -> NonFiniteLossError:
        lr = float(self.optimizer.param_groups[0]["lr"]) if self.optimizer else math.nan
        return NonFiniteLossError(what, self.epoch, self.batch, lr, where)

    def _loss(self, output: Any, target: Any) -> float:
        loss = self.loss(output, target)
        if np.ndim(loss):
            raise ValueError(
                f"Trainer: the loss must be a number, {type(self.loss).__name__} gave an array of shape "
                f"{np.shape(loss)}; use reduction='mean' or 'sum'"
            )
        return float(loss)

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
        modes = [(module, module.training) for module in self.model.modules()]
        needs_input_grad = self.model.needs_input_grad
        self.model.needs_input_grad = False
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                yield
        finally:
            self.model.needs_input_grad = needs_input_grad
            for module, mode in modes:
                module.training = mode

    def _call(self, hook: str) -> None:
        for callback in self.callbacks:
            getattr(callback, hook)(self)


class _Meter:
    """Running means of loss and accuracy: over samples, weighted as the loss weights them."""

    def __init__(self, loss: Module) -> None:
        self._loss = loss
        self._ignored = getattr(loss, "ignore_index", None)
        self._total, self._weight, self._samples = 0.0, 0.0, 0
        self._correct, self._classified = 0, 0

    def add(self, loss: float, output: Array, target: Any) -> None:
        samples, target = len(output), np.asarray(target)
        self._samples += samples
        if getattr(self._loss, "reduction", "mean") == "sum":
            self._total, self._weight = self._total + loss, self._weight + samples
        else:
            # what the mean was divided by: samples, or the sum of their class weights, less the ignored ones
            weight = getattr(self._loss, "divisor", samples)
            self._total += loss * weight if weight else 0.0
            self._weight += weight
        if output.ndim < 2:
            return
        labels = target
        if target.dtype.kind == "f" and self._ignored is not None and target.shape == output.shape:
            labels = target.argmax(axis=1)  # class probabilities; only a classification loss has ignore_index
        if labels.dtype.kind in "iu" and labels.shape == (samples, *output.shape[2:]):
            counted = labels != self._ignored
            self._correct += int(((output.argmax(axis=1) == labels) & counted).sum())
            self._classified += int(counted.sum())

    def result(self, where: str) -> dict[str, float]:
        if not self._samples:
            raise ValueError(
                f"Trainer.{where}: there are no batches; an iterator can be gone through only once, and drop_last "
                "leaves out a batch that is not full"
            )
        result = {"loss": self._total / self._weight if self._weight else math.nan}
        if self._classified:
            result["accuracy"] = self._correct / self._classified
        return result

    def __str__(self) -> str:
        return " ".join(f"{name} {value:.4f}" for name, value in self.result("").items())


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


def _pair(batch: Any) -> tuple[Any, Any]:
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        size = f"{len(batch)} parts" if isinstance(batch, (tuple, list)) else type(batch).__name__
        raise ValueError(f"Trainer: expected batches (input, target), got {size}")
    return batch[0], batch[1]
