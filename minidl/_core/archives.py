"""Zip, gzip and .npy files that are looked at before they are unpacked."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from .limits import PART, RATIO, check_size

if TYPE_CHECKING:
    import zipfile

__all__ = ["check_npy", "open_zip", "read_npy"]

_ENTRY = b"PK\x01\x02"  # begins the description of a member, at the end of a zip archive
_HEADER = 30  # bytes before a member's name, at least
_END_RECORD, _LARGE_RECORD = b"PK\x05\x06", b"PK\x06\x06"
_TAIL = 2**16 + 100  # bytes at the end of an archive in which its end record is


@contextmanager
def open_zip(stream: IO[bytes], name: str) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive whose members, as it describes them, are of an allowed size.

    Args:
        stream: the archive, seekable.
        name: of the file, for errors.

    Raises:
        TooLargeError: there are too many members, or they are too large.
        ValueError: members overlap, have the same name, or are compressed in another way than NumPy's.
        zipfile.BadZipFile: it is not an archive.
    """
    import zipfile  # noqa: PLC0415 - keeps `import minidl` fast

    count, size = _entries(stream)
    check_size(name, count * PART, size, f"its {count:,} members take")
    with zipfile.ZipFile(stream) as archive:
        members = archive.infolist()
        claimed = 0
        for member in members:
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError(f"{member.filename} is compressed by method {member.compress_type}, not by deflate")
            claimed += max(PART, member.file_size * (RATIO if member.filename.endswith(".json") else 1))
        check_size(name, claimed, size)
        if len({member.filename for member in members}) < len(members):
            raise ValueError("two of its members have one name")
        members = sorted(members, key=lambda member: member.header_offset)
        ends = [member.header_offset + _HEADER + member.compress_size for member in members]
        begins = [*(member.header_offset for member in members[1:]), archive.start_dir]
        if any(end > begin for end, begin in zip(ends, begins, strict=False)):
            raise ValueError("its members overlap")
        yield archive


def _entries(stream: IO[bytes]) -> tuple[int, int]:
    """Return how many descriptions of members there may be at the end of an archive, and the archive's size."""
    size = stream.seek(0, io.SEEK_END)
    length = min(size, _TAIL)
    stream.seek(size - length)
    tail = stream.read()
    # the size of the directory is in the end record: the largest one, if several places look like one
    places = [found.start() for found in re.finditer(_END_RECORD, tail) if found.start() + 16 <= length]
    directory = max((int.from_bytes(tail[place + 12 : place + 16], "little") for place in places), default=0)
    if _LARGE_RECORD in tail:
        directory = size
    stream.seek(max(0, size - length - directory))
    count = stream.read().count(_ENTRY)
    stream.seek(0)
    return count, size


def check_npy(stream: IO[bytes], size: int, name: str) -> None:
    """Compare what the header of a .npy file says with the file's size; the stream is at the beginning afterwards.

    Raises:
        ValueError: it is not a .npy file of numbers, or it is longer or shorter than its header says.
    """
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"{name} has the version {version} of the .npy format; known are 1.0 and 2.0")
    read: Any = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    if dtype.hasobject:
        raise ValueError(f"{name} holds Python objects, which are not read")
    claimed, held = math.prod(shape) * dtype.itemsize, size - stream.tell()
    if min(shape, default=0) < 0 or claimed != held:
        than = "longer" if held > claimed else "shorter"
        raise ValueError(f"{name} is {than} than its header says: {shape} of {dtype} needs {claimed} bytes, not {held}")
    stream.seek(0)


def read_npy(content: bytes, name: str) -> Any:
    """Return the array that a .npy file holds.

    Raises:
        ValueError: as for `check_npy`.
    """
    stream = io.BytesIO(content)
    check_npy(stream, len(content), name)
    return np.lib.format.read_array(stream, allow_pickle=False)
