"""Two-dimensional convolution (cross-correlation, as in every framework), and what its relatives share."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

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
    check_int,
    check_same_dtype,
)
from ..engine import Engine, Geometry, correlation_geometry, current_engine, output_size
from . import init
from .pad import PadCache, pad2d_backward, pad2d_forward
from .weights import Weighted

__all__ = ["Conv2d", "conv2d_backward", "conv2d_forward"]

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class ConvCache(NamedTuple):
    """What the backward pass needs: input, filters, geometry, the output's shape, and the engine that computed it."""

    x: Array
    w: Array
    has_bias: bool
    geometry: Geometry
    out_shape: tuple[int, ...]
    engine: Engine


def conv2d_forward(
    x: Array,
    w: Array,
    b: Array | None = None,
    *,
    stride: IntPair = 1,
    padding: IntPair | str = 0,
    dilation: IntPair = 1,
    groups: int = 1,
) -> tuple[Array, ConvCache]:
    """Convolve images with a bank of filters; the formula and the options are those of `Conv2d`.

    x is (N, C, H, W), w (F, C/groups, KH, KW) of the same dtype, b (F,) or None; stride, padding, dilation and groups
    as there. Returns out (N, F, OH, OW) and the cache for `conv2d_backward`. Raises ValueError if shapes or options do
    not fit, TypeError if dtypes do not.
    """
    check_float(w, "weight")
    if w.ndim != 4:
        raise ValueError(f"expected a weight of shape (F, C/groups, KH, KW), got {w.shape}")
    geometry, after = correlation_geometry("conv2d", w.shape[2:], stride, padding, dilation, groups)
    check_images(x, w.shape[1] * geometry.groups)
    check_same_dtype(x, w)
    if w.shape[0] % geometry.groups:
        raise ValueError(f"expected a number of filters divisible by groups={groups}, got {w.shape[0]}")
    check_bias(b, w.shape[0], w)
    size = output_size(x.shape[2:], geometry, after)
    engine = current_engine()
    out = engine.correlate(x, w, b, geometry, size)
    return out, ConvCache(x, w, b is not None, geometry, out.shape, engine)


def conv2d_backward(
    grad_output: Array, cache: ConvCache, *, needs_input_grad: bool = True
) -> tuple[Array | None, Array, Array | None]:
    """Return the gradients of `conv2d_forward`.

    dx is the correlation of the gradient with the flipped filters; dw[f, c, i, j] = sum over n, oh, ow of
    grad[n, f, oh, ow] * x_padded[n, c, oh*SH + i*DH, ow*SW + j*DW]; db the sum of grad over n, oh, ow.

    Returns (dx, dw, db) in the shapes of x, w and b; dx is None if it was not requested, db if there was no bias.
    Input pixels that no window covers have a zero gradient. ``grad_output`` must have the output's shape and dtype
    (ValueError, TypeError); ``cache`` is from `conv2d_forward`. ``needs_input_grad=False`` skips dx.
    """
    x, w, has_bias, geometry, out_shape, engine = cache
    check_grad(grad_output, out_shape, x.dtype)
    dx = engine.input_grad(grad_output, w, geometry, x.shape[2:]) if needs_input_grad else None
    dw, db = engine.weight_grad(x, grad_output, w.shape, geometry, has_bias=has_bias)
    return dx, dw, db


