"""Correlation of images with filters, and its two gradients, by whichever of three methods fits best.

The work is split into pieces of some output rows and some images, which threads share; the methods see one piece at a
time, as blocks: image batches with their axes in memory order, (H, C, W, N).
"""

from __future__ import annotations

import math
from functools import lru_cache
from math import gcd
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from .._core import Array
from .._core.threads import cut, one_blas_thread, run
from . import depthwise, lowered_rows, row_products
from .layout import block, empty
from .window import Geometry

__all__ = ["WORKSPACE", "correlate", "correlate_into", "input_grad", "weight_grad"]

# Bytes of scratch memory that a thread may take, whatever the batch; one output row of one image may exceed it.
WORKSPACE = 32 * 2**20

# With fewer channels a product of rows is too small for BLAS to be efficient.
_FEW_CHANNELS = 8

# Multiply-adds that are worth a separate piece; beyond this number of pieces work is split for memory only. Handing
# work to another thread pays off for long NumPy calls only: in between, threads contend for Python's global lock.
_WORK = 2**23
_PIECES = 8


class _Piece(NamedTuple):
    """Some output rows of some images, the input rows that they need, and the geometry of these two."""

    x: Array
    out: Array
    geometry: Geometry


def correlate(x: Array, w: Array, bias: Array | None, geometry: Geometry, size: tuple[int, int]) -> Array:
    """Correlate images x (N, C, H, W) with filters w (F, C/groups, KH, KW) and add a bias (F,), if there is one.

    out[n, f, oh, ow] = bias[f] + sum over c, i, j of w[f, c, i, j] * x[n, c, oh*SH + i*DH - PH, ow*SW + j*DW - PW],
    where x is zero outside the image; ``size`` is (OH, OW), PH and PW the padding before.
    """
    out = empty((len(x), len(w), *size), x.dtype)
    correlate_into(block(x), w, geometry, block(out), bias)
    return out


def weight_grad(
    x: Array, grad: Array, shape: tuple[int, ...], geometry: Geometry, *, has_bias: bool
) -> tuple[Array, Array | None]:
    """Return the gradients of the filters, of ``shape``, and of the bias (None without one), given the output's."""
    source, target = block(x), block(grad)
    method = _method(source, shape, geometry)

    def work(piece: _Piece) -> Any:
        part = np.ascontiguousarray(piece.out)
        return method.weight_grad(np.ascontiguousarray(piece.x), part, shape, piece.geometry, has_bias)

    with one_blas_thread:
        (dw, db), *rest = run(work, _pieces(source, shape, geometry, target, method))
    for more_dw, more_db in rest:
        dw += more_dw
        db += more_db
    return method.restore(dw, shape, geometry.groups), db if has_bias else None


