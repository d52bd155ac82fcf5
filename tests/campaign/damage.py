"""Damage to files at random: pieces cut off, bits flipped, pieces of other files, numbers that lie."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

import numpy as np

__all__ = ["damaged"]

_NUMBERS = (0, 1, 2, 127, 128, 255, 256, 32767, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)


def damaged(content: bytes, rng: np.random.Generator, others: Sequence[bytes] = ()) -> bytes:
    """Return a file with one to three faults, which is not what it was.

    Args:
        content: the file.
        rng: draws the faults.
        others: files whose pieces may get into it.
    """
    while True:
        hurt = content
        for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
            fault = FAULTS[rng.integers(len(FAULTS))]
            hurt = fault(hurt, rng, others)
        if hurt != content:
            return hurt


def _place(content: bytes, rng: np.random.Generator) -> int:
    """Return a place in a file, rather near its ends, where headers and directories are."""
    length = len(content) + 1
    near = int(min(rng.exponential(60), length - 1))
    return [int(rng.integers(length)), near, length - 1 - near][rng.integers(3)]


def _span(content: bytes, rng: np.random.Generator) -> tuple[int, int]:
    begin = _place(content, rng)
    return begin, min(len(content), begin + int(rng.choice([1, 2, 4, 8, 30, 200, len(content)])))


def _cut(content: bytes, rng: np.random.Generator, _: Sequence[bytes]) -> bytes:
    return content[: _place(content, rng)]


def _flip(content: bytes, rng: np.random.Generator, _: Sequence[bytes]) -> bytes:
    place, hurt = min(_place(content, rng), len(content) - 1), bytearray(content)
    if content:
        hurt[place] ^= 1 << int(rng.integers(8))
    return bytes(hurt)


def _overwrite(content: bytes, rng: np.random.Generator, _: Sequence[bytes]) -> bytes:
    begin, end = _span(content, rng)
    what = [rng.bytes(end - begin), bytes(end - begin), b"\xff" * (end - begin)][rng.integers(3)]
    return content[:begin] + what + content[end:]


def _remove(content: bytes, rng: np.random.Generator, _: Sequence[bytes]) -> bytes:
    begin, end = _span(content, rng)
    return content[:begin] + content[end:]


def _insert(content: bytes, rng: np.random.Generator, _: Sequence[bytes]) -> bytes:
    place = _place(content, rng)
    return content[:place] + rng.bytes(int(rng.choice([1, 2, 4, 100]))) + content[place:]


def _splice(content: bytes, rng: np.random.Generator, others: Sequence[bytes]) -> bytes:
    donor = [content, *others][rng.integers(len(others) + 1)]
    begin, end = _span(donor, rng)
    place, skipped = _place(content, rng), int(rng.choice([0, end - begin]))
    return content[:place] + donor[begin:end] + content[place + skipped :]


def _join(content: bytes, rng: np.random.Generator, others: Sequence[bytes]) -> bytes:
    donor = [content, *others][rng.integers(len(others) + 1)]
    return content[: _place(content, rng)] + donor[_place(donor, rng) :]


def _lie(content: bytes, rng: np.random.Generator, _: Sequence[bytes]) -> bytes:
    kind = str(rng.choice(["<H", ">H", "<I", ">I", "<Q", ">Q"]))
    number, size = _NUMBERS[rng.integers(len(_NUMBERS))], struct.calcsize(kind)
    place = _place(content, rng)
    return content[:place] + struct.pack(kind, number % 2 ** (8 * size)) + content[place + size :]


def _digits(content: bytes, rng: np.random.Generator, _: Sequence[bytes]) -> bytes:
    """Change a digit, as in the shapes of text headers."""
    places = [place for place, byte in enumerate(content[:2000]) if 48 <= byte < 58]
    if not places:
        return content
    place = places[rng.integers(len(places))]
    new = [b"0", b"9", b"-1", b"99999999999", b"1e9", b"", b"{", b'"'][rng.integers(8)]
    return content[:place] + new + content[place + 1 :]


Fault = Callable[[bytes, np.random.Generator, Sequence[bytes]], bytes]
FAULTS: tuple[Fault, ...] = (_cut, _flip, _flip, _overwrite, _remove, _insert, _splice, _join, _lie, _digits)
