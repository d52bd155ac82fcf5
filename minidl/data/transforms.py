"""Transforms of whole batches of images, each image with random numbers of its own from an explicit generator.

    augment = Compose(RandomCrop(28, padding=2), RandomRotation(10), Normalize(0.1307, 0.3081))
    loader = DataLoader(train, 64, shuffle=True, transform=augment)

Images are (N, C, H, W), float32 or float64, and keep their dtype; the array given is never changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._core import Array, IntPair, check_images, check_int, check_number, check_pair

__all__ = [
    "ColorJitter",
    "Compose",
    "CutMix",
    "Cutout",
    "MixUp",
    "Normalize",
    "RandomAffine",
    "RandomCrop",
    "RandomErasing",
    "RandomHorizontalFlip",
    "RandomRotation",
    "Transform",
    "one_hot",
]

Batch = tuple[Any, ...]


class Transform:
    """Base class: write `__call__` for what changes the images alone, or `apply` for what changes labels too."""

    def __call__(self, images: Array, rng: np.random.Generator) -> Array:
        """Return the transformed images.

        Args:
            images: (N, C, H, W).
            rng: where random numbers come from.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define __call__()")

    def apply(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """Return a transformed batch (images, ...); the rest stays as it is.

        Args:
            batch: what the dataset gave.
            rng: where random numbers come from.
        """
        return (self(batch[0], rng), *batch[1:])


class Compose(Transform):
    """One transform after the other.

    Args:
        *transforms: in order.

    Raises:
        TypeError: something is not a Transform.
    """

    def __init__(self, *transforms: Transform) -> None:
        for transform in transforms:
            if not isinstance(transform, Transform):
                raise TypeError(f"Compose: expected transforms, got {transform!r}")
        self.transforms = transforms

    def __call__(self, images: Array, rng: np.random.Generator) -> Array:
        """Apply all of them."""
        return self.apply((images,), rng)[0]  # type: ignore[no-any-return]

    def apply(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """Apply all of them, to images and labels."""
        for transform in self.transforms:
            batch = transform.apply(batch, rng)
        return batch


class Normalize(Transform):
    """Standardise each channel: (x - mean) / std.

    Args:
        mean, std: a number, or one for each channel; std not 0.
    """

    def __init__(self, mean: float | Sequence[float], std: float | Sequence[float]) -> None:
        self.mean, self.std = (np.atleast_1d(np.asarray(v, np.float64)).reshape(-1, 1, 1) for v in (mean, std))
        if not np.all(self.std) or not np.isfinite(self.mean).all() or not np.isfinite(self.std).all():
            raise ValueError(f"Normalize: mean and std must be finite, std not 0; got {mean} and {std}")

    def __call__(self, images: Array, rng: np.random.Generator | None = None) -> Array:
        """Standardise; no random numbers are needed."""
        check_images(images)
        for values in (self.mean, self.std):
            if len(values) not in (1, images.shape[1]):
                raise ValueError(f"Normalize: {len(values)} values for {images.shape[1]} channels")
        return (images - self.mean.astype(images.dtype)) / self.std.astype(images.dtype)  # type: ignore[no-any-return]


class RandomCrop(Transform):
    """Cut a part out of each image at a random place.

    Args:
        size: of the part, an int or (H, W).
        padding: zeros put around the image first, an int or (height, width).
    """

    def __init__(self, size: IntPair, padding: IntPair = 0) -> None:
        self.size = check_pair("RandomCrop", "size", size)
        self.padding = check_pair("RandomCrop", "padding", padding, minimum=0)

    def __call__(self, images: Array, rng: np.random.Generator) -> Array:
        """Cut the parts out."""
        check_images(images)
        (height, width), (py, px) = self.size, self.padding
        padded = np.pad(images, ((0, 0), (0, 0), (py, py), (px, px))) if py or px else images
        if height > padded.shape[2] or width > padded.shape[3]:
            raise ValueError(f"RandomCrop: size {self.size} is larger than the padded image {padded.shape[2:]}")
        tops = rng.integers(padded.shape[2] - height + 1, size=len(images))
        lefts = rng.integers(padded.shape[3] - width + 1, size=len(images))
        views = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(2, 3))
        return views[np.arange(len(images)), :, tops, lefts]


class RandomHorizontalFlip(Transform):
    """Mirror images, left for right.

    Args:
        p: probability for each image.
    """

    def __init__(self, p: float = 0.5) -> None:
        self.p = check_number("RandomHorizontalFlip", "p", p, maximum=1.0)

    def __call__(self, images: Array, rng: np.random.Generator) -> Array:
        """Mirror some."""
        check_images(images)
        flipped = rng.random(len(images)) < self.p
        out = images.copy()
        out[flipped] = images[flipped, :, :, ::-1]
        return out


class RandomAffine(Transform):
    """Turn, move, scale and shear each image about its centre, with bilinear interpolation.

    Args:
        degrees: angles are drawn from [-degrees, degrees].
        translate: how far images move at most, as fractions (of the width, of the height).
        scale: range of the scale.
        shear: horizontal shear angles are drawn from [-shear, shear] degrees.
        fill: what stands where there was no image.
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
        self.translate = tuple(check_number(owner, "translate", part, maximum=1.0) for part in translate)
        self.scale = tuple(check_number(owner, "scale", part) for part in scale)
        self.shear = check_number(owner, "shear", shear)
        self.fill = check_number(owner, "fill", fill, minimum=-float("inf"))
        if len(self.translate) != 2 or len(self.scale) != 2 or not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"{owner}: translate must be a pair, scale a range above 0; got {translate}, {scale}")

    def __call__(self, images: Array, rng: np.random.Generator) -> Array:
        """Draw the images anew."""
        check_images(images)
        h, w = images.shape[2:]
        angle = np.deg2rad(_uniform(rng, (-self.degrees, self.degrees), images))
        shear = np.tan(np.deg2rad(_uniform(rng, (-self.shear, self.shear), images)))
        scale = _uniform(rng, self.scale, images)
        move_x = _uniform(rng, (-self.translate[0], self.translate[0]), images) * w
        move_y = _uniform(rng, (-self.translate[1], self.translate[1]), images) * h
        # each pixel of the output asks where it comes from: move back, turn back, shear back, scale back
        x = (np.arange(w, dtype=images.dtype) - (w - 1) / 2)[None, None, :] - move_x
        y = (np.arange(h, dtype=images.dtype) - (h - 1) / 2)[None, :, None] - move_y
        x, y = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
        x = (x - shear * y) / scale + (w - 1) / 2
        return _bilinear(images, y / scale + (h - 1) / 2, x, self.fill)


def _uniform(rng: np.random.Generator, bounds: tuple[float, ...], images: Array) -> Array:
    """Return a number for each image, (N, 1, 1), of the images' dtype."""
    return rng.uniform(bounds[0], bounds[1], (len(images), 1, 1)).astype(images.dtype)


class RandomRotation(RandomAffine):
    """Turn each image about its centre by an angle from [-degrees, degrees].

    Args:
        degrees: the largest angle.
        fill: what stands where there was no image.
    """

    def __init__(self, degrees: float, fill: float = 0.0) -> None:
        super().__init__(degrees, fill=fill)


def _bilinear(images: Array, y: Array, x: Array, fill: float) -> Array:
    """Return the images at the places (y, x), (N, OH, OW) each."""
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


class Cutout(Transform):
    """Blank a square of each image, at a random place; at the border a part of it.

    Args:
        size: side of the square, in pixels.
        value: what stands there.

    Source: DeVries and Taylor 2017, arXiv:1708.04552.
    """

    def __init__(self, size: int, value: float = 0.0) -> None:
        self.size = check_int("Cutout", "size", size)
        self.value = check_number("Cutout", "value", value, minimum=-float("inf"))

    def __call__(self, images: Array, rng: np.random.Generator) -> Array:
        """Blank the squares."""
        n, _, h, w = check_images(images).shape
        top, left = (rng.integers(size, size=n) - self.size // 2 for size in (h, w))
        return _paint(images, top, top + self.size, left, left + self.size, self.value)


class RandomErasing(Transform):
    """Blank a rectangle of random size and shape in some of the images.

    Args:
        p: probability for each image.
        scale: range of the rectangle's share of the image's area.
        ratio: range of its width divided by its height.
        value: what stands there.

    Source: Zhong et al. 2017, arXiv:1708.04896.
    """

    def __init__(
        self,
        p: float = 0.5,
        scale: tuple[float, float] = (0.02, 0.33),
        ratio: tuple[float, float] = (0.3, 3.3),
        value: float = 0.0,
    ) -> None:
        self.p = check_number("RandomErasing", "p", p, maximum=1.0)
        self.scale = tuple(check_number("RandomErasing", "scale", part, maximum=1.0) for part in scale)
        self.ratio = tuple(check_number("RandomErasing", "ratio", part, minimum=1e-6) for part in ratio)
        self.value = check_number("RandomErasing", "value", value, minimum=-float("inf"))
        if (
            not len(self.scale) == len(self.ratio) == 2
            or self.scale[0] > self.scale[1]
            or self.ratio[0] > self.ratio[1]
        ):
            raise ValueError(f"RandomErasing: scale and ratio must be ranges, got {scale} and {ratio}")

    def __call__(self, images: Array, rng: np.random.Generator) -> Array:
        """Blank the rectangles."""
        n, _, h, w = check_images(images).shape
        chosen = rng.random(n) < self.p
        area = rng.uniform(self.scale[0], self.scale[1], n) * h * w
        ratio = np.exp(rng.uniform(np.log(self.ratio[0]), np.log(self.ratio[1]), n))
        high = np.where(chosen, np.clip(np.rint(np.sqrt(area / ratio)), 1, h), 0).astype(int)
        wide = np.clip(np.rint(np.sqrt(area * ratio)), 1, w).astype(int)
        top, left = (rng.integers(room, size=n) for room in (h - high + 1, w - wide + 1))
        return _paint(images, top, top + high, left, left + wide, self.value)


def _paint(images: Array, top: Any, bottom: Any, left: Any, right: Any, value: Any) -> Array:
    """Return copies with ``value``, a number or images, in a rectangle of each."""
    return np.where(_inside(images, top, bottom, left, right)[:, None], np.asarray(value, images.dtype), images)


def _inside(images: Array, top: Any, bottom: Any, left: Any, right: Any) -> Array:
    y, x = np.arange(images.shape[2])[None, :, None], np.arange(images.shape[3])[None, None, :]
    first, last, begin, end = (np.reshape(v, (-1, 1, 1)) for v in (top, bottom, left, right))
    return (y >= first) & (y < last) & (x >= begin) & (x < end)


class ColorJitter(Transform):
    """Change brightness, contrast and saturation of each image, in this order; the result is clipped to [0, 1].

    A factor f is drawn from [1 - strength, 1 + strength], not below 0: brightness multiplies with f, contrast moves
    away from the image's mean grey by f, saturation away from each pixel's grey.

    Args:
        brightness, contrast, saturation: the strengths.
    """

    def __init__(self, brightness: float = 0.0, contrast: float = 0.0, saturation: float = 0.0) -> None:
        strengths = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
        self.strengths = {name: check_number("ColorJitter", name, value) for name, value in strengths.items()}

    def __call__(self, images: Array, rng: np.random.Generator) -> Array:
        """Change the colours."""
        n, channels, _, _ = check_images(images).shape
        out = images
        weights = np.full(channels, 1 / channels) if channels != 3 else np.array([0.299, 0.587, 0.114])
        for name, strength in self.strengths.items():
            factor = np.maximum(0, rng.uniform(1 - strength, 1 + strength, (n, 1, 1, 1))).astype(images.dtype)
            origin: Any = 0
            if name != "brightness":
                origin = (out * weights.astype(images.dtype).reshape(-1, 1, 1)).sum(axis=1, keepdims=True)
            if name == "contrast":
                origin = origin.mean(axis=(2, 3), keepdims=True)
            out = np.clip(origin + factor * (out - origin), 0, 1)
        return out


def one_hot(labels: Array, num_classes: int, dtype: Any = np.float32) -> Array:
    """Return labels as rows of zeros with a one: probabilities of the classes.

    Args:
        labels: integers (N, ...) from 0 to num_classes - 1.
        num_classes: C.
        dtype: of the result.

    Returns:
        (N, C, ...).

    Raises:
        ValueError: a label is out of range.
        TypeError: the labels are not integers.
    """
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"one_hot: expected integer labels, got {labels.dtype}")
    if labels.size and not (labels.min() >= 0 and labels.max() < num_classes):
        raise ValueError(f"one_hot: expected labels from 0 to {num_classes - 1}, got {labels.min()} to {labels.max()}")
    return np.moveaxis(np.eye(num_classes, dtype=dtype)[labels], -1, min(1, labels.ndim))


class _Mix(Transform):
    def __init__(self, num_classes: int, alpha: float = 1.0) -> None:
        self.num_classes = check_int(type(self).__name__, "num_classes", num_classes)
        self.alpha = check_number(type(self).__name__, "alpha", alpha, minimum=1e-6)

    def apply(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """Mix each image, and its label, with another of the batch; labels become probabilities (N, C)."""
        images, labels = check_images(batch[0]), np.asarray(batch[1])
        soft = one_hot(labels, self.num_classes, images.dtype) if labels.ndim == 1 else labels
        other = rng.permutation(len(images))
        mixed, share = self.mix(images, images[other], rng.beta(self.alpha, self.alpha), rng)
        return (mixed, share * soft + (1 - share) * soft[other], *batch[2:])

    def mix(self, images: Array, others: Array, share: float, rng: np.random.Generator) -> tuple[Array, Any]:
        """Return the mixed images, and what share of each is its own."""
        raise NotImplementedError


class MixUp(_Mix):
    """Blend each image with another of the batch, and its label likewise: s*x + (1 - s)*x', s from Beta(alpha, alpha).

    Args:
        num_classes: C of the soft labels.
        alpha: as in the formula.

    Source: Zhang et al. 2018, arXiv:1710.09412.
    """

    def mix(self, images: Array, others: Array, share: float, rng: np.random.Generator) -> tuple[Array, Any]:
        """Blend."""
        own = images.dtype.type(share)
        return own * images + (1 - own) * others, own


class CutMix(_Mix):
    """Put a rectangle of another image of the batch into each, and mix the labels by area.

    Args:
        num_classes: C of the soft labels.
        alpha: the share of the image that stays is drawn from Beta(alpha, alpha).

    Source: Yun et al. 2019, arXiv:1905.04899.
    """

    def mix(self, images: Array, others: Array, share: float, rng: np.random.Generator) -> tuple[Array, Any]:
        """Cut and paste."""
        h, w = images.shape[2:]
        half_h, half_w = int(h * np.sqrt(1 - share)) / 2, int(w * np.sqrt(1 - share)) / 2
        y, x = rng.uniform(0, h), rng.uniform(0, w)
        top, left = np.array([max(0, round(y - half_h))]), np.array([max(0, round(x - half_w))])
        inside = _inside(images, top, np.array([round(y + half_h)]), left, np.array([round(x + half_w)]))
        return np.where(inside[:, None], others, images), images.dtype.type(1 - inside.mean())
