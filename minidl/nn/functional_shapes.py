"""PyTorch's functions of pooling, padding, resizing and windows, and of distances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._core import Array, IntPair, check_choice, check_int, check_number
from . import operations as op
from .adaptive_pool import AdaptiveAvgPool2d, AdaptiveMaxPool2d, Size
from .average_pool import AvgPool2d, LPPool2d
from .max_pool import MaxPool1d, MaxPool2d
from .pad import CircularPad2d, ConstantPad2d, ReflectionPad2d, ReplicationPad2d
from .rearranging import broadcast_to, getitem, reshape
from .rearranging import pad as put_around
from .recording import apply, apply_layer, constant, plain
from .reshape import PixelShuffle
from .resize import Factor, Upsample
from .tensor import operand
from .unfold import Fold, Unfold

__all__ = [
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "avg_pool1d",
    "avg_pool2d",
    "cosine_similarity",
    "fold",
    "interpolate",
    "lp_pool2d",
    "max_pool1d",
    "max_pool2d",
    "normalize",
    "one_hot",
    "pad",
    "pairwise_distance",
    "pixel_shuffle",
    "unfold",
    "upsample",
]


def _one(size: Any) -> Any:
    """Return a number that may be given as a tuple of one."""
    return size[0] if isinstance(size, (tuple, list)) and len(size) == 1 else size


# Pooling


def max_pool2d(
    input: Any,
    kernel_size: IntPair,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    dilation: IntPair = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Return the maximum of each window of images ``input`` (N, C, H, W).

    kernel_size, stride, padding, dilation, ceil_mode and return_indices (in another order than the layer's, as in
    PyTorch), the output's shape and the exceptions are those of `nn.MaxPool2d`.
    """
    return apply_layer(MaxPool2d(kernel_size, stride, padding, dilation, return_indices, ceil_mode), input)


