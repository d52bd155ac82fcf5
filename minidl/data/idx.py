"""IDX, the file format of MNIST and its relatives: one array of unsigned bytes."""

from __future__ import annotations

import gzip
import io
import math
import os
import struct
import zlib
from typing import IO, Any

import numpy as np

from .._core import Array, allowed_size, check_size, memory_for, user_path
from .naming import named

__all__ = ["GZIP", "kind_of", "parse_idx", "read_idx"]

_BEGIN = 4 + 4 * 255  # bytes that hold any header
_UNSIGNED_BYTES = 0x08
_KINDS = {1: "labels", 3: "images"}
GZIP = b"\x1f\x8b"
_OTHERS = {  # how files begin that are found in the place of another
    b"<": "a web page",
    b"version https://git-lfs": "a pointer of Git LFS, without its content",
    GZIP: "a gzip file",
    b"PK": "a zip archive",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ": "an xz file",
    b"\x93NUMPY": "a .npy file",
    b"label,": "a table, CSV",
}


def read_idx(path: str | os.PathLike[str], axes: int | None = None) -> Array:
    """Read one IDX file of unsigned bytes, gzipped or not, whatever its name.

    The format: two zero bytes, 0x08 for unsigned bytes, the number of axes, the size of each axis as a big-endian
    32-bit integer, then the bytes in row-major order.

    Args:
        path: the file.
        axes: the number of axes expected, 3 for images, 1 for labels; None accepts any.

    Returns:
        uint8 array, read-only.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is truncated, too long, damaged, or not an IDX file with this number of axes.
    """
    with named("read_idx"):
        path = user_path(path)
        if not path.is_file():
            raise FileNotFoundError(f"read_idx: there is no file {path}")
        with memory_for(f"reading {path}"):
            return parse_idx(str(path), path.read_bytes(), axes)


def parse_idx(name: str, content: bytes, axes: int | None = None) -> Array:
    """Return the array that an IDX file holds.

    Args:
        name: the file's name, for errors.
        content: what is in the file; gzipped if it begins so.
        axes: as for `read_idx`.

    Raises:
        ValueError: as for `read_idx`.
    """
    zipped = content.startswith(GZIP)  # browsers unpack files and keep the name
    stream: Any = gzip.GzipFile(fileobj=io.BytesIO(content)) if zipped else io.BytesIO(content)
    try:
        return _parsed(name, stream, len(content), axes, zipped)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{name}: truncated or damaged gzip file ({error})") from error


def _parsed(name: str, stream: IO[bytes], given: int, axes: int | None, zipped: bool) -> Array:
    """Read an IDX file of ``given`` bytes, which its sizes are compared with before the rest of it is unpacked."""
    begin = stream.read(_BEGIN)
    if len(begin) < 4 or begin[:2] != b"\0\0" or begin[2] != _UNSIGNED_BYTES:
        raise ValueError(
            f"{name}: not an IDX file of unsigned bytes: expected it to start with 00 00 08, got "
            f"{begin[:4].hex(' ') or 'nothing'}{kind_of(begin)}"
        )
    ndim = begin[3]
    if axes is not None and ndim != axes:
        raise ValueError(
            f"{name}: expected {axes} axes ({_KINDS.get(axes, 'data')}), got {ndim} ({_KINDS.get(ndim, 'data')})"
        )
    header = 4 + 4 * ndim
    if len(begin) < header:
        raise ValueError(f"{name}: truncated: the header needs {header} bytes, the file has {len(begin)}")
    shape = struct.unpack(f">{ndim}I", begin[4:header])
    expected = header + math.prod(shape)
    if zipped:
        check_size(name, expected, given)
    stream.seek(0)
    content = stream.read(expected if zipped else given)
    count = len(content)
    while count <= allowed_size(given) and (block := stream.read(2**20)):  # up to the end, where gzip has a checksum
        count += len(block)
    if count != expected:
        problem = "truncated" if count < expected else "too long"
        raise ValueError(f"{name}: {problem}: sizes {shape} need {expected} bytes, the file has {count}")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def kind_of(content: bytes) -> str:
    """Say what a file is that is not what its name says; "" if that is not known."""
    return next((f"; it is {kind}" for begin, kind in _OTHERS.items() if content.lstrip().startswith(begin)), "")
