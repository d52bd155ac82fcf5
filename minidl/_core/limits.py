"""How much memory a file may ask for: `check_size`, the one rule for all formats.

A small file can say that it holds a lot: zeros compress a thousand times, and a header may name any size. What a file
claims is therefore compared, before it is unpacked or built, with

    max(MINIDL_MAX_BYTES, 32 * the size of the file)

bytes. The environment variable MINIDL_MAX_BYTES is 256 MiB unless it is set; what is stored uncompressed always passes,
however large, because the file is as large as what it claims. What is not an array is counted by what Python makes of
it: each part of a file, such as a member of an archive or a node of a graph, as `PART` bytes at least, and text that
becomes objects as `RATIO` times its length.
"""

from __future__ import annotations

import os

__all__ = ["PART", "RATIO", "TooLargeError", "allowed_size", "check_size"]

RATIO = 32
PART = 2**14
_VARIABLE, _DEFAULT = "MINIDL_MAX_BYTES", 2**28


class TooLargeError(ValueError):
    """A file claims more than is allowed; the message says how to allow it."""


def allowed_size(given: int) -> int:
    """Return how many bytes something of ``given`` bytes may claim.

    Raises:
        ValueError: MINIDL_MAX_BYTES is not a number of bytes.
    """
    text = os.environ.get(_VARIABLE, str(_DEFAULT))
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"the environment variable {_VARIABLE} must be a number of bytes, got {text!r}")
    return max(int(text), RATIO * given)


def check_size(name: str, claimed: int, given: int, what: str = "unpacked it takes") -> None:
    """Refuse what claims too many bytes.

    Args:
        name: of the file, for the message.
        claimed: how many bytes it claims.
        given: its own size in bytes.
        what: what is claimed, for the message: a verb, before the size.

    Raises:
        TooLargeError: it claims more than is allowed.
    """
    allowed = allowed_size(given)
    if claimed > allowed:
        raise TooLargeError(
            f"{name}: {what} {_shown(claimed)}, and allowed are {_shown(allowed)} for {_shown(given)} of data; if this "
            f"is what you expect, set the environment variable {_VARIABLE} to {claimed} or more"
        )


def _shown(count: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count} bytes"
