"""Pooling layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from .._core import Array, IntPair, check_flag, check_int, check_number
from ..functional import pooling as f
from ._pair import Pair

__all__ = ["AdaptiveAvgPool2d", "AdaptiveMaxPool2d", "AvgPool2d", "LPPool2d", "MaxPool1d", "MaxPool2d"]


class _Largest(Pair):
    """Base of the maxima: with return_indices the output is a pair, (maxima, the pixels' numbers)."""

    indices: ClassVar[Callable[..., Array]] = staticmethod(f.max_pool2d_indices)
    return_indices: bool

    def _result(self, out: Array, cache: Any) -> Any:
        return (out, type(self).indices(cache).reshape(out.shape)) if self.return_indices else out


class _MaxPool(_Largest):
    def __init__(
        self,
        kernel_size: IntPair,
        stride: IntPair | None = None,
        padding: IntPair = 0,
        dilation: IntPair = 1,
        ceil_mode: bool = False,
        *,
        return_indices: bool = False,
    ) -> None:
        owner = type(self).__name__
        f.pool_options(owner, kernel_size, stride, padding, dilation)
        super().__init__(
            kernel_size=kernel_size,
            stride=kernel_size if stride is None else stride,
            padding=padding,
            dilation=dilation,
            ceil_mode=check_flag(owner, "ceil_mode", ceil_mode),
        )
        self.return_indices = check_flag(owner, "return_indices", return_indices)


class MaxPool2d(_MaxPool):
    """Maximum of each window of an image.

    Args:
        kernel_size: an int, or (KH, KW).
        stride: an int, or (SH, SW); None means kernel_size.
        padding: on each side, at most half the kernel; padding never wins.
        dilation: distance between the window's elements.
        ceil_mode: round the output size up instead of down.
        return_indices: whether the output is a pair: the maxima, and the number of each one's pixel, row by row.

    Shape:
        input (N, C, H, W), output (N, C, OH, OW) with
        OH = floor((H + 2*PH - DH*(KH - 1) - 1) / SH) + 1 and OW likewise. There are no parameters.

    A tie goes to the first maximum in row-major order; where windows overlap gradients add up.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.MaxPool2d.html
    """

    functions = f.max_pool2d_forward, f.max_pool2d_backward


class MaxPool1d(_MaxPool):
    """Maximum of each window of a sequence.

    Args:
        kernel_size: an int.
        stride: an int; None means kernel_size.
        padding: on each side, at most half the kernel; padding never wins.
        dilation: distance between the window's elements.
        ceil_mode: round the output size up instead of down.
        return_indices: whether the output is a pair: the maxima, and the number of each one's pixel, row by row.

    Shape:
        input (N, C, L), output (N, C, OL), OL as OW of MaxPool2d.
    """

    functions = f.max_pool1d_forward, f.max_pool1d_backward

    def __init__(
        self,
        kernel_size: int,
        stride: int | None = None,
        padding: int = 0,
        dilation: int = 1,
        ceil_mode: bool = False,
        *,
        return_indices: bool = False,
    ) -> None:
        check_int("MaxPool1d", "kernel_size", kernel_size)
        super().__init__(kernel_size, stride, padding, dilation, ceil_mode, return_indices=return_indices)


class AvgPool2d(Pair):
    """Mean of each window of an image.

    Args:
        kernel_size: an int, or (KH, KW).
        stride: an int, or (SH, SW); None means kernel_size.
        padding: zeros on each side, at most half the kernel.
        ceil_mode: round the output size up instead of down.
        count_include_pad: whether the mean counts the padding.
        divisor_override: what to divide the sums by instead of the windows' sizes.

    Shape:
        input (N, C, H, W), output (N, C, OH, OW) with
        OH = floor((H + 2*PH - KH) / SH) + 1 and OW likewise.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.AvgPool2d.html
    """

    functions = f.avg_pool2d_forward, f.avg_pool2d_backward

    def __init__(
        self,
        kernel_size: IntPair,
        stride: IntPair | None = None,
        padding: IntPair = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        f.pool_options("AvgPool2d", kernel_size, stride, padding, 1)
        if divisor_override is not None:
            f.check_divisor("AvgPool2d", divisor_override)
        super().__init__(
            kernel_size=kernel_size,
            stride=kernel_size if stride is None else stride,
            padding=padding,
            ceil_mode=check_flag("AvgPool2d", "ceil_mode", ceil_mode),
            count_include_pad=check_flag("AvgPool2d", "count_include_pad", count_include_pad),
            divisor_override=divisor_override,
        )

    def extra_repr(self) -> str:
        """Options in PyTorch's form."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class LPPool2d(Pair):
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

    functions = f.lp_pool2d_forward, f.lp_pool2d_backward

    def __init__(
        self, norm_type: float, kernel_size: IntPair, stride: IntPair | None = None, ceil_mode: bool = False
    ) -> None:
        if check_number("LPPool2d", "norm_type", norm_type, minimum=-float("inf")) == 0:
            raise ValueError("LPPool2d: norm_type must not be 0")
        f.pool_options("LPPool2d", kernel_size, stride, 0, 1)
        check_flag("LPPool2d", "ceil_mode", ceil_mode)
        super().__init__(norm_type=norm_type, kernel_size=kernel_size, stride=stride, ceil_mode=ceil_mode)


class _Adaptive(Pair):
    def __init__(self, output_size: IntPair | tuple[int | None, int | None]) -> None:
        pair: Any = output_size if isinstance(output_size, (tuple, list)) else (output_size, output_size)
        if len(pair) != 2:
            raise TypeError(f"{type(self).__name__}: output_size must be an integer or a pair, got {output_size!r}")
        for size in pair:
            if size is not None:
                check_int(type(self).__name__, "output_size", size)
        super().__init__(output_size=output_size)


class AdaptiveAvgPool2d(_Adaptive):
    """Mean of as many windows as wanted, which cover the image: AdaptiveAvgPool2d(1) is global average pooling.

    Args:
        output_size: an int, or (OH, OW); None keeps the input's size.

    Shape:
        input (N, C, H, W), output (N, C, OH, OW). Window i has the rows floor(i*H/OH) to ceil((i+1)*H/OH).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.AdaptiveAvgPool2d.html
    """

    functions = f.adaptive_avg_pool2d_forward, f.adaptive_avg_pool2d_backward


class AdaptiveMaxPool2d(_Adaptive, _Largest):
    """Maximum of as many windows as wanted, which cover the image.

    Args:
        output_size: an int, or (OH, OW); None keeps the input's size.
        return_indices: whether the output is a pair: the maxima, and the number of each one's pixel, row by row.

    Shape:
        input (N, C, H, W), output (N, C, OH, OW). Window i has the rows floor(i*H/OH) to ceil((i+1)*H/OH).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.AdaptiveMaxPool2d.html
    """

    functions = f.adaptive_max_pool2d_forward, f.adaptive_max_pool2d_backward
    indices = staticmethod(f.adaptive_max_pool2d_indices)

    def __init__(self, output_size: IntPair | tuple[int | None, int | None], return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = check_flag("AdaptiveMaxPool2d", "return_indices", return_indices)
