"""Checkpoint files: the whole state of a fit, from which it continues bit for bit as if it had never stopped."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from .._core import open_zip, read_npy, reading, user_path
from ..interop.files import write_npz
from ..interop.trees import packed, unpacked

__all__ = [
    "BEFORE",
    "BEST",
    "CONFIG",
    "LAST",
    "NEW",
    "WEIGHTS",
    "Found",
    "find_checkpoint",
    "has_checkpoint",
    "latest_checkpoint",
    "read_checkpoint",
    "set_damaged_aside",
    "write_checkpoint",
]

LAST, BEFORE, BEST = "last.ckpt", "previous.ckpt", "best.npz"
NEW = "last.new"  # last.ckpt while it is being written
CONFIG, WEIGHTS = "config.toml", "weights.npz"  # of `minidl train`: what is to be done, and its result
_FORMAT = 1


def has_checkpoint(folder: Path) -> bool:
    """Return whether a fit has saved its state in a folder."""
    return any((folder / name).exists() for name in (NEW, LAST, BEFORE))


class Found(NamedTuple):
    """A checkpoint: its state, None if there is none yet; notes for the user; its file, or the folder without one."""

    state: Any
    notes: list[str]
    file: Path | None


def latest_checkpoint(path: str | os.PathLike[str]) -> tuple[Any, list[str]]:
    """Return the state and the notes of `find_checkpoint`."""
    return find_checkpoint(path)[:2]


def find_checkpoint(path: str | os.PathLike[str]) -> Found:
    """Read the newest complete checkpoint of a folder, or a file. Nothing is changed on disk.

    Args:
        path: a folder that `ModelCheckpoint` wrote to, or one of its files.

    Returns:
        What was found. The state has yet to be checked; the notes say which files are damaged.

    Raises:
        FileNotFoundError: ``path`` names a file that does not exist.
        ValueError: there are files, but all of them are damaged; or the folder has the result of a run, but not its
            checkpoints.
    """
    path = user_path(path)
    if path.is_file() or path.suffix in (".ckpt", ".npz"):
        return Found(read_checkpoint(path), [], path)
    notes: list[str] = []
    for name in (NEW, LAST, BEFORE):
        file = path / name
        if not file.is_file():
            continue
        try:
            return Found(read_checkpoint(file), notes, file)
        except ValueError as error:
            if name != NEW:  # that one was being written when the process ended: nothing to report
                notes.append(f"{error}; the checkpoint before it is used")
    if notes:
        raise ValueError(f"no checkpoint in {path} is whole: " + "; ".join(notes))
    if (path / CONFIG).exists() and (path / WEIGHTS).exists():
        raise ValueError(f"{path}: its checkpoints are gone, but not its {WEIGHTS}; start again in another folder")
    return Found(None, [], path)


def set_damaged_aside(folder: str | os.PathLike[str]) -> None:
    """Rename a damaged last.ckpt to last.ckpt.damaged; do nothing if it is whole or missing.

    To be called before a fit that continues from previous.ckpt saves again: saving renames last.ckpt to previous.ckpt,
    and a damaged file would take the place of the good one.
    """
    last = user_path(folder) / LAST
    if not last.is_file():
        return
    try:
        read_checkpoint(last)
    except ValueError:
        last.replace(last.with_name(f"{LAST}.damaged"))


def write_checkpoint(path: str | os.PathLike[str], state: Mapping[str, Any]) -> None:
    """Write a state made of dicts, lists, numbers, text, None and arrays to a file, atomically.

    Args:
        path: file name.
        state: what `Trainer.state_dict` returns.

    Raises:
        TypeError: the state contains something else.
        OSError: the file cannot be written.
    """
    arrays: list[Any] = []
    head = json.dumps({"format": _FORMAT, "state": packed(state, arrays)})
    numbered = {str(number): array for number, array in enumerate(arrays)}
    write_npz(user_path(path), numbered, {"state.json": head})


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what `write_checkpoint` wrote. Nothing in the file is executed (no pickle).

    Args:
        path: file name.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, was written by another version, or takes more memory than is allowed.
    """
    path = user_path(path)
    with reading(path, "is not a whole checkpoint"), open_zip(io.BytesIO(path.read_bytes()), str(path)) as archive:
        head = json.loads(archive.read("state.json"))
        if head["format"] != _FORMAT:
            raise ValueError(f"its format is {head['format']!r}, this version reads {_FORMAT}")
        names = [f"{number}.npy" for number in range(len(archive.namelist()) - 1)]
        arrays = [read_npy(archive.read(name), name) for name in names]  # to its end, which checks its CRC
        return unpacked(head["state"], arrays)  # type: ignore[no-any-return]
