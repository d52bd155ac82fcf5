"""Transforms of the pixels' values: Normalize and ColorJitter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..._core import Array, check_number
from ..naming import named
from .base import Transform

__all__ = ["ColorJitter", "Normalize"]


class Normalize(Transform):
    """Standardise each channel: (x - mean) / std.

    Args:
        mean, std: a number, or one for each channel; std not 0.

    Raises:
        ValueError: they are not finite numbers, std is 0, or (when it is applied) there is neither one value nor one
            for each channel.
    """

    def __init__(self, mean: float | Sequence[float], std: float | Sequence[float]) -> None:
        with named("Normalize"):
            self.mean, self.std = (np.atleast_1d(np.asarray(v, np.float64)).reshape(-1, 1, 1) for v in (mean, std))
        counts = len(self.mean), len(self.std)
        if 0 in counts or len({1, *counts}) > 2:
            raise ValueError(f"Normalize: mean and std must have one value for each channel, got {counts} values")
        if not np.all(self.std) or not np.isfinite(self.mean).all() or not np.isfinite(self.std).all():
            raise ValueError(f"Normalize: mean and std must be finite, std not 0; got {mean} and {std}")

    def __call__(self, images: Array, rng: np.random.Generator | None = None) -> Array:
        """Standardise; no random numbers are needed."""
        self._check(images)
        for values in (self.mean, self.std):
            if len(values) not in (1, images.shape[1]):
                raise ValueError(f"Normalize: {len(values)} values for {images.shape[1]} channels")
        return (images - self.mean.astype(images.dtype)) / self.std.astype(images.dtype)  # type: ignore[no-any-return]


class ColorJitter(Transform):
    """Change brightness, contrast, saturation and hue of each image, in this order; the result is clipped to [0, 1].

    A factor f is drawn from [1 - strength, 1 + strength], not below 0. Brightness is multiplied by f, contrast scales
    the distance from the image's mean grey by f, saturation the distance from each pixel's grey. The hue, an angle, is
    turned by a share of a full circle from [-hue, hue]; grey has none.

    Args:
        brightness, contrast, saturation: the strengths.
        hue: the largest share of a full circle, from 0 to 0.5; for images of three channels, or of one, which stay.

    Raises:
        ValueError, TypeError: a strength is negative, hue is above 0.5, or one of them is not a number; or (when it is
            applied) the images have neither one nor three channels, and hue is not 0.
    """

    def __init__(
        self, brightness: float = 0.0, contrast: float = 0.0, saturation: float = 0.0, hue: float = 0.0
    ) -> None:
        self.brightness = check_number("ColorJitter", "brightness", brightness)
        self.contrast = check_number("ColorJitter", "contrast", contrast)
        self.saturation = check_number("ColorJitter", "saturation", saturation)
        self.hue = check_number("ColorJitter", "hue", hue, maximum=0.5)

    def __call__(self, images: Array, rng: np.random.Generator) -> Array:
        """Change the colours."""
        n, channels, _, _ = self._check(images).shape
        if self.hue and channels not in (1, 3):
            raise ValueError(f"ColorJitter: hue needs images of 1 or 3 channels, got {channels}")
        out = images
        weights = np.full(channels, 1 / channels) if channels != 3 else np.array([0.299, 0.587, 0.114])
        for name in ("brightness", "contrast", "saturation"):
            strength = getattr(self, name)
            factor = np.maximum(0, rng.uniform(1 - strength, 1 + strength, (n, 1, 1, 1))).astype(images.dtype)
            origin: Any = 0
            if name != "brightness":
                origin = (out * weights.astype(images.dtype).reshape(-1, 1, 1)).sum(axis=1, keepdims=True)
            if name == "contrast":
                origin = origin.mean(axis=(2, 3), keepdims=True)
            out = np.clip(origin + factor * (out - origin), 0, 1)
        if not self.hue or channels == 1:
            return out
        return _turned(out, rng.uniform(-self.hue, self.hue, (n, 1, 1)).astype(images.dtype))


def _turned(images: Array, turn: Array) -> Array:
    """Return images (N, 3, H, W) whose hues are turned by a share of the circle (N, 1, 1).

    These are the hue and value of HSV: the value is the largest of the three colours, its distance from the smallest is
    the chroma, and the hue, in sixths of the circle, tells which is the largest and where the middle one lies.
    """
    red, green, blue = images.transpose(1, 0, 2, 3)
    value = images.max(axis=1)
    chroma = value - images.min(axis=1)
    unit = np.where(chroma > 0, chroma, 1)
    of_green_or_blue = np.where(value == green, 2 + (blue - red) / unit, 4 + (red - green) / unit)
    hue = np.where(value == red, (green - blue) / unit, of_green_or_blue) + 6 * turn
    sixths = [np.mod(number + hue, 6) for number in (5, 3, 1)]  # of red, green and blue
    return np.stack([value - chroma * np.clip(np.minimum(k, 4 - k), 0, 1) for k in sixths], axis=1)
