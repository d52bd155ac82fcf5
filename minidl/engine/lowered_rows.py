"""Correlation by lowered rows: any stride, dilation and groups, and the few channels of a first layer.

The kernel's width is unrolled (Cho & Brand, MEC, ICML 2017, arXiv:1706.06873), a KW-fold copy of an (H, C, W, N) block
instead of im2col's KH*KW-fold one:

    rows[g, y, c, j, ow, n] = x[y, c, ow*SW + j*DW - left, n]            (groups g, channels c of the group)

Output row ``r`` needs the rows r*SH + (0..KH-1)*DH. When DH is 1 they are adjacent and form a (KH*C*KW, OW*N) matrix, a
view that overlaps with that of the next output row. Then, for all output rows in one batched product,

    out[r] = filters (F, KH*C*KW) @ rows[r] (KH*C*KW, OW*N)
    dw.T   = sum over r of rows[r] @ grad[r].T
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._core import Array, memory
from .._core.threads import cut
from .layout import windows
from .sums import sum_of_channels
from .window import Geometry, span

__all__ = ["correlate", "prepare", "restore", "scratch", "weight_grad"]

# Bytes of the output in one call of a product.
_CALL = 2**18


def scratch(x: Array, shape: tuple[int, ...], out: Array) -> tuple[int, int]:
    """Return the bytes of scratch memory that an input row and an output row of one image take."""
    ow = out.shape[2]
    return x.shape[1] * shape[3] * ow * x.itemsize, shape[0] * ow * x.itemsize


def prepare(w: Array, groups: int) -> Array:
    """(F, C/G, KH, KW) -> (G, 1, F/G, KH*C/G*KW), the order of the lowered rows."""
    f, c, kh, kw = w.shape
    grouped = w.reshape(groups, f // groups, c, kh, kw).transpose(0, 1, 3, 2, 4)
    return grouped.reshape(groups, 1, f // groups, kh * c * kw)


def restore(total: Array, shape: tuple[int, ...], groups: int) -> Array:
    """(G, KH*C/G*KW, F/G) -> (F, C/G, KH, KW)."""
    f, c, kh, kw = shape
    return total.reshape(groups, kh, c, kw, f // groups).transpose(0, 4, 2, 1, 3).reshape(shape)


def correlate(
    x: Array, filters: Array, shape: tuple[int, ...], geometry: Geometry, out: Array, bias: Array | None
) -> None:
    """Fill the block ``out`` (OH, F, OW, N), x being (H, C, W, N) and ``shape`` that of the filters."""
    lowered = _lower(x, shape, geometry, out)
    room = None if out.flags.c_contiguous else memory.empty((_rows_in_a_call(out), *out.shape[1:]), out.dtype)
    for rows in cut(len(out), _rows_in_a_call(out)):
        target = out[rows]
        product = target if room is None else room[: len(target)]
        np.matmul(filters, lowered[:, rows], out=_by_group(product, geometry.groups))
        if bias is not None:
            np.add(product, bias[:, None, None], out=target)
        elif room is not None:
            target[...] = product


def weight_grad(
    x: Array, grad: Array, shape: tuple[int, ...], geometry: Geometry, has_bias: bool
) -> tuple[Array, Array]:
    """Return the filters' gradient as (G, KH*C/G*KW, F/G) and the bias's (zeros without one), given the output's."""
    lowered = _lower(x, shape, geometry, grad)
    dw: Any = 0
    db: Any = 0 if has_bias else np.zeros(shape[0], grad.dtype)
    for rows in cut(len(grad), _rows_in_a_call(grad)):
        part = grad[rows]
        # dw.T rather than dw: with the larger matrix on the left BLAS is a quarter faster
        dw = dw + np.matmul(lowered[:, rows], _by_group(part, geometry.groups).swapaxes(2, 3)).sum(axis=1)
        if has_bias:
            db = db + sum_of_channels(part)
    return dw, db


def _rows_in_a_call(out: Array) -> int:
    """Return how many output rows to compute at a time, so that what was just written or read is still in the cache."""
    return max(1, _CALL * len(out) // max(1, out.nbytes))


def _by_group(block: Array, groups: int) -> Array:
    """View a contiguous (OH, F, OW, N) block as (G, OH, F/G, OW*N)."""
    oh, f, ow, n = block.shape
    return block.reshape(oh, groups, f // groups, ow * n).swapaxes(0, 1)


def _lower(x: Array, shape: tuple[int, ...], geometry: Geometry, out: Array) -> Array:
    """Lower (H, C, W, N) to (G, OH, KH*C/G*KW, OW*N): a view of the lowered rows, or a copy if DH > 1."""
    _, (sh, sw), (top, left), (dh, dw), groups = geometry
    _, c, kh, kw = shape
    w, n = x.shape[2:]
    oh, ow = out.shape[0], out.shape[2]
    lowered = (oh - 1) * sh + dh * (kh - 1) + 1
    above = min(max(0, top), lowered)
    inside = x[max(0, -top) : max(0, lowered - top)]
    below = above + len(inside)
    source = inside.reshape(len(inside), groups, c, w, n).swapaxes(0, 1)
    rows = memory.empty((groups, lowered, c, kw, ow, n), x.dtype)
    if above:
        rows[:, :above] = 0
    if below < lowered:
        rows[:, below:] = 0
    for j in range(kw):
        columns, in_cols = span(j * dw - left, sw, w, ow)
        middle = rows[:, above:below, :, j]
        if columns.start:
            middle[:, :, :, : columns.start] = 0
        middle[:, :, :, columns] = source[:, :, :, in_cols]
        if columns.stop < ow:
            middle[:, :, :, columns.stop :] = 0
    group_step, row_step = rows.strides[:2]
    overlapping = windows(
        rows,
        (groups, oh, kh, c * kw, ow * n),
        (group_step, sh * row_step, dh * row_step, ow * n * rows.itemsize, rows.itemsize),
    )
    return overlapping.reshape(groups, oh, kh * c * kw, ow * n)
