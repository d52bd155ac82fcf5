"""Recycled memory for large arrays: otherwise half of a training step is page faults of freshly mapped pages.

`empty` returns an ordinary ndarray over a pooled buffer. Every view of an array keeps that array alive as its base, so
a weak reference to it fires when the last view is gone; only then is the buffer used again. Nothing is ever shared: a
later step does not write to an output that is still in use.

At most ``CAP`` bytes wait in the pool; beyond that buffers go back to the system at once. `release` empties the pool;
the Trainer calls it at the end of `fit` and `predict`.
"""

from __future__ import annotations

import math
import mmap
import os
import threading
import weakref
from collections import deque
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from .checks import Array

__all__ = ["CAP", "SMALL", "empty", "held", "release"]

CAP = 512 * 2**20
SMALL = 2**16
_ALIGNMENT = 64
_HUGE = 4 * 2**20  # from this size on huge pages are requested: fewer page faults, fewer TLB misses


class _Buffer(NamedTuple):
    """Memory for ``capacity`` bytes starting at ``offset``, whose address is a multiple of 64 for the sake of SIMD."""

    memory: bytearray | mmap.mmap
    offset: int
    capacity: int


# Reentrant: the garbage collector may run inside, and a finaliser may call `release` from there.
_lock = threading.RLock()
# References whose arrays are gone. Their callback is this deque's append, a single operation in C: an interrupt
# (Ctrl-C) cannot occur inside it and get lost, as it would in a callback written in Python.
_gone: deque[weakref.ref[Any]] = deque()
_free: dict[int, list[_Buffer]] = {}
_lent: dict[int, tuple[weakref.ref[Any], _Buffer]] = {}  # by the reference's id: an array has no hash
_held = 0


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return an uninitialised C-contiguous array, as ``np.empty`` does; a large one uses recycled memory.

    Raises:
        MemoryError: there is none left, not even after `release`; the message says for what.
    """
    size = math.prod(shape) * dtype.itemsize
    if size < SMALL:
        return np.empty(shape, dtype)
    # eight sizes per power of two: at most an eighth is wasted, and nearly equal sizes share buffers
    step = 1 << max(size.bit_length() - 4, 0)
    capacity = -(-size // step) * step
    try:
        buffer = _take(capacity) or _new(capacity)
    except (MemoryError, OSError, OverflowError):  # of bytearray; of mmap, also for what no address is large enough
        release()
        try:
            buffer = _new(capacity)
        except (MemoryError, OSError, OverflowError) as error:
            raise MemoryError(f"there is no memory for {size:,} bytes, an array {shape} of {dtype}") from error
    array = np.ndarray(shape, dtype, buffer.memory, buffer.offset)
    reference = weakref.ref(array, _gone.append)
    _lent[id(reference)] = reference, buffer
    return array


def held() -> int:
    """Return the number of bytes in the pool."""
    with _lock:
        _collect()
        return _held


def release() -> None:
    """Return all pooled buffers to the system; arrays in use are not touched."""
    global _held  # noqa: PLW0603
    with _lock:
        _collect()
        _free.clear()
        _held = 0


def _new(capacity: int) -> _Buffer:
    memory: bytearray | mmap.mmap
    if capacity >= _HUGE and hasattr(mmap, "MADV_HUGEPAGE"):  # Linux
        # private: what is shared by default would be one memory for a process and its forked children
        memory = mmap.mmap(-1, capacity + _ALIGNMENT, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        with suppress(OSError):  # a system without them
            memory.madvise(mmap.MADV_HUGEPAGE)
    else:
        memory = bytearray(capacity + _ALIGNMENT)
    return _Buffer(memory, -np.frombuffer(memory, np.uint8).ctypes.data % _ALIGNMENT, capacity)


def _take(capacity: int) -> _Buffer | None:
    global _held  # noqa: PLW0603
    with _lock:
        _collect()
        waiting = _free.get(capacity)
        if not waiting:
            return None
        _held -= capacity
        return waiting.pop()


def _after_fork() -> None:
    """Start afresh in a forked child: the lock may have been held by another thread of the parent, halfway through."""
    global _lock, _held  # noqa: PLW0603
    _lock = threading.RLock()
    _free.clear()
    _held = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _collect() -> None:
    """Move the buffers of arrays that are gone into the pool."""
    global _held  # noqa: PLW0603
    while _gone:
        _, buffer = _lent.pop(id(_gone.popleft()), (None, None))
        if buffer is not None and _held + buffer.capacity <= CAP:
            _held += buffer.capacity
            _free.setdefault(buffer.capacity, []).append(buffer)
