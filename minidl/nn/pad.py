"""Padding: constant, reflect, replicate, circular."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from .._core import Array, check_choice, check_grad, check_images, check_int, check_number, remembered
from ..engine import empty
from .layer import Layer

__all__ = [
    "CircularPad2d",
    "ConstantPad2d",
    "ReflectionPad2d",
    "ReplicationPad2d",
    "ZeroPad2d",
    "pad2d_backward",
    "pad2d_forward",
]

MODES = ("constant", "reflect", "replicate", "circular")
_LIMIT = {"reflect": 1, "circular": 0}  # how much larger than the padding the image must be


@remembered
def _sides(owner: str, padding: int | Sequence[int]) -> tuple[int, int, int, int]:
    """Return (left, right, top, bottom); negative padding crops."""
    four = padding if isinstance(padding, (tuple, list)) else (padding,) * 4
    if len(four) != 4:
        raise ValueError(f"{owner}: padding must be an integer or (left, right, top, bottom), got {padding!r}")
    left, right, top, bottom = (check_int(owner, "padding", p, minimum=-(2**31)) for p in four)
    return left, right, top, bottom


class _Axis(NamedTuple):
    """One axis: which outputs lie within the image, and which inputs the others copy."""

    size: int
    before: int
    out: int

    @property
    def inner(self) -> slice:
        """The outputs that lie within the image."""
        return slice(max(0, self.before), min(self.out, self.before + self.size))

    @property
    def kept(self) -> slice:
        """The inputs that they copy."""
        return slice(self.inner.start - self.before, self.inner.stop - self.before)

    def copies(self, mode: str) -> list[tuple[int, int]]:
        """Return (output, input that it copies) for each output outside of the image."""
        place = np.arange(-self.before, self.out - self.before)
        if mode == "circular":
            origin = np.mod(place, self.size)
        elif mode == "reflect":
            place = np.abs(place)
            origin = np.where(place >= self.size, 2 * (self.size - 1) - place, place)
        else:
            origin = np.clip(place, 0, self.size - 1)
        return [(o, int(origin[o])) for o in (*range(self.inner.start), *range(self.inner.stop, self.out))]


class PadCache(NamedTuple):
    """What `pad2d_backward` needs: shapes, dtype, both axes and the mode."""

    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    dtype: np.dtype[Any]
    rows: _Axis
    columns: _Axis
    mode: str


def pad2d_forward(
    x: Array, padding: int | Sequence[int], *, mode: str = "constant", value: float = 0.0
) -> tuple[Array, PadCache]:
    """Make images larger on all sides, or crop them.

    x is (N, C, H, W); padding is an int or (left, right, top, bottom), negative where it crops. mode is 'constant',
    padding with value; 'reflect', mirrored without repeating the edge; 'replicate', the edge repeated; or 'circular',
    the image repeated. Returns out (N, C, H + top + bottom, W + left + right) and the cache for `pad2d_backward`.
    Raises ValueError if nothing is left or the image is too small for the mode, TypeError if x is not float32 or
    float64. Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.pad.html
    """
    check_images(x)
    check_choice("pad2d", "mode", mode, MODES)
    left, right, top, bottom = _sides("pad2d", padding)
    n, c, h, w = x.shape
    for size, before, after in ((h, top, bottom), (w, left, right)):
        if size + before + after < 1:
            raise ValueError(f"padding {padding} leaves nothing of an input of shape {x.shape}")
        if mode in _LIMIT and max(before, after) > size - _LIMIT[mode]:
            raise ValueError(f"{mode} padding {padding} is too large for an input of shape {x.shape}")
        if mode == "circular" and min(before, after) < 0:
            raise ValueError(f"circular padding cannot crop, got {padding}")
    rows, columns = _Axis(h, top, h + top + bottom), _Axis(w, left, w + left + right)
    out = empty((n, c, rows.out, columns.out), x.dtype)
    if mode == "constant":
        out.fill(value)
        out[:, :, rows.inner, columns.inner] = x[:, :, rows.kept, columns.kept]
    else:
        tall = empty((n, c, rows.out, w), x.dtype)
        tall[:, :, rows.inner] = x[:, :, rows.kept]
        for place, origin in rows.copies(mode):
            tall[:, :, place] = x[:, :, origin]
        out[..., columns.inner] = tall[..., columns.kept]
        for place, origin in columns.copies(mode):
            out[..., place] = tall[..., origin]
    return out, PadCache(x.shape, out.shape, x.dtype, rows, columns, mode)


def pad2d_backward(grad_output: Array, cache: PadCache) -> Array:
    """Return the gradient of `pad2d_forward`: each pixel gets the gradients of all its copies.

    Returns dx (N, C, H, W). ``grad_output`` must have the output's shape and dtype (ValueError, TypeError);
    ``cache`` is from `pad2d_forward`.
    """
    (n, c, h, w), out_shape, dtype, rows, columns, mode = cache
    check_grad(grad_output, out_shape, dtype)
    tall, dx = empty((n, c, rows.out, w), dtype), empty((n, c, h, w), dtype)
    tall.fill(0)
    tall[..., columns.kept] = grad_output[..., columns.inner]
    dx.fill(0)
    if mode == "constant":
        dx[:, :, rows.kept] = tall[:, :, rows.inner]
        return dx
    for place, origin in columns.copies(mode):
        tall[..., origin] += grad_output[..., place]
    dx[:, :, rows.kept] = tall[:, :, rows.inner]
    for place, origin in rows.copies(mode):
        dx[:, :, origin] += tall[:, :, place]
    return dx


class _Pad(Layer):
    _pair = pad2d_forward, pad2d_backward
    _options = "padding", "mode", "value"
    mode: ClassVar[str]
    value: float = 0.0

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__()
        self.padding = _sides(type(self).__name__, padding)

    def extra_repr(self) -> str:
        """Options in PyTorch's form."""
        return str(self.padding)


class ConstantPad2d(_Pad):
    """Pad images with a constant.

    Args:
        padding: an int, or (left, right, top, bottom); negative padding crops.
        value: the constant.

    Shape:
        input (N, C, H, W), output (N, C, H + top + bottom, W + left + right).
    """

    mode = "constant"

    def __init__(self, padding: int | Sequence[int], value: float) -> None:
        super().__init__(padding)
        self.value = check_number("ConstantPad2d", "value", value, minimum=-float("inf"))

    def extra_repr(self) -> str:
        """Options in PyTorch's form."""
        return f"padding={self.padding}, value={self.value}"


class ZeroPad2d(_Pad):
    """Pad images with zeros; ``padding`` is an int, or (left, right, top, bottom); negative padding crops.

    Shape:
        input (N, C, H, W), output (N, C, H + top + bottom, W + left + right).
    """

    mode = "constant"


class ReflectionPad2d(_Pad):
    """Pad images by mirroring them, without repeating the edge; ``padding`` as for ZeroPad2d, less than the image.

    Shape:
        input (N, C, H, W), output (N, C, H + top + bottom, W + left + right).
    """

    mode = "reflect"


class ReplicationPad2d(_Pad):
    """Pad images by repeating the edge; ``padding`` as for ZeroPad2d.

    Shape:
        input (N, C, H, W), output (N, C, H + top + bottom, W + left + right).
    """

    mode = "replicate"


class CircularPad2d(_Pad):
    """Pad images by repeating them; ``padding`` as for ZeroPad2d, at most the image's size.

    Shape:
        input (N, C, H, W), output (N, C, H + top + bottom, W + left + right).
    """

    mode = "circular"
