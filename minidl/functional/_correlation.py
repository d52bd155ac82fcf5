"""The convolution engine: correlation of images with filters, and its two gradients, by the method that suits.

Everything here works on blocks, image batches as they lie in memory: (H, C, W, N). The work is cut into pieces of some
output rows and some images, which threads share; the three methods see one piece at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import gcd
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from .._core import Array
from .._core.threads import cut, one_blas_thread, run
from . import _depthwise, _lowered_rows, _row_products
from ._window import Geometry

__all__ = ["WORKSPACE", "correlate", "input_grad", "weight_grad"]

# Bytes of scratch memory that a thread may take, whatever the batch; one output row of one image may exceed it.
WORKSPACE = 32 * 2**20

# With fewer channels a product of rows has too few rows for BLAS.
_FEW_CHANNELS = 8

# Multiply-adds that are worth a piece of their own; more than so many pieces are only cut for memory. Handing work to
# another thread pays for long NumPy calls only: between them threads queue for Python's global lock.
_WORK = 2**23
_PIECES = 8


class _Piece(NamedTuple):
    """Some output rows of some images, the input rows that they need, and the geometry of these two."""

    x: Array
    out: Array
    geometry: Geometry


def correlate(x: Array, w: Array, geometry: Geometry, out: Array, bias: Array | None = None) -> None:
    """Fill ``out`` (OH, F, OW, N) with the correlation of x (H, C, W, N) with w (F, C/groups, KH, KW), plus bias."""
    method = _method(x, w.shape, geometry)
    filters = method.prepare(w, geometry.groups)

    def work(piece: _Piece) -> None:
        method.correlate(np.ascontiguousarray(piece.x), filters, w.shape, piece.geometry, piece.out, bias)

    with one_blas_thread:
        run(work, _pieces(x, w.shape, geometry, out, method))


def weight_grad(
    x: Array, grad: Array, shape: tuple[int, ...], geometry: Geometry, *, has_bias: bool
) -> tuple[Array, Array | None]:
    """Return dw, of the filters' ``shape``, and db, if there is a bias, given the output's gradient (OH, F, OW, N)."""
    method = _method(x, shape, geometry)

    def work(piece: _Piece) -> Any:
        part = np.ascontiguousarray(piece.out)
        return method.weight_grad(np.ascontiguousarray(piece.x), part, shape, piece.geometry, has_bias)

    with one_blas_thread:
        (dw, db), *rest = run(work, _pieces(x, shape, geometry, grad, method))
    for more_dw, more_db in rest:
        dw += more_dw
        db += more_db
    return method.restore(dw, shape, geometry.groups), db if has_bias else None


def input_grad(grad: Array, w: Array, geometry: Geometry, out: Array) -> None:
    """Fill ``out`` (H, C, W, N) with the gradient of the input, given that of the output, (OH, F, OW, N).

    At stride 1 it is the correlation of ``grad`` with the flipped filters, their channel axes swapped. At other
    strides the pixels fall into SH*SW phases; those of one phase have met the same every SH-th row and every SW-th
    column of the kernel, and are a correlation of stride 1 with these.
    """
    f, c, kh, kw = w.shape
    groups = geometry.groups
    flipped = w.reshape(groups, f // groups, c, kh, kw).swapaxes(1, 2).reshape(groups * c, f // groups, kh, kw)
    (sh, sw), (top, left), (dh, dw), _ = geometry
    for rows, taps_h, before_h, dilation_h in _phases(out.shape[0], kh, sh, top, dh):
        for cols, taps_w, before_w, dilation_w in _phases(out.shape[2], kw, sw, left, dw):
            taps, target = flipped[:, :, taps_h, taps_w], out[rows, :, cols]
            if taps.size:
                phase = Geometry((1, 1), (before_h, before_w), (dilation_h, dilation_w), groups)
                correlate(grad, taps[:, :, ::-1, ::-1], phase, target)
            else:
                target[...] = 0


def _phases(size: int, kernel: int, stride: int, before: int, dilation: int) -> Iterator[tuple[slice, slice, int, int]]:
    """Yield (pixels, kernel offsets, padding before, dilation) for each phase of an axis.

    Pixel ``h`` was met by window (h + before - k*D) / S at those offsets ``k`` for which S divides.
    """
    for phase in range(min(stride, size)):
        step = stride // gcd(stride, dilation)
        offsets = [k for k in range(kernel) if (phase + before - k * dilation) % stride == 0]
        if not offsets:
            yield slice(phase, None, stride), slice(0, 0), 0, 1
            continue
        nearest, spread = (phase + before - offsets[0] * dilation) // stride, step * dilation // stride
        yield slice(phase, None, stride), slice(offsets[0], None, step), (len(offsets) - 1) * spread - nearest, spread


def _method(x: Array, shape: tuple[int, ...], geometry: Geometry) -> ModuleType:
    """Choose the method: the measured rule."""
    if shape[1] == 1 and 1 < geometry.groups == shape[0]:
        return _depthwise
    plain = geometry.stride[1] == 1 and geometry.dilation[0] == 1 and geometry.groups == 1
    return _row_products if plain and x.shape[1] >= _FEW_CHANNELS else _lowered_rows


def _pieces(x: Array, shape: tuple[int, ...], geometry: Geometry, out: Array, method: ModuleType) -> list[_Piece]:
    """Cut a correlation by shape alone, so that a result does not depend on the number of threads."""
    (oh, _, _, n), stride, top = out.shape, geometry.stride[0], geometry.before[0]
    reach = geometry.dilation[0] * (shape[2] - 1) + 1
    in_row, out_row = method.scratch(x, shape, out)
    images = cut(n, WORKSPACE // (reach * in_row + out_row))
    room = WORKSPACE // max(1, images[0].stop)
    wanted = min(_PIECES, out.size * shape[1] * shape[2] * shape[3] // _WORK)
    most = (room - (reach - stride) * in_row) // (stride * in_row + out_row)
    rows = cut(oh, min(most, -(-oh * len(images) // max(1, wanted))))
    pieces = []
    for columns in images:
        for span in rows:
            first, last = span.start * stride - top, (span.stop - 1) * stride - top + reach
            begin = min(max(0, first), len(x))
            moved = geometry._replace(before=(begin - first, geometry.before[1]))
            source = x[begin : max(begin, last), :, :, columns]
            pieces.append(_Piece(source, out[span, :, :, columns], moved))
    return pieces
