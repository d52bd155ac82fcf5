"""Pooling layers."""

from __future__ import annotations

from ..functional._checks import Array, IntPair, check_flag
from ..functional.pooling import max_pool2d_backward, max_pool2d_forward, pool_options
from .module import Module

__all__ = ["MaxPool2d"]


class MaxPool2d(Module):
    """Maximum of each window of an image.

    Args:
        kernel_size: an int, or (KH, KW).
        stride: an int, or (SH, SW); None means kernel_size.
        padding: on each side, at most half the kernel; padding never wins.
        dilation: distance between the window's elements.
        ceil_mode: round the output size up instead of down.

    Shape:
        input (N, C, H, W), output (N, C, OH, OW) with
        OH = floor((H + 2*PH - DH*(KH - 1) - 1) / SH) + 1 and OW likewise. There are no parameters.

    A tie goes to the first maximum in row-major order; where windows overlap gradients add up.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.MaxPool2d.html
    """

    def __init__(
        self,
        kernel_size: IntPair,
        stride: IntPair | None = None,
        padding: IntPair = 0,
        dilation: IntPair = 1,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        pool_options("MaxPool2d", kernel_size, stride, padding, dilation)
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.ceil_mode = check_flag("MaxPool2d", "ceil_mode", ceil_mode)

    def forward(self, x: Array) -> Array:
        """Apply the layer to (N, C, H, W)."""
        out, cache = max_pool2d_forward(
            x,
            self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            ceil_mode=self.ceil_mode,
        )
        self.save_for_backward(cache)
        return out

    def backward(self, grad_output: Array) -> Array:
        """Return the gradient of the input."""
        return max_pool2d_backward(grad_output, self.take_saved())

    def extra_repr(self) -> str:
        """Options in PyTorch's form."""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )
