"""The compiled loops that others are made of: runs of numbers, one after another or some numbers apart."""

from __future__ import annotations

from typing import Any

from .compiled import compiled, summing
from .vectors import cast, load, load_index, store

__all__ = ["ROOM", "add", "combine", "copy", "total", "zero"]

ROOM = 512  # float64 numbers that `combine` needs


@compiled
def zero(at: int, count: int, like: Any) -> None:
    """Write ``count`` zeros."""
    for i in range(count):
        store(at, i, like)


@compiled
def copy(source: int, step: int, target: int, to: int, runs: int, length: int, size: int, like: Any) -> None:
    """Copy ``runs`` runs of ``length`` numbers, which are ``step`` apart in the source and ``to`` in the target."""
    if step == length and to == length:
        runs, length = 1, runs * length
    if length == 1:
        for i in range(runs):
            store(target, i * to, load(source, i * step, like))
        return
    for i in range(runs):
        a, b = source + size * i * step, target + size * i * to
        for k in range(length):
            store(b, k, load(a, k, like))


@compiled
def add(source: int, step: int, target: int, to: int, runs: int, length: int, size: int, like: Any) -> None:
    """Add runs to what is in the target, laid out as in `copy`."""
    if step == length and to == length:
        runs, length = 1, runs * length
    if length == 1:
        for i in range(runs):
            store(target, i * to, load(target, i * to, like) + load(source, i * step, like))
        return
    for i in range(runs):
        a, b = source + size * i * step, target + size * i * to
        for k in range(length):
            store(b, k, load(b, k, like) + load(a, k, like))


@summing
def total(x: int, count: int, like: Any) -> Any:
    """Return the sum of ``count`` numbers."""
    found = like
    for i in range(count):
        found += load(x, i, like)
    return found


@compiled
def combine(parts: int, many: int, count: int, out: int, room: int, size: int, like: Any) -> None:
    """Fill ``out`` with the sums of ``many`` runs of ``count`` numbers, taken in order in float64.

    ``parts`` is where the addresses of the runs lie, one of which may be ``out``; ``room`` is for `ROOM` numbers.
    """
    for begin in range(0, count, ROOM):
        length = min(ROOM, count - begin)
        for i in range(many):
            source = load_index(parts, i) + size * begin
            if i == 0:
                for k in range(length):
                    store(room, k, load(source, k, like) + 0.0)
            else:
                for k in range(length):
                    store(room, k, load(room, k, 0.0) + load(source, k, like))
        for k in range(length):
            store(out + size * begin, k, cast(load(room, k, 0.0), like))
