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
_FEW = 256  # whose sum is not worth another step


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

    Each piece is read from memory once, and its squares are taken relative to its own mean, so that neither a large
    mean nor a value unlike the rest costs precision; pieces are joined in float64.

    Source: Chan, Golub and LeVeque 1983, "Algorithms for computing the sample variance".
    """
    if x.nbytes <= _PIECE:
        centre, offset, var = _moments_of(axes, x)
        return centre + offset, var
    cuts = pieces(x, size=_PIECE)
    parts = run(lambda piece: _moments_of(axes, *piece), cuts)
    cut_axis = next((axis for axis in range(x.ndim) if cuts[0][0].shape[axis] != x.shape[axis]), -1)
    if cut_axis not in axes:
        centre, offset, var = (np.concatenate(same, axis=cut_axis) for same in zip(*parts, strict=True))
        return centre + offset, var
    shares = [piece.shape[cut_axis] / x.shape[cut_axis] for (piece,) in cuts]
    means = [centre.astype(np.float64) + offset for centre, offset, _ in parts]
    mean: Array = sum(share * own for share, own in zip(shares, means, strict=True))
    spread = (share * (part + (own - mean) ** 2) for share, own, (*_, part) in zip(shares, means, parts, strict=True))
    return mean.astype(x.dtype), np.add.reduce(list(spread)).astype(x.dtype)


def _moments_of(axes: Axes, x: Array) -> tuple[Array, Array, Array]:
    """Return the mean in two parts, one after rounding and what rounding has left of it, and the variance."""
    count = math.prod(x.shape[axis] for axis in axes)
    centre = _sum(axes, x) / count
    moved = np.subtract(x, centre, out=empty_like(x))
    offset = _sum(axes, moved) / count
    return centre, offset, np.maximum(_sum(axes, moved, moved) / count - offset * offset, 0)


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

    What is summed along several axes is summed along the outermost in float64. Along a single axis that is not the
    innermost in memory NumPy adds one number after another; many are added in float64.
    """
    first, rank = factors[0], factors[0].ndim
    operands = [operand for factor in factors for operand in (factor, range(rank))]
    kept = [axis for axis in range(rank) if axis not in axes]
    back = tuple([None if axis in axes else slice(None) for axis in range(rank)])  # as np.expand_dims, but quicker
    count = math.prod([first.shape[axis] for axis in axes])
    if count <= _FEW:
        return np.einsum(*operands, kept)[back]  # type: ignore[no-any-return]
    outer = max(axes, key=lambda axis: first.strides[axis] if first.shape[axis] > 1 else -1)
    if count > first.shape[outer]:
        total: Array = np.einsum(*operands, [*kept, outer]).sum(axis=-1, dtype=np.float64)
    elif first.size <= _MANY or _innermost(first) in axes or count <= _MANY:
        return np.einsum(*operands, kept)[back]  # type: ignore[no-any-return]
    else:
        total = np.einsum(*operands, kept, dtype=np.float64)
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
