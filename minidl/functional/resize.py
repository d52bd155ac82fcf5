"""Resizing images in forward and backward pairs: a matrix for each axis, (outputs, inputs), and its transpose."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._core import Array, check_choice, check_flag, check_grad, check_images, check_int, check_number
from .._core.threads import one_blas_thread
from . import _layout
from ._explain import explain

__all__ = ["upsample_backward", "upsample_forward"]


def upsample_forward(
    x: Array,
    *,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> tuple[Array, Any]:
    """Resize images: out = A x B^T for the matrices A (OH, H) and B (OW, W) of the mode.

    With r = H / OH, or 1 / scale_factor where that is given and the size changes, output o is

        nearest:  x[floor(o*r)]
        bilinear: x at (o + 0.5)*r - 0.5, or with align_corners at o*(H - 1)/(OH - 1), between the two nearest pixels

    Args:
        x: images (N, C, H, W), float32 or float64.
        size: (OH, OW), or an int for both; or None.
        scale_factor: what to multiply the sizes with, a number or a pair; in place of size.
        mode: 'nearest' or 'bilinear'.
        align_corners: whether the corner pixels' centres stay where they are; bilinear only.

    Returns:
        out (N, C, OH, OW) of x's dtype, and the cache for `upsample_backward`.

    Raises:
        ValueError: options or shapes do not fit.
        TypeError: the dtype is not a float.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.Upsample.html
    """
    check_images(x)
    check_choice("upsample", "mode", mode, ("nearest", "bilinear"))
    if align_corners is not None and check_flag("upsample", "align_corners", align_corners) and mode == "nearest":
        raise ValueError("upsample: align_corners is for mode='bilinear' only")
    if (size is None) == (scale_factor is None):
        raise ValueError("upsample: give either size or scale_factor")
    matrices = []
    for axis in (0, 1):
        have = x.shape[2 + axis]
        if size is not None:
            want = check_int("upsample", "size", size[axis] if isinstance(size, (tuple, list)) else size)
            step = have / want
        else:
            factor = scale_factor[axis] if isinstance(scale_factor, (tuple, list)) else scale_factor
            factor = check_number("upsample", "scale_factor", factor)
            want = int(have * factor)
            if want < 1:
                raise ValueError(f"upsample: scale_factor {scale_factor} leaves nothing of an input of shape {x.shape}")
            step = 1 / factor if want != have else 1.0
        matrix = _nearest(have, want, step) if mode == "nearest" else _linear(have, want, step, bool(align_corners))
        matrices.append(matrix.astype(x.dtype))
    return _apply(x, *matrices), (x.shape, x.dtype, matrices)


@explain
def upsample_backward(grad_output: Array, cache: Any) -> Array:
    """Gradient of `upsample_forward`: dx = A^T grad B.

    Returns:
        dx (N, C, H, W).
    """
    shape, dtype, (rows, cols) = cache
    check_grad(grad_output, (*shape[:2], len(rows), len(cols)), dtype)
    return _apply(grad_output, rows.T, cols.T)


def _apply(x: Array, rows: Array, cols: Array) -> Array:
    """Multiply the rows and the columns of images with matrices."""
    block = _layout.block(x)
    h, c, w, n = block.shape
    with one_blas_thread:
        by_rows = np.matmul(rows, block.reshape(h, c * w * n)).reshape(len(rows), c, w, n)
        return _layout.images(np.matmul(cols, by_rows))


def _nearest(have: int, want: int, step: float) -> Array:
    step = 0.5 if want == 2 * have else step
    # in float32, as PyTorch does (for most memory orders), so that the same pixels are chosen
    places = np.floor(np.arange(want, dtype=np.float32) * np.float32(step)).astype(int)
    return np.eye(have)[np.minimum(places, have - 1)]  # type: ignore[no-any-return]


def _linear(have: int, want: int, step: float, align_corners: bool) -> Array:
    if align_corners:
        place = np.arange(want) * ((have - 1) / (want - 1) if want > 1 else 0.0)
    else:
        place = np.maximum((np.arange(want) + 0.5) * step - 0.5, 0)
    lower = np.minimum(place.astype(int), have - 1)
    share = (place - lower)[:, None]
    identity = np.eye(have)
    return identity[lower] * (1 - share) + identity[np.minimum(lower + 1, have - 1)] * share  # type: ignore[no-any-return]
