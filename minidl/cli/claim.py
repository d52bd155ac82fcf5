"""claimed: gives a training run, or a sweep, a folder that no other one has."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from .._core import user_path
from ..data.naming import named
from ..training.checkpoint import CONFIG, has_checkpoint
from ..training.folder_lock import LOCK, FolderLock
from .recipe import Recipe

__all__ = ["check_place", "claimed"]

RUNS = Path("runs")


def is_free(folder: Path) -> bool:
    """Return whether a new run can have a folder: it does not exist, or holds only what a killed process left."""
    if not folder.exists():
        return True
    return folder.is_dir() and all(
        path.name == LOCK or (path.name.startswith(".") and path.name.endswith(".partial")) for path in folder.iterdir()
    )


def check_place(folder: Path | None, recipe: Recipe) -> None:
    """Raise ValueError if new runs cannot have a folder, or folders in it.

    Args:
        folder: the folder; None: one that is yet to be found.
        recipe: of the run; where its images lie, a run's folder would be taken for a class.
    """
    place = RUNS if folder is None else folder
    with named("--root"):
        root = user_path(recipe.root).resolve()
    inside = root in (place.resolve(), *place.resolve().parents)
    if recipe.data == "folder" and recipe.root and inside:
        raise ValueError(f"--run {place}: this is inside --root {recipe.root} and would be taken for a class")
    if folder is not None and not is_free(folder):
        raise ValueError(f"--run {folder}: this is not an empty folder; continue a run with --resume {folder}")
    if not os.access(next(p for p in (place, *place.absolute().parents) if p.exists()), os.W_OK):
        raise ValueError(f"--run {place}: cannot write there")


@contextlib.contextmanager
def claimed(folder: Path | None, name: str) -> Iterator[Path]:
    """Hold a new run's folder inside a with block. It is removed again if nothing can be resumed.

    An error before the first checkpoint would be met again; what was interrupted begins again.

    Args:
        folder: where the run is to be; None: the first of runs/NAME-1, runs/NAME-2, ... that does not exist.
        name: for that.

    Raises:
        RuntimeError: another run has just taken the folder.
        ValueError: it is not empty.
    """
    if folder is None:
        own = _new(name)
    else:
        own = folder
        own.mkdir(parents=True, exist_ok=True)
    began = False
    try:
        with FolderLock(own):
            if not is_free(own):
                raise ValueError(f"--run {own}: this is not an empty folder; continue a run with --resume {own}")
            began = True
            yield own
    except BaseException as error:
        resumable = has_checkpoint(own) if isinstance(error, Exception) else (own / CONFIG).exists()
        if began and not resumable:
            shutil.rmtree(own)
            if folder is None:
                with contextlib.suppress(OSError):  # other runs may be in it
                    own.parent.rmdir()
        raise


def _new(name: str) -> Path:
    """Make and return the first folder that does not exist: whoever makes it has it."""
    number = 1
    while True:
        RUNS.mkdir(exist_ok=True)
        folder = RUNS / f"{name}-{number}"
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
        except FileNotFoundError:  # a run that failed has removed the folder above
            continue
        else:
            return folder
