"""Metrics of a classifier: accuracy, the confusion matrix, and the scores that follow from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..._core import Array, check_choice, check_int, check_number
from ..judging import as_classes, as_decisions, nan_rows, numbers, rows, task_of
from .base import Metric, share
from .matrix_table import matrix_table

__all__ = [
    "AVERAGES",
    "Accuracy",
    "ClassMetric",
    "ConfusionMatrix",
    "F1Score",
    "Precision",
    "Recall",
    "TopK",
    "averaged",
]

AVERAGES = ("macro", "micro", "weighted")


class ClassMetric(Metric):
    """Base of the metrics of classifiers, which have to know what an output is.

    ``task`` says it; if it is None, the loss of the Trainer says it; if that does not either, only integer labels
    (N, ...) of outputs (N, C, ...), C > 1, are accepted, which can mean nothing but classes.

    Args:
        task: "multiclass": outputs (N, C, ...), one of the C classes is right; labels are integers (N, ...), or
            probabilities (N, C, ...), the largest of which is taken as the label. "binary": outputs (N,) or
            (N, 1, ...), targets 0 or 1, of any dtype. "multilabel": outputs and targets (N, L, ...), L decisions, each
            by itself.
        threshold: the decision is yes where the output is larger: 0 for logits, 0.5 for probabilities. None: the
            loss's. With a threshold, and no task, the shape tells "binary" from "multilabel".

    Raises:
        ValueError: an option is invalid; in `update`: the outputs and targets are not those of the task.
        TypeError: they are not numbers.
    """

    tasks: tuple[str, ...] = ("multiclass", "binary", "multilabel")
    needs_threshold = True

    def __init__(self, task: str | None = None, threshold: float | None = None) -> None:
        super().__init__()
        owner = type(self).__name__
        self.task = task if task is None else check_choice(owner, "task", task, self.tasks)
        if threshold is not None:
            threshold = check_number(owner, "threshold", threshold, minimum=-float("inf"))
            if task == "multiclass":
                raise ValueError(f"{owner}: a threshold is for task='binary' and task='multilabel'")
        self.threshold = threshold
        self._told: str | None = None

    def told_by(self, loss: Any) -> None:
        """Take task and threshold, as far as they were not given, from a loss."""
        task, threshold = task_of(loss)
        owner, name = type(self).__name__, type(loss).__name__
        if task is None or self.task == "multiclass":
            return
        if self.task is None:
            if task not in self.tasks:
                instead = "use MeanAbsoluteError(), or " if task == "regression" else ""
                raise ValueError(
                    f"{owner}: {name} judges {_JUDGED[task]}, not {_JUDGED[self.tasks[0]]}; {instead}say what is "
                    f"judged: {owner}(task={self.tasks[0]!r})"
                )
            if task == "multiclass" and self.threshold is not None:
                raise ValueError(f"{owner}: {name} judges classes, for which there is no threshold; leave it out")
            self._told = task
        if task == "binary" and self.threshold is None:
            self.threshold = threshold

    def kind(self, output: Array, target: Array) -> str:
        """Return "multiclass", "binary" or "multilabel"; "either" if the shape is to tell the last two apart.

        Raises:
            ValueError: nothing says which.
        """
        if self.task is not None:
            return self.task
        if self._told == "binary" or self.threshold is not None:
            return "either"
        if self._told is not None or as_classes(output, target) is not None:
            return "multiclass"
        owner = type(self).__name__
        given = ", threshold=0.0" if self.needs_threshold else ""
        others = f", (task='binary'{given}) or (task='multilabel'{given})" if "binary" in self.tasks else ""
        raise ValueError(
            f"{owner}: expected labels for an output of shape {output.shape}, got {target.dtype} {target.shape}, from "
            f"which it does not follow what is judged; say it: {owner}(task='multiclass'){others}"
            + (" (0.5 for probabilities)" if given and others else "")
        )

    def may_be_binary(self) -> bool:
        """Return whether the outputs may be answers of yes or no, as far as it is known before the first batch."""
        return self.task == "binary" or (self.task is None and (self._told == "binary" or self.threshold is not None))

    def labels(self, output: Array, target: Array) -> Array:
        """Return the labels, int64 (N, ...), of a multi-class output (N, C, ...)."""
        owner = type(self).__name__
        if output.ndim < 2 or output.shape[1] < 2:
            raise ValueError(
                f"{owner}: expected outputs (N, C, ...) of two classes or more, got shape {output.shape}; for a single "
                "output use a binary loss such as BCEWithLogitsLoss, or task='binary'"
            )
        if target.shape == output.shape:
            if nan_rows(target) is not None:
                raise ValueError(f"{owner}: a target is NaN")
            return np.asarray(target.argmax(axis=1))
        labels = as_classes(output, target)
        if labels is None:
            raise ValueError(
                f"{owner}: expected labels for an output of shape {output.shape}, got {target.dtype} {target.shape}"
            )
        if labels.size and not (labels.min() >= 0 and labels.max() < output.shape[1]):
            raise ValueError(
                f"{owner}: expected labels from 0 to {output.shape[1] - 1}, got {labels.min()} to {labels.max()}"
            )
        return labels.astype(np.int64)  # in uint8 a label times the number of classes would overflow

    def truth(self, output: Array, target: Array, kind: str) -> tuple[Array, Array]:
        """Return binary or multi-label outputs, and which of them should be yes, as tables (M, L)."""
        owner = type(self).__name__
        if kind == "binary" and output.ndim > 1 and output.shape[1] != 1:
            raise ValueError(
                f"{owner}: task='binary' is for outputs (N,) or (N, 1), got {output.shape}; use task='multilabel' for "
                "several decisions, task='multiclass' for one of several classes"
            )
        if kind == "multilabel" and output.ndim < 2:
            raise ValueError(f"{owner}: task='multilabel' is for outputs (N, L), got {output.shape}; use task='binary'")
        pair = as_decisions(output, target)
        if pair is None:
            raise ValueError(
                f"{owner}: expected a target of 0 or 1 for each output of shape {output.shape}, got {target.dtype} "
                f"{target.shape}" + (f" from {target.min()} to {target.max()}" if target.size else "")
            )
        return rows(pair[0]), rows(pair[1])

    def decisions(self, output: Array, target: Array, kind: str) -> tuple[Array, Array]:
        """Return for which outputs the decision is yes, and for which it should be, as tables (M, L).

        NaN is the wrong decision.
        """
        if self.threshold is None:
            owner = type(self).__name__
            raise ValueError(
                f"{owner}: a threshold is needed: {owner}(threshold=0.0) for logits, threshold=0.5 for probabilities"
            )
        output, yes = self.truth(output, target, kind)
        return np.where(np.isnan(output), ~yes, output > self.threshold), yes

    def arrays(self, output: Any, target: Any) -> tuple[Array, Array, str]:
        """Return outputs and targets as arrays of numbers, and their kind."""
        owner = type(self).__name__
        output, target = numbers(owner, "outputs", output), numbers(owner, "targets", target)
        return output, target, self.kind(output, target)


_JUDGED = {"multiclass": "classes", "binary": "decisions of yes or no", "regression": "numbers"}


class TopK(ClassMetric):
    """Share of samples whose label is among the k largest outputs; among equal outputs the first class wins.

    For "multiclass" only. A sample with a NaN among its outputs is wrong.

    Args:
        k: number of outputs, from 1.
        task: see `ClassMetric`.
    """

    tasks = ("multiclass",)

    def __init__(self, k: int = 5, *, task: str | None = None) -> None:
        super().__init__(task)
        self.k = check_int("TopK", "k", k)
        self.name = f"top{self.k}"

    def update(self, output: Array, target: Array) -> None:
        """Add a batch."""
        output, target, _ = self.arrays(output, target)
        labels = np.expand_dims(self.labels(output, target), 1)
        own = np.take_along_axis(output, labels, axis=1)
        classes = np.arange(output.shape[1]).reshape(-1, *(1,) * (output.ndim - 2))
        before = ((output > own) | ((output == own) & (classes < labels))).sum(axis=1)
        right, nan = before < self.k, nan_rows(output)
        self.add(correct=int((right if nan is None else right & ~nan).sum()), total=labels.size)

    def compute(self) -> float:
        """Return the share, from 0 to 1."""
        return share(self.sums.get("correct", 0), self.sums.get("total", 0))


class Accuracy(ClassMetric):
    """Share of right answers: of samples whose label has the largest output; or of right decisions.

    With "multilabel" each label of each sample is a decision. A sample, or a decision, whose output is NaN is wrong.

    Args:
        task, threshold: see `ClassMetric`.
    """

    name = "accuracy"

    def __init__(self, *, task: str | None = None, threshold: float | None = None) -> None:
        super().__init__(task, threshold)

    def update(self, output: Array, target: Array) -> None:
        """Add a batch."""
        output, target, kind = self.arrays(output, target)
        if kind == "multiclass":
            right, nan = output.argmax(axis=1) == self.labels(output, target), nan_rows(output)
        else:
            decided, yes = self.decisions(output, target, kind)
            right, nan = decided == yes, None
        self.add(correct=int((right if nan is None else right & ~nan).sum()), total=right.size)

    def compute(self) -> float:
        """Return the share, from 0 to 1."""
        return share(self.sums.get("correct", 0), self.sums.get("total", 0))


class ConfusionMatrix(ClassMetric):
    """Counts of samples by label (row) and predicted class (column).

    Args:
        num_classes: C, or L with "multilabel"; None: as many as there are outputs.
        task, threshold: see `ClassMetric`.
    """

    name = "confusion"

    def __init__(
        self, num_classes: int | None = None, *, task: str | None = None, threshold: float | None = None
    ) -> None:
        super().__init__(task, threshold)
        owner = type(self).__name__
        self.num_classes = num_classes if num_classes is None else check_int(owner, "num_classes", num_classes)

    def update(self, output: Array, target: Array) -> None:
        """Add a batch."""
        output, target, kind = self.arrays(output, target)
        if kind == "multiclass":
            labels, nan, count = self.labels(output, target), nan_rows(output), output.shape[1]
            predicted = output.argmax(axis=1)
            if nan is not None:
                lost = np.bincount(labels[nan], minlength=count)
                labels, predicted = labels[~nan], predicted[~nan]
            amounts = {"matrix": _counts(labels, predicted, count), **({} if nan is None else {"nan": lost})}
        else:
            decided, yes = self.decisions(output, target, kind)
            count = max(2, yes.shape[1])
            columns = zip(yes.T.astype(int), decided.T.astype(int), strict=True)
            amounts = {"decisions": np.stack([_counts(*column, 2) for column in columns])}
        if self.num_classes not in (None, count):
            raise ValueError(
                f"{type(self).__name__}: expected outputs of {self.num_classes} classes, got {output.shape[1]}"
            )
        self.add(**amounts)

    def add(self, **amounts: Any) -> None:
        """Add to the sums, which must be those of the same classes."""
        new, old = (_counted(sums) for sums in (amounts, self.sums))
        if new is not None and old is not None and new.shape != old.shape:
            raise ValueError(f"{type(self).__name__}: expected counts of shape {old.shape}, got {new.shape}")
        super().add(**amounts)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned, or raise ValueError."""
        for name, value in state.items():
            counts = np.asarray(value)
            size = counts.shape[:1]
            fits = counts.shape == {"matrix": 2 * size, "nan": size, "decisions": (*size, 2, 2)}.get(str(name))
            if not (size and fits) or counts.dtype.kind not in "iu" or (counts < 0).any():
                raise ValueError(f"{type(self).__name__}: cannot load state: {name!r} are no such counts")
        super().load_state_dict(state)

    def gives_number(self) -> bool:
        """Return False: it gives counts."""
        return False

    def counts(self) -> Array:
        """Return the counts as `compute` does, but (1, 2, 2) for "binary"."""
        counts = _counted(self.sums)
        if counts is None:
            return np.zeros((self.num_classes or 0,) * 2, np.int64)
        return np.column_stack([counts, self.sums["nan"]]) if "nan" in self.sums else np.array(counts)

    def compute(self) -> Array:
        """Return the counts, int64 (C, C); (2, 2) for "binary", (L, 2, 2) for "multilabel".

        Classes whose outputs were NaN were predicted as no class: there is then one more column, (C, C + 1), which
        counts them. A decision whose output was NaN is counted as the wrong one.
        """
        counts = self.counts()
        return np.asarray(counts[0]) if counts.ndim == 3 and len(counts) == 1 else counts

    def _repr_html_(self) -> str | None:
        counts = self.compute() if self.sums else None
        return matrix_table(counts) if counts is not None and np.ndim(counts) == 2 else None


