"""Transforms that mix the images of a batch and their labels: MixUp and CutMix; and one_hot, which they need."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._core import Array, check_int, check_number
from ..naming import named
from .base import Batch, Transform
from .erasing import inside

__all__ = ["CutMix", "MixUp", "one_hot"]


def one_hot(labels: Array, num_classes: int, dtype: Any = np.float32) -> Array:
    """Return labels as probabilities of the classes: 1 for the label, 0 for the others.

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
    num_classes = check_int("one_hot", "num_classes", num_classes)
    with named("one_hot"):
        labels, rows = np.asarray(labels), np.eye(num_classes, dtype=dtype)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"one_hot: expected integer labels, got {labels.dtype}")
    if labels.size and not (labels.min() >= 0 and labels.max() < num_classes):
        raise ValueError(f"one_hot: expected labels from 0 to {num_classes - 1}, got {labels.min()} to {labels.max()}")
    return np.moveaxis(rows[labels], -1, min(1, labels.ndim))


class _Mix(Transform):
    def __init__(self, num_classes: int, alpha: float = 1.0) -> None:
        self.num_classes = check_int(type(self).__name__, "num_classes", num_classes)
        self.alpha = check_number(type(self).__name__, "alpha", alpha, minimum=1e-6)

    def apply(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """Mix each image, and its label, with another one from the batch; labels become probabilities (N, C)."""
        owner = type(self).__name__
        if len(batch) < 2:
            raise ValueError(f"{owner}: expected a batch (images, labels), got images only")
        images, labels = self._check(batch[0]), np.asarray(batch[1])
        with named(owner):
            soft = one_hot(labels, self.num_classes, images.dtype) if labels.ndim == 1 else labels.astype(images.dtype)
        if soft.shape != (len(images), self.num_classes):
            raise ValueError(
                f"{owner}: expected labels of shape ({len(images)},) or ({len(images)}, {self.num_classes}), got "
                f"{labels.shape}"
            )
        other = rng.permutation(len(images))
        mixed, share = self.mix(images, images[other], rng.beta(self.alpha, self.alpha), rng)
        return (mixed, share * soft + (1 - share) * soft[other], *batch[2:])

    def mix(self, images: Array, others: Array, share: float, rng: np.random.Generator) -> tuple[Array, Any]:
        """Return the mixed images, and the share of each that is its own."""
        raise NotImplementedError


class MixUp(_Mix):
    """Blend each image, and its label, with another one from the batch: s*x + (1 - s)*x', s from Beta(alpha, alpha).

    Args:
        num_classes: C of the soft labels.
        alpha: as in the formula.

    Raises:
        ValueError, TypeError: an argument is too small, or not a number; or (when it is applied) the labels do not fit.

    Source: Zhang et al. 2018, arXiv:1710.09412.
    """

    def mix(self, images: Array, others: Array, share: float, rng: np.random.Generator) -> tuple[Array, Any]:
        """Blend."""
        own = images.dtype.type(share)
        return own * images + (1 - own) * others, own


class CutMix(_Mix):
    """Paste a rectangle of another image from the batch into each image, and mix the labels by area.

    Args:
        num_classes: C of the soft labels.
        alpha: the share of the image that stays is drawn from Beta(alpha, alpha).

    Raises:
        ValueError, TypeError: as for `MixUp`.

    Source: Yun et al. 2019, arXiv:1905.04899.
    """

    def mix(self, images: Array, others: Array, share: float, rng: np.random.Generator) -> tuple[Array, Any]:
        """Cut and paste."""
        h, w = images.shape[2:]
        half_h, half_w = int(h * np.sqrt(1 - share)) / 2, int(w * np.sqrt(1 - share)) / 2
        y, x = rng.uniform(0, h), rng.uniform(0, w)
        top, left = np.array([max(0, round(y - half_h))]), np.array([max(0, round(x - half_w))])
        pasted = inside(images, top, np.array([round(y + half_h)]), left, np.array([round(x + half_w)]))
        return np.where(pasted[:, None], others, images), images.dtype.type(1 - pasted.mean())
