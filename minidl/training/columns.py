"""Columns of the history: which there will be, as far as that is known before the first step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

__all__ = ["check_column", "expected_columns", "plateau_column"]


def expected_columns(measured: Iterable[str], validated: Iterable[str] | None) -> list[str]:
    """Return the names of all columns that a history can have.

    Args:
        measured: what is measured in training; see `Meter.names`.
        validated: what is measured in validation; None if there is none.
    """
    names = [*(f"train_{name}" for name in measured), *(f"val_{name}" for name in validated or ())]
    return ["epoch", "lr", *dict.fromkeys(names), "seconds"]


def check_column(owner: str, column: str, columns: Sequence[str]) -> None:
    """Raise ValueError, naming the ``owner`` that watches it, if a column is not among ``columns``."""
    if column in columns:
        return
    hint = ""
    if column.startswith("val_") and not any(name.startswith("val_") for name in columns):
        hint = "; give fit() validation data"
    elif close := get_close_matches(column, [*columns, *(name.partition("_")[2] for name in columns)], 1, 0.7):
        name = close[0] if close[0] in columns else next(n for n in reversed(columns) if n.endswith(f"_{close[0]}"))
        hint = f"; did you mean {name!r}?"
    raise ValueError(f"{owner}: there is no column {column!r}, only {', '.join(columns)}{hint}")


def plateau_column(monitor: str | None, validated: bool) -> str:
    """Return the column that a ReduceLROnPlateau gets: its monitor, or else the validation or training loss."""
    return monitor or ("val_loss" if validated else "train_loss")
