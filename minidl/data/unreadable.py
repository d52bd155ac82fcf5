"""Image files that cannot be read: the errors that name them, and a list of those that can be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from .._core import printable
from .dataset import Dataset

__all__ = ["UnreadableImageError", "UnreadableImagesError", "image_count", "listed", "readable_indices"]

_NAMED = 10  # files that a message names; the others it counts


class UnreadableImageError(ValueError):
    """A file that cannot be read as an image.

    Attributes:
        path: the file.
        reason: why.
    """

    def __init__(self, path: Path, reason: object) -> None:
        self.path, self.reason = path, printable(reason)
        super().__init__(f"read_image: cannot read the image {printable(path)}: {reason}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.reason)


class UnreadableImagesError(ValueError):
    """Several files that cannot be read as images.

    Attributes:
        head: how many, in one line.
        files: lines that name them, with the reasons: at most ten, and how many more there are.
    """

    def __init__(self, errors: Sequence[UnreadableImageError], hint: str = "") -> None:
        self.head, self.files = f"{image_count(errors)} cannot be read{hint}", listed(errors)
        super().__init__("\n  ".join([f"{self.head}:", *self.files]))


def image_count(errors: Sequence[UnreadableImageError]) -> str:
    """Return how many images cannot be read, such as "2 images"."""
    return f"{len(errors):,} image{'s' * (len(errors) > 1)}"


def listed(errors: Sequence[UnreadableImageError]) -> list[str]:
    """Return a line for each file that cannot be read, at most ten, and one that counts the others."""
    more = [f"... and {len(errors) - _NAMED:,} more"] * (len(errors) > _NAMED)
    return [f"{printable(error.path)}: {error.reason}" for error in errors[:_NAMED]] + more


def readable_indices(
    dataset: Dataset,
    indices: Iterable[int],
    broken: list[UnreadableImageError],
    seen: Callable[[int, Any], None] = lambda index, image: None,
) -> list[int]:
    """Read each sample of a dataset of image files, and return the indices of those that can be read.

    Args:
        dataset: its samples are (image, label).
        indices: which samples.
        broken: gets the errors of those that cannot be read.
        seen: is called with the index and the image (C, H, W) of each that can be.
    """
    good = list[int]()
    for index in indices:
        try:
            image = dataset[index][0]
        except UnreadableImageError as error:
            broken.append(error)
            continue
        seen(index, image)
        good.append(index)
    return good
