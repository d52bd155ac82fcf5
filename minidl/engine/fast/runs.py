"""The compiled loops that others are made of: runs of numbers, one after another or some numbers apart."""

from __future__ import annotations

from typing import Any

from .compiled import compiled, summing
from .vectors import load, store

__all__ = ["add", "copy", "total", "zero"]


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
