"""save and load: the state of a module in a file whose suffix chooses the format."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .._core import Array, user_path
from ..nn import Module

__all__ = ["check_suffix", "load", "npz_of", "save", "write_atomically"]

_SUFFIXES = (".npz", ".safetensors")


def check_suffix(path: str | os.PathLike[str]) -> Path:
    """Return ``path`` as a Path if its suffix is that of a format that `save` and `load` know.

    Raises:
        ValueError: the suffix is unknown.
    """
    path = user_path(path)
    if path.suffix not in _SUFFIXES:
        raise ValueError(f"unknown file format {path.suffix!r} of {path}; known: {', '.join(_SUFFIXES)}")
    return path


def save(model: Module, path: str | os.PathLike[str]) -> None:
    """Write the parameters and buffers of a module to a file.

    The file is written under another name and then renamed: whatever happens, ``path`` is the old file or the new one.

    Args:
        model: the module.
        path: file name. The suffix .npz means a NumPy archive with one array for each name of ``state_dict()``;
            .safetensors means the format of Hugging Face, which PyTorch also reads (extra ``safetensors``).

    Raises:
        ValueError: the suffix is unknown.
        ImportError: the extra is not installed.
        OSError: the file cannot be written.
    """
    path = check_suffix(path)
    pack = npz_of if path.suffix == ".npz" else _safetensors_of
    write_atomically(path, pack(model.state_dict()))


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file under another name and then rename it: ``path`` is the old file or the complete new one.

    Raises:
        OSError: the file cannot be written.
    """
    # The name contains the process id, so that two processes saving at the same time do not write to one file.
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: there is no folder {path.parent}")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):  # it may not exist yet
            partial.unlink()
        if isinstance(error, OSError) and error.filename == str(partial):  # report the name that the caller knows
            raise type(error)(error.errno, error.strerror, str(path)) from error
        raise


def load(model: Module, path: str | os.PathLike[str], strict: bool = True) -> None:
    """Load parameters and buffers, written by `save` or by PyTorch with safetensors, into a module that has them.

    Nothing in the file is executed (no pickle). If this raises, the module is unchanged.

    Args:
        model: the module.
        path: file name ending in .npz or .safetensors.
        strict: whether missing or unexpected names are an error.

    Raises:
        FileNotFoundError: there is no such file.
        ImportError: the extra ``safetensors`` is not installed.
        ValueError: the suffix is unknown, the file is damaged, or names or shapes do not match.
    """
    path = check_suffix(path)
    read = _read_npz if path.suffix == ".npz" else _read_safetensors
    content = path.read_bytes()
    try:
        state = read(content)
    except ImportError:
        raise
    except Exception as error:  # a damaged file fails in many ways: in zipfile, zlib, struct, NumPy
        raise ValueError(f"{path} is not a file that minidl.save wrote, or it is damaged: {error}") from error
    model.load_state_dict(state, strict=strict)


def npz_of(arrays: Mapping[str, Array], texts: Mapping[str, str] | None = None) -> bytes:
    """Return an .npz archive, without pickles: texts by file name, then arrays by name."""
    import zipfile  # noqa: PLC0415 - keeps `import minidl` fast

    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in (texts or {}).items():
            archive.writestr(name, text)
        for name, value in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, value, allow_pickle=False)
    return content.getvalue()


def _read_npz(content: bytes) -> dict[str, Array]:
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _safetensors_of(state: Mapping[str, Array]) -> bytes:
    return bytes(_safetensors().save({name: np.ascontiguousarray(value) for name, value in state.items()}))


def _read_safetensors(content: bytes) -> dict[str, Array]:
    return dict(_safetensors().load(content))


def _safetensors() -> Any:
    try:
        import safetensors.numpy  # noqa: PLC0415 - an extra, imported where it is used
    except ImportError as error:
        raise ImportError("files ending in .safetensors need an extra: pip install 'minidl[safetensors]'") from error
    return safetensors.numpy
