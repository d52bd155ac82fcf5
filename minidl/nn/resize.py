"""Resizing images: a matrix for each axis, (outputs, inputs), and its transpose in the backward pass."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._core import (
    Array,
    IntPair,
    check_choice,
    check_flag,
    check_grad,
    check_images,
    check_number,
    check_pair,
    plain,
    remembered,
)
from ..engine import resample
from .layer import Layer

__all__ = ["Upsample", "upsample_backward", "upsample_forward"]

Factor = float | tuple[float, float] | None


class UpsampleCache(NamedTuple):
    """What `upsample_backward` needs: the shape of the output, the matrices (OH, H) and (OW, W)."""

    out_shape: tuple[int, ...]
    rows: Array
    columns: Array


@remembered
def _options(
    owner: str, size: IntPair | None, scale_factor: Factor, mode: str, align_corners: bool | None
) -> tuple[tuple[int, int] | None, tuple[float, float]]:
    """Check the options; return the size, or None, and the factors of both axes."""
    check_choice(owner, "mode", mode, ("nearest", "bilinear"))
    if align_corners is not None and check_flag(owner, "align_corners", align_corners) and mode == "nearest":
        raise ValueError(f"{owner}: align_corners is for mode='bilinear' only")
    if (size is None) == (scale_factor is None):
        raise ValueError(f"{owner}: give either size or scale_factor")
    if size is not None:
        return check_pair(owner, "size", size), (1.0, 1.0)
    pair = scale_factor if isinstance(scale_factor, (tuple, list)) else (scale_factor, scale_factor)
    height, width = (check_number(owner, "scale_factor", factor) for factor in pair)
    return None, (height, width)


def upsample_forward(
    x: Array,
    *,
    size: IntPair | None = None,
    scale_factor: Factor = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> tuple[Array, UpsampleCache]:
    """Resize images: out = A x B^T for the matrices A (OH, H) and B (OW, W) of the mode.

    With r = H / OH, or 1 / scale_factor where that is given and the size changes, output o is

        nearest:  x[floor(o*r)]
        bilinear: x at (o + 0.5)*r - 0.5, or with align_corners at o*(H - 1)/(OH - 1), between the two nearest pixels

    Args:
        x: images (N, C, H, W), float32 or float64.
        size: (OH, OW), or an int for both; or None.
        scale_factor: factor for the sizes, a number or a pair; instead of size.
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
    wanted, factors = _options("upsample", size, scale_factor, mode, align_corners)
    matrices = []
    for axis in (0, 1):
        have = x.shape[2 + axis]
        if wanted is not None:
            want, step = wanted[axis], have / wanted[axis]
        else:
            want = int(have * factors[axis])
            if want < 1:
                raise ValueError(f"upsample: scale_factor {scale_factor} leaves nothing of an input of shape {x.shape}")
            step = 1 / factors[axis] if want != have else 1.0
        matrix = _nearest(have, want, step) if mode == "nearest" else _linear(have, want, step, bool(align_corners))
        matrices.append(matrix.astype(x.dtype))
    out = resample(x, *matrices)
    return out, UpsampleCache(out.shape, *matrices)


def upsample_backward(grad_output: Array, cache: UpsampleCache) -> Array:
    """Return the gradient of `upsample_forward`: dx = A^T grad B.

    Returns dx (N, C, H, W). ``grad_output`` must have the output's shape and dtype (ValueError, TypeError);
    ``cache`` is from `upsample_forward`.
    """
    out_shape, rows, columns = cache
    check_grad(grad_output, out_shape, rows.dtype)
    return resample(grad_output, rows.T, columns.T)


def _nearest(have: int, want: int, step: float) -> Array:
    step = 0.5 if want == 2 * have else step
    # in float32, as PyTorch does (for most memory orders), so that the same pixels are chosen
    places = np.floor(np.arange(want, dtype=np.float32) * np.float32(step)).astype(int)
    matrix: Array = np.eye(have)[np.minimum(places, have - 1)]
    return matrix


def _linear(have: int, want: int, step: float, align_corners: bool) -> Array:
    if align_corners:
        place = np.arange(want) * ((have - 1) / (want - 1) if want > 1 else 0.0)
    else:
        place = np.maximum((np.arange(want) + 0.5) * step - 0.5, 0)
    lower = np.minimum(place.astype(int), have - 1)
    share = (place - lower)[:, None]
    identity = np.eye(have)
    matrix: Array = identity[lower] * (1 - share) + identity[np.minimum(lower + 1, have - 1)] * share
    return matrix


class Upsample(Layer):
    """Resize images.

    Args:
        size: (OH, OW), or an int for both.
        scale_factor: factor for the sizes, a number or a pair; instead of size.
        mode: 'nearest' or 'bilinear'.
        align_corners: whether the corner pixels' centres stay where they are; bilinear only.

    Shape:
        input (N, C, H, W), output (N, C, OH, OW).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.Upsample.html
    """

    _pair = upsample_forward, upsample_backward
    _options = "size", "scale_factor", "mode", "align_corners"

    def __init__(
        self,
        size: IntPair | None = None,
        scale_factor: Factor = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
    ) -> None:
        super().__init__()
        if align_corners is not None and mode == "nearest":
            raise ValueError("Upsample: align_corners is for mode='bilinear' only")
        _options("Upsample", size, scale_factor, mode, align_corners)
        self.size, self.mode, self.align_corners = plain(size), mode, align_corners
        factors: Any = scale_factor
        if factors is not None:  # floats, as PyTorch makes them
            factors = tuple(map(float, factors)) if isinstance(factors, (tuple, list)) else float(factors)
        self.scale_factor: Factor = factors

    def extra_repr(self) -> str:
        """Options in PyTorch's form."""
        given = f"size={self.size}" if self.scale_factor is None else f"scale_factor={self.scale_factor}"
        return f"{given}, mode={self.mode!r}"
