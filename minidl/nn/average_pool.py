"""Average pooling, and pooling by a p-norm, which builds on it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._core import Array, IntPair, check_flag, check_grad, check_images, check_int, check_number, plain, remembered
from ..engine import Engine, Geometry, current_engine, output_size
from .layer import Layer
from .max_pool import pool_geometry

__all__ = [
    "AvgPool2d",
    "LPPool2d",
    "avg_pool2d_backward",
    "avg_pool2d_forward",
    "lp_pool2d_backward",
    "lp_pool2d_forward",
]


class AvgPoolCache(NamedTuple):
    """What `avg_pool2d_backward` needs: shapes, geometry, what each window was divided by (OH, OW), and the engine."""

    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    geometry: Geometry
    divisor: Array
    engine: Engine


def avg_pool2d_forward(
    x: Array,
    kernel_size: IntPair,
    *,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> tuple[Array, AvgPoolCache]:
    """Take the mean of each window; formula and options are those of `AvgPool2d`.

    x is (N, C, H, W); kernel_size, stride, padding, ceil_mode, count_include_pad and divisor_override as there. Returns
    out (N, C, OH, OW) and the cache for `avg_pool2d_backward`. Raises ValueError if shapes or options do not fit,
    TypeError if x is not float32 or float64.
    """
    check_images(x)
    options = kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    geometry, divisor = average_windows(x.shape[2:], x.dtype, *options)
    engine = current_engine()
    out = engine.avg_pool(x, geometry, divisor)
    return out, AvgPoolCache(x.shape, out.shape, geometry, divisor, engine)


@remembered
def average_windows(
    size: tuple[int, int],
    dtype: np.dtype[Any],
    kernel_size: IntPair,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> tuple[Geometry, Array]:
    """Check the options of `AvgPool2d`; return how windows lie on images of this size, and what divides each sum."""
    geometry = pool_geometry("avg_pool2d", kernel_size, stride, padding)
    check_flag("avg_pool2d", "count_include_pad", count_include_pad)
    count = output_size(size, geometry, None, check_flag("avg_pool2d", "ceil_mode", ceil_mode))
    if divisor_override is not None:
        return geometry, _fixed(np.full(count, _check_divisor("avg_pool2d", divisor_override), dtype))
    rows, columns = (_counts(size[axis], count[axis], geometry, axis, count_include_pad) for axis in (0, 1))
    return geometry, _fixed((rows[:, None] * columns).astype(dtype))


def _fixed(divisor: Array) -> Array:
    """Return a divisor that calls share, and none may change."""
    divisor.flags.writeable = False
    return divisor


def avg_pool2d_backward(grad_output: Array, cache: AvgPoolCache) -> Array:
    """Return the gradient of `avg_pool2d_forward`: each window's gradient, divided, goes to all of its pixels.

    Returns dx (N, C, H, W). ``grad_output`` must have the output's shape and dtype (ValueError, TypeError);
    ``cache`` is from `avg_pool2d_forward`.
    """
    in_shape, out_shape, geometry, divisor, engine = cache
    check_grad(grad_output, out_shape, divisor.dtype)
    return engine.avg_pool_grad(grad_output, in_shape, geometry, divisor)


def _check_divisor(owner: str, divisor: int) -> int:
    number = check_int(owner, "divisor_override", divisor, minimum=-(2**31))
    if number == 0:
        raise ValueError(f"{owner}: divisor_override must not be 0")
    return number


def _counts(size: int, count: int, geometry: Geometry, axis: int, count_include_pad: bool) -> Array:
    """Return how many numbers each window along an axis contains."""
    pad = geometry.before[axis]
    first: Array = np.arange(count) * geometry.stride[axis] - pad
    last = np.minimum(first + geometry.kernel[axis], size + pad)
    if not count_include_pad:
        first, last = np.maximum(first, 0), np.minimum(last, size)
    counts: Array = last - first
    return counts


class LPPoolCache(NamedTuple):
    """What `lp_pool2d_backward` needs: input, sums of powers, p, the window's area, and the average's cache."""

    x: Array
    total: Array
    p: float
    area: int
    mean: AvgPoolCache


def lp_pool2d_forward(
    x: Array, norm_type: float, kernel_size: IntPair, *, stride: IntPair | None = None, ceil_mode: bool = False
) -> tuple[Array, LPPoolCache]:
    """Take the p-norm of each window: out = (sum of x**p)**(1/p), p = norm_type.

    x is (N, C, H, W); norm_type, kernel_size, stride and ceil_mode are those of `LPPool2d`. Returns out (N, C, OH, OW)
    and the cache for `lp_pool2d_backward`. Raises ValueError if shapes or options do not fit, TypeError if x is not
    float32 or float64.
    """
    check_images(x)
    p = _check_norm_type("lp_pool2d", norm_type)
    mean, cache = avg_pool2d_forward(x**p, kernel_size, stride=stride, ceil_mode=ceil_mode)
    area = cache.geometry.kernel[0] * cache.geometry.kernel[1]
    total = mean * area  # a window that extends past the edge counts as a whole one, as in PyTorch
    with np.errstate(invalid="ignore"):  # a negative sum has no root: NaN
        out = total ** (1 / p)
    return out, LPPoolCache(x, total, p, area, cache)


def lp_pool2d_backward(grad_output: Array, cache: LPPoolCache) -> Array:
    """Return the gradient of `lp_pool2d_forward`: dx = sum over windows of grad * total**(1/p - 1) * x**(p-1).

    Where the sum is 0, as in a window of zeros, the root has no slope and the gradient is 0, as in PyTorch. Returns dx
    (N, C, H, W). ``grad_output`` must have the output's shape and dtype (ValueError, TypeError); ``cache`` is from
    `lp_pool2d_forward`.
    """
    x, total, p, area, mean = cache
    check_grad(grad_output, total.shape, total.dtype)
    with np.errstate(invalid="ignore", divide="ignore"):
        outer = np.where(total == 0, 0, grad_output * total ** (1 / p - 1) * area).astype(total.dtype, copy=False)
        dx: Array = avg_pool2d_backward(outer, mean) * x ** (p - 1)
    return dx


def _check_norm_type(owner: str, norm_type: float) -> float:
    p = check_number(owner, "norm_type", norm_type, minimum=-float("inf"))
    if p == 0:
        raise ValueError(f"{owner}: norm_type must not be 0")
    return p


class AvgPool2d(Layer):
    """Mean of each window of an image.

    y[n, c, oh, ow] = sum over i, j of x_padded[n, c, oh*SH + i, ow*SW + j] / divisor.

    Args:
        kernel_size: an int, or (KH, KW).
        stride: an int, or (SH, SW); None means kernel_size.
        padding: zeros on each side, at most half the kernel.
        ceil_mode: round the output size up instead of down; what extends past the end is never counted.
        count_include_pad: whether the divisor counts the padding.
        divisor_override: what to divide the sums by instead of the windows' sizes.

    Shape:
        input (N, C, H, W), output (N, C, OH, OW) with
        OH = floor((H + 2*PH - KH) / SH) + 1 and OW likewise.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.AvgPool2d.html
    """

    _pair = avg_pool2d_forward, avg_pool2d_backward
    _options = "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override"
    shown = "kernel_size", "stride", "padding"

    def __init__(
        self,
        kernel_size: IntPair,
        stride: IntPair | None = None,
        padding: IntPair = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        pool_geometry("AvgPool2d", kernel_size, stride, padding)
        self.kernel_size: Any = plain(kernel_size)
        self.stride: Any = self.kernel_size if stride is None else plain(stride)
        self.padding: Any = plain(padding)
        self.ceil_mode = check_flag("AvgPool2d", "ceil_mode", ceil_mode)
        self.count_include_pad = check_flag("AvgPool2d", "count_include_pad", count_include_pad)
        self.divisor_override = None if divisor_override is None else _check_divisor("AvgPool2d", divisor_override)


class LPPool2d(Layer):
    """The p-norm of each window of an image: (sum of x**p)**(1/p).

    Args:
        norm_type: p, not 0.
        kernel_size: an int, or (KH, KW).
        stride: an int, or (SH, SW); None means kernel_size.
        ceil_mode: round the output size up instead of down.

    Shape:
        input (N, C, H, W), output (N, C, OH, OW) with
        OH = floor((H - KH) / SH) + 1 and OW likewise.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.LPPool2d.html
    """

    _pair = lp_pool2d_forward, lp_pool2d_backward
    _options = "norm_type", "kernel_size", "stride", "ceil_mode"

    def __init__(
        self, norm_type: float, kernel_size: IntPair, stride: IntPair | None = None, ceil_mode: bool = False
    ) -> None:
        super().__init__()
        self.norm_type = _check_norm_type("LPPool2d", norm_type)
        pool_geometry("LPPool2d", kernel_size, stride, 0)
        self.kernel_size: Any = plain(kernel_size)
        self.stride: Any = plain(stride)
        self.ceil_mode = check_flag("LPPool2d", "ceil_mode", ceil_mode)
