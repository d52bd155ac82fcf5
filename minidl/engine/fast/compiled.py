"""How functions are compiled: once for a machine, without Python's global lock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

__all__ = ["compiled"]

_Function = TypeVar("_Function", bound=Callable[..., Any])


def compiled(function: _Function) -> _Function:
    """Compile a function at its first call for each dtype; sums may be taken in lanes."""
    # no errors of Python's inside: divisions by zero give what IEEE 754 says
    made: Any = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "nsz", "contract"})(function)
    return made  # type: ignore[no-any-return]
