"""Transforms that blank part of each image: Cutout and RandomErasing; and the rectangles they share with CutMix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..._core import Array, check_choice, check_int, check_number
from .base import Transform, check_range

__all__ = ["Cutout", "RandomErasing", "inside"]


class Cutout(Transform):
    """Blank a square at a random place of each image; at the border, the part of it that lies inside.

    Args:
        size: side of the square, in pixels.
        value: what the blanked pixels become.

    Raises:
        ValueError, TypeError: the size is less than 1, or one of the two is not a number.

    Source: DeVries and Taylor 2017, arXiv:1708.04552.
    """

    def __init__(self, size: int, value: float = 0.0) -> None:
        self.size = check_int("Cutout", "size", size)
        self.value = check_number("Cutout", "value", value, minimum=-float("inf"))

    def __call__(self, images: Array, rng: np.random.Generator) -> Array:
        """Blank the squares."""
        n, _, h, w = self._check(images).shape
        top, left = (rng.integers(size, size=n) - self.size // 2 for size in (h, w))
        return _blank(images, top, top + self.size, left, left + self.size, self.value)


class RandomErasing(Transform):
    """Blank a rectangle of random size and shape in some of the images.

    Args:
        p: probability for each image.
        scale: range of the rectangle's share of the image's area.
        ratio: range of its width divided by its height.
        value: what the blanked pixels become: a number, one for each channel, or "random" for numbers of a standard
            normal distribution.

    Raises:
        ValueError, TypeError: p or scale is not within [0, 1], scale or ratio is not a range of numbers, or value is
            none of these; or (when it is applied) there is not one value for each channel.

    Source: Zhong et al. 2017, arXiv:1708.04896.
    """

    def __init__(
        self,
        p: float = 0.5,
        scale: tuple[float, float] = (0.02, 0.33),
        ratio: tuple[float, float] = (0.3, 3.3),
        value: float | Sequence[float] | str = 0.0,
    ) -> None:
        self.p = check_number("RandomErasing", "p", p, maximum=1.0)
        self.scale = check_range("RandomErasing", "scale", scale, maximum=1.0)
        self.ratio = check_range("RandomErasing", "ratio", ratio, minimum=1e-6)
        self.value = _check_value(value)
        if self.scale[0] > self.scale[1] or self.ratio[0] > self.ratio[1]:
            raise ValueError(f"RandomErasing: scale and ratio must be ranges, got {self.scale} and {self.ratio}")

    def __call__(self, images: Array, rng: np.random.Generator) -> Array:
        """Blank the rectangles."""
        n, _, h, w = self._check(images).shape
        chosen = rng.random(n) < self.p
        area = rng.uniform(self.scale[0], self.scale[1], n) * h * w
        ratio = np.exp(rng.uniform(np.log(self.ratio[0]), np.log(self.ratio[1]), n))
        high = np.where(chosen, np.clip(np.rint(np.sqrt(area / ratio)), 1, h), 0).astype(int)
        wide = np.clip(np.rint(np.sqrt(area * ratio)), 1, w).astype(int)
        top, left = (rng.integers(room, size=n) for room in (h - high + 1, w - wide + 1))
        value: Any = self.value
        if isinstance(value, str):
            value = rng.standard_normal(images.shape)
        elif isinstance(value, tuple):
            if len(value) != images.shape[1]:
                raise ValueError(f"RandomErasing: {len(value)} values for {images.shape[1]} channels")
            value = np.reshape(value, (-1, 1, 1))
        return _blank(images, top, top + high, left, left + wide, value)


def _check_value(value: Any) -> float | tuple[float, ...] | str:
    """Return what RandomErasing blanks with: a number, numbers, or "random"."""
    if isinstance(value, str):
        return check_choice("RandomErasing", "value", value, ("random",))
    if isinstance(value, (tuple, list)):
        return tuple(check_number("RandomErasing", "value", one, minimum=-float("inf")) for one in value)
    return check_number("RandomErasing", "value", value, minimum=-float("inf"))


def _blank(images: Array, top: Any, bottom: Any, left: Any, right: Any, value: Any) -> Array:
    """Return copies of the images with ``value`` in a rectangle of each."""
    return np.where(inside(images, top, bottom, left, right)[:, None], np.asarray(value, images.dtype), images)


def inside(images: Array, top: Any, bottom: Any, left: Any, right: Any) -> Array:
    """Return which pixels (N, H, W) lie in a rectangle, given by its edges for each image, or for all."""
    y, x = np.arange(images.shape[2])[None, :, None], np.arange(images.shape[3])[None, None, :]
    first, last, begin, end = (np.reshape(v, (-1, 1, 1)) for v in (top, bottom, left, right))
    return (y >= first) & (y < last) & (x >= begin) & (x < end)
