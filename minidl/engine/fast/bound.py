"""Compiled steps that are bound to their arrays; `engine/bound.py` says what each function takes and returns.

A step is a compiled loop and its numbers, addresses among them: the filters are packed and the planes laid out once.
The arrays at these addresses must live as long as the steps; each holds those that it alone knows.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..._core import Array
from ..._core.threads import cut, run
from .. import bound, pooling
from ..bound import Bound, Room, Step, laid_out
from ..layout import block
from ..window import Geometry
from . import correlation, pool_loops
from .activation_loops import LOOPS
from .activations import cost
from .correlation import Places
from .layouts import layout
from .places import address, in_passes
from .vectors import BYTES

__all__ = ["fast_steps"]

Size = tuple[int, int]
Output = tuple[Array, list[Step]]

_PIECE = 2**20  # bytes that are worth a piece of their own


class _Kept(partial[Any]):
    """A call that keeps alive the arrays whose addresses it passes."""

    arrays: tuple[Any, ...]


def _bind(function: Callable[..., Any], numbers: tuple[Any, ...], *arrays: Any) -> Step:
    made = _Kept(function, *numbers)
    made.arrays = arrays
    return made


def _contiguous(x: Array, room: Room) -> tuple[Array, list[Step]]:
    """Return images as a contiguous block (H, C, W, N), copied where they are not."""
    if block(x).flags.c_contiguous:
        return block(x), []
    moved = block(laid_out(x.shape, x.dtype, room._replace(make=room.scratch)))
    return moved, [partial(np.copyto, moved, block(x))]


def correlate(x: Array, w: Array, bias: Array | None, geometry: Geometry, size: Size, room: Room) -> Output:
    """Bind the correlation of images with filters, plus a bias if there is one."""
    out = laid_out((len(x), len(w), *size), x.dtype, room)
    source, first = _contiguous(x, room)
    target, dtype = block(out), x.dtype
    laid = layout(source.shape, w.shape, geometry, target.shape, x.itemsize, False)
    packed = correlation.pack(correlation.filters_of(w, geometry.groups), geometry, laid.tiled, dtype)
    start = None if bias is None else np.array(bias)
    at = 0 if start is None else address(start)
    places = Places(address(source), address(packed), at, address(target), target.strides, size[0])
    if len(laid.pieces) > 1:
        arrays = source, packed, start, out
        return out, [*first, _bind(correlation.perform, (laid, places, dtype), *arrays)]
    scratch = room.scratch((correlation.room_for(laid.pieces[0], x.itemsize),), dtype)
    function, numbers = correlation.call(laid.pieces[0], places, address(scratch), dtype)
    return out, [*first, _bind(function, numbers, laid, source, packed, start, out, scratch)]


def max_pool(x: Array, geometry: Geometry, size: Size, room: Room) -> Output:
    """Bind the maxima of windows."""
    if len(x) == 1:  # the loops go along the batch
        return bound.max_pool(x, geometry, size, room)
    if len(x) * x.itemsize < BYTES and min(geometry.kernel) > 1:
        return bound.in_two_passes(max_pool, x, geometry, size, room)
    out = laid_out((*x.shape[:2], *size), x.dtype, room)
    source, first = _contiguous(x, room)
    given = address(source), address(out), x.dtype.type(-np.inf)
    return out, [*first, *_rows(pool_loops.max_pool, given, source, geometry, size, out)]


def avg_pool(x: Array, geometry: Geometry, divisor: Array, room: Room) -> Output:
    """Bind the sums of windows, divided."""
    if len(x) == 1 or geometry.kernel[0] * geometry.kernel[1] > pooling.LARGE:
        return bound.avg_pool(x, geometry, divisor, room)
    size = divisor.shape[0], divisor.shape[1]
    out = laid_out((*x.shape[:2], *size), x.dtype, room)
    source, first = _contiguous(x, room)
    by: Array = np.array(divisor, x.dtype, order="C")
    given = address(source), address(by), address(out)
    return out, [*first, *_rows(pool_loops.avg_pool, given, source, geometry, size, out, by)]


def _rows(
    loop: Callable[..., Any], given: tuple[Any, ...], x: Array, geometry: Geometry, size: Size, *arrays: Array
) -> list[Step]:
    """Bind a loop over rows of windows of a block x."""
    kernel, stride, before, dilation, _ = geometry
    rest = (*given, *x.shape, *size, *kernel, *stride, *before, *dilation)
    parts = cut(size[0], max(1, size[0] * _PIECE // max(1, x.nbytes)))
    like = x.dtype.type(0)
    calls = [_bind(loop, (*rest, part.start, part.stop, x.itemsize, like), x, *arrays) for part in parts]
    return _shared(calls, in_passes(x.nbytes))


def activate(name: str, a: float, b: float, x: Array, out: Array) -> list[Step]:
    """Bind an activation of the elements of x, which lie as those of ``out`` do, or are those."""
    kind, loop = x.dtype.type, LOOPS[name][0]
    at, to, options = address(x), address(out), (kind(a), kind(b), kind(0))
    parts = cut(x.size, _PIECE // x.itemsize)
    calls = [
        _bind(loop, (*(p + x.itemsize * part.start for p in (at, to)), part.stop - part.start, *options), x, out)
        for part in parts
    ]
    return _shared(calls, cost(name, 2, x))


def _shared(calls: list[Step], cost: float) -> list[Step]:
    """Return calls as one step, which threads share, if there are several."""
    return calls if len(calls) == 1 else [partial(run, _call, calls, cost)]


def _call(step: Step) -> None:
    step()


fast_steps = Bound(correlate, max_pool, avg_pool, activate)