class ConvBase(Weighted):
    """Base of the convolutions: channels, padding, repr."""

    in_channels: int | None
    out_channels: int
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...] | str
    dilation: tuple[int, ...]
    groups: int
    padding_mode: str

    def _channels(self, in_channels: int | None, out_channels: int, groups: int) -> None:
        owner = type(self).__name__
        self.in_channels = None if in_channels is None else check_int(owner, "in_channels", in_channels)
        self.out_channels = check_int(owner, "out_channels", out_channels)
        self.groups = check_int(owner, "groups", groups)
        for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels is not None and channels % groups:
                raise ValueError(f"{owner}: {name} must be divisible by groups={groups}, got {channels}")

    def pads(self) -> list[tuple[int, int]]:
        """Return the padding before and after each axis; 'same' and 'valid' are resolved."""
        if not isinstance(self.padding, str):
            return [(size, size) for size in self.padding]
        row = (1,) * (2 - len(self.kernel_size))  # a sequence is an image with one row
        kernel, stride, dilation = (row + sizes for sizes in (self.kernel_size, self.stride, self.dilation))
        geometry, after = correlation_geometry(type(self).__name__, kernel, stride, self.padding, dilation, self.groups)
        return list(zip(geometry.before, after, strict=True))[len(row) :]

    def multiply_adds(self, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> int:
        """One for each output and each element of its filter."""
        return math.prod(output_shape) * init.fan_in(self.weight)

    def extra_repr(self) -> str:
        """Options in PyTorch's form: those at their defaults are left out."""
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        if self.padding != (0,) * len(self.kernel_size):
            text += f", padding={self.padding}"
        if self.dilation != (1,) * len(self.kernel_size):
            text += f", dilation={self.dilation}"
        text += self._repr_output_padding()
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        return text if self.padding_mode == "zeros" else f"{text}, padding_mode={self.padding_mode}"

    def _repr_output_padding(self) -> str:
        return ""


class PaddedConv(ConvBase):
    """Base of `Conv1d` and `Conv2d`: a pair of pure functions, which pad with zeros, behind padding of any mode."""

    _pair: ClassVar[tuple[Callable[..., Any], Callable[..., Any]]]

    def _pad(self, x: Array) -> tuple[Array, PadCache]:
        """Pad the input with something other than zeros."""
        raise NotImplementedError(f"{type(self).__name__} does not define _pad()")

    def _unpad(self, dx: Array, cache: PadCache) -> Array:
        """Return the gradient of the input, given that of the padded one."""
        return pad2d_backward(dx, cache)

    def _convolve(self, x: Array, stride: Any, padding: Any, dilation: Any) -> Array:
        pad_cache = None
        if self.padding_mode != "zeros":
            (x, pad_cache), padding = self._pad(x), 0
        options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": self.groups}
        out: Array
        out, cache = self._pair[0](x, self.weight.data, self._bias(), **options)
        self.save_for_backward(cache if pad_cache is None else (cache, pad_cache))
        return out

    def backward(self, grad_output: Array) -> Array | None:
        """Add the gradients of weight and bias; return that of the input."""
        saved = self.take_saved()
        cache, pad_cache = (saved, None) if isinstance(saved, ConvCache) else saved
        dx: Array | None
        dx, dw, db = self._pair[1](grad_output, cache, needs_input_grad=self.needs_input_grad)
        self._add_grads(dw, db)
        return dx if dx is None or pad_cache is None else self._unpad(dx, pad_cache)


class Conv2d(PaddedConv):
    """Two-dimensional convolution (cross-correlation) over a batch of images.

    y[n, f, oh, ow] = bias[f] + sum over c, i, j of weight[f, c, i, j] * x_padded[n, c, oh*SH + i*DH, ow*SW + j*DW],
    c over the channels of f's group.

    Args:
        in_channels: channels of the input, C; None: set by the first input, or by `summary`.
        out_channels: number of filters, F.
        kernel_size: an int, or (KH, KW).
        stride: an int, or (SH, SW).
        padding: zeros on each side: an int, (PH, PW), 'valid' (none) or 'same' (output as large as the input, stride
            1 only; an odd total puts the extra zero at the bottom and right).
        dilation: distance between the kernel's elements: an int, or (DH, DW).
        groups: input channels and filters are split into this many independent groups; divides both.
        bias: whether to add one number per filter.
        padding_mode: 'zeros', 'reflect', 'replicate' or 'circular': what the padding contains.
        dtype: float32 (default) or float64.
        rng: generator for the initial weights; None means minidl's own, see `minidl.manual_seed`.

    Shape:
        input (N, C, H, W), output (N, F, OH, OW) with
        OH = floor((H + 2*PH - DH*(KH - 1) - 1) / SH) + 1 and OW likewise. Rows and columns at the end that do not
        fill a window are dropped; their gradient is zero.

    Attributes:
        weight: Parameter (F, C/groups, KH, KW), from U(-1/sqrt(k), 1/sqrt(k)), k = C/groups*KH*KW.
        bias: Parameter (F,), from the same distribution; or None.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.Conv2d.html
    """

    _pair = conv2d_forward, conv2d_backward
    kernel_size: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]

    def __init__(
        self,
        in_channels: int | None,
        out_channels: int,
        kernel_size: IntPair,
        stride: IntPair = 1,
        padding: IntPair | str = 0,
        dilation: IntPair = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        dtype: DTypeLike | None = None,
        rng: np.random.Generator | None = None,
    ) -> None:
        super().__init__()
        self._channels(in_channels, out_channels, groups)
        geometry, _ = correlation_geometry("Conv2d", kernel_size, stride, padding, dilation, groups)
        self.kernel_size, self.stride, self.dilation = geometry.kernel, geometry.stride, geometry.dilation
        self.padding = padding if isinstance(padding, str) else geometry.before
        self.padding_mode = check_choice("Conv2d", "padding_mode", padding_mode, PADDING_MODES)
        self._rng = rng
        self._make(None if in_channels is None else self._shape(in_channels), bias, dtype, rng)

    def _shape(self, in_channels: int) -> tuple[int, ...]:
        return (self.out_channels, in_channels // self.groups, *self.kernel_size)

    def forward(self, x: Array) -> Array:
        """Apply the layer to (N, C, H, W)."""
        if self.in_channels is None and check_images(x).shape[1] % self.groups == 0:
            self._fix_size(self._shape(x.shape[1]), self._rng)
            self.in_channels = x.shape[1]
        return self._convolve(x, self.stride, self.padding, self.dilation)

    def _pad(self, x: Array) -> tuple[Array, PadCache]:
        (top, bottom), (left, right) = self.pads()
        return pad2d_forward(check_images(x, self.in_channels), (left, right, top, bottom), mode=self.padding_mode)
