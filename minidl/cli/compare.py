"""``minidl compare``: show runs side by side."""

from __future__ import annotations

import argparse
from typing import Any

from .command import add_command
from .output import aligned, show
from .run import Run

__all__ = ["add_compare"]


def add_compare(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        compare,
        text="show runs side by side",
        description="Show which options differ between runs, and their results.",
        example="minidl compare runs/digits-1 runs/digits-2",
    )
    parser.add_argument("folders", metavar="RUN", nargs="+", help="two or more runs' folders")


def compare(options: argparse.Namespace) -> int:
    """Run the command."""
    runs = [Run.read(folder) for folder in options.folders]
    names = [str(run.folder) for run in runs]
    entries = {**_differences(runs), **_results([run.history() for run in runs])}
    show(options, {"runs": names, **entries}, aligned([["", *names], *([name, *own] for name, own in entries.items())]))
    return 0


def _differences(runs: list[Run]) -> dict[str, list[Any]]:
    """Return the options that differ, by name, with a value for each run."""
    recipes = [run.recipe.as_dict() for run in runs]
    values = {name: [recipe[name] for recipe in recipes] for name in recipes[0]}
    return {name: own for name, own in values.items() if len(set(map(str, own))) > 1}


def _results(histories: list[list[dict[str, str]]]) -> dict[str, list[Any]]:
    """Return the results by name, with a value for each run; None if a run has no such result."""
    entries: dict[str, list[Any]] = {"epochs done": [len(rows) for rows in histories]}
    for column, best in (("train_loss", min), ("val_loss", min), ("val_accuracy", max)):
        values = [_column(rows, column) for rows in histories]
        entries[f"{column}, last"] = [own[-1] if own else None for own in values]
        if column != "train_loss":
            entries[f"{column}, best"] = [best(own) if own else None for own in values]
    entries["seconds"] = [round(sum(_column(rows, "seconds")), 1) for rows in histories]
    return entries


def _column(rows: list[dict[str, str]], name: str) -> list[float]:
    return [float(row[name]) for row in rows if row.get(name)]
