"""Judging: what a prediction is, a class, decisions of yes or no, or a number; known here and nowhere else."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._core import Array
from ..nn.loss import TASKS, Loss

__all__ = ["as_classes", "as_decisions", "nan_rows", "numbers", "rows", "same_shape", "task_of"]


def task_of(loss: Any) -> tuple[str | None, float]:
    """Return what a loss judges, one of `TASKS` or None if it does not say, and its threshold.

    Raises:
        ValueError: it is a `Loss` that judges something else.
    """
    if not isinstance(loss, Loss) or loss.task is None:
        return None, 0.0
    if loss.task not in TASKS:
        raise ValueError(f"{type(loss).__name__}: task must be one of {', '.join(TASKS)} or None, got {loss.task!r}")
    return loss.task, loss.threshold


def numbers(owner: str, what: str, values: Any) -> Array:
    """Return ``values`` as an array of numbers that is wide enough to compute with; raise TypeError if it is not one.

    float16 becomes float32; integers and bool stay what they are, and are only compared, or converted by the caller.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{owner}: expected {what} of numbers, got {array.dtype}")
    return array.astype(np.float32) if array.dtype == np.float16 else array


def same_shape(output: Array, target: Array) -> tuple[Array, Array] | None:
    """Return both in one shape (N, L, ...), where (N, ...) stands for (N, 1, ...); None if they do not fit."""
    output = output[:, None] if output.ndim == 1 else output
    if output.ndim > 1 and output.shape[1] == 1 and target.shape == (len(output), *output.shape[2:]):
        target = np.expand_dims(target, 1)
    return (output, target) if output.shape == target.shape and output.ndim > 1 else None


def as_classes(output: Array, target: Array) -> Array | None:
    """Return integer labels (N, ...) of outputs (N, C, ...) with two classes or more; None if they are not that."""
    if output.ndim < 2 or output.shape[1] < 2 or target.dtype.kind not in "iu":
        return None
    return target if target.shape == (len(output), *output.shape[2:]) else None


def as_decisions(output: Array, target: Array) -> tuple[Array, Array] | None:
    """Return outputs (N, L, ...) and which of them should be yes, if each target is 0 or 1; None if they are not."""
    pair = same_shape(output, target)
    if pair is None:
        return None
    yes = pair[1] == 1
    return (pair[0], yes) if (yes | (pair[1] == 0)).all() else None


def nan_rows(output: Array) -> Array | None:
    """Return which samples (N, ...) have an output (N, C, ...) with a NaN in it; None if none has."""
    nan = np.isnan(output) if output.dtype.kind == "f" else np.zeros((), bool)
    if not nan.any():
        return None
    return np.asarray(nan.any(axis=1)) if nan.ndim > 1 else nan


def rows(array: Array) -> Array:
    """Return (N, L, ...) as a table (N * ..., L)."""
    return np.moveaxis(array, 1, -1).reshape(-1, array.shape[1])
