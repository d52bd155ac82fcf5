"""Softmax with cross-entropy by compiled loops; `nn/label_loss.py` has the formulas."""

from __future__ import annotations

import numpy as np

from ..._core import Array
from . import label_loops
from .places import address

__all__ = ["cross_entropy", "cross_entropy_grad"]


def cross_entropy(
    x: Array, labels: Array, weight: Array | None, ignore_index: int, smoothing: float
) -> tuple[Array, Array, Array, int] | None:
    """Return log-probabilities, their coefficients, the losses of the samples, and how many labels are not ignored.

    None if x is not (N, C) with labels (N,) that fit into int64, or a label is no class.
    """
    if x.ndim != 2 or labels.shape != x.shape[:1] or not x.size or not np.can_cast(labels.dtype, np.int64):
        return None
    size, (samples, classes) = x.itemsize, x.shape
    labels = np.ascontiguousarray(labels, np.int64)
    log_p, coefficients, losses = np.empty_like(x), np.empty_like(x), np.empty(samples, x.dtype)
    factors = 0 if weight is None else address(weight)
    room = np.empty(label_loops.ROOM)
    kept = label_loops.cross_entropy(
        address(x), x.strides[0] // size, x.strides[1] // size, address(labels), factors, samples, classes,
        ignore_index, smoothing, address(log_p), address(coefficients), log_p.strides[0] // size,
        log_p.strides[1] // size, address(losses), address(room), size, x.dtype.type(0),
    )  # fmt: skip
    return None if kept < 0 else (log_p, coefficients, losses, kept)


def cross_entropy_grad(log_p: Array, coefficients: Array, scale: Array) -> Array:
    """Return the gradient of the scores; scale is a number, or one for each sample (N, 1)."""
    out, size, (samples, classes) = np.empty_like(log_p), log_p.itemsize, log_p.shape
    each, scale, room = np.ndim(scale) > 0, np.ascontiguousarray(scale), np.empty(label_loops.SAMPLES)
    label_loops.cross_entropy_grad(
        address(log_p), address(coefficients), log_p.strides[0] // size, log_p.strides[1] // size, samples, classes,
        address(scale), each, address(out), address(room), size, log_p.dtype.type(0),
    )  # fmt: skip
    return out
