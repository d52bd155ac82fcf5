"""Geometric transforms: crop, flip, rotation and affine maps."""

from __future__ import annotations

import numpy as np

from ..._core import Array, IntPair, check_number, check_pair
from .base import Transform, check_range

__all__ = ["RandomAffine", "RandomCrop", "RandomHorizontalFlip", "RandomRotation"]


class RandomCrop(Transform):
    """Cut a part out of each image at a random place.

    Args:
        size: of the part, an int or (H, W).
        padding: zeros added around the image first, an int or (height, width).

    Raises:
        ValueError, TypeError: an argument is too small or not an integer; or (when it is applied) the padded image is
            smaller than the part.
    """

    def __init__(self, size: IntPair, padding: IntPair = 0) -> None:
        self.size = check_pair("RandomCrop", "size", size)
        self.padding = check_pair("RandomCrop", "padding", padding, minimum=0)

    def __call__(self, images: Array, rng: np.random.Generator) -> Array:
        """Cut the parts out."""
        self._check(images)
        (height, width), (py, px) = self.size, self.padding
        padded = np.pad(images, ((0, 0), (0, 0), (py, py), (px, px))) if py or px else images
        if height > padded.shape[2] or width > padded.shape[3]:
            raise ValueError(f"RandomCrop: size {self.size} is larger than the padded image {padded.shape[2:]}")
        tops = rng.integers(padded.shape[2] - height + 1, size=len(images))
        lefts = rng.integers(padded.shape[3] - width + 1, size=len(images))
        views = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(2, 3))
        return views[np.arange(len(images)), :, tops, lefts]


class RandomHorizontalFlip(Transform):
    """Mirror images, left to right.

    Args:
        p: probability for each image.

    Raises:
        ValueError, TypeError: p is not within [0, 1], or not a number.
    """

    def __init__(self, p: float = 0.5) -> None:
        self.p = check_number("RandomHorizontalFlip", "p", p, maximum=1.0)

    def __call__(self, images: Array, rng: np.random.Generator) -> Array:
        """Mirror some of the images."""
        self._check(images)
        flipped = rng.random(len(images)) < self.p
        out = images.copy()
        out[flipped] = images[flipped, :, :, ::-1]
        return out


class RandomAffine(Transform):
    """Rotate, shift, scale and shear each image about its centre, with bilinear interpolation.

    Args:
        degrees: angles are drawn from [-degrees, degrees].
        translate: the largest shifts, as fractions (of the width, of the height).
        scale: range of the scale.
        shear: horizontal shear angles are drawn from [-shear, shear] degrees.
        fill: what the pixels from outside the image become.

    Raises:
        ValueError, TypeError: an argument is out of range, or not a number or a pair of numbers.
    """

    def __init__(
        self,
        degrees: float = 0.0,
        translate: tuple[float, float] = (0.0, 0.0),
        scale: tuple[float, float] = (1.0, 1.0),
        shear: float = 0.0,
        fill: float = 0.0,
    ) -> None:
        owner = type(self).__name__
        self.degrees = check_number(owner, "degrees", degrees)
        self.translate = check_range(owner, "translate", translate, maximum=1.0)
        self.scale = check_range(owner, "scale", scale)
        self.shear = check_number(owner, "shear", shear)
        self.fill = check_number(owner, "fill", fill, minimum=-float("inf"))
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"{owner}: translate must be a pair, scale a range above 0; got {translate}, {scale}")

    def __call__(self, images: Array, rng: np.random.Generator) -> Array:
        """Resample the images."""
        self._check(images)
        h, w = images.shape[2:]
        angle = np.deg2rad(_uniform(rng, (-self.degrees, self.degrees), images))
        shear = np.tan(np.deg2rad(_uniform(rng, (-self.shear, self.shear), images)))
        scale = _uniform(rng, self.scale, images)
        move_x = _uniform(rng, (-self.translate[0], self.translate[0]), images) * w
        move_y = _uniform(rng, (-self.translate[1], self.translate[1]), images) * h
        # where each pixel of the output comes from: undo the shift, the rotation, the shear, the scale
        x = (np.arange(w, dtype=images.dtype) - (w - 1) / 2)[None, None, :] - move_x
        y = (np.arange(h, dtype=images.dtype) - (h - 1) / 2)[None, :, None] - move_y
        x, y = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
        x = (x - shear * y) / scale + (w - 1) / 2
        return _bilinear(images, y / scale + (h - 1) / 2, x, self.fill)


def _uniform(rng: np.random.Generator, bounds: tuple[float, float], images: Array) -> Array:
    """Return a number for each image, (N, 1, 1), in the images' dtype."""
    return rng.uniform(bounds[0], bounds[1], (len(images), 1, 1)).astype(images.dtype)


class RandomRotation(RandomAffine):
    """Rotate each image about its centre by an angle from [-degrees, degrees].

    Args:
        degrees: the largest angle.
        fill: what the pixels from outside the image become.

    Raises:
        ValueError, TypeError: as for `RandomAffine`.
    """

    def __init__(self, degrees: float, fill: float = 0.0) -> None:
        super().__init__(degrees, fill=fill)


def _bilinear(images: Array, y: Array, x: Array, fill: float) -> Array:
    """Return the images' values at the places (y, x), (N, OH, OW) each."""
    n, c, h, w = images.shape
    bordered = np.full((n, c, h + 2, w + 2), fill, images.dtype)
    bordered[:, :, 1:-1, 1:-1] = images
    flat = bordered.reshape(n, c, -1)
    y, x = np.clip(y, -1, h) + 1, np.clip(x, -1, w) + 1
    top, left = np.minimum(y.astype(np.intp), h), np.minimum(x.astype(np.intp), w)
    down, right = ((v - first).astype(images.dtype).reshape(n, 1, -1) for v, first in ((y, top), (x, left)))
    corner = (top * (w + 2) + left).reshape(n, 1, -1)
    a, b, below_a, below_b = (np.take_along_axis(flat, corner + step, axis=2) for step in (0, 1, w + 2, w + 3))
    upper, lower = a + (b - a) * right, below_a + (below_b - below_a) * right
    return (upper + (lower - upper) * down).reshape(n, c, *y.shape[1:])  # type: ignore[no-any-return]
