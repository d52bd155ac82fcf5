"""MNIST and the datasets that come in its format: Fashion-MNIST, KMNIST and EMNIST."""

from __future__ import annotations

import os
import string
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .._core import TooLargeError, check_choice, memory_for, open_zip, printable, user_path
from .dataset import ArrayDataset
from .download import RemoteFile, fetch
from .idx import kind_of, parse_idx
from .naming import named
from .search import USUAL, find_files, hint

__all__ = ["load_emnist", "load_fashion_mnist", "load_kmnist", "load_mnist"]


class _Source(NamedTuple):
    """A dataset in MNIST's format: its classes, where its files can be downloaded, and how they differ from MNIST's."""

    family: str  # one of those in _FAMILIES
    classes: Sequence[str]
    hosts: Sequence[str] = ()  # the gzipped files' address, without their names
    hashes: Mapping[str, str] = {}  # their SHA-256, by the names without .gz
    archive: RemoteFile | None = None  # a zip file that holds all of them
    train: str = "train"  # what the names of the training files begin with
    test: str = "t10k"
    first_label: int = 0  # in the files; the labels returned begin at 0
    transposed: bool = False  # whether rows and columns are swapped in the files


# What the names of folders hold, the longer ones first, and the dataset whose files are in such a folder.
_FAMILIES = {
    "fashion": "fashion",
    "kmnist": "kmnist",
    "kuzushiji": "kmnist",
    "emnist": "emnist",
    "qmnist": "qmnist",
    "notmnist": "notmnist",
    "mnist": "mnist",
}

