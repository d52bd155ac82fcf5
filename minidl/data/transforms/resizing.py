"""Transforms that resize: Resize and RandomResizedCrop, as Pillow and torchvision do it."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ..._core import Array, IntPair, check_choice, check_flag, check_int, check_pair
from ...engine import resample
from .base import Geometric, check_range

__all__ = ["RandomResizedCrop", "Resize"]

_TRIES = 10  # to draw a part that lies within the image


class _Resizing(Geometric):
    """What the two share: how a part of an image is resized."""

    def __init__(self, interpolation: str, antialias: bool) -> None:
        owner = type(self).__name__
        self.interpolation = check_choice(owner, "interpolation", interpolation, ("bilinear", "nearest"))
        self.antialias = check_flag(owner, "antialias", antialias)

    def _resized(self, images: Array, height: int, width: int, mask: bool) -> Array:
        """Return images (N, C, H, W) as (N, C, height, width)."""
        h, w = images.shape[2:]
        if mask or self.interpolation == "nearest":
            rows, columns = (_nearest(size, count) for size, count in ((h, height), (w, width)))
            return images[:, :, rows[:, None], columns]
        rows, columns = (
            _weights(size, count, self.antialias, images.dtype.name) for size, count in ((h, height), (w, width))
        )
        return resample(images, rows, columns)


class Resize(_Resizing):
    """Resize images, by bilinear interpolation; masks take the nearest pixel.

    Where an image becomes smaller, all the pixels that become one are averaged, as Pillow does it.

    Args:
        size: (H, W); or an int, to which the shorter side is resized, while the proportions stay.
        interpolation: "bilinear" or "nearest".
        antialias: average over all pixels when images become smaller; False: over the nearest four.

    Raises:
        ValueError, TypeError: an argument is too small, or of another type.
    """

    def __init__(self, size: IntPair, interpolation: str = "bilinear", *, antialias: bool = True) -> None:
        super().__init__(interpolation, antialias)
        pair = isinstance(size, (tuple, list)) and len(size) != 1
        self.size: int | tuple[int, int]
        if pair:
            self.size = check_pair("Resize", "size", size)
        else:
            self.size = check_int("Resize", "size", size[0] if isinstance(size, (tuple, list)) else size)

    def draw(self, images: Array, rng: np.random.Generator | None = None) -> tuple[int, int]:
        """Return the (H, W) of the result; nothing is random."""
        if isinstance(self.size, tuple):
            return self.size
        h, w = images.shape[2:]
        return (self.size, int(self.size * w / h)) if h <= w else (int(self.size * h / w), self.size)

    def move(self, images: Array, drawn: tuple[int, int], *, mask: bool) -> Array:
        """Resize the images."""
        return self._resized(images, *drawn, mask)

    def __call__(self, images: Array, rng: np.random.Generator | None = None) -> Array:
        """Resize the images; no random numbers are needed."""
        return self.move(self._check(images), self.draw(images), mask=False)


class RandomResizedCrop(_Resizing):
    """Cut a part of random size, proportions and place out of each image, and resize it.

    Args:
        size: of the result, an int for both sides or (H, W).
        scale: range of the part's share of the image's area.
        ratio: range of its width divided by its height; drawn evenly on a logarithmic scale.
        interpolation, antialias: as for `Resize`.

    If ten parts in a row that were drawn do not lie within the image, its middle is taken, with the proportions of the
    image or the nearest allowed ones.

    Raises:
        ValueError, TypeError: an argument is out of range, or of another type.

    Source: Szegedy et al. 2015, arXiv:1409.4842.
    """

    def __init__(
        self,
        size: IntPair,
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        interpolation: str = "bilinear",
        *,
        antialias: bool = True,
    ) -> None:
        super().__init__(interpolation, antialias)
        self.size = check_pair("RandomResizedCrop", "size", size)
        self.scale = check_range("RandomResizedCrop", "scale", scale, maximum=1.0)
        self.ratio = check_range("RandomResizedCrop", "ratio", ratio, minimum=1e-6)
        if self.scale[0] > self.scale[1] or self.ratio[0] > self.ratio[1]:
            raise ValueError(f"RandomResizedCrop: scale and ratio must be ranges, got {self.scale} and {self.ratio}")

    def draw(self, images: Array, rng: np.random.Generator) -> Array:
        """Return the top, left, height and width of each part, integers (N, 4)."""
        n, _, h, w = images.shape
        area = rng.uniform(self.scale[0], self.scale[1], (n, _TRIES)) * h * w
        ratio = np.exp(rng.uniform(np.log(self.ratio[0]), np.log(self.ratio[1]), (n, _TRIES)))
        wide, high = np.rint(np.sqrt(area * ratio)), np.rint(np.sqrt(area / ratio))
        fits = (wide >= 1) & (wide <= w) & (high >= 1) & (high <= h)
        first = np.arange(n), fits.argmax(axis=1)
        found = fits.any(axis=1)
        middle = np.clip(w / h, *self.ratio)
        height = np.where(found, high[first], min(h, max(1, round(w / middle)))).astype(int)
        width = np.where(found, wide[first], min(w, max(1, round(h * middle)))).astype(int)
        tops, lefts = (rng.integers(room, size=n) for room in (h - height + 1, w - width + 1))
        tops, lefts = np.where(found, tops, (h - height) // 2), np.where(found, lefts, (w - width) // 2)
        return np.stack([tops, lefts, height, width], axis=1)

    def move(self, images: Array, drawn: Array, *, mask: bool) -> Array:
        """Cut the parts out and resize them."""
        out = np.empty((*images.shape[:2], *self.size), images.dtype)
        for number, (top, left, height, width) in enumerate(drawn.tolist()):
            part = images[number : number + 1, :, top : top + height, left : left + width]
            out[number] = self._resized(part, *self.size, mask)[0]
        return out


def _nearest(size: int, count: int) -> Array:
    """Return which of ``size`` pixels is nearest to the centre of each of ``count``."""
    return ((np.arange(count) + 0.5) * size / count).astype(int)


@functools.lru_cache(maxsize=512)
def _weights(size: int, count: int, antialias: bool, dtype: str) -> Any:
    """Return the matrix (count, size) of an interpolation: each row has the weights of the pixels around a place.

    The weights fall linearly with the distance, to 0 at one pixel, or at one of the larger pixels that come out.
    """
    reach = max(1.0, size / count) if antialias else 1.0
    places = (np.arange(count) + 0.5) * size / count - 0.5
    pixels = np.arange(size)
    weights = np.maximum(0, 1 - np.abs(pixels - places[:, None]) / reach)
    matrix = (weights / weights.sum(axis=1, keepdims=True)).astype(dtype)
    matrix.setflags(write=False)
    return matrix
