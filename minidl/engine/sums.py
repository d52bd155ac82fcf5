"""Sums over axes, and the passes over memory that every normalisation consists of.

Sums are taken piece by piece and added in the order of the pieces, so that they do not depend on the number of threads.
Statistics and parameters keep the summed axes with size 1 and broadcast to the input.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from .._core import Array
from .._core.threads import run
from .elementwise import in_pieces, pieces
from .layout import empty_like

__all__ = [
    "mean_square",
    "moments",
    "product_sums",
    "standardise",
    "standardise_grad",
    "sum_of_channels",
    "sum_over",
]

Axes = tuple[int, ...]

# Bytes of the input in a piece of work: together with its results it fits in a core's second-level cache.
_PIECE = 2**19

# Numbers that are added one after another in float32 at the most.
_MANY = 4096


def sum_over(x: Array, axes: Axes, *, keepdims: bool = False) -> Array:
    """Sum over axes in float64, and return the sums in x's dtype.

    NumPy adds the rows of an array one after another; in float32 a million rows are off in the second digit.
    """
    total: Array = x.sum(axis=axes, dtype=np.float64, keepdims=keepdims)
    return total.astype(x.dtype, copy=False)


def sum_of_channels(contiguous: Array) -> Array:
    """Sum a contiguous (H, C, W, N) block over all but C: a product with ones, which BLAS does much faster."""
    rows = contiguous.reshape(len(contiguous), contiguous.shape[1], -1)
    return np.matmul(rows, np.ones(rows.shape[2], rows.dtype)).sum(axis=0)  # type: ignore[no-any-return]


def moments(x: Array, axes: Axes) -> tuple[Array, Array]:
    """Return mean and variance (divided by the number of values) over ``axes``.

    In one pass: the sums of x and x**2, x taken relative to its first number, so that a large mean costs no precision.
    """
    first = x[tuple(slice(0, 1) if axis in axes else slice(None) for axis in range(x.ndim))]
    total, squares = _summed(_sums_of_shifted, axes, x, first)
    count = math.prod(x.shape[axis] for axis in axes)
    offset = total / count
    return first + offset, np.maximum(squares / count - offset * offset, 0)


def mean_square(x: Array, axes: Axes) -> Array:
    """Return the mean of x**2 over ``axes``."""
    (squares,) = _summed(_sum_of_squares, axes, x)
    mean: Array = squares / math.prod(x.shape[axis] for axis in axes)
    return mean


def product_sums(grad: Array, x: Array, mean: Array | None, axes: Axes) -> tuple[Array, Array]:
    """Return the sums of grad and of grad * (x - mean) over ``axes``; a mean of None is 0."""
    centre = () if mean is None else (mean,)
    plain, product = _summed(_sums_with_shifted, axes, grad, x, *centre)
    return plain, product


def standardise(x: Array, mean: Array | None, factor: Array, shift: Array | None) -> Array:
    """Return (x - mean) * factor + shift; a mean or shift of None is 0."""
    return _filled(_standardise, x, mean, factor, shift)


def standardise_grad(
    grad: Array, x: Array, mean: Array | None, factor: Array, slope: Array | None = None, shift: Array | None = None
) -> Array:
    """Return grad * factor - (x - mean) * slope - shift; what is None is 0."""
    if slope is None:
        return _filled(_scale, grad, factor)
    return _filled(_standardise_grad, grad, x, mean, factor, slope, shift)


def _sums_of_shifted(axes: Axes, x: Array, origin: Array) -> tuple[Array, Array]:
    moved = np.subtract(x, origin, out=empty_like(x))
    return _sum(axes, moved), _sum(axes, moved, moved)


def _sum_of_squares(axes: Axes, x: Array) -> tuple[Array]:
    return (_sum(axes, x, x),)


def _sums_with_shifted(axes: Axes, grad: Array, x: Array, mean: Array | None = None) -> tuple[Array, Array]:
    centred = x if mean is None else np.subtract(x, mean, out=empty_like(x))
    return _sum(axes, grad), _sum(axes, grad, centred)


def _scale(out: Array, x: Array, factor: Array) -> None:
    np.multiply(x, factor, out=out)


def _standardise(out: Array, x: Array, mean: Array | None, factor: Array, shift: Array | None) -> None:
    if mean is None:
        np.multiply(x, factor, out=out)
    else:
        np.subtract(x, mean, out=out)
        out *= factor
    if shift is not None:
        out += shift


def _standardise_grad(
    out: Array, grad: Array, x: Array, mean: Array | None, factor: Array, slope: Array, shift: Array | None
) -> None:
    _standardise(out, x, mean, slope, shift)
    np.subtract(np.multiply(grad, factor, out=empty_like(x)), out, out=out)


def _sum(axes: Axes, *factors: Array) -> Array:
    """Sum the product of arrays of one shape over ``axes``, which are kept with size 1; the product is not stored.

    Where the innermost axis in memory is not summed, NumPy adds one number after another; many are added in float64.
    """
    first, rank = factors[0], factors[0].ndim
    operands = [operand for factor in factors for operand in (factor, range(rank))]
    kept = [axis for axis in range(rank) if axis not in axes]
    back = tuple([None if axis in axes else slice(None) for axis in range(rank)])  # as np.expand_dims, but quicker
    if first.size <= _MANY or _innermost(first) in axes or math.prod(first.shape[axis] for axis in axes) <= _MANY:
        return np.einsum(*operands, kept)[back]  # type: ignore[no-any-return]
    total: Array = np.einsum(*operands, kept, dtype=np.float64)
    return total.astype(first.dtype, copy=False)[back]


def _innermost(x: Array) -> int:
    """Return the axis along which neighbours in memory lie."""
    return min((axis for axis in range(x.ndim) if x.shape[axis] > 1), key=x.strides.__getitem__)


def _summed(function: Callable[..., tuple[Array, ...]], axes: Axes, *arrays: Array) -> list[Array]:
    """Combine what ``function(axes, *pieces)`` returns for each piece of the arrays: sums over ``axes``.

    The arrays broadcast to the first.
    """
    first, *others = arrays
    if first.nbytes <= _PIECE:
        return list(function(axes, *arrays))
    cuts = pieces(first, *[np.broadcast_to(other, first.shape) for other in others], size=_PIECE)
    parts = run(lambda piece: function(axes, *piece), cuts)
    if len(parts) == 1:
        return list(parts[0])
    cut_axis = next(axis for axis in range(arrays[0].ndim) if cuts[0][0].shape[axis] != arrays[0].shape[axis])
    if cut_axis in axes:
        return [np.add.reduce(same) for same in zip(*parts, strict=True)]
    return [np.concatenate(same, axis=cut_axis) for same in zip(*parts, strict=True)]


def _filled(function: Callable[..., None], x: Array, *others: Array | None) -> Array:
    """Return an array like x that ``function(out, x, *others)`` filled piece by piece; the others broadcast to x."""
    out = empty_like(x)
    if x.nbytes <= _PIECE:
        function(out, x, *others)
        return out
    there = [np.broadcast_to(other, x.shape) for other in others if other is not None]

    def work(target: Array, first: Array, *rest: Array) -> None:
        given = iter(rest)
        function(target, first, *(None if other is None else next(given) for other in others))

    in_pieces(work, out, x, *there, size=_PIECE)
    return out
