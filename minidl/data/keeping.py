"""Keeping: images that were decoded stay in memory, up to a number of bytes, so that they are decoded once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

from .._core import Array

__all__ = ["KeptImages"]

Pixels = tuple[Array, int]  # as `pixels_of` returns them


class KeptImages:
    """The pixels of image files, by path; those that come first are kept, as far as there is room, until the end.

    Nothing is dropped for what comes later: a pass over shuffled images asks for each of them once, so that the share
    that is kept is the share that need not be decoded. Several threads may ask at a time. A copy begins empty.

    Args:
        limit: bytes of pixels that are kept at most; 0 for none.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.used = limit, 0
        self._images: dict[Path, Pixels] = {}
        self._lock = Lock()

    def get(self, path: Path, decode: Callable[[], Pixels]) -> Pixels:
        """Return the pixels of a file: those that are kept, or what ``decode`` returns."""
        kept = self._images.get(path)
        if kept is not None:
            return kept
        pixels = decode()
        # whoever finds the lock taken keeps nothing, until the next pass: in a forked child it may be taken for ever
        if self._lock.acquire(blocking=False):
            try:
                if path not in self._images and self.used + pixels[0].nbytes <= self.limit:
                    self._images[path] = pixels
                    self.used += pixels[0].nbytes
            finally:
                self._lock.release()
        return pixels

    def __len__(self) -> int:
        return len(self._images)

    def __reduce__(self) -> tuple[Any, ...]:
        return KeptImages, (self.limit,)
