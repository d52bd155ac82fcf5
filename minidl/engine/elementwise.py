"""Elementwise work: pieces that fit in a core's cache, shared among threads; masks; dropout's random mask.

A mask has one byte per element, all ones (-1) where a value is kept and zero where it is dropped. `select` gives x
where the mask is set and exactly 0 elsewhere, whatever x is there: multiplying by 0 and 1 would turn infinities into
NaN. NumPy does this at the speed of a multiplication; ``np.where`` takes ten times as long.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from .._core import Array
from .._core.threads import cut, run
from .layout import empty, empty_like, in_memory_order

__all__ = ["dropout_mask", "dropped_at", "in_pieces", "kept_unless", "multiply", "parts", "pieces", "remove", "select"]

Result = TypeVar("Result")

# Bytes of the first array in a piece of work.
_PIECE = 2**21


def in_pieces(function: Callable[..., Result], *arrays: Array, size: int = _PIECE) -> list[Result]:
    """Call ``function(*pieces)`` for corresponding pieces of arrays of one shape, several at a time.

    Args:
        function: gets a view of each array; it may write to them.
        *arrays: cut along the first one's outermost axis in memory.
        size: approximate number of bytes of the first array in a piece.

    Returns:
        The results of ``function``, in the order of the pieces, which depend on shapes alone.
    """
    if arrays[0].nbytes <= size:
        return [function(*arrays)]
    return run(lambda piece: function(*piece), pieces(*arrays, size=size))


def pieces(*arrays: Array, size: int = _PIECE) -> list[tuple[Array, ...]]:
    """Cut arrays of one shape along the first one's outermost axis in memory, into about ``size`` bytes each."""
    first = arrays[0]
    if first.nbytes <= size or first.ndim == 0:
        return [arrays]
    outermost = max(range(first.ndim), key=lambda axis: abs(first.strides[axis]))
    before = (slice(None),) * outermost
    return [tuple(a[(*before, part)] for a in arrays) for part in parts(first.shape[outermost], first.nbytes, size)]


def parts(count: int, nbytes: int, size: int = _PIECE) -> list[slice]:
    """Cut ``count`` rows that take ``nbytes`` in total into pieces of about ``size`` bytes."""
    return cut(count, count * size // max(1, nbytes))


def multiply(x: Array, y: Array) -> Array:
    """Return x * y, arrays of one shape, in x's memory order."""
    out = empty_like(x)
    in_pieces(lambda a, b, result: np.multiply(a, b, out=result), x, y, out)
    return out


def dropout_mask(shape: tuple[int, ...], dtype: np.dtype[Any], p: float, rng: np.random.Generator) -> Array:
    """Draw an array that is 0 with probability p, else 1/(1-p); always 0 for p = 1.

    The same elements are dropped whatever the input's memory layout: they are drawn in the order of the output's.
    """
    mask = empty(shape, dtype)
    in_order = in_memory_order(mask)
    drawn, threshold, factor = dropped_at(mask.size, p, rng)
    bits = drawn.reshape(in_order.shape)
    number = dtype.type(factor)
    in_pieces(lambda drawn, result: np.multiply(drawn >= threshold, number, out=result), bits, in_order)
    return mask


def dropped_at(size: int, p: float, rng: np.random.Generator) -> tuple[Array, np.uint32, float]:
    """Draw 32 random bits for each element; return them, from which number on one is kept, and by what it is scaled."""
    # 64 at a time: twice as fast as uniform floats
    drawn = rng.integers(0, 2**64 - 1, (size + 1) // 2, np.uint64, endpoint=True).view(np.uint32)[:size]
    return drawn, np.uint32(min(round(p * 2**32), 2**32 - 1)), 0.0 if p == 1 else 1 / (1 - p)


_BITS = {4: np.int32, 8: np.int64}


def kept_unless(dropped: Array) -> Array:
    """Return the mask that drops elements where the boolean array ``dropped`` is True; it reuses its memory."""
    bits = dropped.view(np.int8)
    return np.subtract(bits, np.int8(1), out=bits)


def select(x: Array, mask: Array, out: Array) -> Array:
    """Write x where ``mask`` is set, 0 elsewhere, into ``out`` of x's dtype (float32 or float64); return it."""
    kind = _BITS[x.dtype.itemsize]
    np.bitwise_and(x.view(kind), mask, out=out.view(kind))
    return out


def remove(x: Array, selected: Array) -> None:
    """Set x to exactly 0 where ``selected``, made by `select` from x, holds its values."""
    kind = _BITS[x.dtype.itemsize]
    bits = x.view(kind)
    bits ^= selected.view(kind)
