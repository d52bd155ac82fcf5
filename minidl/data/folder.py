"""ImageFolder: a dataset of image files, with a folder for each class; and its parts for training and testing."""

from __future__ import annotations

import os
import re
import warnings
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from .._core import Array, IntPair, check_int, check_pair, printable, user_path
from .dataset import TEST_EVERY, Dataset, Subset, is_for_testing, whole_of
from .images import (
    Colour,
    check_background,
    check_channels,
    check_fit,
    described,
    image_files,
    pillow,
    pixels_of,
    scaled,
)
from .keeping import KeptImages
from .naming import named
from .unreadable import UnreadableImageError, image_count, listed, readable_indices

__all__ = [
    "ImageFolder",
    "class_counts",
    "image_folder_parts",
    "load_image_folder",
    "only",
    "relative_names",
    "skipped_in",
]

_PARTS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "eval", "evaluation"), "val"),
}


CACHE = 512
_BROKEN = "cannot be read"  # why a file was skipped
_HIDDEN = (".", "__MACOSX", "@eaDir")  # how the names of folders begin that systems leave behind
# a part's name with something before or after it: seg_train, train_256, X_test
_NEARLY = re.compile(r"(?:^|[ _.-])(train|test|val|valid|validation|holdout)(?:ing)?(?=$|[ _.-]|\d)", re.IGNORECASE)


def _part(folder: str) -> str | None:
    """Return which part of a dataset a folder of this name holds, "train", "val" or "test"; None for a class."""
    return _PARTS.get(re.sub(r"[ _-]?(set|split|data|images)$", "", folder.lower()))


