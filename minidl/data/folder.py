"""ImageFolder: a dataset of image files, one folder a class."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from .._core import Array, IntPair, check_pair
from .dataset import Dataset

__all__ = ["ImageFolder", "image_files", "read_image"]

_SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}


class ImageFolder(Dataset):
    """Images in folders: root/CLASS/anything.png. Classes are numbered in the sorted order of their folders' names.

    Hidden files, and files that are no images by their suffix, are passed over. Images are read when they are asked
    for, through pillow (extra ``images``).

    Args:
        root: the folder of the classes' folders; deeper folders count to their class.
        size: (H, W), or an int for both, to which every image is resized; None: as they are, all of one size.
        channels: 3 for colour, 1 for grey.

    Attributes:
        classes: the folders' names; a label is an index of it.
        files: path of each sample.
        labels: label of each sample, int64 (N,).

    Raises:
        FileNotFoundError: there is no such folder, no class in it, or no image in a class.
        ImportError: the extra is not installed.
        ValueError: a file cannot be read (when it is asked for); the message names it.
    """

    def __init__(self, root: str | os.PathLike[str], size: IntPair | None = None, channels: int = 3) -> None:
        _pillow("ImageFolder")
        self.root = Path(root)
        self.size = None if size is None else check_pair("ImageFolder", "size", size)
        if channels not in (1, 3):
            raise ValueError(f"ImageFolder: channels must be 1 or 3, got {channels!r}")
        self.channels = channels
        if not self.root.is_dir():
            raise FileNotFoundError(f"ImageFolder: there is no folder {self.root}")
        self.classes = sorted(p.name for p in self.root.iterdir() if p.is_dir() and not p.name.startswith("."))
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


def image_files(folder: Path) -> list[Path]:
    """Return the image files in a folder and below, in sorted order, without hidden ones."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and path.suffix.lower() in _SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def read_image(path: str | os.PathLike[str], size: tuple[int, int] | None = None, channels: int = 3) -> Array:
    """Read an image file.

    Args:
        path: the file.
        size: (H, W) to which it is resized; None: as it is.
        channels: 3 for colour, 1 for grey.

    Returns:
        (C, H, W), float32 in [0, 1].

    Raises:
        ImportError: the extra ``images`` is not installed.
        ValueError: the file cannot be read as an image.
    """
    image_module = _pillow("read_image")
    from PIL import ImageOps  # noqa: PLC0415

    try:
        with image_module.open(path) as file:
            if file.mode == "F":
                raise ValueError("its pixels are floating-point numbers, whose range is not known")
            if file.mode.startswith("I"):  # 16 bits
                scaled = np.asarray(file, np.float32) / np.float32(65535 / 255)
                image = image_module.fromarray(np.rint(scaled).astype(np.uint8)).convert(
                    "RGB" if channels == 3 else "L"
                )
            else:
                image = ImageOps.exif_transpose(file).convert("RGB" if channels == 3 else "L")
            if size is not None and image.size != size[::-1]:
                image = image.resize(size[::-1], image_module.Resampling.BILINEAR)
            pixels = np.asarray(image, np.uint8)
    except Exception as error:  # each format has its own ways to fail
        raise ValueError(f"cannot read the image {path}: {error}") from error
    planes = pixels.transpose(2, 0, 1) if channels == 3 else pixels[None]
    return np.multiply(planes, np.float32(1 / 255), dtype=np.float32)


def _pillow(owner: str) -> Any:
    try:
        from PIL import Image  # noqa: PLC0415 - an extra, imported where it is used
    except ImportError as error:
        raise ImportError(f"{owner} needs an extra: pip install 'minidl[images]'") from error
    return Image
