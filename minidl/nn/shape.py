"""Layers that change the shape: flattening, padding, resizing, windows as columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._core import IntPair, check_choice, check_int, check_number, check_pair
from ..functional import resize, shape
from ..functional.im2col import fold_backward, fold_forward, unfold_backward, unfold_forward
from ..functional.padding import check_padding, pad2d_backward, pad2d_forward
from ._pair import Pair

__all__ = [
    "CircularPad2d",
    "ConstantPad2d",
    "Flatten",
    "Fold",
    "PixelShuffle",
    "ReflectionPad2d",
    "ReplicationPad2d",
    "Unflatten",
    "Unfold",
    "Upsample",
    "ZeroPad2d",
]


class Flatten(Pair):
    """Make one axis of several, in row-major order.

    Args:
        start_dim: first axis to join.
        end_dim: last axis to join; negative ones count from the end.

    Shape:
        input (N, C, H, W), output (N, C*H*W) with the defaults.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.Flatten.html
    """

    functions = shape.flatten_forward, shape.flatten_backward

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        check_int("Flatten", "start_dim", start_dim, minimum=-32)
        check_int("Flatten", "end_dim", end_dim, minimum=-32)
        if (start_dim < 0) == (end_dim < 0) and start_dim > end_dim:
            raise ValueError(f"Flatten: start_dim must not come after end_dim, got {start_dim} and {end_dim}")
        super().__init__(start_dim=start_dim, end_dim=end_dim)


class Unflatten(Pair):
    """Make several axes of one, in row-major order.

    Args:
        dim: the axis.
        unflattened_size: what it becomes, such as (C, H, W); one size may be -1.

    Shape:
        input (N, C*H*W), output (N, C, H, W) with dim=1.
    """

    functions = shape.unflatten_forward, shape.unflatten_backward

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        check_int("Unflatten", "dim", dim, minimum=-32)
        if not isinstance(unflattened_size, (tuple, list)):
            raise TypeError(f"Unflatten: unflattened_size must be a tuple of integers, got {unflattened_size!r}")
        sizes = tuple(check_int("Unflatten", "unflattened_size", size, minimum=-1) for size in unflattened_size)
        super().__init__(dim=dim, unflattened_size=sizes)


class _Pad(Pair):
    functions = pad2d_forward, pad2d_backward

    def __init__(self, padding: int | Sequence[int], mode: str, value: float = 0.0) -> None:
        super().__init__(padding=check_padding(type(self).__name__, padding), mode=mode, value=value)

    def extra_repr(self) -> str:
        """Options in PyTorch's form."""
        return str(self.padding)


class ConstantPad2d(_Pad):
    """Put a constant around images.

    Args:
        padding: an int, or (left, right, top, bottom); negative padding crops.
        value: the constant.

    Shape:
        input (N, C, H, W), output (N, C, H + top + bottom, W + left + right).
    """

    def __init__(self, padding: int | Sequence[int], value: float) -> None:
        check_number("ConstantPad2d", "value", value, minimum=-float("inf"))
        super().__init__(padding, "constant", value)

    def extra_repr(self) -> str:
        """Options in PyTorch's form."""
        return f"padding={self.padding}, value={self.value}"


class ZeroPad2d(_Pad):
    """Put zeros around images; ``padding`` is an int, or (left, right, top, bottom); negative padding crops.

    Shape:
        input (N, C, H, W), output (N, C, H + top + bottom, W + left + right).
    """

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__(padding, "constant")


class ReflectionPad2d(_Pad):
    """Continue images mirrored, without repeating the edge; ``padding`` as for ZeroPad2d, less than the image.

    Shape:
        input (N, C, H, W), output (N, C, H + top + bottom, W + left + right).
    """

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__(padding, "reflect")


class ReplicationPad2d(_Pad):
    """Continue images by repeating the edge; ``padding`` as for ZeroPad2d.

    Shape:
        input (N, C, H, W), output (N, C, H + top + bottom, W + left + right).
    """

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__(padding, "replicate")


class CircularPad2d(_Pad):
    """Continue images by repeating them; ``padding`` as for ZeroPad2d, at most the image.

    Shape:
        input (N, C, H, W), output (N, C, H + top + bottom, W + left + right).
    """

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__(padding, "circular")


