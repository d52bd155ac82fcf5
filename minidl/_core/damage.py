"""reading: what is raised for a file that is damaged, whatever the libraries make of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .limits import TooLargeError
from .text import printable

__all__ = ["memory_for", "reading"]


@contextmanager
def reading(name: object, problem: str) -> Iterator[None]:
    """Raise a ValueError that names a file if what is done inside fails because of what is in it.

    Damage fails in many ways: in zipfile, zlib, struct, json, protobuf, NumPy and our own code. What is not the file's
    fault stays what it is: the system cannot read it, an extra is missing, memory has ended.

    Args:
        name: of the file.
        problem: what the message says of it, such as "is not an ONNX model, or it is damaged".

    Raises:
        ValueError: it is damaged, or a TooLargeError, which is passed on.
        MemoryError: there is not enough memory for it.
        OSError, ImportError: as inside.
    """
    with memory_for(f"reading {printable(name)}"):
        try:
            yield
        except (ImportError, MemoryError, TooLargeError):
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno is not None:  # not one of gzip's
                raise
            raise ValueError(f"{printable(name)} {problem}: {printable(error, keep=chr(10))}") from error


@contextmanager
def memory_for(what: str) -> Iterator[None]:
    """Say in a MemoryError what there is not enough memory for, such as "reading net.npz"; it stays a MemoryError."""
    try:
        yield
    except MemoryError as error:
        wanted = f": {error}" if str(error) else ""
        raise MemoryError(f"there is not enough memory for {what}{wanted}") from error
