"""How functions are compiled: once for a machine, without Python's global lock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

__all__ = ["compiled", "summing"]

_Function = TypeVar("_Function", bound=Callable[..., Any])


def compiled(function: _Function) -> _Function:
    """Compile a function at its first call for each dtype."""
    return _compiled(function, {"contract"})


def summing(function: _Function) -> _Function:
    """Compile a function whose sums may be taken in any order, in the lanes of vectors."""
    return _compiled(function, {"contract", "reassoc", "nsz"})


def _compiled(function: _Function, allowed: set[str]) -> _Function:
    # divisions by zero give what IEEE 754 says, not Python's errors
    made: Any = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath=allowed)(function)
    return made  # type: ignore[no-any-return]