def max_pool1d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Return the maximum of each window of sequences ``input`` (N, C, L).

    kernel_size, stride, padding, dilation, ceil_mode and return_indices (in another order than the layer's, as in
    PyTorch), the output's shape and the exceptions are those of `nn.MaxPool1d`.
    """
    kernel, step, around, apart = (_one(size) for size in (kernel_size, stride, padding, dilation))
    return apply_layer(MaxPool1d(kernel, step, around, apart, return_indices, ceil_mode), input)


def avg_pool2d(
    input: Any,
    kernel_size: IntPair,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """Return the mean of each window of images ``input`` (N, C, H, W).

    kernel_size, stride, padding, ceil_mode, count_include_pad and divisor_override, the output's shape and the
    exceptions are those of `nn.AvgPool2d`.
    """
    options = (kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    return apply_layer(AvgPool2d(*options), input)


def avg_pool1d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:
    """Return the mean of each window of sequences ``input`` (N, C, L): `avg_pool2d` of images with one row.

    kernel_size, stride, padding, ceil_mode and count_include_pad are numbers and flags as for `nn.AvgPool2d`.
    """
    if plain(input).ndim != 3:
        raise ValueError(f"avg_pool1d: expected a batch of shape (N, C, L), got {plain(input).shape}")
    kernel, step, around = (check_int("avg_pool1d", "kernel_size", _one(kernel_size)), _one(stride), _one(padding))
    layer = AvgPool2d((1, kernel), None if step is None else (1, step), (0, around), ceil_mode, count_include_pad)
    return _without_row(apply_layer(layer, _with_row(input)))


def _with_row(x: Any) -> Any:
    """Return sequences (N, C, L) as images with one row."""
    n, c, length = x.shape
    return apply(reshape, x, shape=(n, c, 1, length))


def _without_row(x: Any) -> Any:
    n, c, _, length = x.shape
    return apply(reshape, x, shape=(n, c, length))


def lp_pool2d(
    input: Any, norm_type: float, kernel_size: IntPair, stride: IntPair | None = None, ceil_mode: bool = False
) -> Any:
    """Return the p-norm of each window of images ``input`` (N, C, H, W), p = norm_type.

    kernel_size, stride and ceil_mode, the output's shape and the exceptions are those of `nn.LPPool2d`.
    """
    return apply_layer(LPPool2d(norm_type, kernel_size, stride, ceil_mode), input)


def adaptive_avg_pool2d(input: Any, output_size: Size) -> Any:
    """Return the mean of ``output_size`` windows that cover images ``input``. See `nn.AdaptiveAvgPool2d`."""
    return apply_layer(AdaptiveAvgPool2d(output_size), input)


def adaptive_max_pool2d(input: Any, output_size: Size, return_indices: bool = False) -> Any:
    """Return the maximum of ``output_size`` windows that cover images ``input``, and with ``return_indices`` its pixel.

    See `nn.AdaptiveMaxPool2d`.
    """
    return apply_layer(AdaptiveMaxPool2d(output_size, return_indices), input)


# Padding, resizing, windows

_PADS: dict[str, Any] = {"reflect": ReflectionPad2d, "replicate": ReplicationPad2d, "circular": CircularPad2d}


def pad(input: Any, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Any:
    """Make an array larger, or smaller, at the ends of its last axes.

    Args:
        input: an array; images (N, C, H, W) or sequences (N, C, L) for the modes other than 'constant'.
        pad: two numbers for each axis, from the last one to the front: (left, right, top, bottom, ...). A negative
            number crops.
        mode: 'constant', or what the layers `nn.ReflectionPad2d`, `nn.ReplicationPad2d` and `nn.CircularPad2d` do:
            'reflect', 'replicate', 'circular'.
        value: what is put around with 'constant'; None means 0.

    Raises:
        ValueError: the options do not fit the shape.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.pad.html
    """
    check_choice("pad", "mode", mode, ("constant", *_PADS))
    widths = [check_int("pad", "pad", width, minimum=-(2**31)) for width in pad]
    shape = plain(input).shape
    if len(widths) % 2 or not widths or len(widths) > 2 * len(shape):
        raise ValueError(f"pad: expected two numbers for each of the last axes of shape {shape}, got {tuple(pad)}")
    if mode == "constant":
        number = 0 if value is None else check_number("pad", "value", value, minimum=-float("inf"))
        if len(shape) == 4 and len(widths) <= 4 and plain(input).dtype.kind == "f":
            return apply_layer(ConstantPad2d((*widths, 0, 0)[:4], number), input)
        return _constant_pad(input, widths, number)
    if value is not None and value != 0:
        raise ValueError(f"pad: value is for mode='constant' only, got {value} with mode={mode!r}")
    if (len(shape), len(widths)) == (3, 2):
        return _without_row(apply_layer(_PADS[mode]((*widths, 0, 0)), _with_row(input)))
    if (len(shape), len(widths)) != (4, 4):
        raise ValueError(
            f"pad: mode={mode!r} is for images (N, C, H, W) with four numbers and sequences (N, C, L) with two, got an "
            f"input of shape {shape} and {tuple(pad)}"
        )
    return apply_layer(_PADS[mode](widths), input)


def _constant_pad(x: Any, widths: list[int], value: float) -> Any:
    """Pad the axes with a constant, and crop where a width is negative."""
    shape = plain(x).shape
    pairs = [(0, 0)] * (len(shape) - len(widths) // 2) + list(zip(widths[-2::-2], widths[:0:-2], strict=True))
    if any(n + a + b < 0 for n, (a, b) in zip(shape, pairs, strict=True)):
        raise ValueError(f"pad: {tuple(widths)} leaves nothing of an input of shape {shape}")
    if any(min(pair) < 0 for pair in pairs):
        key = tuple(slice(max(0, -a), n - max(0, -b)) for n, (a, b) in zip(shape, pairs, strict=True))
        x = apply(getitem, x, key=key)
    return apply(put_around, x, pad_width=[(max(0, a), max(0, b)) for a, b in pairs], constant_values=value)


def interpolate(
    input: Any,
    size: IntPair | None = None,
    scale_factor: Factor = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Any:
    """Resize images ``input`` (N, C, H, W).

    Args:
        input: images.
        size, scale_factor, mode, align_corners: as for `nn.Upsample`.
        recompute_scale_factor: whether ``scale_factor`` only says how large the output is.
        antialias: not supported.

    Raises:
        ValueError: options or shapes do not fit.
    """
    if antialias:
        raise ValueError("interpolate: antialias is not supported; make smaller images with avg_pool2d")
    if recompute_scale_factor:
        if scale_factor is None:
            raise ValueError("interpolate: recompute_scale_factor needs a scale_factor")
        factors = scale_factor if isinstance(scale_factor, (tuple, list)) else (scale_factor, scale_factor)
        height, width = plain(input).shape[2:]
        size, scale_factor = (int(height * factors[0]), int(width * factors[1])), None
    return apply_layer(Upsample(size, scale_factor, mode, align_corners), input)


def upsample(
    input: Any,
    size: IntPair | None = None,
    scale_factor: Factor = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Any:
    """Same as `interpolate`, with its input, size, scale_factor, mode and align_corners."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def pixel_shuffle(input: Any, upscale_factor: int) -> Any:
    """Turn channels of input into pixels, upscale_factor**2 of them. See `nn.PixelShuffle`."""
    return apply_layer(PixelShuffle(upscale_factor), input)


