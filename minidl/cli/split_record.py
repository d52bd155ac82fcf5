"""Which images of a folder a run is tested on: without a test/ of its own, every fifth, which others are later.

The split follows from the list of files. A file added or deleted would move images that the model has learned into the
part for testing, so the run's folder keeps the names.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .._core import Array, printable, reading, write_atomically
from ..data import ImageFolder, Subset
from ..data.dataset import whole_of
from ..data.folder import relative_names
from .datasets import Images

__all__ = ["add_test_images", "check_test_images", "recorded_test_images"]

TEST_IMAGES = "test_images.json"
_NAMED = 5  # files that a message names; the others it counts


def add_test_images(folder: Path, images: Images) -> None:
    """Write the names, relative to the root, and the sizes in bytes of a split folder's test images.

    Args:
        folder: the run's.
        images: its images. Where the test images have a folder of their own, nothing is written.
    """
    if (whole := _split_folder(images)) is None:
        (folder / TEST_IMAGES).unlink(missing_ok=True)
        return
    names = relative_names(whole)
    sizes = {names[index]: whole.files[index].stat().st_size for index in _test_of(images)}
    record = {"images": len(names), "test": sizes}
    write_atomically(folder / TEST_IMAGES, f"{json.dumps(record, indent=1)}\n".encode())


def recorded_test_images(folder: Path, images: Images) -> tuple[Images, str]:
    """Return the images with those for testing that a run has kept for it, and what there is to say about it.

    Args:
        folder: the run's.
        images: as its recipe's folder is split now.

    Raises:
        ValueError: some of the images are gone or have changed, or the record is damaged.
    """
    if (whole := _split_folder(images)) is None:
        return images, ""
    path, root = folder / TEST_IMAGES, printable(whole.root)
    if not path.is_file():
        return images, (
            f"{folder} is from before runs kept the names of test images: if files were added to {root} or "
            "deleted since its training, some of these are images that the model has learned"
        )
    count, sizes = _read(path)
    indices = {name: index for index, name in enumerate(relative_names(whole))}
    gone = [name for name in sizes if name not in indices]
    other = [name for name in sizes if name in indices and whole.files[indices[name]].stat().st_size != sizes[name]]
    if gone or other:
        told = [f"{len(some):,} {what}: {_some(some)}" for some, what in ((gone, "gone"), (other, "changed")) if some]
        raise ValueError(
            f"{root} is not as it was when {folder} was trained; of its {len(sizes):,} test images {'; '.join(told)}. "
            "Split anew, the images for testing may be ones that the model has learned. Put the files back, or give as "
            "--root a copy of that folder; to measure on other images, one with folders train and test"
        )
    test = np.array(sorted(indices[name] for name in sizes))
    same = len(indices) == count and np.isin(test, _test_of(images)).all()
    note = f"{root} has other files than when {folder} was trained: measured on the same {len(test):,} test images"
    return replace(images, test=Subset(whole, test)), "" if same else note


def check_test_images(folder: Path, images: Images) -> None:
    """Raise ValueError if a run cannot go on with these images, as some for training may be those that it kept."""
    if (folder / TEST_IMAGES).is_file() and (note := recorded_test_images(folder, images)[1]):
        raise ValueError(
            f"--resume {folder}: {note.partition(':')[0]}, which splits it anew: some of its test images would be "
            "learned. Give as --root the folder as it was"
        )


def _split_folder(images: Images) -> ImageFolder | None:
    """Return the folder if its images for training and for testing were told apart by their order, otherwise None."""
    if images.test is None:
        return None
    whole, other = whole_of(images.train)[0], whole_of(images.test)[0]
    return whole if whole is other and isinstance(whole, ImageFolder) else None


def _test_of(images: Images) -> Array:
    """Return the indices of the test images in their folder."""
    assert images.test is not None
    chosen: Any = whole_of(images.test)[1]
    return np.asarray(chosen)


def _read(path: Path) -> tuple[int, dict[str, int]]:
    """Return how many images there were, and the sizes of those for testing, by name."""
    with reading(path, "is damaged"):
        record = json.loads(path.read_text(encoding="utf-8"))
        count, sizes = record["images"], record["test"]
        if type(count) is not int or not sizes or any(type(size) is not int for size in sizes.values()):
            raise ValueError("expected the number of all images, and the sizes of those for testing")
    return count, sizes


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED:,} more" * (len(names) > _NAMED)
    return ", ".join(map(printable, names[:_NAMED])) + more
