"""History: the numbers of a fit, as plain data."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterator

from .._core import through_link, user_path, write_atomically
from .shown import history_html

__all__ = ["History", "csv_of"]


class History:
    """One row of plain numbers for each finished epoch.

    ``history["val_loss"]`` is a column, ``history.rows[-1]`` the last row, ``len(history)`` the number of epochs.

    Attributes:
        rows: a list of dicts: "epoch", "lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "seconds";
            accuracies if the loss judges classes or decisions, "train_mae" and "val_mae" if it judges numbers;
            "val_..." if there is validation data; a column for each of the Trainer's metrics that is a number;
            with several losses "train_NAME_loss" and so on for each; what a custom `training_step` gives;
            "skipped", the number of batches without a step, if there were any.
        interrupted: True if Ctrl-C ended the fit.
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []
        self.interrupted = False

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, float]]:
        return iter(self.rows)

    def __getitem__(self, column: str) -> list[float]:
        if column not in self.columns():
            raise KeyError(f"History has no column {column!r}; it has {', '.join(self.columns()) or 'no rows yet'}")
        return [row[column] for row in self.rows if column in row]

    def columns(self) -> list[str]:
        """Return the names of all columns, in order."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def to_dict(self) -> dict[str, list[float]]:
        """Return a list of numbers for each column; NaN where an epoch has none."""
        return {name: [row.get(name, math.nan) for row in self.rows] for name in self.columns()}

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the rows to a CSV file with a header line, replacing the file atomically.

        Args:
            path: file name; of a symbolic link, the file that it leads to is written.

        Raises:
            OSError: the file cannot be written.
        """
        write_atomically(through_link(user_path(path)), csv_of(self).encode())

    def __repr__(self) -> str:
        note = ", interrupted" if self.interrupted else ""
        last = ", ".join(f"{k}={v:.4g}" for k, v in self.rows[-1].items()) if self.rows else "no epochs"
        return f"History({len(self)} epochs{note}; last: {last})"

    def _repr_html_(self) -> str:
        return history_html(self)


def csv_of(history: History) -> str:
    """Return the rows as the text of a CSV file, with a header line."""
    text = io.StringIO()
    writer = csv.DictWriter(text, history.columns(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(history.rows)
    return text.getvalue()
