"""Weights that an ONNX model keeps in files beside it: found in the model's folder, checked, and put into the model."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

import numpy as np

from .onnx_package import require_onnx

__all__ = ["load_external_data"]

_MOST = 2**31 - 1  # bytes of a message of protobuf, which the model is handed to onnx as


class _Piece(NamedTuple):
    """Where a tensor's data is: a file, and the bytes of it."""

    tensor: Any
    path: Path
    begin: int
    length: int


def load_external_data(model: Any, folder: Path) -> int:
    """Put the data of all tensors that are kept in other files into a model. All are checked before one is read.

    Returns how many bytes that was.

    Args:
        model: the onnx.ModelProto.
        folder: that of the model's file. Nothing outside of it is read, whatever the working directory is.

    Raises:
        FileNotFoundError: a file is missing; the message says where it was expected.
        ValueError: a place leads out of the folder, or a file is not as large as the model says.
    """
    external = require_onnx("from_onnx").TensorProto.EXTERNAL
    pieces = [_piece(tensor, folder) for tensor in _tensors(model) if tensor.data_location == external]
    total = sum(piece.length for piece in pieces)
    if total > _MOST:
        raise ValueError(f"its weights take {total:,} bytes in files beside it; from_onnx reads at most {_MOST:,}")
    for piece in pieces:
        with piece.path.open("rb") as stream:
            stream.seek(piece.begin)
            data = stream.read(piece.length)
        if len(data) != piece.length:
            raise ValueError(f"{piece.path} has become shorter while it was read")
        piece.tensor.raw_data = data
        del piece.tensor.external_data[:]
        piece.tensor.ClearField("data_location")
    return total


def _piece(tensor: Any, folder: Path) -> _Piece:
    """Return where a tensor's data is, once that is known to be there."""
    fields = {entry.key: entry.value for entry in tensor.external_data}
    owner = f"the weight {tensor.name!r}"
    place = fields.get("location", "")
    path = _inside(owner, place, folder)
    if not path.is_file():
        what = "is no file" if path.exists() else "does not exist"
        raise FileNotFoundError(f"{owner} is kept in the file {place!r} beside the model, but {path} {what}")
    needed = _size(owner, tensor)
    begin, count = (_number(owner, fields, name, default) for name, default in (("offset", 0), ("length", needed)))
    if count != needed:
        raise ValueError(
            f"{owner} of shape {list(tensor.dims)} needs {needed} bytes, and its length is said to be {count}"
        )
    if begin + count > (size := path.stat().st_size):
        raise ValueError(f"{path} is too short: {owner} is said to be in bytes {begin} to {begin + count} of {size}")
    return _Piece(tensor, path, begin, count)


def _inside(owner: str, place: str, folder: Path) -> Path:
    """Return the path of a file in a folder, or below it, that no link leads out of."""
    parts = PureWindowsPath(place)  # a backslash or a drive is one on every system
    if not place or "\0" in place or parts.anchor or PurePosixPath(place).is_absolute() or ".." in parts.parts:
        raise ValueError(f"{owner} is kept in {place!r}, which is no file in the folder of the model; it is not read")
    path = folder.joinpath(*parts.parts)
    real, root = os.path.realpath(path), os.path.realpath(folder)
    if os.path.commonpath([real, root]) != root:
        raise ValueError(
            f"{owner} is kept in {path}, a link that leads out of the model's folder to {real}; it is not read"
        )
    return path


def _size(owner: str, tensor: Any) -> int:
    """Return how many bytes a tensor takes."""
    if min(tensor.dims, default=0) < 0:
        raise ValueError(f"{owner} has the shape {list(tensor.dims)}")
    try:
        dtype = np.dtype(require_onnx("from_onnx").helper.tensor_dtype_to_np_dtype(tensor.data_type))
    except (KeyError, TypeError) as error:
        raise ValueError(f"{owner} has an unknown type, {tensor.data_type}") from error
    if dtype.kind not in "fiub":
        raise ValueError(f"{owner} is of type {dtype}, which is not supported")
    size: int = math.prod(tensor.dims) * dtype.itemsize
    return size


def _number(owner: str, fields: dict[str, str], name: str, default: int) -> int:
    text = fields.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise ValueError(f"{owner}: its {name} in the file must be a number of bytes, got {text[:20]!r}")
    return int(text)


def _tensors(message: Any) -> Iterator[Any]:
    """Go through all tensors of a model, wherever they are: in nodes, in nested graphs, in functions."""
    if message.DESCRIPTOR.name == "TensorProto":
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in [value] if hasattr(value, "ListFields") else value:
                yield from _tensors(part)