def _counted(sums: Mapping[str, Any]) -> Array | None:
    counts: Array | None = sums.get("matrix", sums.get("decisions"))
    return counts


def _counts(labels: Array, predicted: Array, count: int) -> Array:
    """Return how often each label (row) was predicted as each class (column), (C, C)."""
    pairs = labels.reshape(-1) * count + predicted.reshape(-1)
    return np.bincount(pairs, minlength=count * count).reshape(count, count)


class _Score(ConfusionMatrix):
    """Base of the scores by class.

    Args:
        num_classes: as for `ConfusionMatrix`.
        average: None, or over the classes or labels: "macro", their mean; "weighted", their mean weighted with the
            number of samples of each; "micro", the score of all decisions together.
        task, threshold: see `ClassMetric`.
    """

    def __init__(
        self,
        num_classes: int | None = None,
        *,
        average: str | None = None,
        task: str | None = None,
        threshold: float | None = None,
    ) -> None:
        super().__init__(num_classes, task=task, threshold=threshold)
        self.average = average if average is None else check_choice(type(self).__name__, "average", average, AVERAGES)

    def gives_number(self) -> bool:
        """Return whether it is an average, or may be the score of one answer."""
        return self.average is not None or self.may_be_binary()

    def compute(self) -> Any:
        """Return the score of each class (C,) or label (L,), from 0 to 1, as scikit-learn does with zero_division=0.

        It is 0 if its denominator is 0. With an average it is a number; so it is with "binary", without one the score
        of the answer yes. Samples whose outputs are NaN are missed.
        """
        counts = self.counts()
        one = counts.ndim == 3 and len(counts) == 1
        if one and self.average is None:
            return float(averaged(self.parts, counts, None)[0])
        return averaged(self.parts, counts[0] if one else counts, self.average)

    @staticmethod
    def parts(hits: Array, predicted: Array, actual: Array) -> tuple[Array, Array]:
        """Return numerator and denominator of the score."""
        raise NotImplementedError


