"""Adaptive pooling: as many windows as wanted, which cover the image.

Window i of OH has the rows floor(i*H/OH) to ceil((i+1)*H/OH); columns likewise.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._core import Array, IntPair, check_flag, check_grad, check_images, check_int, plain, remembered
from ..engine import Engine, current_engine, empty
from .layer import Layer

__all__ = [
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool2d",
    "adaptive_avg_pool2d_backward",
    "adaptive_avg_pool2d_forward",
    "adaptive_max_pool2d_backward",
    "adaptive_max_pool2d_forward",
    "adaptive_max_pool2d_indices",
]

Size = IntPair | tuple[int | None, int | None] | None


@remembered
def _wanted(owner: str, size: Size) -> tuple[int | None, int | None]:
    """Check how many windows are wanted along each axis; None means as many as there are pixels."""
    pair = size if isinstance(size, (tuple, list)) else (size, size)
    if len(pair) != 2:
        raise TypeError(f"{owner}: output_size must be an integer or a pair, got {size!r}")
    height, width = (None if count is None else check_int(owner, "output_size", count) for count in pair)
    return height, width


def _windows(have: int, wanted: int | None) -> list[slice]:
    count = have if wanted is None else wanted
    return [slice(i * have // count, -(-(i + 1) * have // count)) for i in range(count)]


class AdaptiveAvgCache(NamedTuple):
    """What `adaptive_avg_pool2d_backward` needs: the input's shape and dtype, the windows' rows and columns."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    rows: list[slice]
    columns: list[slice]
    engine: Engine


def adaptive_avg_pool2d_forward(x: Array, output_size: Size) -> tuple[Array, AdaptiveAvgCache]:
    """Take the mean of OH x OW windows that cover the image, (OH, OW) being output_size as for `AdaptiveAvgPool2d`.

    x is (N, C, H, W). Returns out (N, C, OH, OW) and the cache for `adaptive_avg_pool2d_backward`. Raises ValueError if
    shapes or options do not fit, TypeError if x is not float32 or float64.
    """
    check_images(x)
    height, width = _wanted("adaptive_avg_pool2d", output_size)
    rows, columns = _windows(x.shape[2], height), _windows(x.shape[3], width)
    engine = current_engine()
    return engine.adaptive_avg_pool(x, rows, columns), AdaptiveAvgCache(x.shape, x.dtype, rows, columns, engine)


def adaptive_avg_pool2d_backward(grad_output: Array, cache: AdaptiveAvgCache) -> Array:
    """Return the gradient of `adaptive_avg_pool2d_forward`: a window's gradient goes to its pixels in equal shares.

    Returns dx (N, C, H, W). ``grad_output`` must have the output's shape and dtype (ValueError, TypeError);
    ``cache`` is from `adaptive_avg_pool2d_forward`.
    """
    shape, dtype, rows, columns, engine = cache
    check_grad(grad_output, (*shape[:2], len(rows), len(columns)), dtype)
    return engine.adaptive_avg_pool_grad(grad_output, shape, rows, columns)


class AdaptiveMaxCache(NamedTuple):
    """What `adaptive_max_pool2d_backward` needs: the input's shape and dtype, and where each maximum is."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    indices: Array


def adaptive_max_pool2d_forward(x: Array, output_size: Size) -> tuple[Array, AdaptiveMaxCache]:
    """Take the maximum of OH x OW windows that cover the image, (OH, OW) being output_size as for `AdaptiveMaxPool2d`.

    x is (N, C, H, W); a NaN in a window makes its output NaN. Returns out (N, C, OH, OW) and the cache for
    `adaptive_max_pool2d_backward`. Raises ValueError if shapes or options do not fit, TypeError if x is not float32 or
    float64.
    """
    check_images(x)
    height, width = _wanted("adaptive_max_pool2d", output_size)
    rows, columns = _windows(x.shape[2], height), _windows(x.shape[3], width)
    out = empty((*x.shape[:2], len(rows), len(columns)), x.dtype)
    indices = np.empty(out.shape, np.int64)
    pixels = np.arange(x.shape[2] * x.shape[3]).reshape(x.shape[2:])
    for i, row in enumerate(rows):
        for j, col in enumerate(columns):
            numbers = pixels[row, col].reshape(-1)
            window = x[:, :, row, col].reshape(*x.shape[:2], len(numbers))
            winners = window.argmax(axis=2)
            indices[:, :, i, j] = numbers[winners]
            out[:, :, i, j] = np.take_along_axis(window, winners[:, :, None], axis=2)[:, :, 0]
    return out, AdaptiveMaxCache(x.shape, x.dtype, indices)


def adaptive_max_pool2d_backward(grad_output: Array, cache: AdaptiveMaxCache) -> Array:
    """Return the gradient of `adaptive_max_pool2d_forward`: each window's gradient goes to its first maximum.

    Returns dx (N, C, H, W). ``grad_output`` must have the output's shape and dtype (ValueError, TypeError);
    ``cache`` is from `adaptive_max_pool2d_forward`.
    """
    shape, dtype, indices = cache
    check_grad(grad_output, indices.shape, dtype)
    dx = np.zeros((*shape[:2], shape[2] * shape[3]), dtype)
    samples, channels = np.ogrid[: shape[0], : shape[1]]
    for i, j in np.ndindex(*indices.shape[2:]):  # one cell at a time: their windows may share a pixel
        dx[samples, channels, indices[:, :, i, j]] += grad_output[:, :, i, j]
    return dx.reshape(shape)


def adaptive_max_pool2d_indices(cache: AdaptiveMaxCache) -> Array:
    """Return the position of each window's maximum, as PyTorch's ``return_indices`` does.

    Args:
        cache: from `adaptive_max_pool2d_forward`.

    Returns:
        integers (N, C, OH, OW), from 0 to H*W - 1: the pixel's index in row-major order; the first of equal ones.
    """
    return cache.indices.copy()


class _Adaptive(Layer):
    _options = ("output_size",)

    def __init__(self, output_size: Size) -> None:
        super().__init__()
        _wanted(type(self).__name__, output_size)
        self.output_size: Size = plain(output_size)


class AdaptiveAvgPool2d(_Adaptive):
    """Mean of as many windows as wanted, which cover the image: AdaptiveAvgPool2d(1) is global average pooling.

    Args:
        output_size: an int, or (OH, OW); None keeps the input's size.

    Shape:
        input (N, C, H, W), output (N, C, OH, OW). Window i has the rows floor(i*H/OH) to ceil((i+1)*H/OH).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.AdaptiveAvgPool2d.html
    """

    _pair = adaptive_avg_pool2d_forward, adaptive_avg_pool2d_backward


class AdaptiveMaxPool2d(_Adaptive):
    """Maximum of as many windows as wanted, which cover the image.

    Args:
        output_size: an int, or (OH, OW); None keeps the input's size.
        return_indices: whether the output is a pair: the maxima, and their pixels' indices in row-major order.

    Shape:
        input (N, C, H, W), output (N, C, OH, OW). Window i has the rows floor(i*H/OH) to ceil((i+1)*H/OH).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.AdaptiveMaxPool2d.html
    """

    _pair = adaptive_max_pool2d_forward, adaptive_max_pool2d_backward

    def __init__(self, output_size: Size, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = check_flag("AdaptiveMaxPool2d", "return_indices", return_indices)

    def _compute(self, x: Array) -> tuple[Any, AdaptiveMaxCache]:
        out, cache = super()._compute(x)
        return (out, adaptive_max_pool2d_indices(cache)) if self.return_indices else out, cache
