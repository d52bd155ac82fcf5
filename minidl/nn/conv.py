"""Convolutional layers."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import DTypeLike

from ..functional._checks import Array, IntPair, check_choice, check_flag, check_int, check_pair
from ..functional._window import resolve_padding
from ..functional.conv import conv2d_backward, conv2d_forward
from . import init
from .linear import weight_and_bias
from .module import Module

__all__ = ["Conv2d"]


class Conv2d(Module):
    """Two-dimensional convolution (cross-correlation) over a batch of images.

    Args:
        in_channels: channels of the input, C.
        out_channels: number of filters, F.
        kernel_size: an int, or (KH, KW).
        stride: an int, or (SH, SW).
        padding: zeros on each side: an int, (PH, PW), 'valid' (none) or 'same' (output as large as the input, stride
            1 only; an odd total puts the extra zero at the bottom and right).
        dilation: distance between the kernel's elements: an int, or (DH, DW).
        groups: input channels and filters are split into this many independent groups; divides both.
        bias: whether to add one number per filter.
        padding_mode: 'zeros'.
        dtype: float32 (default) or float64.
        rng: generator for the first weights; None means minidl's own, see `minidl.manual_seed`.

    Shape:
        input (N, C, H, W), output (N, F, OH, OW) with
        OH = floor((H + 2*PH - DH*(KH - 1) - 1) / SH) + 1 and OW likewise. Rows and columns at the end that do not
        fill a window are dropped; their gradient is zero.

    Attributes:
        weight: Parameter (F, C/groups, KH, KW), from U(-1/sqrt(k), 1/sqrt(k)), k = C/groups*KH*KW.
        bias: Parameter (F,), from the same distribution; or None.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.Conv2d.html
    """

    def __init__(
        self,
        in_channels: int,
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
        self.in_channels = check_int("Conv2d", "in_channels", in_channels)
        self.out_channels = check_int("Conv2d", "out_channels", out_channels)
        self.kernel_size = check_pair("Conv2d", "kernel_size", kernel_size)
        self.stride = check_pair("Conv2d", "stride", stride)
        self.dilation = check_pair("Conv2d", "dilation", dilation)
        self.groups = check_int("Conv2d", "groups", groups)
        for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels % groups:
                raise ValueError(f"Conv2d: {name} must be divisible by groups={groups}, got {channels}")
        resolve_padding("Conv2d", padding, self.kernel_size, self.stride, self.dilation)
        self.padding: tuple[int, int] | str = (
            padding if isinstance(padding, str) else check_pair("Conv2d", "padding", padding, minimum=0)
        )
        check_flag("Conv2d", "bias", bias)
        self.padding_mode = check_choice("Conv2d", "padding_mode", padding_mode, ("zeros",))
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        self.weight, self.bias = weight_and_bias(shape, bias, dtype, rng)

    def forward(self, x: Array) -> Array:
        """Apply the layer to (N, C, H, W)."""
        out, cache = conv2d_forward(
            x,
            self.weight.data,
            None if self.bias is None else self.bias.data,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
        )
        self.save_for_backward(cache)
        return out

    def backward(self, grad_output: Array) -> Array | None:
        """Add the gradients of weight and bias; return that of the input."""
        dx, dw, db = conv2d_backward(grad_output, self.take_saved(), needs_input_grad=self.needs_input_grad)
        self.weight.add_grad(dw)
        if self.bias is not None and db is not None:
            self.bias.add_grad(db)
        return dx

    def multiply_adds(self, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> int:
        """One for each output and each element of its filter."""
        return math.prod(output_shape) * init.fan_in(self.weight)

    def extra_repr(self) -> str:
        """Options in PyTorch's form: those at their defaults are left out."""
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        if self.padding != (0, 0):
            text += f", padding={self.padding}"
        if self.dilation != (1, 1):
            text += f", dilation={self.dilation}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        return text if self.bias is not None else text + ", bias=False"
