"""Geometric transforms: crops, flips, rotation and affine maps."""

from __future__ import annotations

import numpy as np

from ..._core import Array, IntPair, check_number, check_pair
from .base import Geometric, check_range

__all__ = [
    "CenterCrop",
    "RandomAffine",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomRotation",
    "RandomVerticalFlip",
]


class RandomCrop(Geometric):
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

    def draw(self, images: Array, rng: np.random.Generator) -> tuple[Array, Array]:
        """Return the top and the left edge of each part, in the padded image."""
        height, width = (side + 2 * pad for side, pad in zip(images.shape[2:], self.padding, strict=True))
        if self.size[0] > height or self.size[1] > width:
            raise ValueError(f"RandomCrop: size {self.size} is larger than the padded image {(height, width)}")
        tops = rng.integers(height - self.size[0] + 1, size=len(images))
        return tops, rng.integers(width - self.size[1] + 1, size=len(images))

    def move(self, images: Array, drawn: tuple[Array, Array], *, mask: bool) -> Array:
        """Cut the parts out."""
        views = np.lib.stride_tricks.sliding_window_view(_padded(images, *self.padding), self.size, axis=(2, 3))
        return views[np.arange(len(images)), :, drawn[0], drawn[1]]


class CenterCrop(Geometric):
    """Cut the middle out of each image; a smaller image is padded with zeros first.

    Args:
        size: of the middle, an int or (H, W).

    Raises:
        ValueError, TypeError: the size is less than 1, or not an integer.
    """

    def __init__(self, size: IntPair) -> None:
        self.size = check_pair("CenterCrop", "size", size)

    def draw(self, images: Array, rng: np.random.Generator | None = None) -> None:
        """Return nothing: the middle is where it is."""

    def move(self, images: Array, drawn: None, *, mask: bool) -> Array:
        """Cut the middle out."""
        lacking = [max(0, size - side) for size, side in zip(self.size, images.shape[2:], strict=True)]
        before, after = [lack // 2 for lack in lacking], [(lack + 1) // 2 for lack in lacking]
        edges = list(zip(before, after, strict=True))
        padded = np.pad(images, ((0, 0), (0, 0), *edges)) if any(lacking) else images
        top, left = (round((side - size) / 2) for side, size in zip(padded.shape[2:], self.size, strict=True))
        return padded[:, :, top : top + self.size[0], left : left + self.size[1]].copy()

    def __call__(self, images: Array, rng: np.random.Generator | None = None) -> Array:
        """Cut the middle out; no random numbers are needed."""
        return self.move(self._check(images), None, mask=False)


class _Flip(Geometric):
    axis: int

    def __init__(self, p: float = 0.5) -> None:
        self.p = check_number(type(self).__name__, "p", p, maximum=1.0)

    def draw(self, images: Array, rng: np.random.Generator) -> Array:
        """Return which images are mirrored, bool (N,)."""
        return rng.random(len(images)) < self.p

    def move(self, images: Array, drawn: Array, *, mask: bool) -> Array:
        """Mirror these images."""
        out = images.copy()
        out[drawn] = np.flip(images[drawn], self.axis)
        return out


class RandomHorizontalFlip(_Flip):
    """Mirror images, left to right.

    Args:
        p: probability for each image.

    Raises:
        ValueError, TypeError: p is not within [0, 1], or not a number.
    """

    axis = 3


class RandomVerticalFlip(_Flip):
    """Turn images upside down, as a mirror below them does.

    Args:
        p: probability for each image.

    Raises:
        ValueError, TypeError: p is not within [0, 1], or not a number.
    """

    axis = 2


class RandomAffine(Geometric):
    """Rotate, shift, scale and shear each image about its centre, with bilinear interpolation; masks without.

    Args:
        degrees: angles are drawn from [-degrees, degrees].
        translate: the largest shifts, as fractions (of the width, of the height).
        scale: range of the scale.
        shear: horizontal shear angles are drawn from [-shear, shear] degrees.
        fill: what the pixels from outside the image become; those of masks become 0.

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

    def draw(self, images: Array, rng: np.random.Generator) -> tuple[Array, Array]:
        """Return the place (y, x) that each pixel of the output comes from, (N, H, W) each, in pixels."""
        h, w = images.shape[2:]
        angle = np.deg2rad(_uniform(rng, (-self.degrees, self.degrees), images))
        shear = np.tan(np.deg2rad(_uniform(rng, (-self.shear, self.shear), images)))
        scale = _uniform(rng, self.scale, images)
        move_x = _uniform(rng, (-self.translate[0], self.translate[0]), images) * w
        move_y = _uniform(rng, (-self.translate[1], self.translate[1]), images) * h
        # undo the shift, the rotation, the shear, the scale
        x = (np.arange(w, dtype=images.dtype) - (w - 1) / 2)[None, None, :] - move_x
        y = (np.arange(h, dtype=images.dtype) - (h - 1) / 2)[None, :, None] - move_y
        x, y = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
        x = (x - shear * y) / scale + (w - 1) / 2
        return y / scale + (h - 1) / 2, x

    def move(self, images: Array, drawn: tuple[Array, Array], *, mask: bool) -> Array:
        """Resample the images."""
        return _nearest(images, *drawn) if mask else _bilinear(images, *drawn, self.fill)


def _uniform(rng: np.random.Generator, bounds: tuple[float, float], images: Array) -> Array:
    """Return a number for each image, (N, 1, 1), in the images' dtype."""
    return rng.uniform(bounds[0], bounds[1], (len(images), 1, 1)).astype(images.dtype)


class RandomRotation(RandomAffine):
    """Rotate each image about its centre by an angle from [-degrees, degrees].

    Args:
        degrees: the largest angle.
        fill: what the pixels from outside the image become; those of masks become 0.

    Raises:
        ValueError, TypeError: as for `RandomAffine`.
    """

    def __init__(self, degrees: float, fill: float = 0.0) -> None:
        super().__init__(degrees, fill=fill)


def _padded(images: Array, height: int, width: int) -> Array:
    """Return the images with zeros added above and below, and on both sides."""
    return np.pad(images, ((0, 0), (0, 0), (height, height), (width, width))) if height or width else images


def _nearest(masks: Array, y: Array, x: Array) -> Array:
    """Return the masks' values at the pixels nearest to the places (y, x), (N, OH, OW) each; 0 outside."""
    n, c, h, w = masks.shape
    row, column = (np.floor(place + 0.5).astype(np.intp) for place in (y, x))
    within = (row >= 0) & (row < h) & (column >= 0) & (column < w)
    flat = np.where(within, row * w + column, 0).reshape(n, 1, -1)
    values = np.take_along_axis(masks.reshape(n, c, -1), flat, axis=2).reshape(n, c, *y.shape[1:])
    return np.where(within[:, None], values, np.zeros((), masks.dtype))


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
