"""Results of a sweep: a row for each run that has ended, their order, the table, and the picture."""

from __future__ import annotations

import csv
import io
import math
import os
from pathlib import Path
from typing import Any

from .._core import write_atomically
from .output import aligned
from .run import Run
from .sweep_plan import Plan

__all__ = ["RESULTS", "Results"]

RESULTS = "results.csv"
_PICTURE = "sweep.png"
_SHOWN = 30  # runs in the table that is printed


class Results:
    """What has come of the runs so far, kept in results.csv.

    Args:
        plan: the runs.
        folder: of the sweep.
    """

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan, self.folder = plan, folder
        self._rows = list[dict[str, Any]]()

    def __len__(self) -> int:
        """Return how many runs have ended."""
        return len(self._rows)

    def add(self, number: int, failed: str = "") -> str:
        """Add a run that has ended; return a line that tells of it.

        Args:
            number: of the run in the plan.
            failed: why it failed; "" if it did not.
        """
        folder = self.folder / self.plan.names[number]
        history = Run(folder, self.plan.recipes[number], [], ()).history()
        accuracies, losses = (
            [float(row[f"val_{name}"]) for row in history if row.get(f"val_{name}")] for name in _BEST
        )
        row = {
            "run": str(folder),
            "epochs": len(history),
            "val_accuracy": max(accuracies, default=None),
            "val_loss": min(losses, default=None),
            "seconds": round(sum(float(row["seconds"]) for row in history if row.get("seconds")), 1),
            "failed": failed,
            **self.plan.values(number),  # epochs may be one of them
        }
        self._rows.append(row)
        values = ", ".join(f"{name} = {value}" for name, value in self.plan.values(number).items())
        end = f"failed: {failed}" if failed else f"{_score(row)}, {row['epochs']} epochs, {row['seconds']} s"
        return f"{len(self)}/{len(self.plan.recipes)}  {folder.name}  {values}: {end}"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows, the best by validation first, those that failed last."""
        return sorted(self._rows, key=_rank)

    @property
    def failed(self) -> int:
        """How many runs failed."""
        return sum(bool(row["failed"]) for row in self._rows)

    @property
    def best(self) -> dict[str, Any] | None:
        """The row of the best run; None if all of them failed."""
        return next((row for row in self.rows if not row["failed"]), None)

    def write(self) -> None:
        """Write the rows there are."""
        text = io.StringIO(newline="")
        table = csv.DictWriter(text, self._names(), lineterminator="\n")
        table.writeheader()
        table.writerows(self.rows)
        write_atomically(self.folder / RESULTS, text.getvalue().encode(errors="replace"))

    def _names(self) -> list[str]:
        return ["run", *self.plan.varied, *(name for name in _MEASURED if name not in self.plan.varied)]

    def table(self) -> str:
        """Return the rows as text, with a line that names the best run."""
        names = self._names()[: None if self.failed else -1]
        text = {*self.plan.varied, "seconds"}
        shown = [[str(row[name]) if name in text else row[name] for name in names] for row in self.rows]
        lines = [aligned([names, *[[os.path.basename(row[0]), *row[1:]] for row in shown[:_SHOWN]]])]
        if len(shown) > _SHOWN:
            lines.append(f"and {len(shown) - _SHOWN} more: {self.folder / RESULTS}")
        if self.best is not None:
            lines.append(f"best: {self.best['run']}, {_score(self.best)}")
        return "\n".join(lines)

    def draw(self) -> Path | None:
        """Draw the validation accuracy by each option; return the picture, None if there is nothing to draw.

        Raises:
            ImportError: the extra ``plot`` is not installed.
        """
        from ..plotting import option_effects  # noqa: PLC0415 - for a few commands only

        rows = sorted(self._rows, key=lambda row: str(row["run"]))  # categories in the order of the plan
        rows = [row for row in rows if not row["failed"] and row["val_accuracy"] is not None]
        if not rows:
            return None
        options = {name: [row[name] for row in rows] for name in self.plan.varied}
        content, path = io.BytesIO(), self.folder / _PICTURE
        label = "validation accuracy" + (f" (without {self.failed} failed)" if self.failed else "")
        option_effects(options, [row["val_accuracy"] for row in rows], label).savefig(content)
        write_atomically(path, content.getvalue())
        return path


_BEST = ("accuracy", "loss")
_MEASURED = ("epochs", "val_accuracy", "val_loss", "seconds", "failed")


def _score(row: dict[str, Any]) -> str:
    return "no validation" if row["val_accuracy"] is None else f"val accuracy {100 * row['val_accuracy']:.2f} %"


def _rank(row: dict[str, Any]) -> tuple[float, ...]:
    """Return a key by which the best row is the smallest: by accuracy, of equal ones by loss."""
    accuracy, loss = row["val_accuracy"], row["val_loss"]
    known = [math.inf if v is None or math.isnan(v) else v for v in (None if accuracy is None else -accuracy, loss)]
    return float(bool(row["failed"])), *known
