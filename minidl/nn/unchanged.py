"""Unchanged: whether the inputs and the parameters of a forward pass are still what they were when it ran."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._core import Array
from .changes import changes, mark_changed, numbers
from .saved import shares

if TYPE_CHECKING:
    from .record import Record

__all__ = ["check_unchanged", "content", "mark_changed", "numbers"]

_SMALL = 2**13  # bytes


def content(x: Array) -> Any:
    """Return what tells whether an array is changed: its bytes, or the sum of its bits as integers if it is large."""
    if x.nbytes <= _SMALL:
        return x.tobytes()
    if x.dtype.kind not in "fiub":
        return None
    size = x.itemsize
    if size == 4 and x.flags.c_contiguous and x.size % 2 == 0:
        return np.add.reduce(x.reshape(-1).view(np.int64))
    return np.add.reduce(x.view(f"i{size}"), axis=None, dtype=np.int64)


def check_unchanged(record: Record) -> None:
    """Check that a backward pass finds what its forward pass left.

    Raises:
        RuntimeError: an input or a parameter was changed since.
    """
    module = record.module()
    if changes[0] > record.number and module is not None:
        for name, parameter in module.named_params():
            if parameter.changed > record.number:
                raise RuntimeError(
                    f"{name} was changed after the forward pass: call backward() before optimizer.step()"
                )
    for number, (x, total) in enumerate(record.sums):  # the inputs come first
        if total is not None and content(x) != total and _keeps(record, x):
            what = "the input" if number < len(record.origins) else "an array that the forward used,"
            raise RuntimeError(
                f"{what} of shape {x.shape} was changed in place after the forward pass, which saved it: change a "
                "copy, or call backward() first"
            )


def _keeps(record: Record, x: Array) -> bool:
    """Return whether something that lies in x's memory is kept for a backward pass."""
    if record.memory is not None:
        return any(shares(value, x) for _, value in record.memory)
    return any(
        _mentions(backward, x) if module is None else any(shares(value, x) for _, value in memory)
        for module, backward, memory, _, _ in record.steps
    )


def _mentions(gradient: Any, x: Array) -> bool:
    """Return whether the gradient of an operation mentions something that lies in x's memory."""
    if isinstance(gradient, tuple):
        return any(_mentions(each, x) for each in gradient)
    inside = [cell.cell_contents for cell in getattr(gradient, "__closure__", None) or ()]
    return any(_mentions(value, x) if callable(value) else shares(value, x) for value in inside)
