"""Evaluating: the part of a Trainer that evaluates, predicts, and does what all ranks do together."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np

from .._core import release_memory
from ..distributed import Group, group_of
from ..nn import Module
from ..optim.ema import applied
from .alike import checksum_of
from .batches import Batches
from .callback import StopTraining
from .evaluation import evaluate, predict
from .given import as_batches
from .meter import Meter, Meters, meter_of
from .objective import Objective
from .progress import Progress
from .reporting import Reporting
from .sharing import merged, own_batches

__all__ = ["Evaluating"]


class Evaluating(Reporting):
    """The part of a Trainer that measures and predicts, alone or with other ranks."""

    metrics: Any
    progress: Progress

    def evaluate(self, data: Any, batch_size: int | None = None) -> dict[str, Any]:
        """Return the mean loss over samples, the accuracy or the mean absolute error, and the metrics.

        Runs in evaluation mode and keeps nothing; the mode of every module is restored. What does not count (ignored
        labels, samples of weight 0) is left out of everything; if nothing counts, the loss is NaN.

        Args:
            data: arrays (x, y) in a tuple, a dataset, or batches of such, as `fit` takes them.
            batch_size: of arrays and datasets; None: 256.

        Returns:
            {"loss": ..., "accuracy": ...}, accuracy from 0 to 1, of classes or of decisions (see `minidl.nn.Loss`); for
            a regression "mae", the mean absolute error, instead; each metric by its name; and "nan", if there were any,
            the number of samples for which the model's output was NaN, which count as wrong.

        Raises:
            ValueError: there are no batches, they have other parts, or a batch_size is given with them.
        """
        with self._together():
            return self._evaluate(as_batches("evaluate", data, batch_size)).result("evaluate")

    def _evaluate(self, data: Batches) -> Meter | Meters:
        group = group_of(self.comm)
        own = data if group is None else own_batches(group, data)
        meter = meter_of(self.loss, self.metrics)
        evaluate(self.model, Objective(self.loss), own, meter, self.progress, self.form)
        meter = merged(group, meter, lambda: meter_of(self.loss, self.metrics))
        if meter.nan:
            self.progress.line(f"evaluate: the output is NaN for {meter.nan:,} samples, which count as wrong")
        return meter

    def predict(self, data: Any, batch_size: int | None = None) -> Any:
        """Return the model's outputs, computed in batches.

        Runs in evaluation mode and keeps nothing; the mode of every module is restored. Many small batches are computed
        as `minidl.compile` does, if all layers are minidl's and none has hooks.

        Args:
            data: an array of inputs (N, ...), or several in a tuple or dict; a dataset or a DataLoader, whose targets
                are ignored; or an iterable of batches.
            batch_size: of arrays and datasets; None: 256.

        Returns:
            The outputs, (N, ...), in the order of the samples: logits for a classifier; of several outputs the model's
            tuple or dict of them.

        Raises:
            ValueError: there are no samples; or a DataLoader shuffles, has a sampler, or drops the last samples.
        """
        try:
            with self._together() as group:
                return predict(self.model, data, batch_size, self.progress, self.form, group)
        finally:
            release_memory()

    @contextmanager
    def judged(self) -> Iterator[Module]:
        """Give the model, inside a with block, the weights by which it is judged; its own are restored afterwards.

        For callbacks that measure or save the model as the validation does. The weights are those of a callback that
        averages, such as EMAWeights; without one, and outside a fit, they are the model's own.
        """
        weights = self._hooks.judged_weights(self)  # type: ignore[arg-type]
        with nullcontext(self.model) if weights is None else applied(self.model, weights) as model:
            yield model

    @contextmanager
    def _together(self) -> Iterator[Group | None]:
        """Surround what all ranks do: an error of one, or Ctrl-C, ends it on all of them. The first alone warns."""
        group = group_of(self.comm)
        if group is None:
            yield None
            return
        group.stopping = (StopTraining,)
        with group.together(), warnings.catch_warnings() if group.rank else nullcontext():
            if group.rank:
                warnings.filterwarnings("ignore", "Trainer", UserWarning)
            yield group

    def _stops(self) -> bool:
        """Return whether the fit ends after the epoch: on every rank if a callback on one of them wants it.

        Raises:
            RuntimeError: the ranks do not have the same weights any more.
        """
        group = self.state.group
        if group is not None:
            found = group.gather(np.array([self.stop, checksum_of(self.state)], np.int64))
            if (other := np.flatnonzero(found[:, 1] != found[0, 1])).size:
                raise RuntimeError(
                    f"Trainer.fit: after epoch {self.epoch} the weights of rank {other[0]} are not those of rank 0 any "
                    "more: a callback or a training_step has changed them there; let it do the same on every rank"
                )
            self.stop = bool(found[:, 0].any())
        return self.stop