def input_grad(grad: Array, w: Array, geometry: Geometry, size: tuple[int, int]) -> Array:
    """Return the gradient of the input (N, C, H, W), of ``size`` (H, W), given that of the output (N, F, OH, OW).

    At stride 1 it is the correlation of ``grad`` with the flipped filters, their channel axes swapped. At other
    strides the pixels fall into SH*SW phases; those of one phase met the same subset of the kernel, every SH-th row and
    every SW-th column, and their gradient is a correlation of stride 1 with this subset.
    """
    f, c, kh, kw = w.shape
    groups = geometry.groups
    dx = empty((len(grad), c * groups, *size), grad.dtype)
    source, out = block(grad), block(dx)
    flipped = w.reshape(groups, f // groups, c, kh, kw).swapaxes(1, 2).reshape(groups * c, f // groups, kh, kw)
    _, (sh, sw), (top, left), (dh, dw), _ = geometry
    for rows, taps_h, before_h, dilation_h in phases(size[0], kh, sh, top, dh):
        for cols, taps_w, before_w, dilation_w in phases(size[1], kw, sw, left, dw):
            taps, target = flipped[:, :, taps_h, taps_w], out[rows, :, cols]
            if taps.size:
                kernel = taps.shape[2], taps.shape[3]
                phase = Geometry(kernel, (1, 1), (before_h, before_w), (dilation_h, dilation_w), groups)
                correlate_into(source, taps[:, :, ::-1, ::-1], phase, target, None)
            else:
                target[...] = 0
    return dx


def correlate_into(x: Array, w: Array, geometry: Geometry, out: Array, bias: Array | None) -> None:
    """Fill the block ``out`` (OH, F, OW, N), x being a block (H, C, W, N)."""
    method = _method(x, w.shape, geometry)
    filters = method.prepare(w, geometry.groups)

    def work(piece: _Piece) -> None:
        method.correlate(np.ascontiguousarray(piece.x), filters, w.shape, piece.geometry, piece.out, bias)

    with one_blas_thread:
        run(work, _pieces(x, w.shape, geometry, out, method))


@lru_cache(maxsize=1024)
def phases(size: int, kernel: int, stride: int, before: int, dilation: int) -> list[tuple[slice, slice, int, int]]:
    """Return (pixels, kernel offsets, padding before, dilation) for each phase of an axis.

    Pixel ``h`` was met by window (h + before - k*D) / S at those offsets ``k`` for which S divides.
    """
    found = []
    for phase in range(min(stride, size)):
        step = stride // gcd(stride, dilation)
        offsets = [k for k in range(kernel) if (phase + before - k * dilation) % stride == 0]
        if not offsets:
            found.append((slice(phase, None, stride), slice(0, 0), 0, 1))
            continue
        nearest, spread = (phase + before - offsets[0] * dilation) // stride, step * dilation // stride
        padding = (len(offsets) - 1) * spread - nearest
        found.append((slice(phase, None, stride), slice(offsets[0], None, step), padding, spread))
    return found


def _method(x: Array, shape: tuple[int, ...], geometry: Geometry) -> ModuleType:
    """Choose the method, by a rule found by measuring."""
    if shape[1] == 1 and 1 < geometry.groups == shape[0]:
        return depthwise
    plain = geometry.stride[1] == 1 and geometry.dilation[0] == 1 and geometry.groups == 1
    return row_products if plain and x.shape[1] >= _FEW_CHANNELS else lowered_rows


def _pieces(x: Array, shape: tuple[int, ...], geometry: Geometry, out: Array, method: ModuleType) -> list[_Piece]:
    """Split a correlation by shape alone, so that the result does not depend on the number of threads."""
    cuts = _cuts(x.shape, shape, geometry, out.shape, method.scratch(x, shape, out))
    if len(cuts) == 1 and cuts[0].rows == slice(0, len(x)):
        return [_Piece(x, out, cuts[0].geometry)]
    return [_Piece(x[part.rows, :, :, part.images], out[part.span, :, :, part.images], part.geometry) for part in cuts]


class _Cut(NamedTuple):
    """What a piece consists of: rows of the input, of the output, and images; and the geometry of the two."""

    rows: slice
    span: slice
    images: slice
    geometry: Geometry


@lru_cache(maxsize=1024)
def _cuts(
    x: tuple[int, ...], shape: tuple[int, ...], geometry: Geometry, out: tuple[int, ...], scratch: tuple[int, int]
) -> list[_Cut]:
    (height, (oh, _, _, n)), stride, top = (x[0], out), geometry.stride[0], geometry.before[0]
    reach = geometry.dilation[0] * (shape[2] - 1) + 1
    in_row, out_row = scratch
    images = cut(n, WORKSPACE // (reach * in_row + out_row))
    room = WORKSPACE // max(1, images[0].stop)
    wanted = min(_PIECES, math.prod(out) * shape[1] * shape[2] * shape[3] // _WORK)
    most = (room - (reach - stride) * in_row) // (stride * in_row + out_row)
    rows = cut(oh, min(most, -(-oh * len(images) // max(1, wanted))))
    cuts = []
    for columns in images:
        for span in rows:
            first, last = span.start * stride - top, (span.stop - 1) * stride - top + reach
            begin = min(max(0, first), height)
            moved = geometry._replace(before=(begin - first, geometry.before[1]))
            cuts.append(_Cut(slice(begin, min(height, max(begin, last))), span, columns, moved))
    return cuts
