"""Meter: loss, accuracy and metrics, accumulated over the batches of an epoch; Meters: those of several losses."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .._core import Array, described
from ..nn import Module
from ..nn.structure import leaves
from ..optim.stored import stored_count, stored_dict, stored_list, stored_number
from .judging import as_classes, as_decisions, nan_rows, same_shape, task_of
from .losses import Losses, Part, parts_of
from .metrics import Accuracy, MeanAbsoluteError, Metric
from .metrics.function import as_metric
from .objective import Done

__all__ = ["Meter", "Meters", "meter_of", "metrics_for"]

_MEASURED = {"multiclass": ("accuracy",), "binary": ("accuracy",), "regression": ("mae",), None: ("accuracy", "mae")}

# Names that minidl gives to columns; a metric of the kind that is named here may have one.
_OWN: dict[str, type[Metric] | None] = {
    **dict.fromkeys(("epoch", "lr", "seconds", "skipped", "grad_norm", "loss", "nan")),
    "accuracy": Accuracy,
    "mae": MeanAbsoluteError,
}


class Meter:
    """Running means of loss and accuracy over samples, weighted as the loss weights them; and metrics, reset.

    What the loss judges decides what is measured besides it: for classes and decisions the accuracy, for numbers the
    mean absolute error, "mae". A loss that does not say has an accuracy if targets are integer labels (N, ...) of
    outputs (N, C, ...), C > 1. Soft targets of decisions are neither right nor wrong: then there is no accuracy.

    Args:
        loss: the loss whose mean is taken; the metrics are told of it.
        metrics: copied, so that the originals stay as they are.

    Raises:
        ValueError: a metric has the name of another column, or cannot judge what the loss judges.
    """

    def __init__(self, loss: Module, metrics: Sequence[Metric] = ()) -> None:
        _check_names(metrics)
        self._loss = loss
        self._task, self._threshold = task_of(loss)
        self._sums = {"total": 0.0, "weight": 0.0, "samples": 0, "correct": 0, "classified": 0}
        self._sums.update(soft=0, error=0.0, elements=0, nan=0)
        self.metrics = [copy.deepcopy(metric) for metric in metrics]
        for metric in self.metrics:
            metric.reset()
            metric.told_by(loss)

    @property
    def counted(self) -> bool:
        """Whether anything counted so far; otherwise the loss is NaN."""
        return self._sums["weight"] > 0

    @property
    def nan(self) -> int:
        """The number of samples for which the output was NaN."""
        return int(self._sums["nan"])

    def names(self) -> list[str]:
        """Return the names of all numbers that `result` can have."""
        return ["loss", *_MEASURED[self._task], *(m.name for m in self.metrics if m.gives_number())]

    def take(self, done: Done) -> None:
        """Add a batch."""
        (loss,) = done.losses
        self.add(loss.mean, loss.weight, done.output, done.target, loss.counted)

    def add(self, loss: float, weight: float, output: Any, target: Any, counted: Array | None = None) -> None:
        """Add a batch. Of several outputs of one loss only the metrics know what they mean.

        Args:
            loss: its mean.
            weight: what the mean was divided by; with 0 nothing counts.
            output, target: of the model, and what it should have been.
            counted: which labels (N, ...) or samples (N,) count, for the other measures; None: all.
        """
        sums, several = self._sums, isinstance(output, (tuple, list, dict))
        sums["samples"] += len(next(leaves(output)) if several else output)
        if not weight:
            return
        sums["total"] += loss * weight
        sums["weight"] += weight
        if several or isinstance(target, (tuple, dict)):
            for metric in self.metrics:
                metric.update(output, target)
            return
        target = np.asarray(target)
        if counted is not None:
            output, target = _chosen(output, target, counted)
        for metric in self.metrics:
            metric.update(output, target)
        nan = nan_rows(output)
        if nan is not None:
            sums["nan"] += int(nan.reshape(len(output), -1).any(axis=1).sum())
        labels = as_classes(output, target)
        if labels is None and self._task == "binary":
            self._add_decisions(output, target)
        elif labels is None and self._task == "regression":
            self._add_errors(output, target)
        elif labels is None and self._task == "multiclass" and target.shape == output.shape and output.shape[1] > 1:
            self._add_classes(output, target.argmax(axis=1), nan)  # of probabilities
        elif labels is not None:
            self._add_classes(output, labels, nan)

    def _add_classes(self, output: Array, labels: Array, nan: Array | None) -> None:
        """Count the samples whose label has the largest output."""
        right = output.argmax(axis=1) == labels
        if nan is not None:
            right &= ~nan
        self._sums["correct"] += int(np.count_nonzero(right))
        self._sums["classified"] += labels.size

    def _add_decisions(self, output: Array, target: Array) -> None:
        """Count the decisions that are right."""
        pair = as_decisions(output, target)
        if pair is None:
            self._sums["soft"] += 1
            return
        output, yes = pair
        right = ((output > self._threshold) == yes) & ~np.isnan(output)
        self._sums["correct"] += int(np.count_nonzero(right))
        self._sums["classified"] += yes.size

    def _add_errors(self, output: Array, target: Array) -> None:
        """Add the absolute errors."""
        pair = same_shape(output, target)
        if pair is not None:
            self._sums["error"] += float(np.abs(np.subtract(*pair, dtype=np.float64)).sum())
            self._sums["elements"] += pair[0].size

    def result(self, where: str) -> dict[str, Any]:
        """Return loss, accuracy and the metrics by name; ``where`` is for the error message if nothing was added.

        With "nan", the number of samples whose outputs were NaN, if there were any.
        """
        sums = self._sums
        if not sums["samples"]:
            raise _without_batches(where)
        result: dict[str, Any] = {**self.losses(), **({"nan": self.nan} if self.nan else {})}
        return {**result, **{metric.name: metric.compute() for metric in self.metrics}}

    def losses(self) -> dict[str, float]:
        """Return loss, and accuracy or mean absolute error, so far."""
        sums = self._sums
        result = {"loss": sums["total"] / sums["weight"] if sums["weight"] else math.nan}
        if sums["classified"] and not sums["soft"]:
            result["accuracy"] = sums["correct"] / sums["classified"]
        if sums["elements"]:
            result["mae"] = sums["error"] / sums["elements"]
        return result

    def merge(self, other: Meter) -> None:
        """Add what another meter of the same loss and metrics has measured.

        Raises:
            TypeError: a metric keeps what it measures in a way that cannot be merged.
        """
        for name, value in other._sums.items():
            self._sums[name] += value
        for metric, theirs in zip(self.metrics, other.metrics, strict=True):
            if other.counted and not theirs.sums and type(theirs).merge is Metric.merge:
                raise TypeError(
                    f"Trainer: {type(theirs).__name__} keeps what it measures outside of its sums, which ranks cannot "
                    "put together; let update() call add(), or define merge(), state_dict() and load_state_dict()"
                )
            metric.merge(theirs)

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of all sums."""
        return {"sums": dict(self._sums), "metrics": [metric.state_dict() for metric in self.metrics]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned, or raise; in a file of an earlier version some sums are missing."""
        stored_dict("it", state, "sums", "metrics")
        for name, value in stored_dict("sums", state["sums"]).items():
            if name not in self._sums:
                raise ValueError(f"there is no sum {name!r}")
            counts = isinstance(self._sums[name], int)
            self._sums[name] = stored_count(name, value) if counts else stored_number(name, value)
        for metric, own in zip(self.metrics, stored_list("metrics", state["metrics"], len(self.metrics)), strict=True):
            metric.load_state_dict(stored_dict(f"metric {metric.name}", own))
            if metric.sums and type(metric).__module__.startswith("minidl."):
                metric.compute()  # which fails with what it cannot have added

    def __str__(self) -> str:
        return " ".join(f"{name} {value:.4f}" for name, value in self.losses().items())


class Meters:
    """Running means of several losses, a `Meter` for each, and of their weighted sum.

    Args:
        parts: the losses.
        metrics: of each loss, by its key.
    """

    def __init__(self, parts: Sequence[Part], metrics: Mapping[Any, Sequence[Metric]]) -> None:
        self.parts = parts
        self.meters = [Meter(part.loss, metrics.get(part.key, ())) for part in parts]

    @property
    def metrics(self) -> list[Metric]:
        """The metrics of all losses."""
        return [metric for meter in self.meters for metric in meter.metrics]

    @property
    def counted(self) -> bool:
        """Whether anything counted so far."""
        return any(meter.counted for meter in self.meters)

    @property
    def nan(self) -> int:
        """The number of samples for which an output was NaN, the largest of all outputs."""
        return max(meter.nan for meter in self.meters)

    def names(self) -> list[str]:
        """Return the names of all numbers that `result` can have."""
        return ["loss", *self._prefixed([dict.fromkeys(meter.names()) for meter in self.meters])]

    def take(self, done: Done) -> None:
        """Add a batch."""
        for part, meter, loss in zip(self.parts, self.meters, done.losses, strict=True):
            meter.add(loss.mean, loss.weight, part.of(done.output), part.of(done.target), loss.counted)

    def result(self, where: str) -> dict[str, Any]:
        """Return the loss, and what each part has measured, under names that begin with its key."""
        return {"loss": self._total(), **self._prefixed([meter.result(where) for meter in self.meters])}

    def losses(self) -> dict[str, float]:
        """Return the losses, and accuracies or mean absolute errors, so far."""
        return {"loss": self._total(), **self._prefixed([meter.losses() for meter in self.meters])}

    def merge(self, other: Meters) -> None:
        """Add what others of the same losses and metrics have measured."""
        for meter, theirs in zip(self.meters, other.meters, strict=True):
            meter.merge(theirs)

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of all sums."""
        return {"meters": [meter.state_dict() for meter in self.meters]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned, or raise."""
        given = stored_list("meters", stored_dict("it", state, "meters")["meters"], len(self.meters))
        for meter, own in zip(self.meters, given, strict=True):
            meter.load_state_dict(own)

    def _total(self) -> float:
        """Return the weighted sum of the losses in which something counted; NaN if there are none."""
        counted = [(part, meter) for part, meter in zip(self.parts, self.meters, strict=True) if meter.counted]
        return sum(part.weight * meter.losses()["loss"] for part, meter in counted) if counted else math.nan

    def _prefixed(self, each: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        pairs = zip(self.parts, each, strict=True)
        return {f"{part.prefix}{name}": value for part, own in pairs for name, value in own.items()}

    def __str__(self) -> str:
        return " ".join(f"{name} {value:.4f}" for name, value in self.losses().items())


def meter_of(loss: Module, metrics: Any, *, training: bool = False) -> Meter | Meters:
    """Return what measures a Trainer's loss, with its metrics: a list, or of several losses a dict of lists.

    With ``training`` only with the metrics that are measured in training, too.
    """
    if training and isinstance(metrics, Mapping):
        metrics = {key: _of_training(own) for key, own in metrics.items()}
    elif training:
        metrics = _of_training(metrics)
    if isinstance(loss, Losses):
        meters = Meters(parts_of(loss), metrics)
        names = meters.names()
        if len(set(names)) < len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise ValueError(f"Trainer: losses and metrics give several columns one name: {', '.join(twice)}")
        return meters
    return Meter(loss, metrics)


def _of_training(metrics: Sequence[Metric]) -> list[Metric]:
    return [metric for metric in metrics if metric.in_training]


def metrics_for(loss: Module, metrics: Any) -> Any:
    """Return the metrics that a Trainer was given, checked: a list, or for several losses a dict of lists.

    Raises:
        TypeError: one is not a Metric, or they are not given by the losses' names or numbers.
        ValueError: there is no such loss.
    """
    if not isinstance(loss, Losses):
        if isinstance(metrics, Mapping):
            raise TypeError("Trainer: metrics by name are for several losses; give a list")
        if isinstance(metrics, Metric) or not isinstance(metrics, Iterable):
            raise TypeError(f"Trainer: metrics must be a list, metrics=[...], got {described(metrics)}")
        return [as_metric(metric) for metric in metrics]
    keys = [part.key for part in parts_of(loss)]
    if not isinstance(metrics, Mapping):
        if not isinstance(metrics, Iterable) or list(metrics):
            raise TypeError(f"Trainer: with several losses give metrics by loss: {{{keys[0]!r}: [...]}}")
        return {}
    if unknown := [key for key in metrics if key not in keys]:
        raise ValueError(f"Trainer: metrics are given for {unknown[0]!r}, but the losses are {keys}")
    return {
        key: metrics_for(parts_of(loss)[0].loss, [own] if callable(own) or isinstance(own, Metric) else own)
        for key, own in metrics.items()
    }


def _without_batches(where: str) -> ValueError:
    return ValueError(
        f"Trainer.{where}: there are no batches; an iterator can be used only once, and drop_last leaves out a batch "
        "that is not full"
    )


def _chosen(output: Array, target: Array, counted: Array) -> tuple[Array, Array]:
    """Return outputs and targets of the samples (N,), or the labels (N, ...), that count."""
    if counted.ndim == 1:
        return output[counted], target[counted]
    if output.ndim > 1 and counted.shape == target.shape == (len(output), *output.shape[2:]):
        return np.moveaxis(output, 1, -1)[counted], target[counted]
    return output, target


def _check_names(metrics: Sequence[Metric]) -> None:
    """Raise ValueError if two metrics have one name, or one has the name of a column of the history."""
    names = [metric.name for metric in metrics]
    for metric in metrics:
        own = type(metric).__name__
        if not isinstance(metric.name, str) or not metric.name:
            raise TypeError(f"Trainer: the name of a metric must be text, {own} has {metric.name!r}; set metric.name")
        bare = metric.name.removeprefix("train_").removeprefix("val_")
        kind = _OWN.get(bare, Metric)
        if kind is None or not isinstance(metric, kind) or (bare in _OWN and bare != metric.name):
            raise ValueError(
                f"Trainer: {metric.name!r} is a column of minidl's own, {own} needs another name; set metric.name"
            )
    if len(set(names)) < len(names):
        raise ValueError(f"Trainer: the metrics must have different names, got {names}; set metric.name")
