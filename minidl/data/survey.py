"""survey: look at every image of a dataset: what there is, what cannot be read, and what is there twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .._core import Array, printable
from .dataset import Dataset, whole_of
from .duplicates import SMALLEST, digest, look_alike, same, thumbnail
from .folder import ImageFolder
from .images import header
from .split import labels_of
from .unreadable import UnreadableImageError, readable_indices

__all__ = ["Image", "Survey", "survey"]

# Called with what is iterated over, a label and the number of steps; yields the same, and may show a bar.
Track = Callable[[Iterable[Any], str, int], Iterable[Any]]


@dataclass(frozen=True)
class Image:
    """An image that was looked at: its part of the dataset, index in it, name and class."""

    part: str
    index: int
    name: str
    label: int


@dataclass
class Survey:
    """What was found.

    Attributes:
        classes: the classes' names.
        counts: for each part of the dataset, the images of each class that can be read, int64 (C,).
        images: those that can be read.
        shape: (C, H, W) of an image as it is read; of the first one, if they differ.
        heights, widths: of each image, in its file.
        modes: how many images have which of Pillow's modes; empty for a dataset of arrays.
        mean, std: of each channel (C,), of the images as they are read, all pixels of all images alike.
        unreadable: names of the files that cannot be read, with the reasons.
        same: groups of images with the same pixels, as they are read.
        alike: pairs of other images that look alike, with the correlation of their thumbnails; the most alike first.
        too_small: whether images are too small for that to be looked for.
    """

    classes: list[str]
    counts: dict[str, Array] = field(default_factory=dict)
    images: list[Image] = field(default_factory=list)
    shape: tuple[int, ...] = ()
    heights: list[int] = field(default_factory=list)
    widths: list[int] = field(default_factory=list)
    modes: Counter[str] = field(default_factory=Counter)
    mean: Array = field(default_factory=lambda: np.zeros(0))
    std: Array = field(default_factory=lambda: np.zeros(0))
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    same: list[list[Image]] = field(default_factory=list)
    alike: list[tuple[Image, Image, float]] = field(default_factory=list)
    too_small: bool = False


def survey(parts: dict[str, Dataset], track: Track) -> Survey:
    """Look at every image of the parts of a dataset, which have the same classes.

    Args:
        parts: the datasets by name, such as "training" and "test"; samples are (image, label).
        track: shows how far the work is.

    Raises:
        ValueError: no image can be read.
    """
    found = Survey(list(next(iter(parts.values())).classes))
    digests, thumbnails, moments = list[bytes](), list[Array](), _Moments()
    broken = list[UnreadableImageError]()
    for part, dataset in parts.items():
        labels, files = labels_of(dataset), _files(dataset)

        def seen(index: int, image: Array, part: str = part, labels: Array = labels, files: Any = files) -> None:
            if not found.images:
                found.shape, found.too_small = image.shape, min(image.shape[1:]) < SMALLEST
            size = image.shape[:0:-1]
            if files:
                mode, size = header(files[index])
                found.modes[mode] += 1
            found.widths.append(size[0])
            found.heights.append(size[1])
            name = printable(files[index]) if files else f"{part}[{index}]"
            found.images.append(Image(part, index, name, int(labels[index])))
            digests.append(digest(image))
            if not found.too_small:
                thumbnails.append(thumbnail(image))
            moments.add(image)

        indices = track(range(len(dataset)), f"reading images ({part})", len(dataset))
        good = readable_indices(dataset, indices, broken, seen)
        found.counts[part] = np.bincount(labels[good], minlength=len(found.classes))
    found.unreadable = [(printable(error.path), error.reason) for error in broken]
    if not found.images:
        raise ValueError(f"none of the {len(found.unreadable):,} images can be read")
    found.mean, found.std = moments.mean_and_std()
    groups = same(digests)
    found.same = [[found.images[index] for index in group] for group in groups]
    if not found.too_small:
        copies = {index for group in groups for index in group[1:]}
        single = [index for index in range(len(digests)) if index not in copies]
        found.alike = _alike(found.images, single, np.stack(thumbnails), track)
    return found


def _files(dataset: Dataset) -> list[Path]:
    """Return the file of each sample; none for a dataset of arrays."""
    whole, chosen = whole_of(dataset)
    if not isinstance(whole, ImageFolder):
        return []
    return [whole.files[index] for index in np.arange(len(whole))[chosen]]


def _alike(images: list[Image], single: list[int], thumbnails: Array, track: Track) -> list[tuple[Image, Image, float]]:
    """Return the pairs that look alike among the images with these indices."""
    steps = look_alike(thumbnails[single])
    pairs = [pair for some in track(steps, "comparing images", -(-len(single) // 1024)) for pair in some]
    pairs.sort(key=lambda pair: -pair[2])
    return [(images[single[i]], images[single[j]], likeness) for i, j, likeness in pairs]


class _Moments:
    """Sums over all pixels of each channel, in float64."""

    def __init__(self) -> None:
        self.count = 0
        self.sums: Any = 0.0
        self.squares: Any = 0.0

    def add(self, image: Array) -> None:
        pixels = image.reshape(len(image), -1).astype(np.float64)
        self.count += pixels.shape[1]
        self.sums += pixels.sum(axis=1)
        self.squares += (pixels**2).sum(axis=1)

    def mean_and_std(self) -> tuple[Array, Array]:
        mean = self.sums / self.count
        return mean, np.sqrt(np.maximum(0, self.squares / self.count - mean**2))
