"""The memory of a plan: chunks that values take one after another."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from .._core import Array
from ..engine import empty

__all__ = ["Chunk", "Chunks"]

_ALIGNMENT, _BEYOND = 64, 1024  # bytes; compiled loops read whole vectors, which may end beyond an array


class Chunk:
    """A piece of memory, and the numbers of the values that live in it; ``kept`` ones are never used again."""

    def __init__(self, nbytes: int) -> None:
        self.memory = empty((nbytes + _ALIGNMENT + _BEYOND,), np.dtype(np.uint8))
        self.offset = -self.memory.ctypes.data % _ALIGNMENT
        self.nbytes = nbytes
        self.values: set[int] = set()
        self.kept = False


class Chunks:
    """All chunks of a plan."""

    def __init__(self) -> None:
        self._all: list[Chunk] = []
        self._free: list[Chunk] = []

    def take(self, shape: tuple[int, ...], dtype: Any) -> tuple[Array, Chunk]:
        """Return an array in the smallest free chunk in which it fits, else in a new one."""
        nbytes = math.prod(shape) * np.dtype(dtype).itemsize
        fitting = [chunk for chunk in self._free if nbytes <= chunk.nbytes]
        chunk = min(fitting, key=lambda chunk: chunk.nbytes, default=None)
        if chunk is None:
            chunk = Chunk(nbytes)
            self._all.append(chunk)
        else:
            self._free.remove(chunk)
        return np.ndarray(shape, dtype, chunk.memory.data, chunk.offset), chunk

    def give_back(self, chunks: Iterable[Chunk]) -> None:
        """Let chunks in which nothing lives be taken again."""
        self._free += [c for c in chunks if not c.values and not c.kept and c not in self._free]