_MNIST = _Source(
    family="mnist",
    classes=string.digits,
    hosts=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    hashes={
        "train-images-idx3-ubyte": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1-ubyte": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-images-idx3-ubyte": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1-ubyte": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
)
_FASHION = _Source(
    family="fashion",
    classes=(
        *("T-shirt", "trouser", "pullover", "dress", "coat"),
        *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
    ),
    hosts=(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    ),
    hashes={
        "train-images-idx3-ubyte": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "train-labels-idx1-ubyte": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "t10k-images-idx3-ubyte": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "t10k-labels-idx1-ubyte": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    },
)
_KMNIST = _Source(
    family="kmnist",
    classes=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    hosts=("https://codh.rois.ac.jp/kmnist/dataset/kmnist/", "http://codh.rois.ac.jp/kmnist/dataset/kmnist/"),
    hashes={
        "train-images-idx3-ubyte": "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
        "train-labels-idx1-ubyte": "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
        "t10k-images-idx3-ubyte": "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
        "t10k-labels-idx1-ubyte": "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
    },
)

_EMNIST_ARCHIVE = RemoteFile(
    "gzip.zip",
    "fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e",
    (
        "https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip",
        "https://www.itl.nist.gov/iaui/vip/cs_links/EMNIST/gzip.zip",
    ),
)
# A letter whose upper and lower case look alike is one class, named by the upper case.
_MERGED = string.digits + string.ascii_uppercase + "abdefghnqrt"
_EMNIST_CLASSES = {
    "balanced": _MERGED,
    "byclass": string.digits + string.ascii_uppercase + string.ascii_lowercase,
    "bymerge": _MERGED,
    "digits": string.digits,
    "letters": string.ascii_uppercase,
    "mnist": string.digits,
}


def load_mnist(root: str | os.PathLike[str], *, download: bool = False) -> tuple[ArrayDataset, ArrayDataset]:
    """Read MNIST, handwritten digits, from its four IDX files, gzipped or not.

    Args:
        root: folder with train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and
            t10k-labels-idx1-ubyte, or a folder above: torchvision has them in MNIST/raw, Kaggle each in a folder of its
            own, and with a dot in their names. Folders named like a dataset with the same file names are left out.
        download: fetch missing files (11 MB, extra ``datasets``); each is checked before it is read.

    Returns:
        (train, test): images (N, 1, H, W) float32 in [0, 1], labels (N,) int64 from 0 to 9; for MNIST itself
        60,000 and 10,000 samples of 28x28.

    Raises:
        FileNotFoundError: the folder or a file is missing; the message lists the names looked for.
        ValueError: a file is truncated, too long, not an IDX file, or there more than once; or images and labels do not
            match.
        OSError: the download failed.

    Source: Y. LeCun, C. Cortes and C. Burges, "The MNIST database of handwritten digits".
    """
    return _load("load_mnist", root, _MNIST, download)


def load_fashion_mnist(root: str | os.PathLike[str], *, download: bool = False) -> tuple[ArrayDataset, ArrayDataset]:
    """Read Fashion-MNIST, grey images of clothes, from a folder with files named as MNIST's.

    Args:
        root: folder with the four files, as for `load_mnist`.
        download: fetch missing files (30 MB, extra ``datasets``); each is checked before it is read.

    Returns:
        (train, test): 60,000 and 10,000 samples, images (N, 1, 28, 28) float32 in [0, 1], labels (N,) int64, 0 to 9.

    Raises:
        FileNotFoundError, ValueError, OSError: as for `load_mnist`.

    Source: Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747.
    """
    return _load("load_fashion_mnist", root, _FASHION, download)


def load_kmnist(root: str | os.PathLike[str], *, download: bool = False) -> tuple[ArrayDataset, ArrayDataset]:
    """Read Kuzushiji-MNIST, ten cursive Japanese characters, from a folder with files named as MNIST's.

    Args:
        root: folder with the four files, as for `load_mnist`.
        download: fetch missing files (21 MB, extra ``datasets``); each is checked before it is read.

    Returns:
        (train, test): 60,000 and 10,000 samples, images (N, 1, 28, 28) float32 in [0, 1], labels (N,) int64, 0 to 9.

    Raises:
        FileNotFoundError, ValueError, OSError: as for `load_mnist`.

    Source: Clanuwat et al. 2018, arXiv:1812.01718.
    """
    return _load("load_kmnist", root, _KMNIST, download)


def load_emnist(
    root: str | os.PathLike[str], split: str = "balanced", *, download: bool = False
) -> tuple[ArrayDataset, ArrayDataset]:
    """Read one split of EMNIST, handwritten characters, with the images upright (in the files they are transposed).

    The attribute ``classes`` of the datasets holds the character that each label stands for.

    Args:
        root: folder with emnist-SPLIT-train-images-idx3-ubyte, emnist-SPLIT-train-labels-idx1-ubyte and the two files
            named test in place of train, gzipped or not; or with gzip.zip, the archive of all splits.
        split: 'balanced', 131,600 images of 47 classes: digits, upper case, and lower case where it looks different;
            'bymerge', 814,255 images of the same classes; 'byclass', the same images in 62 classes, all of upper and
            lower case; 'letters', 145,600 images of 26 classes, each a letter in both cases; 'digits' and 'mnist',
            280,000 and 70,000 images of the ten digits.
        download: fetch the archive (562 MB, extra ``datasets``) if files are missing; it is checked before it is read.

    Returns:
        (train, test): images (N, 1, 28, 28) float32 in [0, 1], labels (N,) int64 from 0.

    Raises:
        FileNotFoundError, ValueError, OSError: as for `load_mnist`; ValueError also for an unknown split.

    Source: Cohen, Afshar, Tapson and van Schaik 2017, arXiv:1702.05373.
    """
    check_choice("load_emnist", "split", split, tuple(_EMNIST_CLASSES))
    source = _Source(
        family="emnist",
        classes=_EMNIST_CLASSES[split],
        archive=_EMNIST_ARCHIVE,
        train=f"emnist-{split}-train",
        test=f"emnist-{split}-test",
        first_label=1 if split == "letters" else 0,
        transposed=True,
    )
    return _load("load_emnist", root, source, download)


def _load(
    owner: str, root: str | os.PathLike[str], source: _Source, download: bool
) -> tuple[ArrayDataset, ArrayDataset]:
    with named(owner):
        folder = user_path(root)
        files = _find(owner, folder, source, download)
        train, test = (_read_part(files, source, part) for part in (source.train, source.test))
    if not len(train) or not len(test) or train.arrays[0].shape[1:] != test.arrays[0].shape[1:]:
        raise ValueError(
            f"{owner}: expected images of one size for training and test, got {train.arrays[0].shape} and "
            f"{test.arrays[0].shape} in {folder}"
        )
    return train, test


def _read_part(files: Mapping[str, Path], source: _Source, part: str) -> ArrayDataset:
    """Return the training or the test set, whose files' names begin with ``part``."""
    names = f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"
    with memory_for(f"reading {printable(files[names[0]])}"):
        contents = [_content(files[name], name) for name in names]
        images, labels = (parse_idx(*content, axes) for content, axes in zip(contents, (3, 1), strict=True))
    if len(images) != len(labels):
        raise ValueError(f"{names[0]} holds {len(images)} images, {names[1]} {len(labels)} labels")
    first, last = source.first_label, source.first_label + len(source.classes) - 1
    for label in (labels.min(initial=first), labels.max(initial=first)):
        if not first <= label <= last:
            raise ValueError(f"expected labels from {first} to {last}, got {label} in {contents[1][0]}")
    if source.transposed:
        images = images.transpose(0, 2, 1)
    scaled = np.multiply(images[:, None], np.float32(1 / 255), dtype=np.float32, order="C")
    return ArrayDataset(scaled, labels.astype(np.int64) - first, classes=list(source.classes))


def _find(owner: str, folder: Path, source: _Source, download: bool) -> dict[str, Path]:
    """Return for each of the four names its file, or the archive that holds it; in the folder, below it, or fetched."""
    names = [f"{part}-{kind}-ubyte" for part in (source.train, source.test) for kind in ("images-idx3", "labels-idx1")]
    wanted, enters, archive = {name: _spellings(name) for name in names}, partial(_enters, source), source.archive
    if not download and not folder.is_dir():
        where = hint(folder, wanted, enters)
        raise FileNotFoundError(f"{owner}: there is no folder {folder}; download=True fetches the files{where}")
    if archive is not None and (folder / archive.name).is_file():
        return dict.fromkeys(names, folder / archive.name) | _here(folder, wanted)
    files = find_files(folder, wanted, enters)
    if len(files) < len(names) and archive is not None:
        zipped = find_files(folder, {archive.name: [archive.name]}, enters).get(archive.name)
        if zipped is None and download:
            zipped = fetch(owner, folder, archive)
        if zipped is not None:
            return dict.fromkeys(names, zipped) | files
    if len(files) < len(names) and download:
        gzipped = [RemoteFile(f"{n}.gz", source.hashes[n], [f"{host}{n}.gz" for host in source.hosts]) for n in names]
        here = _here(folder, wanted)
        return {name: here.get(name) or fetch(owner, folder, file) for name, file in zip(names, gzipped, strict=True)}
    if missing := [name for name in names if name not in files]:
        looked_for = [missing[0], f"{missing[0]}.gz", *([] if archive is None else [archive.name])]
        raise FileNotFoundError(
            f"{owner}: {folder} does not hold {', '.join(looked_for[:-1])} or {looked_for[-1]}; download=True fetches "
            f"{'them' if archive is None else archive.name}{hint(folder, wanted, enters)}"
        )
    return files


def _here(folder: Path, wanted: Mapping[str, Sequence[str]]) -> dict[str, Path]:
    """Return which files are in the folder itself."""
    return find_files(folder, wanted, lambda name: False) if folder.is_dir() else {}


def _enters(source: _Source, folder: str) -> bool:
    """Return whether files may be below a folder of this name: not if it is that of another dataset with such files."""
    plain = "".join(filter(str.isalnum, folder.lower()))
    family = next((own for key, own in _FAMILIES.items() if key in plain), None)
    return family == source.family if family else plain in USUAL or plain.endswith("ubyte")


def _spellings(name: str) -> tuple[str, ...]:
    """Return the names that a file may have; Kaggle has 'train-images.idx3-ubyte'."""
    other = name.replace("-idx", ".idx")
    return name, f"{name}.gz", other, f"{other}.gz"


def _content(path: Path, name: str) -> tuple[str, bytes]:
    """Return a file's name for errors and its content, read from the file itself or from an archive."""
    if path.suffix == ".zip":
        return f"{printable(path)}: {name}.gz", _unzip(path, f"{name}.gz")
    return printable(path), path.read_bytes()


def _unzip(path: Path, name: str) -> bytes:
    """Return the content of a file in the archive, in any folder of it."""
    try:
        with path.open("rb") as stream, open_zip(stream, str(path)) as archive:
            for member in archive.namelist():
                if member.split("/")[-1] == name:
                    return archive.read(member)
    except TooLargeError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError) as error:
        kind = kind_of(path.read_bytes()) if not zipfile.is_zipfile(path) else ""
        raise ValueError(f"{printable(path)}: truncated or damaged archive ({printable(error)}){kind}") from error
    raise ValueError(f"{printable(path)} does not hold {name}")
