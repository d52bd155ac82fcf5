"""readable: every file of an image folder is read before it is used, and what cannot be read is named, or left out."""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np

from .._core import Array, printable
from ..data import Dataset, ImageFolder
from ..data.dataset import whole_of
from ..data.folder import only
from ..data.unreadable import UnreadableImageError, UnreadableImagesError, image_count, listed, readable_indices
from ..training.progress import Progress
from .datasets import Images
from .output import complain

__all__ = ["readable", "readable_images"]

_LARGE = 2**18  # pixels of an image, from which on a hint is given to make it smaller


def readable_images(images: Images, options: argparse.Namespace, *, skip: bool) -> Images:
    """Return the images of all purposes that can be read; see `readable`."""
    parts = {name: getattr(images, name) for name in ("train", "val", "test") if getattr(images, name) is not None}
    return replace(images, **readable(parts, options, skip=skip))


def readable(parts: dict[str, Dataset], options: argparse.Namespace, *, skip: bool) -> dict[str, Dataset]:
    """Return the images that can be read. Those that were read stay in memory, as far as the folder keeps any.

    A broken file is thus found before the training, not after hours of it. Other datasets are returned as they are.

    Args:
        parts: datasets, by a name for errors.
        options: with ``command``, ``quiet`` and ``json``.
        skip: whether to leave out what cannot be read; they are then told on standard error.

    Raises:
        ValueError: images cannot be read, or ``skip`` would leave a part without any, or a class of "train"; or images
            differ in their size.
    """
    broken, sizes = list[UnreadableImageError](), dict[tuple[int, ...], str]()
    good = {name: _read(name, dataset, options, broken, sizes) for name, dataset in parts.items()}
    if any(height * width > _LARGE for height, width in sizes):
        complain(f"minidl {options.command}", f"{_told(sizes)}: --size N, such as --size 64, saves time and memory")
    if not broken:
        return parts
    if not skip:
        raise UnreadableImagesError(broken, "; --skip-broken leaves them out")
    complain(f"minidl {options.command}", f"{image_count(broken)} left out", listed(broken))
    return {name: only(name, dataset, good[name]) for name, dataset in parts.items()}


def _read(
    name: str,
    dataset: Dataset,
    options: argparse.Namespace,
    broken: list[UnreadableImageError],
    sizes: dict[tuple[int, ...], str],
) -> list[int]:
    """Read each image of a folder; return the indices of those that can be read, and note the others, and the sizes."""
    whole, chosen = whole_of(dataset)
    if not isinstance(whole, ImageFolder):
        return list(range(len(dataset)))
    files = np.arange(len(whole))[chosen]

    def seen(index: int, image: Array) -> None:
        sizes.setdefault(image.shape[1:], printable(whole.files[files[index]]))
        if len(sizes) > 1:
            raise ValueError(f"--size N is needed, such as --size 64, to which images are resized: {_told(sizes)}")

    progress = Progress("none" if options.quiet or options.json else "auto")
    indices = progress.track(range(len(dataset)), f"reading images ({name})", unit="image")
    return readable_indices(dataset, (index for index, _ in indices), broken, seen)


def _told(sizes: dict[tuple[int, ...], str]) -> str:
    return ", ".join(f"{path} is {height} x {width}" for (height, width), path in sizes.items())
