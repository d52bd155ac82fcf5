"""Pooling by compiled loops; `engine/pooling.py` says what each function returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..._core import Array, memory
from ..._core.threads import cut, run
from .. import pooling
from ..layout import block, empty
from ..window import Geometry
from . import pool_loops
from .places import address, in_passes

__all__ = ["adaptive_avg_pool", "adaptive_avg_pool_grad", "avg_pool", "avg_pool_grad", "max_pool", "max_pool_grad"]

_PIECE = 2**18  # bytes of input in a piece


def max_pool(x: Array, geometry: Geometry, size: tuple[int, int]) -> Array:
    """Return the maxima of windows."""
    source, out = _contiguous(x), empty((*x.shape[:2], *size), x.dtype)
    lowest = x.dtype.type(-np.inf)
    at, to = address(source), address(out)
    _by_rows(pool_loops.max_pool, (at, to, lowest), source, geometry, size)
    return out


def max_pool_grad(grad: Array, x: Array, out: Array, geometry: Geometry) -> Array:
    """Return the gradient of x: each window's goes to its first maximum."""
    source, best, incoming = _contiguous(x), _contiguous(out), _contiguous(grad)
    dx = empty(x.shape, x.dtype)
    given = address(incoming), address(source), address(best), address(dx)
    _by_channels(pool_loops.max_pool_grad, given, source, geometry, out.shape[2:])
    return dx


def avg_pool(x: Array, geometry: Geometry, divisor: Array) -> Array:
    """Return the sums of windows, divided."""
    if geometry.kernel[0] * geometry.kernel[1] > pooling.LARGE:
        return pooling.avg_pool(x, geometry, divisor)
    source, out = _contiguous(x), empty((*x.shape[:2], *divisor.shape), x.dtype)
    divisor = np.ascontiguousarray(divisor, x.dtype)
    _by_rows(pool_loops.avg_pool, (address(source), address(divisor), address(out)), source, geometry, divisor.shape)
    return out


def avg_pool_grad(grad: Array, shape: tuple[int, ...], geometry: Geometry, divisor: Array) -> Array:
    """Return the gradient of the input of `avg_pool`."""
    incoming, dx = _contiguous(grad), empty(shape, grad.dtype)
    divisor = np.ascontiguousarray(divisor, grad.dtype)
    given = address(incoming), address(divisor), address(dx)
    _by_channels(pool_loops.avg_pool_grad, given, block(dx), geometry, divisor.shape)
    return dx


def adaptive_avg_pool(x: Array, rows: list[slice], columns: list[slice]) -> Array:
    """Return the means of the windows given by ranges of rows and columns."""
    even = _even(x.shape[2:], rows, columns)
    return pooling.adaptive_avg_pool(x, rows, columns) if even is None else avg_pool(x, *even)


def adaptive_avg_pool_grad(grad: Array, shape: tuple[int, ...], rows: list[slice], columns: list[slice]) -> Array:
    """Return the gradient of the input of `adaptive_avg_pool`."""
    even = _even(shape[2:], rows, columns)
    if even is None:
        return pooling.adaptive_avg_pool_grad(grad, shape, rows, columns)
    return avg_pool_grad(grad, shape, *even)


def _even(size: tuple[int, ...], rows: list[slice], columns: list[slice]) -> tuple[Geometry, Array] | None:
    """Return the pooling with a stride that has the same windows, and its divisor; None if there is none."""
    (height, width), count = size, (len(rows), len(columns))
    kernel = height // count[0], width // count[1]
    if (kernel[0] * count[0], kernel[1] * count[1]) != size or kernel[0] * kernel[1] > pooling.LARGE:
        return None
    return Geometry(kernel, kernel, (0, 0), (1, 1), 1), np.full(count, kernel[0] * kernel[1])


def _contiguous(x: Array) -> Array:
    return np.ascontiguousarray(block(x))


def _by_rows(
    loop: Callable[..., Any], given: tuple[Any, ...], x: Array, geometry: Geometry, size: tuple[int, ...]
) -> None:
    """Run a loop over rows of windows, in pieces; x is a block (H, C, W, N)."""
    _in_pieces(loop, given, x, geometry, size, size[0], 0)


def _by_channels(
    loop: Callable[..., Any], given: tuple[Any, ...], x: Array, geometry: Geometry, size: tuple[int, ...]
) -> None:
    """Run a loop over channels, whose gradients do not meet, in pieces, each with room for a row of windows."""
    _in_pieces(loop, given, x, geometry, size, x.shape[1], size[1] * x.shape[3])


def _in_pieces(
    loop: Callable[..., Any],
    given: tuple[Any, ...],
    x: Array,
    geometry: Geometry,
    size: tuple[int, ...],
    count: int,
    room: int,
) -> None:
    """Run a loop over ``count`` rows or channels, each piece with ``room`` numbers of its own unless it is 0."""
    if not x.size:
        return
    kernel, stride, before, dilation, _ = geometry
    rest = (*x.shape, *size, *kernel, *stride, *before, *dilation)
    itemsize, like = x.itemsize, x.dtype.type(0)

    def work(part: slice) -> None:
        own = memory.empty((room,), x.dtype) if room else None
        places = () if own is None else (address(own),)
        loop(*given, *places, *rest, part.start, part.stop, itemsize, like)

    taps = kernel[0] * kernel[1] / (stride[0] * stride[1])  # for each pixel
    run(work, cut(count, max(1, count * _PIECE // x.nbytes)), in_passes((6 if room else 2) * taps * x.nbytes))