class ImageFolder(Dataset):
    """Images in one folder per class: root/CLASS/anything.png. Classes are numbered in the sorted order of their names.

    Hidden files and files without the suffix of an image format are skipped, and counted. Links are followed. An image
    is read when its sample is asked for, as `read_image` does (extra ``images``), and then kept in memory.

    Args:
        root: the folder that holds the classes' folders; images in subfolders belong to the class above them.
        size: (H, W), or an int for both, to which every image is resized; None: as they are, all of one size.
        channels: 3 for colour, 1 for grey.
        background: the colour behind what is transparent, by name or as (R, G, B) from 0 to 255.
        fit: how an image of other proportions than ``size`` is resized: "stretch" changes them; "pad" keeps the whole
            image and puts bars of the background beside it; "crop" keeps the middle.
        cache: megabytes (2**20 bytes) of decoded images that are kept in memory at most; 0 for none. If not all fit,
            those that were read first are kept. A file that is changed later is not read again.
        skip_broken: read every image now, and leave out those that cannot be read; a warning names them.
        transform: torchvision's; here transforms are given to the DataLoader, and this raises TypeError.

    Attributes:
        classes: the folders' names; a label is an index into it.
        files: path of each sample.
        labels: label of each sample, int64 (N,).
        skipped: how many files and folders were skipped, by reason: "hidden", "broken link", ".txt" (the suffix), ...

    Raises:
        FileNotFoundError: there is no such folder, no class in it, or no image in a class.
        ImportError: the extra is not installed.
        ValueError: the folders hold the classes instead of being the classes: the root is one level too high; or a file
            cannot be read (when its sample is asked for), and the message names it; or, with ``skip_broken``, no image
            of a class can be read.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        size: IntPair | None = None,
        channels: int = 3,
        *,
        background: Colour = "white",
        fit: str = "stretch",
        cache: int = CACHE,
        skip_broken: bool = False,
        transform: None = None,
    ) -> None:
        if transform is not None or callable(size):
            raise TypeError(
                "ImageFolder: transforms are of batches here: ImageFolder(root, size=(H, W)), then DataLoader(dataset, "
                "transform=...), with those of minidl.data.transforms"
            )
        pillow("ImageFolder")
        with named("ImageFolder"):
            self.root = user_path(root)
        self.size = None if size is None else check_pair("ImageFolder", "size", size)
        self.channels = check_channels("ImageFolder", channels)
        self.background = check_background("ImageFolder", background)
        self.fit = check_fit("ImageFolder", fit, self.size)
        self.kept = KeptImages(check_int("ImageFolder", "cache", cache, minimum=0) * 2**20)
        if not self.root.is_dir():
            raise FileNotFoundError(f"ImageFolder: there is no folder {self.root}")
        found, skipped = _images_by_class(self.root)
        self.classes, self.skipped = list(found), dict(skipped)
        note = f"; {described(skipped)}" if skipped else ""
        if not found:
            raise FileNotFoundError(f"ImageFolder: {self.root} holds no folders, one for each class{note}")
        if empty := [name for name, files in found.items() if not files]:
            raise FileNotFoundError(f"ImageFolder: there are no images in {_listed(empty)} of {self.root}{note}")
        self._check_level(found)
        self.files = [path for files in found.values() for path in files]
        self.labels = np.repeat(np.arange(len(found)), [len(files) for files in found.values()])
        if skip_broken:
            self._skip_broken()

    def _check_level(self, found: dict[str, list[Path]]) -> None:
        """Raise ValueError if the folders are those of a dataset's parts, or one folder that holds the classes."""
        names = _listed(found)
        if any(path.parent == self.root / name for name, files in found.items() for path in files):
            return
        if all(_part(name) for name in found):
            raise ValueError(
                f"ImageFolder: {self.root} holds the parts of a dataset, {names}; load_image_folder reads them, "
                f"ImageFolder({str(self.root / next(iter(found)))!r}) one of them"
            )
        only = self.root / next(iter(found))
        inner = _folders(only)
        if len(found) == 1 and len(inner) > 1:
            raise ValueError(
                f"ImageFolder: {self.root} holds one class, {names}; did you mean {printable(only)}, which holds "
                f"{_listed(path.name for path in inner[:5])}?"
            )

    def _skip_broken(self) -> None:
        """Leave out the images that cannot be read."""
        errors = list[UnreadableImageError]()
        good = readable_indices(self, range(len(self)), errors)
        with named("ImageFolder"):
            only("", self, good)
        self.files, self.labels = [self.files[index] for index in good], self.labels[good]
        _warn_of("ImageFolder", errors, stacklevel=4)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Array, Any]:
        """Return (image (C, H, W) float32 in [0, 1], label)."""
        path = self.files[index]
        form = self.size, self.channels, self.background, self.fit
        return scaled(*self.kept.get(path, lambda: pixels_of(path, *form)), self.channels), self.labels[index]

    def batch(self, indices: Array) -> tuple[Array, ...]:
        """Return images (N, C, H, W) and labels (N,)."""
        images = [self[int(index)][0] for index in indices]
        for index, image in zip(indices, images, strict=True):
            if image.shape != images[0].shape:
                one, first = printable(self.files[index]), printable(self.files[indices[0]])
                raise ValueError(
                    f"ImageFolder: {one} is {image.shape[1:]}, {first} {images[0].shape[1:]}; give a size to which all "
                    "are resized"
                )
        return np.stack(images), self.labels[indices]

    def __repr__(self) -> str:
        counts = ", ".join(f"{printable(name)} {count:,}" for name, count in class_counts(self).items())
        note = f"; {described(self.skipped)}" if self.skipped else ""
        return f"ImageFolder({str(self.root)!r}, {len(self)} images: {counts}{note})"


def load_image_folder(
    root: str | os.PathLike[str],
    size: IntPair | None = None,
    channels: int = 3,
    *,
    background: Colour = "white",
    fit: str = "stretch",
    cache: int = CACHE,
    skip_broken: bool = False,
) -> tuple[Dataset, Dataset]:
    """Read images from a folder, those for training and those for testing.

    `image_folder_parts` says which those are, and what is raised. Without images for testing, the second dataset is
    that of the images for validation.

    Args:
        root: the folder.
        size, channels, background, fit: as for `ImageFolder`.
        cache: likewise, for all images together.
        skip_broken: read every image now, and leave out those that cannot be read; a warning names them. The others are
            in the part in which they would be without it.

    Returns:
        (train, test).

    Raises:
        ValueError: as `image_folder_parts`; or, with ``skip_broken``, no image of a part, or of a class for training,
            can be read.
    """
    parts = image_folder_parts(root, size, channels, background=background, fit=fit, cache=cache)
    if skip_broken:
        errors = list[UnreadableImageError]()
        good = {name: readable_indices(part, range(len(part)), errors) for name, part in parts.items()}
        with named("load_image_folder"):
            parts = {name: only(name, part, good[name]) for name, part in parts.items()}
        _warn_of("load_image_folder", errors, stacklevel=3)
    return parts["train"], parts["test" if "test" in parts else "val"]


