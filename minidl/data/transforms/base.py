"""Transform, the base class, and Compose, which applies several in order."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._core import Array, check_images, check_number
from ..naming import named

__all__ = ["Batch", "Compose", "Transform", "check_range"]

Batch = tuple[Any, ...]


class Transform:
    """Base class: implement `__call__` if only the images change, or `apply` if the labels change too."""

    def __call__(self, images: Array, rng: np.random.Generator) -> Array:
        """Return the transformed images.

        Args:
            images: (N, C, H, W).
            rng: source of random numbers.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define __call__()")

    def apply(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """Return the transformed batch (images, ...); everything but the images stays as it is.

        Args:
            batch: what the dataset returned.
            rng: source of random numbers.
        """
        return (self(batch[0], rng), *batch[1:])

    def _check(self, images: Any) -> Array:
        """Return ``images`` if they are floats (N, C, H, W), or raise an error that names the transform."""
        with named(type(self).__name__):
            return check_images(images)


class Compose(Transform):
    """Apply several transforms, one after the other.

    Args:
        *transforms: in order.

    Raises:
        TypeError: an argument is not a Transform.
        ValueError: a transform returns a different number of images than it was given (when it is applied).
    """

    def __init__(self, *transforms: Transform) -> None:
        for transform in transforms:
            if not isinstance(transform, Transform):
                hint = ""
                if isinstance(transform, (list, tuple)):
                    hint = "; pass them one by one: Compose(first, second)"
                elif isinstance(transform, type) and issubclass(transform, Transform):
                    hint = f"; pass an instance: {transform.__name__}(...)"
                raise TypeError(f"Compose: expected transforms, got {transform!r}{hint}")
        self.transforms = transforms

    def __call__(self, images: Array, rng: np.random.Generator) -> Array:
        """Apply them to images alone."""
        return self.apply((images,), rng)[0]  # type: ignore[no-any-return]

    def apply(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """Apply them to a batch."""
        for transform in self.transforms:
            before, batch = batch, transform.apply(batch, rng)
            if not isinstance(batch, tuple) or len(batch[0]) != len(before[0]):
                got = f"{len(batch[0])} images" if isinstance(batch, tuple) else type(batch).__name__
                raise ValueError(
                    f"Compose: {type(transform).__name__}.apply() must return a tuple with {len(before[0])} images "
                    f"first, got {got}"
                )
        return batch


def check_range(
    owner: str, argument: str, value: Any, *, minimum: float = 0.0, maximum: float = float("inf")
) -> tuple[float, float]:
    """Return a pair of numbers between ``minimum`` and ``maximum`` as floats, or raise TypeError / ValueError."""
    if isinstance(value, str) or not np.iterable(value):
        raise TypeError(f"{owner}: {argument} must be a pair of numbers, got {value!r}")
    first, *others = [check_number(owner, argument, part, minimum=minimum, maximum=maximum) for part in value] or [0.0]
    if len(others) != 1:
        raise ValueError(f"{owner}: {argument} must be a pair of numbers, got {value!r}")
    return first, others[0]
