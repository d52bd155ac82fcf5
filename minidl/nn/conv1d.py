"""One-dimensional convolution: sequences are images with one row."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from .._core import Array, check_choice, check_float, check_grad, check_int, check_sequences
from .conv import PADDING_MODES, ConvCache, PaddedConv, conv2d_backward, conv2d_forward
from .pad import PadCache, pad2d_backward, pad2d_forward

__all__ = ["Conv1d", "conv1d_backward", "conv1d_forward"]


def conv1d_forward(
    x: Array,
    w: Array,
    b: Array | None = None,
    *,
    stride: int = 1,
    padding: int | str = 0,
    dilation: int = 1,
    groups: int = 1,
) -> tuple[Array, ConvCache]:
    """Convolve sequences: `conv2d_forward` on images with one row.

    x is (N, C, L), w (F, C/groups, K), b (F,) or None; stride, padding, dilation and groups are those of `Conv1d`.
    Returns out (N, F, OL) and the cache for `conv1d_backward`. Raises ValueError if shapes or options do not fit,
    TypeError if dtypes do not.
    """
    check_float(w, "weight")
    if w.ndim != 3:
        raise ValueError(f"expected a weight of shape (F, C/groups, K), got {w.shape}")
    check_sequences(x, w.shape[1] * check_int("conv1d", "groups", groups))
    out, cache = conv2d_forward(
        x[:, :, None],
        w[:, :, None],
        b,
        stride=(1, stride),
        padding=padding if isinstance(padding, str) else (0, padding),
        dilation=(1, dilation),
        groups=groups,
    )
    return out[:, :, 0], cache


def conv1d_backward(
    grad_output: Array, cache: ConvCache, *, needs_input_grad: bool = True
) -> tuple[Array | None, Array, Array | None]:
    """Return the gradients of `conv1d_forward`.

    Returns (dx, dw, db) in the shapes of x, w and b; dx is None if it was not requested, db if there was no bias.
    ``grad_output`` must have the output's shape and dtype (ValueError, TypeError); ``cache`` is from
    `conv1d_forward`. ``needs_input_grad=False`` skips dx.
    """
    n, f, _, length = cache.out_shape
    check_grad(grad_output, (n, f, length), cache.x.dtype)
    dx, dw, db = conv2d_backward(grad_output[:, :, None], cache, needs_input_grad=needs_input_grad)
    return None if dx is None else dx[:, :, 0], dw[:, :, 0], db


class Conv1d(PaddedConv):
    """One-dimensional convolution (cross-correlation) over a batch of sequences.

    Args:
        in_channels: channels of the input, C.
        out_channels: number of filters, F.
        kernel_size, stride, dilation: ints.
        padding: zeros on each side: an int, 'valid' (none) or 'same' (output as long as the input, stride 1 only).
        groups: input channels and filters are split into this many independent groups; divides both.
        bias: whether to add one number per filter.
        padding_mode: 'zeros', 'reflect', 'replicate' or 'circular': what the padding contains.
        dtype: float32 (default) or float64.
        rng: generator for the initial weights; None means minidl's own, see `minidl.manual_seed`.

    Shape:
        input (N, C, L), output (N, F, OL), OL = floor((L + 2*P - D*(K - 1) - 1) / S) + 1.

    Attributes:
        weight: Parameter (F, C/groups, K), from U(-1/sqrt(k), 1/sqrt(k)), k = C/groups*K.
        bias: Parameter (F,), from the same distribution; or None.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.Conv1d.html
    """

    _pair = conv1d_forward, conv1d_backward

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
            padding = check_int("Conv1d", "padding", padding, minimum=0)
        self.padding = padding if isinstance(padding, str) else (padding,)
        self.pads()  # checks 'same' and 'valid'
        self.padding_mode = check_choice("Conv1d", "padding_mode", padding_mode, PADDING_MODES)
        self._make((out_channels, in_channels // groups, kernel), bias, dtype, rng)

    def forward(self, x: Array) -> Array:
        """Apply the layer to (N, C, L)."""
        padding = self.padding if isinstance(self.padding, str) else self.padding[0]
        return self._convolve(x, self.stride[0], padding, self.dilation[0])

    def _pad(self, x: Array) -> tuple[Array, PadCache]:
        images = check_sequences(x, self.in_channels)[:, :, None]
        padded, cache = pad2d_forward(images, (*self.pads()[0], 0, 0), mode=self.padding_mode)
        return padded[:, :, 0], cache

    def _unpad(self, dx: Array, cache: PadCache) -> Array:
        return pad2d_backward(dx[:, :, None], cache)[:, :, 0]