def image_folder_parts(
    root: str | os.PathLike[str],
    size: IntPair | None = None,
    channels: int = 3,
    *,
    background: Colour = "white",
    fit: str = "stretch",
    cache: int = CACHE,
) -> dict[str, Dataset]:
    """Read images from a folder, by their purpose.

    If all of its folders are named like the parts of a dataset, in any case (train or training; test or testing; val,
    valid, validation, dev, eval or evaluation; also with set, split, data or images at the end, as in training_set),
    these are its parts. Otherwise its folders are the classes, and every fifth image
    of each class, in sorted order, is for testing.

    Args:
        root: the folder.
        size, channels, background, fit: as for `ImageFolder`.
        cache: likewise, for all images together.

    Returns:
        The datasets "train", and "test" or "val" or both.

    Raises:
        ValueError: a part is missing or appears twice; the classes of two parts differ; there is only one class, as in
            a folder one level too high; or a class has fewer than five images to split.
        FileNotFoundError, ImportError: as for `ImageFolder`.
    """
    with named("load_image_folder"):
        folder = user_path(root)

    def read(path: Path) -> ImageFolder:
        return ImageFolder(path, size, channels, background=background, fit=fit, cache=cache)

    if found := _parts(folder):
        parts = {part: read(path) for part, path in found.items()}
        train = parts["train"]
        for part, other in parts.items():
            other.kept = train.kept
            if other.classes != train.classes:
                raise ValueError(
                    f"load_image_folder: {folder}: {found['train'].name} and {found[part].name} have "
                    f"different classes: {train.classes} and {other.classes}"
                )
        _check_several(train)
        return dict(parts)
    whole = read(folder)
    _check_several(whole)
    if small := [whole.classes[n] for n, count in enumerate(np.bincount(whole.labels)) if count < TEST_EVERY]:
        raise ValueError(
            f"load_image_folder: {folder}: every class needs five images or more, of which every fifth is for "
            f"testing; too few in {_listed(small)}"
        )
    in_test = is_for_testing(whole.labels)
    return {"train": Subset(whole, np.flatnonzero(~in_test)), "test": Subset(whole, np.flatnonzero(in_test))}


def class_counts(dataset: Dataset) -> dict[str, int]:
    """Return how many images each class of an image folder, or of a part of one, has; {} for other datasets.

    Args:
        dataset: an `ImageFolder` or a `Subset` of one.
    """
    whole, chosen = whole_of(dataset)
    if not isinstance(whole, ImageFolder):
        return {}
    counts = np.bincount(whole.labels[chosen], minlength=len(whole.classes))
    return dict(zip(whole.classes, counts.tolist(), strict=True))


def only(name: str, dataset: Dataset, good: list[int]) -> Dataset:
    """Return the samples of an image folder, or of a part of one, that can be read; the others are counted as skipped.

    Args:
        name: of the part, for errors; "" for a folder that is none.
        dataset: the folder or the part; any other dataset whose samples are all good.
        good: the indices of these samples.

    Raises:
        ValueError: these are none, or none of a class, which only parts for validation and testing may lack.
    """
    whole, chosen = whole_of(dataset)
    if len(good) == len(dataset) or not isinstance(whole, ImageFolder):
        return dataset
    labels = whole.labels[chosen]
    lost = np.setdiff1d(labels, labels[good])
    if not good or (len(lost) and name in ("", "train")):
        classes = _listed(whole.classes[label] for label in lost)
        where = f" in the images for {name}" if name else ""
        raise ValueError(f"no image of {classes}{where} can be read")
    whole.skipped[_BROKEN] = whole.skipped.get(_BROKEN, 0) + len(dataset) - len(good)
    return Subset(dataset, good)


def relative_names(dataset: ImageFolder) -> list[str]:
    """Return the names of a folder's files, relative to its root, with / on every system."""
    return [path.relative_to(dataset.root).as_posix() for path in dataset.files]