def averaged(parts: Callable[[Array, Array, Array], tuple[Array, Array]], counts: Array, average: str | None) -> Any:
    """Return a score by class or label, or its average, from what `ConfusionMatrix` counted.

    Args:
        parts: from (hits, predictions, samples) of each class to numerator and denominator of the score.
        counts: (C, C) or (L, 2, 2), with or without the column of NaN.
        average: one of `AVERAGES`, or None.
    """
    whole = counts.astype(np.float64)
    if counts.ndim == 3:
        hits, predicted, actual, lost = whole[:, 1, 1], whole[:, :, 1].sum(axis=1), whole[:, 1].sum(axis=1), 0.0
    else:
        hits, actual = np.diagonal(whole), whole.sum(axis=1)
        predicted, lost = whole[:, : len(whole)].sum(axis=0), whole[:, len(whole) :].sum()
    if average == "micro":  # NaN was a prediction too, and wrong
        hits, predicted, actual = (
            hits.sum(keepdims=True),
            predicted.sum(keepdims=True) + lost,
            actual.sum(keepdims=True),
        )
    amount, total = parts(hits, predicted, actual)
    scores = np.divide(amount, total, out=np.zeros_like(hits), where=total != 0)
    if average is None:
        return scores
    weights = actual if average == "weighted" else np.ones_like(scores)
    if not weights.sum():
        return 0.0 if scores.size else float("nan")
    return float((scores * weights).sum() / weights.sum())


class Precision(_Score):
    """For each class, the share of its predictions that are correct.

    Args:
        num_classes, average, task, threshold: as for `F1Score`.
    """

    name = "precision"

    @staticmethod
    def parts(hits: Array, predicted: Array, actual: Array) -> tuple[Array, Array]:
        """Return hits and predictions of each class."""
        return hits, predicted


class Recall(_Score):
    """For each class, the share of its samples that are recognised.

    Args:
        num_classes, average, task, threshold: as for `F1Score`.
    """

    name = "recall"

    @staticmethod
    def parts(hits: Array, predicted: Array, actual: Array) -> tuple[Array, Array]:
        """Return hits and samples of each class."""
        return hits, actual


class F1Score(_Score):
    """For each class, the harmonic mean of precision and recall.

    Args:
        num_classes: as for `ConfusionMatrix`.
        average: None, or over the classes or labels: "macro", their mean; "weighted", their mean weighted with the
            number of samples of each; "micro", the score of all decisions together.
        task, threshold: see `ClassMetric`.
    """

    name = "f1"

    @staticmethod
    def parts(hits: Array, predicted: Array, actual: Array) -> tuple[Array, Array]:
        """Return twice the hits, and predictions plus samples, of each class."""
        return 2 * hits, predicted + actual
