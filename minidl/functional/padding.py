"""Padding in forward and backward pairs: constant, reflect, replicate, circular."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .._core import Array, check_choice, check_grad, check_images, check_int
from . import _layout
from ._explain import explain

__all__ = ["check_padding", "pad2d_backward", "pad2d_forward"]

MODES = ("constant", "reflect", "replicate", "circular")


def check_padding(owner: str, padding: int | Sequence[int]) -> tuple[int, int, int, int]:
    """Return (left, right, top, bottom); negative padding crops."""
    four = padding if isinstance(padding, (tuple, list)) else (padding,) * 4
    if len(four) != 4:
        raise ValueError(f"{owner}: padding must be an integer or (left, right, top, bottom), got {padding!r}")
    left, right, top, bottom = (check_int(owner, "padding", p, minimum=-(2**31)) for p in four)
    return left, right, top, bottom


def pad2d_forward(
    x: Array, padding: int | Sequence[int], *, mode: str = "constant", value: float = 0.0
) -> tuple[Array, Any]:
    """Make images larger on all sides.

    Args:
        x: images (N, C, H, W), float32 or float64.
        padding: an int, or (left, right, top, bottom) as in PyTorch; negative padding crops.
        mode: 'constant'; 'reflect', mirrored without repeating the edge; 'replicate', the edge repeated; 'circular',
            the image repeated.
        value: what a constant padding holds.

    Returns:
        out (N, C, H + top + bottom, W + left + right) of x's dtype, and the cache for `pad2d_backward`.

    Raises:
        ValueError: nothing would be left, or the image is too small for the mode.
        TypeError: the dtype is not a float.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.pad.html
    """
    check_images(x)
    check_choice("pad2d", "mode", mode, MODES)
    left, right, top, bottom = check_padding("pad2d", padding)
    axes = []
    for size, before, after in ((x.shape[2], top, bottom), (x.shape[3], left, right)):
        if size + before + after < 1:
            raise ValueError(f"padding {padding} leaves nothing of an input of shape {x.shape}")
        if mode in _LIMIT and max(before, after) > size - _LIMIT[mode]:
            raise ValueError(f"{mode} padding {padding} is too large for an input of shape {x.shape}")
        if mode == "circular" and min(before, after) < 0:
            raise ValueError(f"circular padding cannot crop, got {padding}")
        axes.append(_Axis(size, before, size + before + after))
    out = _layout.empty((*x.shape[:2], axes[0].out, axes[1].out), x.dtype)
    source, target = _layout.block(x), _layout.block(out)
    if mode == "constant":
        target.fill(value)
        target[axes[0].inner, :, axes[1].inner] = source[axes[0].kept, :, axes[1].kept]
    else:
        target[...] = source[axes[0].origin(mode)][:, :, axes[1].origin(mode)]
    return out, (out.shape, x.dtype, axes, mode)


_LIMIT = {"reflect": 1, "circular": 0}


class _Axis(NamedTuple):
    """One axis: which outputs come from within the image, and where the others come from."""

    size: int
    before: int
    out: int

    @property
    def inner(self) -> slice:
        """The outputs that lie within the image."""
        return slice(max(0, self.before), min(self.out, self.before + self.size))

    @property
    def kept(self) -> slice:
        """The inputs that they are."""
        return slice(self.inner.start - self.before, self.inner.stop - self.before)

    def origin(self, mode: str) -> Array:
        """Return for each output the input that it copies."""
        place = np.arange(-self.before, self.out - self.before)
        if mode == "circular":
            return np.mod(place, self.size)
        if mode == "reflect":
            place = np.abs(place)
            place = np.where(place >= self.size, 2 * (self.size - 1) - place, place)
        return np.clip(place, 0, self.size - 1)


@explain
def pad2d_backward(grad_output: Array, cache: Any) -> Array:
    """Gradient of `pad2d_forward`: each pixel gets the gradients of all its copies.

    Returns:
        dx (N, C, H, W).
    """
    out_shape, dtype, axes, mode = cache
    check_grad(grad_output, out_shape, dtype)
    grad = _layout.block(grad_output)
    for number, axis in ((0, axes[0]), (2, axes[1])):
        grad = _gather(np.moveaxis(grad, number, 0), axis, mode)
        grad = np.moveaxis(grad, 0, number)
    return _layout.images(grad)


def _gather(grad: Array, axis: _Axis, mode: str) -> Array:
    """Add the gradients of one axis, which stands first, into the pixels that they are copies of."""
    result = np.zeros((axis.size, *grad.shape[1:]), grad.dtype)
    result[axis.kept] = grad[axis.inner]
    if mode != "constant":
        origin = axis.origin(mode)
        for place in (*range(axis.inner.start), *range(axis.inner.stop, axis.out)):  # the padding only
            result[origin[place]] += grad[place]
    return result