def skipped_in(datasets: Iterable[Dataset]) -> str:
    """Return what was skipped in the image folders that datasets are parts of, as text; "" if nothing was."""
    wholes = {id(whole): whole for whole, _ in map(whole_of, datasets) if isinstance(whole, ImageFolder)}
    return described(sum((Counter(whole.skipped) for whole in wholes.values()), Counter[str]()))


def _images_by_class(root: Path) -> tuple[dict[str, list[Path]], Counter[str]]:
    """Return the image files of each class, in the order of their names; and what was skipped, by reason."""
    real = root.resolve()
    above = {str(real), *map(str, real.parents)}
    found, skipped = dict[str, list[Path]](), Counter[str]()
    for path in sorted(root.iterdir(), key=lambda path: path.name):
        if path.name.startswith(_HIDDEN):
            skipped["hidden"] += 1
        elif path.is_dir() and os.path.realpath(path) not in above:
            found[path.name], own = image_files(path, above)
            skipped.update(own)
        else:
            skipped["circle of links" if path.is_dir() else "beside the classes"] += 1
    return found, skipped


def _warn_of(owner: str, errors: list[UnreadableImageError], stacklevel: int) -> None:
    """Warn that images are left out, and name them."""
    if errors:
        text = "\n  ".join([f"{owner}: {image_count(errors)} left out, which cannot be read:", *listed(errors)])
        warnings.warn(text, UserWarning, stacklevel=stacklevel)


def _listed(names: Iterable[object]) -> str:
    return ", ".join(map(printable, names))


def _folders(root: Path) -> list[Path]:
    """Return the folders in a folder, sorted, without hidden ones; none if it does not exist."""
    if not root.is_dir():
        return []
    return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith(_HIDDEN))


def _parts(folder: Path) -> dict[str, Path]:
    """Return the folders of the training, validation and test images if ``folder`` is split so, otherwise {}."""
    found = _folders(folder)
    names = _listed(path.name for path in found)
    if not found or not all(_part(path.name) for path in found):
        _refuse_near_parts(folder, found)
        return {}
    if len({path.resolve() for path in found}) < len(found):
        raise ValueError(f"load_image_folder: {folder} holds {names}, two of which are links to the same images")
    by_part: dict[str, list[Path]] = {}
    for path in found:
        by_part.setdefault(str(_part(path.name)), []).append(path)
    if any(len(paths) > 1 for paths in by_part.values()):
        raise ValueError(f"load_image_folder: {folder} holds {names}, two of which are for the same part")
    if "train" not in by_part or len(by_part) == 1:
        raise ValueError(
            f"load_image_folder: {folder} holds {names}; expected a folder train beside test or val, or one folder "
            "per class"
        )
    return {part: by_part[part][0] for part in ("train", "val", "test") if part in by_part}


def _refuse_near_parts(folder: Path, found: list[Path]) -> None:
    """Raise ValueError for folders that would be classes, but are named nearly like parts, or hold such parts."""
    near = [path.name for path in found if _NEARLY.search(path.name) and _folders(path)]
    kinds = {match.group(1).lower() == "train" for name in near if (match := _NEARLY.search(name))}
    if len(kinds) == 2:
        raise ValueError(
            f"load_image_folder: {folder} holds {_listed(path.name for path in found)}: are {_listed(near)} parts "
            "of a dataset? Rename the parts to train, val and test, and put nothing else beside them"
        )
    inner = [[_part(path.name) for path in _folders(own)] for own in found]
    if len(found) > 1 and all(parts and all(parts) and len(parts) > 1 for parts in inner):
        raise ValueError(
            f"load_image_folder: each folder in {folder} holds parts of a dataset, such as train and test; put the "
            "classes into the parts: train/CLASS, test/CLASS"
        )


def _check_several(dataset: ImageFolder) -> None:
    """Raise ValueError for a single class: nothing can be learned from it, and every answer would be right."""
    if len(dataset.classes) > 1:
        return
    only = dataset.root / dataset.classes[0]
    inner = [path.name for path in _folders(only)]
    hint = f"; did you mean {printable(only)}, which holds {_listed(inner[:5])}?" if inner else ""
    raise ValueError(f"load_image_folder: {dataset.root} holds one class, {printable(only.name)}{hint}")