class Upsample(Pair):
    """Resize images.

    Args:
        size: (OH, OW), or an int for both.
        scale_factor: what to multiply the sizes with, a number or a pair; in place of size.
        mode: 'nearest' or 'bilinear'.
        align_corners: whether the corner pixels' centres stay where they are; bilinear only.

    Shape:
        input (N, C, H, W), output (N, C, OH, OW).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.Upsample.html
    """

    functions = resize.upsample_forward, resize.upsample_backward

    def __init__(
        self,
        size: IntPair | None = None,
        scale_factor: float | tuple[float, float] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
    ) -> None:
        if (size is None) == (scale_factor is None):
            raise ValueError("Upsample: give either size or scale_factor")
        if size is not None:
            check_pair("Upsample", "size", size)
        check_choice("Upsample", "mode", mode, ("nearest", "bilinear"))
        if align_corners is not None and mode == "nearest":
            raise ValueError("Upsample: align_corners is for mode='bilinear' only")
        factors: Any = scale_factor
        if scale_factor is not None:  # floats, as PyTorch makes them
            several = isinstance(scale_factor, (tuple, list))
            factors = tuple(map(float, scale_factor)) if several else float(scale_factor)  # type: ignore[arg-type]
        super().__init__(size=size, scale_factor=factors, mode=mode, align_corners=align_corners)

    def extra_repr(self) -> str:
        """Options in PyTorch's form."""
        given = f"size={self.size}" if self.scale_factor is None else f"scale_factor={self.scale_factor}"
        return f"{given}, mode={self.mode!r}"


class PixelShuffle(Pair):
    """Make larger images of many channels: y[n, c, h*r + i, w*r + j] = x[n, (c*r + i)*r + j, h, w].

    Args:
        upscale_factor: r.

    Shape:
        input (N, C*r*r, H, W), output (N, C, H*r, W*r).

    Source: Shi et al. 2016, arXiv:1609.05158.
    """

    functions = shape.pixel_shuffle_forward, shape.pixel_shuffle_backward

    def __init__(self, upscale_factor: int) -> None:
        super().__init__(upscale_factor=check_int("PixelShuffle", "upscale_factor", upscale_factor))


class Unfold(Pair):
    """Lay every window of images out as a column.

    Args:
        kernel_size, dilation, padding, stride: an int, or a (height, width) pair.

    Shape:
        input (N, C, H, W), output (N, C*KH*KW, L), L = OH*OW windows in row-major order.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.Unfold.html
    """

    functions = unfold_forward, unfold_backward

    def __init__(self, kernel_size: IntPair, dilation: IntPair = 1, padding: IntPair = 0, stride: IntPair = 1) -> None:
        _check_windows("Unfold", kernel_size, dilation, padding, stride)
        super().__init__(kernel_size=kernel_size, dilation=dilation, padding=padding, stride=stride)


class Fold(Pair):
    """Add columns, as Unfold makes them, back into images: where windows overlap, values add up.

    Args:
        output_size: (H, W) of the images.
        kernel_size, dilation, padding, stride: an int, or a (height, width) pair.

    Shape:
        input (N, C*KH*KW, L), output (N, C, H, W).

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.Fold.html
    """

    functions = fold_forward, fold_backward

    def __init__(
        self,
        output_size: IntPair,
        kernel_size: IntPair,
        dilation: IntPair = 1,
        padding: IntPair = 0,
        stride: IntPair = 1,
    ) -> None:
        check_pair("Fold", "output_size", output_size)
        _check_windows("Fold", kernel_size, dilation, padding, stride)
        options = {"kernel_size": kernel_size, "dilation": dilation, "padding": padding, "stride": stride}
        super().__init__(output_size=output_size, **options)


def _check_windows(owner: str, kernel_size: IntPair, dilation: IntPair, padding: IntPair, stride: IntPair) -> None:
    check_pair(owner, "kernel_size", kernel_size)
    check_pair(owner, "dilation", dilation)
    check_pair(owner, "padding", padding, minimum=0)
    check_pair(owner, "stride", stride)
