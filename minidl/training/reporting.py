"""Trainer.report: a fit as a page, from Python."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from .._core import Array, html_table, html_text, through_link, user_path, write_atomically
from ..nn.functional import softmax_forward
from ..nn.modes import evaluating
from .charts import curve_charts
from .given import as_batches
from .metrics import ConfusionMatrix, classification_report, wilson_interval
from .metrics.matrix_table import matrix_table
from .objective import call
from .report_page import Mistake, class_table, halves, made, mistakes, model_section, pairs, report_page, section, side
from .shown import describe_trainer, history_table
from .training_step import TrainingStep

__all__ = ["Reporting"]

_WORST = 24


class Reporting(TrainingStep):
    """The part of a Trainer that writes reports."""

    def report(
        self,
        path: str | os.PathLike[str],
        data: Any = None,
        *,
        batch_size: int | None = None,
        classes: Sequence[str] | None = None,
    ) -> None:
        """Write what the fit has come to as a page that needs nothing else: curves, scores, mistakes, the network.

        Args:
            path: file name, which should end in .html; of a symbolic link, the file that it leads to is written.
            data: what the model is measured on, as for `evaluate`; None for a page without it. If the model classifies,
                the page has a confusion matrix, the scores of each class, and the worst mistakes, as images if the
                inputs are.
            batch_size: of arrays and datasets; None: 256.
            classes: names; None for those of the dataset, or numbers.

        Raises:
            TypeError, ValueError: the data cannot be used, as for `evaluate`; or there is not one name for each class.
            OSError: the file cannot be written.
        """
        place = through_link(user_path(path))
        trainer: Any = self
        title, history = type(self.model).__name__, trainer.history
        lead = made(sum(row.get("seconds", 0.0) for row in history.rows))
        sections = [f"<h1>{html_text(title)}</h1>", lead]
        if history.rows:
            rows = f"<details><summary>{len(history)} epochs</summary>{history_table(history)}</details>"
            sections.append(section("Curves", side(curve_charts(history.to_dict())), rows))
        model = ""
        if data is not None:
            batches = as_batches("report", data, batch_size)
            numbers = trainer.evaluate(batches)
            if trainer.rank:
                return
            shown = [(name, f"{value:.4f}") for name, value in numbers.items() if np.ndim(value) == 0]
            seen = _Seen(self, batches)
            if seen.matrix is not None:
                low, high = wilson_interval(int(np.trace(seen.matrix)), seen.count)
                shown.append(("95 % interval of the accuracy", f"{low:.4f} to {high:.4f}"))
            sections.append(section("Measured", pairs(shown)))
            names = classes if classes is not None else getattr(getattr(batches, "dataset", None), "classes", None)
            sections += seen.sections(names or None)
            model = model_section(self.model, seen.shape, seen.dtype) if seen.shape else ""
        parts = section("Trainer", html_table((), describe_trainer(trainer).items()))
        sections.append(halves(*filter(None, (model, parts))))
        if trainer.rank == 0:
            write_atomically(place, report_page(title, sections))


class _Seen:
    """What a classifier said of each sample; nothing if it is none."""

    def __init__(self, trainer: TrainingStep, batches: Any) -> None:
        self.shape: tuple[int, ...] | None = None  # of one input
        self.dtype: Any = None
        self.wrong: list[Mistake] = []
        self.count, self.mistaken = 0, 0
        self.matrix: Array | None = None
        metric = ConfusionMatrix(task="multiclass")
        with evaluating(trainer.model):
            for batch in batches:
                x, target, *_ = trainer.form.split(batch)
                if not isinstance(x, np.ndarray) or not isinstance(target, np.ndarray):
                    return
                self.shape, self.dtype = (1, *x.shape[1:]), x.dtype
                output = call(trainer.model, x)
                plain = isinstance(output, np.ndarray) and output.ndim == 2 and output.shape[1] > 1
                if not plain or target.dtype.kind not in "iu" or target.shape != output.shape[:1] or target.min() < 0:
                    return
                metric.update(output, target)
                self._note(x, output, target)
        self.matrix = metric.compute() if self.count else None  # of an iterator, nothing is left after the evaluation

    def _note(self, x: Array, output: Array, target: Array) -> None:
        """Keep the worst mistakes of a batch."""
        shares, _ = softmax_forward(output)
        nan = np.isnan(shares).any(axis=1)
        guesses = shares.argmax(axis=1)
        right = np.take_along_axis(shares, target[:, None], axis=1)[:, 0]
        losses = np.where(nan, np.inf, -np.log(np.maximum(right, np.finfo(shares.dtype).tiny)))
        wrong = np.flatnonzero((guesses != target) | nan)
        self.mistaken += len(wrong)
        for index in wrong[np.argsort(-losses[wrong], kind="stable")][:_WORST]:
            sure = float(shares[index, guesses[index]])
            where = f"sample {self.count + index}"
            label, guess = str(target[index]), str(guesses[index])
            self.wrong.append(Mistake(float(losses[index]), _image(x[index]), label, guess, sure, where))
        self.wrong = sorted(self.wrong, key=lambda one: -one.loss)[:_WORST]
        self.count += len(x)

    def sections(self, classes: Sequence[str] | None) -> list[str]:
        """Return the confusion matrix, the scores of the classes and the mistakes."""
        if self.matrix is None:
            return []
        report = classification_report(self.matrix, classes)
        names = [str(row["class"]) for row in report.classes]
        named = [one._replace(label=names[int(one.label)], guess=names[int(one.guess)]) for one in self.wrong]
        note = "<p>Row: the true class. Column: the predicted class.</p>"
        matrix = section("Confusion matrix", note, matrix_table(self.matrix, names))
        return [
            halves(matrix, section("Classes", class_table(report))),
            section("Worst mistakes", mistakes(named, self.mistaken)),
        ]


def _image(x: Array) -> Array | None:
    """Return an input as an image in [0, 1]; None if it is none. What was normalised is stretched to that range."""
    if x.ndim != 3 or len(x) not in (1, 3) or not np.isfinite(x).all():
        return None
    low, high = float(x.min()), float(x.max())
    return x if low >= 0 and high <= 1 else (x - low) / (high - low)
