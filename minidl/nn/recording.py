"""Recording: an operation is noted where a forward pass is being recorded; elsewhere it simply computes."""

# mypy: disable-error-code="no-any-return"
from __future__ import annotations

from typing import Any

import numpy as np

from .modes import mode
from .rearranging import Operation

__all__ = ["apply", "axis_of", "constant", "either", "outside", "plain", "sizes"]


def apply(operation: Operation, *inputs: Any, **options: Any) -> Any:
    """Do an operation of `operations` on Tensors, Parameters, arrays and numbers.

    Within a recorded forward pass it is noted; elsewhere it simply computes, on arrays.

    Raises:
        RuntimeError: a Parameter is used outside a forward pass, where its gradient would be lost.
    """
    record = mode.record
    if record is not None:
        return record.apply(operation, inputs, options)
    out, _ = operation(*[outside(x) for x in inputs], **options)
    return out[()] if isinstance(out, np.ndarray) and out.ndim == 0 else out


def outside(x: Any) -> Any:
    """Return the array of an operand where nothing is being recorded; other values as they are."""
    if hasattr(x, "_outside"):
        return x._outside()
    return x


def constant(data: Any) -> Any:
    """Return values that have no gradient: a Tensor where something is being recorded, elsewhere the array."""
    return data if mode.record is None else mode.record.constant(data)


def plain(value: Any) -> Any:
    """Return the array of an operand; other values as they are."""
    return value.data if hasattr(value, "_outside") else value


def sizes(values: tuple[Any, ...]) -> tuple[int, ...]:
    """Return sizes or axes that were given one by one, or as a tuple."""
    if len(values) == 1 and isinstance(values[0], (tuple, list)):
        values = tuple(values[0])
    return tuple([int(v) for v in values])


def axis_of(dim: int, ndim: int) -> int:
    """Return an axis as a number from 0 on, or raise IndexError."""
    if not -ndim <= dim < ndim:
        raise IndexError(f"dim {dim} does not exist in an array of {ndim} axes")
    return dim % ndim


def either(dim: Any, axis: Any) -> Any:
    """Return the axes that were given under one of the two names, or raise TypeError."""
    if dim is not None and axis is not None:
        raise TypeError("give dim or axis, not both")
    return dim if axis is None else axis
