"""Correlation by products of whole image rows, without lowering. For stride and dilation 1 and one group.

Output row ``r`` needs the input rows r*SH .. r*SH + KH - 1. As they lie in an (H, C, W, N) block they are a
(KH*C, W*N) matrix. One product gives the contributions of all the kernel's columns, which are then shifted and added:

    P (KW*F, W*N)         = filters (KW*F, KH*C) @ rows[r] (KH*C, W*N)
    out[r, f, ow, n]      = sum over j of P[j, f, ow + j*DW - left, n]
    dw[j] (KH*C, F)       = sum over r of rows[r][:, j*DW - left ..] (KH*C, OW*N) @ grad[r].T (OW*N, F)

Where the kernel extends past the top or the bottom, its rows outside are left out of the product. The idea is from
Anderson et al., "Low-memory GEMM-based convolution algorithms for deep neural networks", 2017, arXiv:1709.03395.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from .._core import Array, memory
from .layout import windows
from .sums import sum_of_channels
from .window import Geometry, span

__all__ = ["correlate", "prepare", "restore", "scratch", "weight_grad"]

# Columns that one product should have: with few images several rows are done in one call.
_COLUMNS = 2048


def scratch(x: Array, shape: tuple[int, ...], out: Array) -> tuple[int, int]:
    """Return the bytes of scratch memory that an input row and an output row of one image take."""
    return x.shape[1] * x.shape[2] * x.itemsize, shape[0] * shape[3] * x.shape[2] * x.itemsize


def prepare(w: Array, groups: int) -> Array:
    """(F, C, KH, KW) -> (KW*F, KH*C), the order of the products' rows and the slabs' columns."""
    f, c, kh, kw = w.shape
    return w.transpose(3, 0, 2, 1).reshape(kw * f, kh * c)


def restore(total: Array, shape: tuple[int, ...], groups: int) -> Array:
    """(KW, KH, C, F) -> (F, C, KH, KW)."""
    return total.transpose(3, 2, 1, 0)


def correlate(
    x: Array, filters: Array, shape: tuple[int, ...], geometry: Geometry, out: Array, bias: Array | None
) -> None:
    """Fill the block ``out`` (OH, F, OW, N), x being a contiguous (H, C, W, N) and ``shape`` that of the filters."""
    f, c, kh, kw = shape
    w, n = x.shape[2:]
    columns = _columns(x, kw, geometry, out)
    start: Any = 0 if bias is None else bias[:, None, None]
    in_place = len(columns) == 1 and columns[0].into == columns[0].of == slice(0, w) and out.flags.c_contiguous
    room = out if in_place else memory.empty((min(_rows_in_a_call(x), len(out)), kw * f, w * n), x.dtype)
    for rows, taps, slabs in _calls(x, kh, geometry, out):
        target = out[rows]
        if taps.stop <= taps.start:
            target[...] = start
            continue
        products = (target if in_place else room[: len(target)]).reshape(len(target), kw * f, w * n)
        np.matmul(filters[:, taps.start * c : taps.stop * c], slabs, out=products)
        if not in_place:
            _add_shifted(products.reshape(len(target), kw, f, w, n), columns, target, start)
        elif bias is not None:
            target += start


def _add_shifted(products: Array, columns: list[_Column], target: Array, start: Any) -> None:
    """Sum the columns' contributions, each in its place, and ``start``; ``target`` need not be initialised."""
    first, *others = columns
    if first.into == slice(0, target.shape[2]):
        np.add(products[:, first.tap, :, first.of], start, out=target)
    else:
        target[...] = start
        others = columns
    for tap, into, of in others:
        view = target[:, :, into]
        view += products[:, tap, :, of]


def weight_grad(
    x: Array, grad: Array, shape: tuple[int, ...], geometry: Geometry, has_bias: bool
) -> tuple[Array, Array]:
    """Return the filters' gradient as (KW, KH, C, F) and the bias's (zeros without one), given the output's."""
    f, c, kh, kw = shape
    w, n = x.shape[2:]
    dw: Array = np.zeros((kw, kh, c, f), x.dtype)
    db: Array = np.zeros(f, x.dtype)
    columns = _columns(x, kw, geometry, grad)
    for rows, taps, slabs in _calls(x, kh, geometry, grad):
        piece = grad[rows]
        if has_bias:
            db += sum_of_channels(piece)
        if taps.stop <= taps.start:
            continue
        images = slabs.reshape(*slabs.shape[:2], w, n)
        for tap, into, of in columns:
            left = images[:, :, of].reshape(*slabs.shape[:2], -1)
            right = piece[:, :, into].reshape(len(piece), f, -1)
            # (KH*C, F) rather than (F, KH*C): with the larger matrix on the left BLAS is a quarter faster
            dw[tap, taps] += np.matmul(left, right.swapaxes(1, 2)).sum(axis=0).reshape(-1, c, f)
    return dw, db


class _Column(NamedTuple):
    """One column of the kernel: the output columns to which it contributes, and the input columns it reads."""

    tap: int
    into: slice
    of: slice


def _columns(x: Array, kw: int, geometry: Geometry, out: Array) -> list[_Column]:
    """Return the kernel's columns; if one contributes to the whole output, it comes first."""
    offsets = (j * geometry.dilation[1] - geometry.before[1] for j in range(kw))
    columns = [_Column(j, *span(offset, 1, x.shape[2], out.shape[2])) for j, offset in enumerate(offsets)]
    return sorted(columns, key=lambda column: column.into != slice(0, out.shape[2]))


def _rows_in_a_call(x: Array) -> int:
    columns: int = x.shape[2] * x.shape[3]
    return max(1, _COLUMNS // max(1, columns))


def _calls(x: Array, kh: int, geometry: Geometry, out: Array) -> Iterator[tuple[slice, slice, Array]]:
    """Yield output rows, the kernel's rows that meet the image there, and the image's: (rows, KH*C, W*N) slabs.

    Output rows where the kernel extends over an edge are yielded one by one.
    """
    (height, c, w, n), oh, stride, top = x.shape, len(out), geometry.stride[0], geometry.before[0]
    matrix = x.reshape(height * c, w * n)
    overlapping = windows(matrix, (max(0, height - kh + 1), kh * c, w * n), (x.strides[0], *matrix.strides))
    row = 0
    while row < oh:
        first = row * stride - top
        taps = slice(max(0, -first), max(0, min(kh, height - first)))
        if taps == slice(0, kh):
            end = min(row + _rows_in_a_call(x), (height - kh + top) // stride + 1, oh)
            yield slice(row, end), taps, overlapping[first : first + (end - row - 1) * stride + 1 : stride]
        else:
            end = row + 1
            yield slice(row, end), taps, matrix[None, (first + taps.start) * c : max(0, first + taps.stop) * c]
        row = end
