"""named: errors that say which of our functions or classes was called."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["named"]


@contextmanager
def named(owner: str) -> Iterator[None]:
    """Put ``owner`` in front of TypeErrors and ValueErrors of NumPy, or of checks that do not know who called them.

    Args:
        owner: the public function or class that was called.
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{owner}: {error}") from error
