"""classification_report: precision, recall and F1 of each class, and their averages, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..._core import Array, printable
from .base import share
from .classification import F1Score, Precision, Recall, averaged

__all__ = ["ClassificationReport", "classification_report"]

_SCORES = {"precision": Precision.parts, "recall": Recall.parts, "f1": F1Score.parts}


@dataclass(frozen=True)
class ClassificationReport:
    """What `classification_report` returns; ``print(report)`` shows it as a table.

    Attributes:
        classes: a dict for each class or label: "class", its name; "precision", "recall", "f1"; "support", the number
            of its samples.
        averages: a dict for each average, by its name: "precision", "recall", "f1", "support".
        accuracy: share of samples predicted right; None for several labels.
        nan: number of samples whose outputs were NaN; they are wrong.
    """

    classes: list[dict[str, Any]]
    averages: dict[str, dict[str, Any]]
    accuracy: float | None
    nan: int

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain data."""
        averages = {name: dict(row) for name, row in self.averages.items()}
        plain = {"classes": [dict(row) for row in self.classes], "averages": averages, "nan": self.nan}
        return plain if self.accuracy is None else {**plain, "accuracy": self.accuracy}

    def __str__(self) -> str:
        named = [(printable(row["class"]), row) for row in self.classes]
        means = [(f"{name} average", row) for name, row in self.averages.items()]
        width = max(len(name) for name, _ in [("class", {}), *named, *means])
        lines = [f"{'class':<{width}}  precision  recall      F1  support"]
        for name, row in named + means:
            lines.append(
                f"{name:<{width}}  {row['precision']:9.4f}  {row['recall']:6.4f}  {row['f1']:6.4f}  {row['support']:7,}"
            )
        if self.accuracy is not None:
            total = sum(row["support"] for row in self.classes)
            lines.insert(len(named) + 1, f"{'accuracy':<{width}}  {'':9}  {'':6}  {self.accuracy:6.4f}  {total:7,}")
        if self.nan:
            lines.append(f"{self.nan:,} of the outputs are NaN, and wrong")
        return "\n".join(lines)


def classification_report(matrix: Array, classes: Sequence[str] | None = None) -> ClassificationReport:
    """Return precision, recall, F1 and number of samples of each class, and their averages.

    Args:
        matrix: what `ConfusionMatrix` computes: (C, C), (C, C + 1) if there were NaN, or (L, 2, 2) for labels.
        classes: names of the classes or labels; None for their numbers.

    Returns:
        A `ClassificationReport`, whose averages are "macro" and "weighted", with several labels "micro" too.

    Raises:
        ValueError: the matrix has another shape, or there is not one name for each class.

    Source: https://scikit-learn.org/stable/modules/generated/sklearn.metrics.classification_report.html
    """
    counts = np.asarray(matrix)
    several = counts.ndim == 3
    if counts.dtype.kind not in "iu" or not (
        counts.shape[1:] == (2, 2) if several else counts.ndim == 2 and counts.shape[1] - len(counts) in (0, 1)
    ):
        raise ValueError(
            "classification_report: expected the counts that ConfusionMatrix computes, (C, C) or (L, 2, 2), got "
            f"{counts.dtype} {counts.shape}"
        )
    names = [str(name) for name in (range(len(counts)) if classes is None else classes)]
    if len(names) != len(counts) or not names:
        raise ValueError(f"classification_report: {len(names)} names for {len(counts)} classes")
    support = (counts[:, 1] if several else counts).sum(axis=1)

    def row(average: str | None) -> dict[str, Any]:
        return {name: averaged(parts, counts, average) for name, parts in _SCORES.items()}

    each = row(None)
    averages = ("micro", "macro", "weighted") if several else ("macro", "weighted")
    return ClassificationReport(
        [
            {"class": name, **{score: float(each[score][place]) for score in each}, "support": int(support[place])}
            for place, name in enumerate(names)
        ],
        {average: {**row(average), "support": int(support.sum())} for average in averages},
        None if several else share(np.trace(counts), counts.sum()),
        0 if several else int(counts[:, len(counts) :].sum()),
    )
