"""MNIST from its four canonical files."""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path

import numpy as np

from ..functional._checks import Array
from .dataset import ArrayDataset

__all__ = ["load_mnist", "read_idx"]

_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_UNSIGNED_BYTES = 0x08


def load_mnist(root: str | os.PathLike[str]) -> tuple[ArrayDataset, ArrayDataset]:
    """Read MNIST from a folder that holds its four IDX files, gzipped (.gz) or not.

    Args:
        root: folder with train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and
            t10k-labels-idx1-ubyte.

    Returns:
        (train, test): images (N, 1, H, W) float32 in [0, 1], labels (N,) int64 from 0 to 9; for MNIST itself
        60,000 and 10,000 samples of 28x28.

    Raises:
        FileNotFoundError: the folder or a file is missing; the message lists the names looked for.
        ValueError: a file is truncated, too long, not an IDX file, or images and labels do not match.

    Source: Y. LeCun, C. Cortes and C. Burges, "The MNIST database of handwritten digits".
    """
    folder = Path(root)
    if not folder.is_dir():
        raise FileNotFoundError(f"load_mnist: there is no folder {folder}")
    parts = []
    for image_name, label_name in _FILES.values():
        image_file, label_file = _find(folder, image_name), _find(folder, label_name)
        images, labels = read_idx(image_file, axes=3), read_idx(label_file, axes=1)
        if len(images) != len(labels):
            raise ValueError(
                f"load_mnist: {image_file.name} holds {len(images)} images, {label_file.name} {len(labels)} labels"
            )
        if labels.size and labels.max() > 9:
            raise ValueError(f"load_mnist: expected labels from 0 to 9, got {labels.max()} in {label_file}")
        scaled = np.multiply(images[:, None], np.float32(1 / 255), dtype=np.float32)
        parts.append(ArrayDataset(scaled, labels.astype(np.int64)))
    train, test = parts
    if not len(train) or not len(test) or train.arrays[0].shape[1:] != test.arrays[0].shape[1:]:
        raise ValueError(
            f"load_mnist: expected images of one size for training and test, got {train.arrays[0].shape} and "
            f"{test.arrays[0].shape} in {folder}"
        )
    return train, test


def read_idx(path: str | os.PathLike[str], axes: int | None = None) -> Array:
    """Read one IDX file of unsigned bytes, gzipped if its name ends in .gz.

    The format: two zero bytes, 0x08 for unsigned bytes, the number of axes, the size of each axis as a big-endian
    32-bit integer, then the bytes in row-major order.

    Args:
        path: the file.
        axes: the number of axes expected, 3 for images, 1 for labels; None takes any.

    Returns:
        uint8 array.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the magic number, the sizes or the length are wrong.
    """
    path = Path(path)
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path}: truncated or damaged gzip file ({error})") from error
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != _UNSIGNED_BYTES:
        raise ValueError(
            f"{path}: not an IDX file of unsigned bytes: expected it to start with 00 00 08, got "
            f"{content[:4].hex(' ') or 'nothing'}"
        )
    ndim = content[3]
    if axes is not None and ndim != axes:
        kinds = {1: "labels", 3: "images"}
        raise ValueError(
            f"{path}: expected {axes} axes ({kinds.get(axes, 'data')}), got {ndim} ({kinds.get(ndim, 'data')})"
        )
    header = 4 + 4 * ndim
    if len(content) < header:
        raise ValueError(f"{path}: truncated: the header needs {header} bytes, the file has {len(content)}")
    shape = struct.unpack(f">{ndim}I", content[4:header])
    expected = header + math.prod(shape)
    if len(content) != expected:
        problem = "truncated" if len(content) < expected else "too long"
        raise ValueError(f"{path}: {problem}: sizes {shape} need {expected} bytes, the file has {len(content)}")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _find(folder: Path, name: str) -> Path:
    """Return the file of a canonical name, also in the spelling 'train-images.idx3-ubyte'."""
    spellings = (name, f"{name}.gz", name.replace("-idx", ".idx"), f"{name.replace('-idx', '.idx')}.gz")
    for spelling in spellings:
        if (folder / spelling).is_file():
            return folder / spelling
    raise FileNotFoundError(f"load_mnist: {folder} does not hold {name} or {name}.gz")
