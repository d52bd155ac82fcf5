"""Where a dataset's files are: in the folder that was given, or in those that archives and other programs make."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from .._core import printable

__all__ = ["USUAL", "find_files", "hint"]

USUAL = ("raw", "gzip", "archive", "data", "dataset", "datasets")  # folders that archives and other programs make
_LEVELS, _FOLDERS = 4, 1000  # how deep, and in how many folders files are looked for

Spellings = Mapping[str, Sequence[str]]


def find_files(root: Path, wanted: Spellings, enters: Callable[[str], bool]) -> dict[str, Path]:
    """Return where files are in a folder or below it: torchvision has root/MNIST/raw, Kaggle a folder for each file.

    They are looked for level by level. The first folder that holds all of them is taken; if none does, they may be in
    several folders.

    Args:
        root: the folder.
        wanted: the names that each file may have, the preferred one first.
        enters: whether to look into a folder of this name.

    Returns:
        A path for each file that was found.

    Raises:
        ValueError: two folders of the same level hold them, or a file was found twice.
    """
    places: dict[str, list[Path]] = {name: [] for name in wanted}
    for level in _levels(root, enters):
        whole = []
        for folder, files in level:
            found = {
                name: folder / next(spelling for spelling in spellings if spelling in files)
                for name, spellings in wanted.items()
                if not files.isdisjoint(spellings)
            }
            whole += [found] if len(found) == len(wanted) else []
            for name, path in found.items():
                places[name].append(path)
        if len(whole) > 1:
            raise ValueError(_several(root, [next(iter(found.values())).parent for found in whole]))
        if whole:
            return whole[0]
    for paths in places.values():
        if len(paths) > 1:
            raise ValueError(_several(root, paths))
    return {name: paths[0] for name, paths in places.items() if paths}


def _several(root: Path, paths: Sequence[Path]) -> str:
    names = ", ".join(printable(path.relative_to(root)) for path in sorted(paths))
    return f"{root} holds the dataset's files more than once: {names}; give the folder that is meant"


def _levels(root: Path, enters: Callable[[str], bool]) -> Iterator[list[tuple[Path, set[str]]]]:
    """Yield the folders of each level, with the names of the files in each."""
    folders, seen = [root], set[str]()  # a folder that is linked is the same folder
    for _ in range(_LEVELS + 1):
        level, below = [], []
        for folder in folders:
            real = os.path.realpath(folder)
            if real in seen or len(seen) == _FOLDERS:
                continue
            seen.add(real)
            try:
                entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
            except OSError:  # a folder that may not be read holds nothing for us
                continue
            level.append((folder, {entry.name for entry in entries if entry.is_file()}))
            below += [folder / e.name for e in entries if e.is_dir() and e.name[0] != "." and enters(e.name)]
        yield level
        folders = below


def hint(root: Path, wanted: Spellings, enters: Callable[[str], bool]) -> str:
    """Say where files are that `find_files` has not found: elsewhere below the folder, or above; "" if nowhere."""
    if root.is_file():
        return f"; {root} is a file: give the folder that holds it, {root.parent}"
    if not root.is_dir():
        return ""
    folder = root.absolute()
    for place, everywhere in ((folder, lambda name: True), (folder.parent, enters)):
        try:
            found = find_files(place, wanted, everywhere)
        except ValueError as error:
            return f"; {error}"
        if len(found) == len(wanted):
            return f"; such files are in {', '.join(sorted({printable(path.parent) for path in found.values()}))}"
    others = [
        printable(entry.name) for entry in sorted(folder.iterdir()) if entry.suffix in (".csv", ".npz", ".parquet")
    ]
    return f"; {', '.join(others)} cannot be read, only the dataset's own files" if others else ""
