"""GaussianBlur."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._core import Array, IntPair, check_number, check_pair
from .base import Transform, check_range

__all__ = ["GaussianBlur"]


class GaussianBlur(Transform):
    """Blur each image with a Gaussian of its own width; beyond the edges the image is mirrored.

    A pixel at distance d has the weight exp(-d^2 / (2 sigma^2)), and weights add up to 1 over the kernel.

    Args:
        kernel_size: odd, in pixels; an int, or (width, height), torchvision's order.
        sigma: standard deviation in pixels, or the range from which it is drawn for each image.

    Raises:
        ValueError, TypeError: the kernel's size is even, sigma not positive, or one of the two not a number; or (when
            it is applied) the kernel reaches further than an image can be mirrored.
    """

    def __init__(self, kernel_size: IntPair, sigma: float | tuple[float, float] = (0.1, 2.0)) -> None:
        self.kernel_size = check_pair("GaussianBlur", "kernel_size", kernel_size)
        if not all(size % 2 for size in self.kernel_size):
            raise ValueError(f"GaussianBlur: kernel_size must be odd, got {kernel_size!r}")
        if np.iterable(sigma):
            self.sigma = check_range("GaussianBlur", "sigma", sigma, minimum=1e-6)
        else:
            self.sigma = (check_number("GaussianBlur", "sigma", sigma, minimum=1e-6),) * 2
        if self.sigma[0] > self.sigma[1]:
            raise ValueError(f"GaussianBlur: sigma must be a range, got {self.sigma}")

    def __call__(self, images: Array, rng: np.random.Generator) -> Array:
        """Blur the images."""
        n, _, h, w = self._check(images).shape
        across, down = (size // 2 for size in self.kernel_size)
        if down >= h or across >= w:
            raise ValueError(f"GaussianBlur: kernel_size {self.kernel_size} is too large for images {(h, w)}")
        sigma = rng.uniform(*self.sigma, (n, 1))
        return _blurred(_blurred(images, sigma, down, axis=2), sigma, across, axis=3)


def _blurred(images: Array, sigma: Array, reach: int, axis: int) -> Array:
    """Return images that are blurred along an axis, by a kernel of ``2 * reach + 1`` pixels."""
    distance = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (distance / sigma) ** 2)
    weights = (weights / weights.sum(axis=1, keepdims=True)).astype(images.dtype)
    edges = [(0, 0)] * 4
    edges[axis] = (reach, reach)
    padded = np.pad(images, edges, mode="reflect")
    size = images.shape[axis]
    out: Any = 0
    for place in range(2 * reach + 1):
        part = padded[:, :, place : place + size] if axis == 2 else padded[:, :, :, place : place + size]
        out = out + weights[:, place, None, None, None] * part
    return np.asarray(out)
