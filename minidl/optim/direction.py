"""Which values of a measure are better, smaller or larger ones: known here by name, for whatever watches one."""

from __future__ import annotations

import re

from .._core import check_choice

__all__ = ["direction_of", "resolve_mode"]

_SMALLER = {"loss", "mae"}
_LARGER = {"accuracy", "precision", "recall", "f1", "roc_auc"}


def direction_of(column: str) -> str | None:
    """Return 'min' or 'max', which is better in a column of the history; None if its name does not decide that.

    The names of minidl's own columns and metrics do, and those that end with "loss", "mae" or "accuracy" as a word.
    """
    name = column.removeprefix("train_").removeprefix("val_")
    if name in _SMALLER or name.endswith(("_loss", "_mae")):
        return "min"
    return "max" if name in _LARGER or name.endswith("_accuracy") or re.fullmatch(r"top\d+", name) else None


def resolve_mode(owner: str, monitor: str, mode: str) -> str:
    """Return whether smaller ('min') or larger ('max') values of a column are better, for a mode that may be 'auto'.

    Raises:
        ValueError: the mode is unknown or contradicts the name, or it is 'auto' and the name does not decide.
        TypeError: the name is not a string.
    """
    check_choice(owner, "mode", mode, ("auto", "min", "max"))
    if not isinstance(monitor, str):
        raise TypeError(f"{owner}: monitor must be the name of a column of the history, got {monitor!r}")
    known = direction_of(monitor)
    if known is None and mode == "auto":
        raise ValueError(
            f"{owner}: the name {monitor!r} does not tell whether smaller or larger values are better; give mode='min' "
            "or mode='max'"
        )
    if known is not None and mode not in ("auto", known):
        raise ValueError(f"{owner}: mode={mode!r} does not fit {monitor!r}, use mode={known!r}")
    return mode if known is None else known
