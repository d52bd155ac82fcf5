"""Transposed convolution: what the backward pass of a convolution does to its gradient, as a layer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .._core import (
    Array,
    IntPair,
    check_bias,
    check_choice,
    check_float,
    check_grad,
    check_images,
    check_pair,
    check_same_dtype,
    remembered,
)
from ..engine import Geometry, correlation_geometry, current_engine, sum_over
from . import init
from .conv import ConvBase, ConvCache

__all__ = ["ConvTranspose2d", "conv_transpose2d_backward", "conv_transpose2d_forward"]

Pair = tuple[int, int]


@remembered
def _options(
    owner: str,
    kernel_size: IntPair,
    stride: IntPair,
    padding: IntPair,
    output_padding: IntPair,
    dilation: IntPair,
    groups: int,
) -> tuple[Geometry, Pair]:
    """Check the options; return the geometry of the convolution it is the gradient of, and the output's padding."""
    check_pair(owner, "padding", padding, minimum=0)  # no 'same' here
    geometry, _ = correlation_geometry(owner, kernel_size, stride, padding, dilation, groups)
    extra = check_pair(owner, "output_padding", output_padding, minimum=0)
    if any(e >= max(s, d) for e, s, d in zip(extra, geometry.stride, geometry.dilation, strict=True)):
        raise ValueError(f"{owner}: output_padding must be less than stride or dilation, got {output_padding}")
    return geometry, extra


def conv_transpose2d_forward(
    x: Array,
    w: Array,
    b: Array | None = None,
    *,
    stride: IntPair = 1,
    padding: IntPair = 0,
    output_padding: IntPair = 0,
    groups: int = 1,
    dilation: IntPair = 1,
) -> tuple[Array, ConvCache]:
    """Spread each pixel over the image with a filter; formula and options are those of `ConvTranspose2d`.

    x is (N, C, H, W), w (C, F/groups, KH, KW) of the same dtype, b (F,) or None; stride, padding, output_padding,
    groups and dilation as there. Returns out (N, F, OH, OW) and the cache for `conv_transpose2d_backward`. Raises
    ValueError if shapes or options do not fit, TypeError if dtypes do not.
    """
    check_float(w, "weight")
    if w.ndim != 4:
        raise ValueError(f"expected a weight of shape (C, F/groups, KH, KW), got {w.shape}")
    geometry, extra = _options("conv_transpose2d", w.shape[2:], stride, padding, output_padding, dilation, groups)
    check_images(x, w.shape[0])
    check_same_dtype(x, w)
    if w.shape[0] % groups:
        raise ValueError(f"expected a number of channels divisible by groups={groups}, got {w.shape[0]}")
    check_bias(b, w.shape[1] * groups, w)
    height, width = (
        (n - 1) * s - 2 * p + d * (k - 1) + e + 1
        for n, k, s, p, d, e in zip(x.shape[2:], *geometry[:4], extra, strict=True)
    )
    if min(height, width) < 1:
        raise ValueError(f"the output would have size {(height, width)}: input {x.shape[2:]} is too small")
    engine = current_engine()
    out = engine.input_grad(x, w, geometry, (height, width))
    if b is not None:
        out += b[:, None, None]
    return out, ConvCache(x, w, b is not None, geometry, out.shape, engine)


def conv_transpose2d_backward(
    grad_output: Array, cache: ConvCache, *, needs_input_grad: bool = True
) -> tuple[Array | None, Array, Array | None]:
    """Return the gradients of `conv_transpose2d_forward`: dx is a convolution of the gradient.

    Returns (dx, dw, db) in the shapes of x, w and b; dx is None if it was not requested, db if there was no bias.
    ``grad_output`` must have the output's shape and dtype (ValueError, TypeError); ``cache`` is from
    `conv_transpose2d_forward`. ``needs_input_grad=False`` skips dx.
    """
    x, w, has_bias, geometry, out_shape, engine = cache
    check_grad(grad_output, out_shape, x.dtype)
    dx = engine.correlate(grad_output, w, None, geometry, x.shape[2:]) if needs_input_grad else None
    dw, _ = engine.weight_grad(grad_output, x, w.shape, geometry, has_bias=False)
    return dx, dw, sum_over(grad_output, (0, 2, 3)) if has_bias else None


class ConvTranspose2d(ConvBase):
    """Transposed convolution: each pixel spreads a filter over a larger image; the gradient of a convolution.

    y[n, f, h*SH + i*DH - PH, w*SW + j*DW - PW] += weight[c, f, i, j] * x[n, c, h, w], on top of bias[f].

    Args:
        in_channels: channels of the input, C.
        out_channels: channels of the output, F.
        kernel_size: an int, or (KH, KW).
        stride: an int, or (SH, SW).
        padding: how much is cut off on each side: an int, or (PH, PW).
        output_padding: rows and columns added at the end; less than the stride or the dilation.
        groups: input and output channels are split into this many independent groups; divides both.
        bias: whether to add one number per output channel.
        dilation: distance between the kernel's elements: an int, or (DH, DW).
        padding_mode: 'zeros'.
        dtype: float32 (default) or float64.
        rng: generator for the initial weights; None means minidl's own, see `minidl.manual_seed`.

    Shape:
        input (N, C, H, W), output (N, F, OH, OW) with
        OH = (H - 1)*SH - 2*PH + DH*(KH - 1) + output_padding + 1 and OW likewise.

    Attributes:
        weight: Parameter (C, F/groups, KH, KW), from U(-1/sqrt(k), 1/sqrt(k)), k = F/groups*KH*KW.
        bias: Parameter (F,), from the same distribution; or None.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.ConvTranspose2d.html
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntPair,
        stride: IntPair = 1,
        padding: IntPair = 0,
        output_padding: IntPair = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: IntPair = 1,
        padding_mode: str = "zeros",
        *,
        dtype: DTypeLike | None = None,
        rng: np.random.Generator | None = None,
    ) -> None:
        super().__init__()
        owner = "ConvTranspose2d"
        self._channels(in_channels, out_channels, groups)
        geometry, extra = _options(owner, kernel_size, stride, padding, output_padding, dilation, groups)
        self.kernel_size, self.stride, self.padding, self.dilation = geometry[:4]
        self.output_padding = extra
        self.padding_mode = check_choice(owner, "padding_mode", padding_mode, ("zeros",))
        self._make((in_channels, out_channels // groups, *geometry.kernel), bias, dtype, rng)

    def _outputs(self) -> int:
        return self.out_channels

    def forward(self, x: Array) -> Array:
        """Apply the layer to (N, C, H, W)."""
        padding: Any = self.padding
        out, cache = conv_transpose2d_forward(
            x,
            self.weight.data,
            self._bias(),
            stride=self.stride,
            padding=padding,
            output_padding=self.output_padding,
            groups=self.groups,
            dilation=self.dilation,
        )
        self.save_for_backward(cache)
        return out

    def backward(self, grad_output: Array) -> Array | None:
        """Add the gradients of weight and bias; return that of the input."""
        saved = self.take_saved()
        dx, dw, db = conv_transpose2d_backward(grad_output, saved, needs_input_grad=self.needs_input_grad)
        self._add_grads(dw, db)
        return dx

    def multiply_adds(self, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> int:
        """One for each input and each element of its filter."""
        return math.prod(input_shape) * init.fan_in(self.weight)

    def _repr_output_padding(self) -> str:
        return f", output_padding={self.output_padding}" if self.output_padding != (0, 0) else ""
