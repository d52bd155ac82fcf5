"""Transform, the base class, and Compose, which applies several in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import signature
from typing import Any

import numpy as np

from ..._core import Array, check_images, check_number
from ..naming import named

__all__ = ["Batch", "Compose", "Geometric", "Transform", "check_range"]

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

    def __repr__(self) -> str:
        values = ((name, vars(self).get(name)) for name in signature(type(self).__init__).parameters)
        return f"{type(self).__name__}({', '.join(f'{name}={_short(v)}' for name, v in values if v is not None)})"

    def _check(self, images: Any) -> Array:
        """Return ``images`` if they are floats (N, C, H, W), or raise an error that names the transform."""
        with named(type(self).__name__):
            return check_images(images)


class Geometric(Transform):
    """Base class of transforms that move pixels: implement `draw` and `move`.

    In a batch (images, masks) the masks are moved as their images are, by the same random numbers, and each of their
    pixels is one of the mask's, never a mixture of classes. A mask is whatever else in the batch has the images' height
    and width: an array (N, H, W) or (N, K, H, W) of any dtype. Integers or bools of three axes or more that do not fit
    the images raise ValueError.
    """

    def draw(self, images: Array, rng: np.random.Generator) -> Any:
        """Return where the pixels of these images go, as `move` takes it."""
        raise NotImplementedError(f"{type(self).__name__} does not define draw()")

    def move(self, images: Array, drawn: Any, *, mask: bool) -> Array:
        """Return the images (N, C, OH, OW), or masks of any dtype, which are not interpolated.

        Args:
            images: (N, C, H, W).
            drawn: what `draw` returned.
            mask: whether they are masks.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define move()")

    def __call__(self, images: Array, rng: np.random.Generator) -> Array:
        """Return the images with their pixels moved."""
        return self.move(self._check(images), self.draw(images, rng), mask=False)

    def apply(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """Return the batch with the pixels of images and masks moved."""
        images = self._check(batch[0])
        for part in batch[1:]:
            self._check_mask(part, images)
        drawn = self.draw(images, rng)
        return (self.move(images, drawn, mask=False), *(self._moved(part, images, drawn) for part in batch[1:]))

    def _check_mask(self, part: Any, images: Array) -> None:
        """Raise if another part of a batch can only be masks, but would stay where it is while the images move."""
        if isinstance(part, np.ndarray) and part.ndim > 2 and part.dtype.kind in "biu" and not _fits(part, images):
            raise ValueError(
                f"{type(self).__name__}: masks must be (N, H, W) or (N, K, H, W) as the images (N, C, H, W) are; the "
                f"images are {images.shape}, an array of {part.dtype} beside them is {part.shape}"
            )

    def _moved(self, part: Any, images: Array, drawn: Any) -> Any:
        """Return another part of a batch, moved if it is a mask."""
        if not _fits(part, images):
            return part
        if part.ndim == 4:
            return self.move(part, drawn, mask=True)
        return self.move(part[:, None], drawn, mask=True)[:, 0]


def _fits(part: Any, images: Array) -> bool:
    """Return whether another part of a batch is masks of these images."""
    n, _, h, w = images.shape
    return isinstance(part, np.ndarray) and part.ndim in (3, 4) and (len(part), *part.shape[-2:]) == (n, h, w)


class _Function(Transform):
    """A plain function of images (N, C, H, W) that returns their replacement."""

    def __init__(self, function: Callable[[Array], Array]) -> None:
        self.function = function

    def __repr__(self) -> str:
        return getattr(self.function, "__name__", repr(self.function))

    def __call__(self, images: Array, rng: np.random.Generator) -> Array:
        """Call the function."""
        out = self.function(images)
        if not isinstance(out, np.ndarray):
            raise TypeError(f"Compose: {self.function!r} must return an array of images, got {type(out).__name__}")
        return out


class Compose(Transform):
    """Apply several transforms, one after the other.

    Args:
        *transforms: in order, one by one or as one list; a plain function of images (N, C, H, W) is a transform too.

    Raises:
        TypeError: an argument is neither a Transform nor a function.
        ValueError: a transform returns a different number of images than it was given (when it is applied).
    """

    def __init__(self, *transforms: Transform | Callable[[Array], Array] | Sequence[Any]) -> None:
        several: Sequence[Any] = transforms
        if len(transforms) == 1 and isinstance(transforms[0], (list, tuple)):
            several = transforms[0]
        for transform in several:
            if isinstance(transform, type) or not callable(transform):
                hint = ""
                if isinstance(transform, (list, tuple)):
                    hint = "; pass all of them as one list: Compose([first, second])"
                elif isinstance(transform, type) and issubclass(transform, Transform):
                    hint = f"; pass an instance: {transform.__name__}(...)"
                raise TypeError(f"Compose: expected transforms, got {transform!r}{hint}")
        self.transforms = tuple(one if isinstance(one, Transform) else _Function(one) for one in several)

    def __repr__(self) -> str:
        return f"Compose({', '.join(map(repr, self.transforms))})"

    def __call__(self, images: Array, rng: np.random.Generator) -> Array:
        """Apply them to images alone."""
        return self.apply((images,), rng)[0]  # type: ignore[no-any-return]

    def apply(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """Apply them to a batch."""
        for transform in self.transforms:
            before, batch = batch, transform.apply(batch, rng)
            if not isinstance(batch, tuple) or len(batch[0]) != len(before[0]):
                got = f"{len(batch[0])} images" if isinstance(batch, tuple) else type(batch).__name__
                what = f"{type(transform).__name__}.apply() must return a tuple with {len(before[0])} images first"
                if isinstance(transform, _Function):
                    what = f"{transform.function!r} must return {len(before[0])} images"
                raise ValueError(f"Compose: {what}, got {got}")
        return batch


def _short(value: Any) -> str:
    """Return an option as it would be given; of an array its numbers."""
    if not isinstance(value, np.ndarray):
        return repr(value)
    numbers = [round(float(number), 4) for number in value.flat]
    return repr(numbers[0] if len(numbers) == 1 else tuple(numbers))


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
