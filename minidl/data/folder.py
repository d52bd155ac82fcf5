"""ImageFolder: a dataset of image files, with a folder for each class; and its parts for training and testing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from .._core import Array, IntPair, check_pair, user_path
from .dataset import TEST_EVERY, Dataset, Subset, is_for_testing
from .images import check_channels, image_files, pillow, read_image
from .naming import named

__all__ = ["ImageFolder", "class_counts", "image_folder_parts", "load_image_folder"]

_PARTS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "eval"), "val"),
}


class ImageFolder(Dataset):
    """Images in one folder per class: root/CLASS/anything.png. Classes are numbered in the sorted order of their names.

    Hidden files and files without the suffix of an image format are skipped. An image is read when its sample is
    asked for, with pillow (extra ``images``).

    Args:
        root: the folder that holds the classes' folders; images in subfolders belong to the class above them.
        size: (H, W), or an int for both, to which every image is resized; None: as they are, all of one size.
        channels: 3 for colour, 1 for grey.

    Attributes:
        classes: the folders' names; a label is an index into it.
        files: path of each sample.
        labels: label of each sample, int64 (N,).

    Raises:
        FileNotFoundError: there is no such folder, no class in it, or no image in a class.
        ImportError: the extra is not installed.
        ValueError: a file cannot be read (when its sample is asked for); the message names it.
    """

    def __init__(self, root: str | os.PathLike[str], size: IntPair | None = None, channels: int = 3) -> None:
        pillow("ImageFolder")
        with named("ImageFolder"):
            self.root = user_path(root)
        self.size = None if size is None else check_pair("ImageFolder", "size", size)
        self.channels = check_channels("ImageFolder", channels)
        if not self.root.is_dir():
            raise FileNotFoundError(f"ImageFolder: there is no folder {self.root}")
        self.classes = sorted(path.name for path in _folders(self.root))
        if not self.classes:
            raise FileNotFoundError(f"ImageFolder: {self.root} holds no folders, one for each class")
        found = [(path, label) for label, name in enumerate(self.classes) for path in image_files(self.root / name)]
        empty = [name for label, name in enumerate(self.classes) if all(label != own for _, own in found)]
        if empty:
            raise FileNotFoundError(f"ImageFolder: there are no images in {', '.join(empty)} of {self.root}")
        self.files = [path for path, _ in found]
        self.labels = np.array([label for _, label in found], np.int64)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Array, Any]:
        """Return (image (C, H, W) float32 in [0, 1], label)."""
        return read_image(self.files[index], self.size, self.channels), self.labels[index]

    def batch(self, indices: Array) -> tuple[Array, ...]:
        """Return images (N, C, H, W) and labels (N,)."""
        images = [self[int(index)][0] for index in indices]
        for index, image in zip(indices, images, strict=True):
            if image.shape != images[0].shape:
                raise ValueError(
                    f"ImageFolder: {self.files[index]} is {image.shape[1:]}, {self.files[indices[0]]} "
                    f"{images[0].shape[1:]}; give a size to which all are resized"
                )
        return np.stack(images), self.labels[indices]

    def __repr__(self) -> str:
        return f"ImageFolder({str(self.root)!r}, {len(self)} images, classes {self.classes})"


def load_image_folder(
    root: str | os.PathLike[str], size: IntPair | None = None, channels: int = 3
) -> tuple[Dataset, Dataset]:
    """Read images from a folder, those for training and those for testing.

    `image_folder_parts` says which those are, and what is raised. Without images for testing, the second dataset is
    that of the images for validation.

    Args:
        root: the folder.
        size, channels: as for `ImageFolder`.

    Returns:
        (train, test).
    """
    parts = image_folder_parts(root, size, channels)
    return parts["train"], parts["test" if "test" in parts else "val"]


def image_folder_parts(
    root: str | os.PathLike[str], size: IntPair | None = None, channels: int = 3
) -> dict[str, Dataset]:
    """Read images from a folder, by their purpose.

    If all of its folders are named like the parts of a dataset, in any case (train or training; test or testing; val,
    valid, validation, dev or eval), these are its parts. Otherwise its folders are the classes, and every fifth image
    of each class, in sorted order, is for testing.

    Args:
        root: the folder.
        size, channels: as for `ImageFolder`.

    Returns:
        The datasets "train", and "test" or "val" or both.

    Raises:
        ValueError: a part is missing or appears twice; the classes of two parts differ; there is only one class, as in
            a folder one level too high; or a class has fewer than five images to split.
        FileNotFoundError, ImportError: as for `ImageFolder`.
    """
    with named("load_image_folder"):
        folder = Path(root)
    if found := _parts(folder):
        parts = {part: ImageFolder(path, size, channels) for part, path in found.items()}
        train = parts["train"]
        for part, other in parts.items():
            if other.classes != train.classes:
                raise ValueError(
                    f"load_image_folder: {folder}: {found['train'].name} and {found[part].name} have different "
                    f"classes: {train.classes} and {other.classes}"
                )
        _check_several(train)
        return dict(parts)
    whole = ImageFolder(folder, size, channels)
    _check_several(whole)
    if small := [whole.classes[n] for n, count in enumerate(np.bincount(whole.labels)) if count < TEST_EVERY]:
        raise ValueError(
            f"load_image_folder: {folder}: every class needs five images or more, of which every fifth is for "
            f"testing; too few in {', '.join(small)}"
        )
    in_test = is_for_testing(whole.labels)
    return {"train": Subset(whole, np.flatnonzero(~in_test)), "test": Subset(whole, np.flatnonzero(in_test))}


def class_counts(dataset: Dataset) -> dict[str, int]:
    """Return how many images each class of an image folder, or of a part of one, has; {} for other datasets.

    Args:
        dataset: an `ImageFolder` or a `Subset` of one.
    """
    chosen = np.arange(len(dataset))
    while isinstance(dataset, Subset):
        chosen = dataset.indices[chosen]
        dataset = dataset.dataset
    if not isinstance(dataset, ImageFolder):
        return {}
    counts = np.bincount(dataset.labels[chosen], minlength=len(dataset.classes))
    return dict(zip(dataset.classes, counts.tolist(), strict=True))


def _folders(root: Path) -> list[Path]:
    """Return the folders in a folder, sorted, without hidden ones; none if it does not exist."""
    return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith(".")) if root.is_dir() else []


def _parts(folder: Path) -> dict[str, Path]:
    """Return the folders of the training, validation and test images if ``folder`` is split so, otherwise {}."""
    found = _folders(folder)
    if not found or any(path.name.lower() not in _PARTS for path in found):
        return {}
    names = ", ".join(path.name for path in found)
    by_part: dict[str, list[Path]] = {}
    for path in found:
        by_part.setdefault(_PARTS[path.name.lower()], []).append(path)
    if any(len(paths) > 1 for paths in by_part.values()):
        raise ValueError(f"load_image_folder: {folder} holds {names}, two of which are for the same part")
    if "train" not in by_part or len(by_part) == 1:
        raise ValueError(
            f"load_image_folder: {folder} holds {names}; expected a folder train beside test or val, or one folder "
            "per class"
        )
    return {part: by_part[part][0] for part in ("train", "val", "test") if part in by_part}


def _check_several(dataset: ImageFolder) -> None:
    """Raise ValueError for a single class: nothing can be learned from it, and every answer would be right."""
    if len(dataset.classes) > 1:
        return
    inner = [path.name for path in _folders(dataset.root / dataset.classes[0])]
    hint = f"; did you mean {dataset.root / dataset.classes[0]}, which holds {', '.join(inner[:5])}?" if inner else ""
    raise ValueError(f"load_image_folder: {dataset.root} holds one class, {dataset.classes[0]}{hint}")