def unfold(input: Any, kernel_size: IntPair, dilation: IntPair = 1, padding: IntPair = 0, stride: IntPair = 1) -> Any:
    """Lay out every window of images ``input`` as a column.

    kernel_size, dilation, padding and stride, the output's shape and the exceptions are those of `nn.Unfold`.
    """
    return apply_layer(Unfold(kernel_size, dilation, padding, stride), input)


def fold(
    input: Any,
    output_size: IntPair,
    kernel_size: IntPair,
    dilation: IntPair = 1,
    padding: IntPair = 0,
    stride: IntPair = 1,
) -> Any:
    """Add columns ``input`` back into images: output_size, kernel_size, dilation, padding, stride are `nn.Fold`'s."""
    return apply_layer(Fold(output_size, kernel_size, dilation, padding, stride), input)


def one_hot(tensor: Any, num_classes: int = -1) -> Any:
    """Return integers ``tensor`` (...) as rows (..., num_classes) of zeros with a one; -1 means the largest plus 1."""
    labels: Array = np.asarray(plain(tensor))
    if labels.dtype.kind not in "iu":
        raise TypeError(f"one_hot: expected integers, got {labels.dtype}")
    classes = check_int("one_hot", "num_classes", num_classes, minimum=-1)
    if classes == -1:
        if not labels.size:
            raise ValueError("one_hot: give num_classes for an empty array")
        classes = int(labels.max()) + 1
    if labels.size and not (labels.min() >= 0 and labels.max() < classes):
        raise ValueError(f"one_hot: expected integers from 0 to {classes - 1}, got {labels.min()} to {labels.max()}")
    return constant((labels[..., None] == np.arange(classes)).astype(np.int64))


# Distances

_ADD, _DIVIDE = op.ELEMENTWISE[np.add], op.ELEMENTWISE[np.divide]


def normalize(input: Any, p: float = 2.0, dim: Any = 1, eps: float = 1e-12) -> Any:
    """Return input / max(p-norm, eps), the norm being that along the axis (or axes) ``dim``."""
    axis = _axes("normalize", plain(input), dim)
    length = operand(input).norm(p, axis, keepdim=True)
    return apply(_DIVIDE, input, apply(op.clip, length, a_min=eps))


def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    """Return x1 . x2 / (max(|x1|, eps) * max(|x2|, eps)) along the axis ``dim``; the arrays are broadcast.

    The gradient is that of the norms even where they are less than ``eps``, as in PyTorch.
    """
    shape, both = np.broadcast_shapes(plain(x1).shape, plain(x2).shape), []
    for x in (x1, x2):
        whole = x if plain(x).shape == shape else apply(broadcast_to, x, shape=shape)
        length = apply(op.norm, whole, ord=2.0, axis=_axes("cosine_similarity", plain(whole), dim), keepdims=True)
        missing = np.maximum(eps - plain(length), 0).astype(plain(x).dtype)
        both.append(apply(_DIVIDE, whole, apply(_ADD, length, missing)))
    return apply(op.total, apply(op.ELEMENTWISE[np.multiply], *both), axis=dim)


def pairwise_distance(x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Any:
    """Return the p-norm of x1 - x2 + eps along the last axis, which ``keepdim`` keeps; the arrays are broadcast."""
    between = apply(_ADD, apply(op.ELEMENTWISE[np.subtract], x1, x2), eps)
    return operand(between).norm(p, -1, keepdim)


def _axes(owner: str, x: Any, dim: Any) -> Any:
    """Check that axes exist."""
    for axis in dim if isinstance(dim, (tuple, list)) else (dim,):
        if not -x.ndim <= check_int(owner, "dim", axis, minimum=-64) < x.ndim:
            raise ValueError(f"{owner}: dim {axis} does not exist in an array of shape {x.shape}")
    return dim
