"""Preprocessing: what becomes of an image before a model sees it, as plain data that a file can hold."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .._core import Array, check_choice, check_int, user_path
from ..data.fitting import FITS
from ..data.images import image_batches
from ..data.unreadable import UnreadableImageError

__all__ = ["Preprocessing"]


@dataclass(frozen=True)
class Preprocessing:
    """The shape (C, H, W) of the images that a model takes, how files are brought to it, and what is done to values.

    Values are in [0, 1]; the model gets (value - mean) / std, for each channel.

    Attributes:
        shape: (C, H, W).
        fit: how files of other proportions are resized; see `minidl.data.read_image`.
        mean, std: one number for each channel.
    """

    shape: tuple[int, ...]
    fit: str = "stretch"
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    @classmethod
    def of(cls, owner: str, given: Mapping[str, Any]) -> Preprocessing:
        """Return what a dict describes.

        Raises:
            TypeError, ValueError: an entry is missing, unknown, or of another kind.
        """
        if not isinstance(given, Mapping):
            raise TypeError(f"{owner}: preprocess must be a dict such as {{'shape': (1, 28, 28)}}, got {given!r}")
        known = ("shape", "fit", "mean", "std")
        unknown = [repr(name) for name in given if name not in known]
        if unknown or "shape" not in given:
            what = f"got {', '.join(unknown)}" if unknown else "'shape' is missing"
            raise ValueError(
                f"{owner}: preprocess has the entries {', '.join(known)}, of which shape is needed; {what}"
            )
        shape = given["shape"]
        if not isinstance(shape, (tuple, list)) or len(shape) != 3:
            raise ValueError(f"{owner}: preprocess: shape must be (C, H, W), got {shape!r}")
        sizes = tuple(check_int(owner, "preprocess: shape", size) for size in shape)
        fit = check_choice(owner, "preprocess: fit", given.get("fit", "stretch"), FITS)
        mean, std = (_numbers(owner, name, given.get(name, ()), sizes[0]) for name in ("mean", "std"))
        if any(value <= 0 for value in std):
            raise ValueError(f"{owner}: preprocess: std must be greater than 0, got {std}")
        return cls(sizes, fit, mean, std)

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)

    def read(
        self, images: Any, skipped: Counter[str] | None = None, broken: list[UnreadableImageError] | None = None
    ) -> Iterator[tuple[list[str], Array]]:
        """Yield (names, images): images of any source as arrays (N, C, H, W), with values in [0, 1].

        Args:
            images: an array (N, C, H, W) or (C, H, W); the path of an image file, a folder of them or a .npy file; or a
                list of such.
            skipped: counts what is skipped in folders, by reason.
            broken: gets the errors of image files that cannot be read, which are left out; None: the first is raised.

        Raises:
            As `minidl.data.read_image`; ValueError: an array has another shape, or values that are not in [0, 1].
        """
        if isinstance(images, (str, os.PathLike)):
            yield from image_batches([user_path(images)], self.shape, skipped, broken, self.fit)
        elif hasattr(images, "__array__"):
            array = np.asarray(images)
            yield from self._of_array(array[None] if array.shape == self.shape else array)
        elif isinstance(images, Iterable):
            for number, one in enumerate(images):
                for names, batch in self.read(one, skipped, broken):
                    yield ([str(number)] if names == ["0"] and hasattr(one, "__array__") else names), batch
        else:
            raise TypeError(f"expected an array of images, a path, or a list of them, got {type(images).__name__}")

    def _of_array(self, images: Array) -> Iterator[tuple[list[str], Array]]:
        shape = ", ".join(map(str, self.shape))
        if images.ndim != 4 or images.shape[1:] != self.shape:
            raise ValueError(f"expected images of shape (N, {shape}) or ({shape}), got {images.shape}")
        if images.dtype.kind != "f":
            raise TypeError(f"expected values in [0, 1] as float32, got {images.dtype}; divide by 255")
        if not (images.min(initial=0) >= -0.001 and images.max(initial=0) <= 1.001):  # not so for NaN
            raise ValueError(f"expected values in [0, 1], got {images.min():g} to {images.max():g}")
        for first in range(0, len(images), 256):
            batch = images[first : first + 256]
            yield [str(first + number) for number in range(len(batch))], batch

    def applied(self, images: Array, dtype: Any) -> Array:
        """Return images (N, C, H, W) with values in [0, 1] as the model takes them."""
        result: Array = np.asarray(images, dtype)
        if self.mean:
            result = result - np.array(self.mean, dtype)[:, None, None]
        if self.std:
            result = result / np.array(self.std, dtype)[:, None, None]
        return result


def _numbers(owner: str, name: str, given: Any, channels: int) -> tuple[float, ...]:
    values = (given,) * channels if isinstance(given, (int, float)) else given
    fitting = isinstance(values, (tuple, list, np.ndarray)) and len(values) in (0, channels)
    if not fitting or not all(np.isreal(value) and np.isfinite(value) for value in values):
        raise ValueError(f"{owner}: preprocess: {name} must be a number for each of {channels} channels, got {given!r}")
    return tuple(float(value) for value in values)
