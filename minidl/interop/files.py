"""save and load: the state of a module, or a checkpoint, in a file whose suffix chooses the format."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, overload

import numpy as np

from .._core import Array, memory_for, open_zip, read_npy, reading, through_link, user_path, write_atomically
from ..nn import Module, Parameter
from ..nn.devices import check_device
from .trees import packed, unpacked

__all__ = ["check_suffix", "load", "npz_of", "save", "write_npz"]

_SUFFIXES = (".npz", ".safetensors")
_PYTORCHS = (".pt", ".pth", ".bin", ".tar")
_TREE = "tree.json"  # in an .npz file with more than arrays by name


def check_suffix(path: str | os.PathLike[str]) -> Path:
    """Return ``path`` as a Path if its suffix is that of a format that `save` and `load` know.

    Raises:
        ValueError: the suffix is unknown.
    """
    path = user_path(path)
    if path.suffix not in _SUFFIXES:
        hint = ""
        if path.suffix in _PYTORCHS:
            hint = "; PyTorch's own files are pickles: in PyTorch write safetensors.torch.save_file(state_dict, path)"
        raise ValueError(f"unknown file format {path.suffix!r} of {path}; known: {', '.join(_SUFFIXES)}{hint}")
    return path


def save(obj: Any, path: str | os.PathLike[str]) -> None:
    """Write the parameters and buffers of a module to a file, or a checkpoint such as ``{"net": state, "epoch": 3}``.

    The file is written under another name and then renamed: whatever happens, ``path`` is the old file or the new one,
    as whole as it was. If ``path`` is a symbolic link, it stays, and the file that it leads to is written.

    Args:
        obj: a module, or its state dict; or dicts and lists of arrays, numbers, texts and None, inside each other
            (tuples come back as lists), for .npz.
        path: file name. The suffix .npz means a NumPy archive with one array for each name of ``state_dict()``;
            .safetensors means the format of Hugging Face, which PyTorch also reads (extra ``safetensors``).

    Raises:
        ValueError: the suffix is unknown, or the format cannot hold this.
        TypeError: there is something else in it; the message says where.
        ImportError: the extra is not installed.
        OSError, MemoryError: the file cannot be written.
    """
    if isinstance(obj, (str, os.PathLike)):
        raise TypeError(f"save: the model or state comes first, then the path: save(model, {str(obj)!r})")
    path = check_suffix(path)
    state = obj.state_dict() if isinstance(obj, Module) else obj
    flat = isinstance(state, Mapping) and all(
        isinstance(name, str) and isinstance(value, (np.ndarray, Parameter)) for name, value in state.items()
    )
    arrays: list[Array] = []
    tree = packed(state, arrays)
    if flat:  # the same file as that of the module
        content = dict(zip(state, arrays, strict=True))
        if path.suffix == ".npz":
            write_npz(through_link(path), content)
        else:
            with memory_for(f"writing {path}"):
                write_atomically(through_link(path), _safetensors_of(content))
        return
    if path.suffix != ".npz":
        raise ValueError(f"save: a {path.suffix} file holds arrays by name and nothing else; use .npz for {path}")
    numbered = {str(number): array for number, array in enumerate(arrays)}
    write_npz(through_link(path), numbered, {_TREE: json.dumps(tree)})


@overload
def load(model: Module, path: str | os.PathLike[str], strict: bool = True, *, map_location: Any = None) -> None: ...
@overload
def load(model: str | os.PathLike[str], *, map_location: Any = None) -> Any: ...
def load(model: Any, path: Any = None, strict: bool = True, *, map_location: Any = None) -> Any:
    """Load parameters and buffers, written by `save` or by PyTorch with safetensors, into a module that has them.

    With a path alone, ``load(path)``, return what the file holds: a state dict, or the checkpoint that was saved.
    Nothing in the file is executed (no pickle). If this raises, the module is unchanged.

    Args:
        model: the module; or the path.
        path: file name ending in .npz or .safetensors.
        strict: whether missing or unexpected names are an error.
        map_location: PyTorch's; the CPU, or None.

    Raises:
        FileNotFoundError: there is no such file.
        ImportError: the extra ``safetensors`` is not installed.
        ValueError: the suffix is unknown, the file is damaged, takes more memory than is allowed (`docs/interop.md`) or
            holds something else than a state dict, or names or shapes do not match.
        TypeError: the first argument is neither a module nor a path.
    """
    check_device("load", map_location)
    if isinstance(model, (str, os.PathLike)) and path is None:
        return _read(check_suffix(model))
    if not isinstance(model, Module):
        raise TypeError(f"load: expected load(model, path) or load(path), got load({model!r}, {path!r})")
    if path is None:
        raise TypeError("load: expected a path after the module: load(model, path)")
    path = check_suffix(path)
    state = _read(path)
    if not isinstance(state, Mapping) or not all(isinstance(value, np.ndarray) for value in state.values()):
        held = f"a dict of {', '.join(map(repr, state))}" if isinstance(state, Mapping) else f"a {type(state).__name__}"
        raise ValueError(
            f"{path} holds {held}, not a state dict: checkpoint = minidl.load(path), then "
            "model.load_state_dict(checkpoint[...])"
        )
    model.load_state_dict(state, strict=strict)
    return None


def _read(path: Path) -> Any:
    """Return what a file holds."""
    read = _read_npz if path.suffix == ".npz" else _read_safetensors
    with reading(path, "is not a file that minidl.save wrote, or it is damaged"):
        return read(path.read_bytes(), str(path))


def write_npz(path: Path, arrays: Mapping[str, Array], texts: Mapping[str, str] | None = None) -> None:
    """Write what `npz_of` returns to a file, atomically. A link at ``path`` is replaced.

    Raises:
        MemoryError, OSError: it cannot be written; the message names it.
    """
    with memory_for(f"writing {path}"):
        write_atomically(path, npz_of(arrays, texts))


def npz_of(arrays: Mapping[str, Array], texts: Mapping[str, str] | None = None) -> bytes:
    """Return an .npz archive, without pickles: texts by file name, then arrays by name."""
    import zipfile  # noqa: PLC0415 - keeps `import minidl` fast

    content = io.BytesIO()
    archive = zipfile.ZipFile(content, "w")
    try:
        for name, text in (texts or {}).items():
            archive.writestr(zipfile.ZipInfo(name), text)  # without the time, which the format has from 1980 only
        for name, value in arrays.items():
            member = archive.open(f"{name}.npy", "w", force_zip64=True)
            np.lib.format.write_array(member, value, allow_pickle=False)
            member.close()
        archive.close()
    except BaseException:  # Ctrl-C or MemoryError, which closing anything half-way would hide behind other errors
        # what is left open is closed by Python, in any order: into a file that nobody reads
        archive.fp, archive.close = io.BytesIO(), lambda: None  # type: ignore[method-assign]
        raise
    return content.getvalue()


def _read_npz(content: bytes, name: str) -> Any:
    with open_zip(io.BytesIO(content), name) as archive:
        # each is read to its end, where its checksum is compared: np.load stops before it
        members = {info.filename: _member(info.filename, archive.read(info)) for info in archive.infolist()}
    members = {name.removesuffix(".npy"): value for name, value in members.items()}
    tree = members.pop(_TREE, None)
    if not isinstance(tree, bytes):
        return members
    return unpacked(json.loads(tree), [members[str(number)] for number in range(len(members))])


def _member(name: str, content: bytes) -> Any:
    """Return the array of a file in an .npz archive; of a file that is none its bytes."""
    return read_npy(content, name) if name.endswith(".npy") else content


def _safetensors_of(state: Mapping[str, Array]) -> bytes:
    # not np.ascontiguousarray, which gives an array without axes one
    return bytes(_safetensors().save({name: np.array(value, order="C") for name, value in state.items()}))


def _read_safetensors(content: bytes, name: str) -> dict[str, Array]:
    return dict(_safetensors().load(content))


def _safetensors() -> Any:
    try:
        import safetensors.numpy  # noqa: PLC0415 - an extra, imported where it is used
    except ImportError as error:
        raise ImportError("files ending in .safetensors need an extra: pip install 'minidl[safetensors]'") from error
    return safetensors.numpy
