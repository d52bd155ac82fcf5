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
    """Change brightness, contrast and saturation of each image, in this order; the result is clipped to [0, 1].

    A factor f is drawn from [1 - strength, 1 + strength], not below 0. Brightness is multiplied by f, contrast scales
    the distance from the image's mean grey by f, saturation the distance from each pixel's grey.

    Args:
        brightness, contrast, saturation: the strengths.

    Raises:
        ValueError, TypeError: a strength is negative, or not a number.
    """

    def __init__(self, brightness: float = 0.0, contrast: float = 0.0, saturation: float = 0.0) -> None:
        self.brightness = check_number("ColorJitter", "brightness", brightness)
        self.contrast = check_number("ColorJitter", "contrast", contrast)
        self.saturation = check_number("ColorJitter", "saturation", saturation)

    def __call__(self, images: Array, rng: np.random.Generator) -> Array:
        """Change the colours."""
        n, channels, _, _ = self._check(images).shape
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
        return out
