"""measured_columns: from what an epoch measured to columns of its row in the history."""

from __future__ import annotations

import math

import numpy as np

from .meter import Meter, Meters
from .progress import Progress
from .state import FitState

__all__ = ["measured_columns"]


def measured_columns(part: str, meter: Meter | Meters, state: FitState, progress: Progress) -> dict[str, float]:
    """Return an epoch's columns: all of them, if only NaN where nothing counted, which is told.

    Args:
        part: "train" or "val", with which the names begin.
        meter: what was measured.
        state: of the fit, with the rows before.
        progress: how it is told.
    """
    training = part == "train"
    results = meter.result(f"fit, {'' if training else 'validation of '}epoch {state.epoch}")
    row = {f"{part}_{name}": float(v) for name, v in results.items() if isinstance(v, (int, float, np.number))}
    if meter.counted:
        return row
    progress.note(
        f"epoch {state.epoch}: nothing counted in {'training' if training else 'validation'}, because every label is "
        f"ignored or every weight is 0; {part}_loss is NaN" + ", and no step was made" * training
    )
    known = (name for row in state.history.rows for name in row if name.startswith(f"{part}_"))
    return {**dict.fromkeys(known, math.nan), **row}
