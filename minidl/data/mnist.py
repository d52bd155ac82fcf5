"""MNIST and Fashion-MNIST from their four files."""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path

import numpy as np

from .._core import Array
from .dataset import ArrayDataset
from .download import RemoteFile, fetch

__all__ = ["load_fashion_mnist", "load_mnist", "read_idx"]

_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_UNSIGNED_BYTES = 0x08


_MNIST_HASHES = {
    "train-images-idx3-ubyte": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
_MNIST_HOSTS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
_FASHION_HASHES = {
    "train-images-idx3-ubyte": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}
_FASHION_HOSTS = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
)


def load_mnist(root: str | os.PathLike[str], *, download: bool = False) -> tuple[ArrayDataset, ArrayDataset]:
    """Read MNIST from a folder that holds its four IDX files, gzipped (.gz) or not.

    Args:
        root: folder with train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and
            t10k-labels-idx1-ubyte.
        download: fetch files that are not there (11 MB, extra ``datasets``); each is checked before it is read.

    Returns:
        (train, test): images (N, 1, H, W) float32 in [0, 1], labels (N,) int64 from 0 to 9; for MNIST itself
        60,000 and 10,000 samples of 28x28.

    Raises:
        FileNotFoundError: the folder or a file is missing; the message lists the names looked for.
        ValueError: a file is truncated, too long, not an IDX file, or images and labels do not match.
        OSError: the download failed.

    Source: Y. LeCun, C. Cortes and C. Burges, "The MNIST database of handwritten digits".
    """
    return _load("load_mnist", Path(root), _MNIST_HASHES if download else None, _MNIST_HOSTS)


def load_fashion_mnist(root: str | os.PathLike[str], *, download: bool = False) -> tuple[ArrayDataset, ArrayDataset]:
    """Read Fashion-MNIST from a folder: grey images of clothes, in files of the same names and form as MNIST's.

    Args:
        root: folder with the four files, as for `load_mnist`.
        download: fetch files that are not there (30 MB, extra ``datasets``); each is checked before it is read.

    Returns:
        (train, test): 60,000 and 10,000 samples, images (N, 1, 28, 28) float32 in [0, 1], labels (N,) int64, 0 to 9.

    Raises:
        FileNotFoundError, ValueError, OSError: as for `load_mnist`.

    Source: Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747.
    """
    return _load("load_fashion_mnist", Path(root), _FASHION_HASHES if download else None, _FASHION_HOSTS)


def _load(
    owner: str, folder: Path, hashes: dict[str, str] | None, hosts: tuple[str, ...]
) -> tuple[ArrayDataset, ArrayDataset]:
    if hashes is None and not folder.is_dir():
        raise FileNotFoundError(f"{owner}: there is no folder {folder}; download=True fetches the files")
    parts = []
    for names in _FILES.values():
        files = []
        for name in names:
            file = _find(folder, name)
            if file is None and hashes is not None:
                gzipped = f"{name}.gz"
                file = fetch(owner, folder, RemoteFile(gzipped, hashes[name], [host + gzipped for host in hosts]))
            if file is None:
                raise FileNotFoundError(
                    f"{owner}: {folder} does not hold {name} or {name}.gz; download=True fetches them"
                )
            files.append(file)
        images, labels = read_idx(files[0], axes=3), read_idx(files[1], axes=1)
        if len(images) != len(labels):
            raise ValueError(
                f"{owner}: {files[0].name} holds {len(images)} images, {files[1].name} {len(labels)} labels"
            )
        if labels.size and labels.max() > 9:
            raise ValueError(f"{owner}: expected labels from 0 to 9, got {labels.max()} in {files[1]}")
        scaled = np.multiply(images[:, None], np.float32(1 / 255), dtype=np.float32)
        parts.append(ArrayDataset(scaled, labels.astype(np.int64)))
    train, test = parts
    if not len(train) or not len(test) or train.arrays[0].shape[1:] != test.arrays[0].shape[1:]:
        raise ValueError(
            f"{owner}: expected images of one size for training and test, got {train.arrays[0].shape} and "
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


def _find(folder: Path, name: str) -> Path | None:
    """Return the file of a canonical name, also in the spelling 'train-images.idx3-ubyte'."""
    spellings = (name, f"{name}.gz", name.replace("-idx", ".idx"), f"{name.replace('-idx', '.idx')}.gz")
    return next((folder / spelling for spelling in spellings if (folder / spelling).is_file()), None)
