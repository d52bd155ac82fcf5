"""Recording: an operation is noted where a forward pass is being recorded; elsewhere it simply computes."""

# mypy: disable-error-code="no-any-return"
from __future__ import annotations

from collections.abc import Callable
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np

from .modes import mode, no_grad
from .origins import cut
from .rearranging import Operation
from .structure import rebuild

if TYPE_CHECKING:
    from .module import Module


__all__ = [
    "apply",
    "apply_layer",
    "apply_pair",
    "axis_of",
    "compute",
    "constant",
    "either",
    "outside",
    "plain",
    "settled",
    "sizes",
]


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
    cut(out, inputs, operation.__name__)
    return out[()] if isinstance(out, np.ndarray) and out.ndim == 0 else out


def apply_layer(layer: Module, *inputs: Any) -> Any:
    """Call a layer that was made for this call, as `apply` does an operation."""
    if mode.record is not None:
        return mode.record.call(layer, inputs, {})
    arrays = [outside(x) for x in inputs]
    with no_grad():
        out = layer(*arrays)
    return cut(out, inputs, type(layer).__name__)


def apply_pair(
    owner: str,
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    *inputs: Any,
    skips: bool = False,
    options: dict[str, Any] | None = None,
) -> Any:
    """Do a pair of pure functions, as `apply` does an operation.

    Args:
        owner: the function's name, for errors.
        forward: gives the output and a cache for arrays.
        backward: gives a tuple with the gradient of each array for the output's gradient and the cache.
        *inputs: Tensors, Parameters, arrays and None.
        skips: whether ``backward`` takes ``needs_input_grad=False``, and then leaves out the first gradient.
        options: those of ``forward``, for who looks at what is recorded.
    """

    def back(grad: Any, cache: Any, first: bool) -> Any:
        return backward(grad, cache, needs_input_grad=first) if skips else backward(grad, cache)

    record = mode.record
    try:
        if record is not None:
            return record.pair(forward, back, *inputs, origin=(owner, options or {}))
        return cut(forward(*[outside(x) for x in inputs])[0], inputs, owner)
    except (TypeError, ValueError) as error:
        if len(error.args) == 1 and not str(error).startswith(f"{owner}:"):
            error.args = (f"{owner}: {error}",)
        raise


def compute(function: Callable[..., Any], *inputs: Any, **options: Any) -> Any:
    """Do a function of operands that has no gradient: its result is a constant."""
    record, out = mode.record, function(*rebuild(inputs, plain), **rebuild(options, plain))
    if record is None:
        return out
    origin = function, inputs, options
    return rebuild(out, lambda y: record.constant(y, origin) if isinstance(y, (np.ndarray, np.generic)) else y)


def settled(out: Any, operands: list[Any], inputs: list[tuple[Any, int]]) -> Any:
    """Return a result in the inputs' float dtype if NumPy made it float64 of integers and numbers alone."""
    if type(out) is not np.ndarray or out.dtype != np.float64:
        return out
    if any(isinstance(x, (np.ndarray, np.floating)) and x.dtype.kind == "f" for x in operands):
        return out
    return out.astype(next((x.dtype for x, _ in inputs if x.dtype.kind == "f"), np.float32))


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
    return tuple([index(v) for v in values])


def axis_of(dim: int, ndim: int) -> int:
    """Return an axis as a number from 0 on, or raise IndexError; TypeError if it is not a number."""
    if isinstance(dim, (tuple, list)):
        raise TypeError(f"dim must be one axis here, got {dim}")
    if not -ndim <= dim < ndim:
        raise IndexError(f"dim {dim} does not exist in an array of {ndim} axes")
    return dim % ndim


def either(dim: Any, axis: Any) -> Any:
    """Return the axes that were given under one of the two names, or raise TypeError."""
    if dim is not None and axis is not None:
        raise TypeError("give dim or axis, not both")
    return dim if axis is None else axis
