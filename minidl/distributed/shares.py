"""Shares: which part of something each rank takes."""

from __future__ import annotations

__all__ = ["share"]


def share(count: int, rank: int, size: int) -> slice:
    """Return which of ``count`` things in a row a rank takes: as many as the others, or one more for the first ranks.

    Args:
        count: how many there are.
        rank, size: the rank, and how many there are.
    """
    each, more = divmod(count, size)
    first = rank * each + min(rank, more)
    return slice(first, first + each + (rank < more))
