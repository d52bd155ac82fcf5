"""save and load: a module's state in a file, the format chosen by the file's suffix."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import numpy as np

from ..functional._checks import Array
from ..nn import Module

__all__ = ["check_suffix", "load", "save"]

_SUFFIXES = (".npz",)


def check_suffix(path: str | os.PathLike[str]) -> Path:
    """Return ``path`` as a Path if its suffix is a format that `save` and `load` know.

    Raises:
        ValueError: the suffix is unknown.
    """
    path = Path(path)
    if path.suffix not in _SUFFIXES:
        raise ValueError(f"unknown file format {path.suffix!r} of {path}; known: {', '.join(_SUFFIXES)}")
    return path


def save(model: Module, path: str | os.PathLike[str]) -> None:
    """Write the parameters and buffers of a module to a file.

    The file is written under another name and then renamed: whatever happens, ``path`` is the old file or the new one.

    Args:
        model: the module.
        path: file name ending in .npz: a NumPy archive with one array for each name of ``state_dict()``.

    Raises:
        ValueError: the suffix is unknown.
        OSError: the file cannot be written.
    """
    path = check_suffix(path)
    # A name of our own, so that two processes that save at once do not write into one file.
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        import zipfile  # noqa: PLC0415 - `import minidl` stays quick

        with partial.open("wb") as stream:
            with zipfile.ZipFile(stream, "w") as archive:
                for name, value in model.state_dict().items():
                    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                        np.lib.format.write_array(member, value, allow_pickle=False)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            partial.unlink()
        raise


def load(model: Module, path: str | os.PathLike[str], strict: bool = True) -> None:
    """Read parameters and buffers that `save` wrote into a module of the same structure.

    Nothing in the file is executed (no pickle). When this raises, the module is as it was.

    Args:
        model: the module.
        path: file name ending in .npz.
        strict: whether a missing or unexpected name is an error.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the suffix is unknown, the file is damaged, or names or shapes do not match.
    """
    model.load_state_dict(_read(check_suffix(path)), strict=strict)


def _read(path: Path) -> dict[str, Array]:
    with path.open("rb") as stream:
        try:
            with np.load(stream, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
        except Exception as error:  # a damaged archive can fail in zipfile, zlib, struct or NumPy in a dozen ways
            raise ValueError(f"{path} is not an archive that minidl.save wrote, or it is damaged: {error}") from error
