"""Convolutional layers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike

from .._core import Array, IntPair, check_choice, check_flag, check_images, check_int, check_pair
from ..functional._window import resolve_padding
from ..functional.conv import (
    conv1d_backward,
    conv1d_forward,
    conv2d_backward,
    conv2d_forward,
    conv_transpose2d_backward,
    conv_transpose2d_forward,
)
from ..functional.padding import pad2d_backward, pad2d_forward
from . import init
from .linear import fix_size, unsized, weight_and_bias
from .module import Module
from .parameter import Parameter

__all__ = ["Conv1d", "Conv2d", "ConvTranspose2d"]

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _Conv(Module):
    """Base of the convolutions: parameters, their gradients, repr."""

    in_channels: int | None
    out_channels: int
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...] | str
    dilation: tuple[int, ...]
    groups: int
    padding_mode: str
    weight: Parameter
    bias: Parameter | None

    def _channels(self, in_channels: int | None, out_channels: int, groups: int) -> None:
        owner = type(self).__name__
        self.in_channels = None if in_channels is None else check_int(owner, "in_channels", in_channels)
        self.out_channels = check_int(owner, "out_channels", out_channels)
        self.groups = check_int(owner, "groups", groups)
        for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels is not None and channels % groups:
                raise ValueError(f"{owner}: {name} must be divisible by groups={groups}, got {channels}")

    def _bias(self) -> Array | None:
        return None if self.bias is None else self.bias.data

    def _add_grads(self, dw: Array, db: Array | None) -> None:
        self.weight.add_grad(dw)
        if self.bias is not None and db is not None:
            self.bias.add_grad(db)

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


class _PaddedConv(_Conv):
    """Base of the convolutions that pad in several modes: other than zeros is padded before, and cut off after."""

    functions: ClassVar[tuple[Callable[..., Any], Callable[..., Any]]]
    _pads: tuple[int, int, int, int]

    def _convolve(self, x: Array, *, padding: Any, **options: Any) -> Array:
        pad_cache = None
        if self.padding_mode != "zeros" and np.ndim(x) == 2 + len(self.kernel_size):
            (x, pad_cache), padding = self._pad(x), 0
        out, cache = self.functions[0](
            x, self.weight.data, self._bias(), padding=padding, groups=self.groups, **options
        )
        self.save_for_backward(cache if pad_cache is None else (cache, pad_cache))
        return out  # type: ignore[no-any-return]

    def backward(self, grad_output: Array) -> Array | None:
        """Add the gradients of weight and bias; return that of the input."""
        saved = self.take_saved()
        cache, pad_cache = (saved, None) if self.padding_mode == "zeros" else saved
        dx, dw, db = self.functions[1](grad_output, cache, needs_input_grad=self.needs_input_grad)
        self._add_grads(dw, db)
        return dx if dx is None or pad_cache is None else self._unpad(dx, pad_cache)

    def _pad(self, x: Array) -> tuple[Array, Any]:
        return pad2d_forward(x, self._pads, mode=self.padding_mode)

    def _unpad(self, dx: Array, cache: Any) -> Array:
        return pad2d_backward(dx, cache)


class Conv2d(_PaddedConv):
    """Two-dimensional convolution (cross-correlation) over a batch of images.

    Args:
        in_channels: channels of the input, C; None: fixed by the first input, or by `summary`.
        out_channels: number of filters, F.
        kernel_size: an int, or (KH, KW).
        stride: an int, or (SH, SW).
        padding: zeros on each side: an int, (PH, PW), 'valid' (none) or 'same' (output as large as the input, stride
            1 only; an odd total puts the extra zero at the bottom and right).
        dilation: distance between the kernel's elements: an int, or (DH, DW).
        groups: input channels and filters are split into this many independent groups; divides both.
        bias: whether to add one number per filter.
        padding_mode: 'zeros', 'reflect', 'replicate' or 'circular': what the padding holds.
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

    functions = conv2d_forward, conv2d_backward

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
        self.kernel_size: tuple[int, int] = check_pair("Conv2d", "kernel_size", kernel_size)
        self.stride: tuple[int, int] = check_pair("Conv2d", "stride", stride)
        self.dilation: tuple[int, int] = check_pair("Conv2d", "dilation", dilation)
        pads = resolve_padding("Conv2d", padding, self.kernel_size, self.stride, self.dilation)
        self.padding = padding if isinstance(padding, str) else check_pair("Conv2d", "padding", padding, minimum=0)
        check_flag("Conv2d", "bias", bias)
        self.padding_mode = check_choice("Conv2d", "padding_mode", padding_mode, PADDING_MODES)
        self._pads = (*pads[1], *pads[0])
        self._rng = rng
        if in_channels is None:
            self.weight, self.bias = unsized(bias, dtype)
        else:
            self.weight, self.bias = weight_and_bias(self._shape(in_channels), bias, dtype, rng)

    def _shape(self, in_channels: int) -> tuple[int, ...]:
        return (self.out_channels, in_channels // self.groups, *self.kernel_size)

    def forward(self, x: Array) -> Array:
        """Apply the layer to (N, C, H, W)."""
        if self.in_channels is None and check_images(x).shape[1] % self.groups == 0:
            fix_size(self.weight, self.bias, self._shape(x.shape[1]), self._rng)
            self.in_channels = x.shape[1]
        return self._convolve(x, stride=self.stride, padding=self.padding, dilation=self.dilation)


class Conv1d(_PaddedConv):
    """One-dimensional convolution (cross-correlation) over a batch of sequences.

    Args:
        in_channels: channels of the input, C.
        out_channels: number of filters, F.
        kernel_size, stride, dilation: ints.
        padding: zeros on each side: an int, 'valid' (none) or 'same' (output as long as the input, stride 1 only).
        groups: input channels and filters are split into this many independent groups; divides both.
        bias: whether to add one number per filter.
        padding_mode: 'zeros', 'reflect', 'replicate' or 'circular': what the padding holds.
        dtype: float32 (default) or float64.
        rng: generator for the first weights; None means minidl's own, see `minidl.manual_seed`.

    Shape:
        input (N, C, L), output (N, F, OL), OL = floor((L + 2*P - D*(K - 1) - 1) / S) + 1.

    Attributes:
        weight: Parameter (F, C/groups, K), from U(-1/sqrt(k), 1/sqrt(k)), k = C/groups*K.
        bias: Parameter (F,), from the same distribution; or None.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.Conv1d.html
    """

    functions = conv1d_forward, conv1d_backward

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int | str = 0,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        dtype: DTypeLike | None = None,
        rng: np.random.Generator | None = None,
    ) -> None:
        super().__init__()
        self._channels(in_channels, out_channels, groups)
        sizes = {"kernel_size": kernel_size, "stride": stride, "dilation": dilation}
        kernel, step, spread = (check_int("Conv1d", name, value) for name, value in sizes.items())
        self.kernel_size, self.stride, self.dilation = (kernel,), (step,), (spread,)
        if not isinstance(padding, str):
            check_int("Conv1d", "padding", padding, minimum=0)
        pads = resolve_padding("Conv1d", padding, (1, kernel), (1, step), (1, spread))
        self.padding = padding if isinstance(padding, str) else (padding,)
        self._pads = (*pads[1], 0, 0)
        check_flag("Conv1d", "bias", bias)
        self.padding_mode = check_choice("Conv1d", "padding_mode", padding_mode, PADDING_MODES)
        self.weight, self.bias = weight_and_bias((out_channels, in_channels // groups, kernel), bias, dtype, rng)

    def forward(self, x: Array) -> Array:
        """Apply the layer to (N, C, L)."""
        padding: int | str = self.padding if isinstance(self.padding, str) else self.padding[0]
        return self._convolve(x, stride=self.stride[0], padding=padding, dilation=self.dilation[0])

    def _pad(self, x: Array) -> tuple[Array, Any]:
        images, cache = super()._pad(x[:, :, None])
        return images[:, :, 0], cache

    def _unpad(self, dx: Array, cache: Any) -> Array:
        return super()._unpad(dx[:, :, None], cache)[:, :, 0]


class ConvTranspose2d(_Conv):
    """Transposed convolution: each pixel spreads a filter over a larger image; the gradient of a convolution.

    Args:
        in_channels: channels of the input, C.
        out_channels: channels of the output, F.
        kernel_size: an int, or (KH, KW).
        stride: an int, or (SH, SW).
        padding: what is cut off on each side: an int, or (PH, PW).
        output_padding: rows and columns added at the end; less than the stride or the dilation.
        groups: input and output channels are split into this many independent groups; divides both.
        bias: whether to add one number per output channel.
        dilation: distance between the kernel's elements: an int, or (DH, DW).
        padding_mode: 'zeros'.
        dtype: float32 (default) or float64.
        rng: generator for the first weights; None means minidl's own, see `minidl.manual_seed`.

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
        self.kernel_size = check_pair(owner, "kernel_size", kernel_size)
        self.stride = check_pair(owner, "stride", stride)
        self.padding = check_pair(owner, "padding", padding, minimum=0)
        self.output_padding = check_pair(owner, "output_padding", output_padding, minimum=0)
        self.dilation = check_pair(owner, "dilation", dilation)
        if any(e >= max(s, d) for e, s, d in zip(self.output_padding, self.stride, self.dilation, strict=True)):
            raise ValueError(f"{owner}: output_padding must be less than stride or dilation, got {output_padding}")
        check_flag(owner, "bias", bias)
        self.padding_mode = check_choice(owner, "padding_mode", padding_mode, ("zeros",))
        shape = (in_channels, out_channels // groups, *self.kernel_size)
        self.weight, self.bias = weight_and_bias(shape, bias, dtype, rng, bias_size=out_channels)

    def forward(self, x: Array) -> Array:
        """Apply the layer to (N, C, H, W)."""
        options: Any = {"stride": self.stride, "padding": self.padding, "dilation": self.dilation}
        out, cache = conv_transpose2d_forward(
            x, self.weight.data, self._bias(), output_padding=self.output_padding, groups=self.groups, **options
        )
        self.save_for_backward(cache)
        return out

    def backward(self, grad_output: Array) -> Array | None:
        """Add the gradients of weight and bias; return that of the input."""
        dx, dw, db = conv_transpose2d_backward(grad_output, self.take_saved(), needs_input_grad=self.needs_input_grad)
        self._add_grads(dw, db)
        return dx

    def multiply_adds(self, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> int:
        """One for each input and each element of its filter."""
        return math.prod(input_shape) * init.fan_in(self.weight)

    def _repr_output_padding(self) -> str:
        return f", output_padding={self.output_padding}" if self.output_padding != (0, 0) else ""
