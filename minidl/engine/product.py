"""Matrix products, and resizing images by a matrix for each axis."""

from __future__ import annotations

import numpy as np

from .._core import Array, memory
from .._core.threads import cut, one_blas_thread, run
from .layout import block, images

__all__ = ["product", "resample"]

# Multiply-adds that are worth a separate piece, and the fewest rows or columns of one.
_WORK, _NARROW = 2**24, 64
# So few multiply-adds BLAS does in one thread by itself; to limit it would take longer than the product.
_TINY = 2**16


def product(a: Array, b: Array, bias: Array | None = None) -> Array:
    """Return a (M, K) @ b (K, N), plus a bias (M,), one number per row, in recycled memory.

    The longer side of the result is cut into pieces, by shape alone; narrow pieces would be slow.
    """
    (rows, inner), columns = a.shape, b.shape[1]
    out = memory.empty((rows, columns), a.dtype)
    if out.size * inner <= _TINY and rows > 1 and columns > 1:
        np.matmul(a, b, out=out)
        if bias is not None:
            out += bias[:, None]
        return out
    length = max(rows, columns)
    count = min(out.size * inner // _WORK, length // _NARROW)
    if count < 2:
        with one_blas_thread:
            np.matmul(a, b, out=out)
        if bias is not None:
            out += bias[:, None]
        return out
    by_rows = rows >= columns

    def work(part: slice) -> None:
        left, right, target = (a[part], b, out[part]) if by_rows else (a, b[:, part], out[:, part])
        np.matmul(left, right, out=target)
        if bias is not None:
            target += (bias[part] if by_rows else bias)[:, None]

    with one_blas_thread:
        run(work, cut(length, -(-length // count)))
    return out


def resample(x: Array, rows: Array, columns: Array) -> Array:
    """Multiply the rows and the columns of images (N, C, H, W) by matrices (OH, H) and (OW, W)."""
    source = block(x)
    h, c, w, n = source.shape
    with one_blas_thread:
        by_rows = np.matmul(rows, source.reshape(h, c * w * n)).reshape(len(rows), c, w, n)
        return images(np.matmul(columns, by_rows))
