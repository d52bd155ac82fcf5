"""readable: every file of an image folder is read before it is used, and what cannot be read is named, or left out."""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np

from .._core import printable
from ..data import Dataset, ImageFolder, Subset
from ..data.dataset import whole_of
from ..data.folder import class_counts
from ..data.images import UnreadableImageError
from ..data.split import labels_of
from ..training.progress import Progress
from .datasets import Images
from .output import complain

__all__ = ["readable", "readable_images"]

_NAMED = 5  # files that a message names; the others it counts
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
    broken, sizes = list[str](), dict[tuple[int, ...], str]()
    good = {name: _read(name, dataset, options, broken, sizes) for name, dataset in parts.items()}
    if any(height * width > _LARGE for height, width in sizes):
        complain(f"minidl {options.command}", f"{_told(sizes)}: --size N, such as --size 64, saves time and memory")
    if not broken:
        return parts
    told = [*broken[:_NAMED], *([f"{len(broken) - _NAMED} more"] if len(broken) > _NAMED else [])]
    count = f"{len(broken):,} image{'s' * (len(broken) > 1)}"
    if not skip:
        raise ValueError(f"{count} cannot be read: {'; '.join(told)}; --skip-broken leaves them out")
    complain(f"minidl {options.command}", f"{count} left out: {'; '.join(told)}")
    return {name: _only(name, dataset, good[name]) for name, dataset in parts.items()}


def _read(
    name: str, dataset: Dataset, options: argparse.Namespace, broken: list[str], sizes: dict[tuple[int, ...], str]
) -> list[int]:
    """Read each image of a folder; return the indices of those that can be read, and note the others, and the sizes."""
    whole, chosen = whole_of(dataset)
    if not isinstance(whole, ImageFolder):
        return list(range(len(dataset)))
    files, good = np.arange(len(whole))[chosen], list[int]()
    progress = Progress("none" if options.quiet or options.json else "auto")
    for index, _ in progress.track(range(len(dataset)), f"reading images ({name})", unit="image"):
        try:
            image = dataset[index][0]
        except UnreadableImageError as error:
            broken.append(f"{printable(error.path)}: {error.reason}")
            whole.skipped["cannot be read"] = whole.skipped.get("cannot be read", 0) + 1
            continue
        sizes.setdefault(image.shape[1:], printable(whole.files[files[index]]))
        if len(sizes) > 1:
            raise ValueError(f"--size N is needed, such as --size 64, to which images are resized: {_told(sizes)}")
        good.append(index)
    return good


def _told(sizes: dict[tuple[int, ...], str]) -> str:
    return ", ".join(f"{path} is {height} x {width}" for (height, width), path in sizes.items())


def _only(name: str, dataset: Dataset, good: list[int]) -> Dataset:
    """Return some samples of a dataset, or raise ValueError if these are none, or none of a class to be learned."""
    if len(good) == len(dataset):
        return dataset
    labels = labels_of(dataset)
    lost = sorted(set(labels.tolist()) - set(labels[good].tolist()))
    if not good or (lost and name == "train"):
        classes = ", ".join(printable(list(class_counts(dataset))[label]) for label in lost)
        raise ValueError(f"no image of {classes} in the images for {name} can be read")
    return Subset(dataset, good)
