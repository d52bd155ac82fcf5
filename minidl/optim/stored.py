"""Checks of states that were stored: a file may hold anything. What is wrong is a ValueError that names the entry."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["stored_count", "stored_dict", "stored_flag", "stored_list", "stored_number"]

_LARGEST = 2**63 - 1


def stored_dict(where: str, value: Any, *names: str) -> Mapping[Any, Any]:
    """Return a dict that has some names, or raise ValueError; ``where`` begins the message."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{where} must be a dict, got {_shown(value)}")
    if missing := [name for name in names if name not in value]:
        raise ValueError(f"{where} has no {', '.join(missing)}")
    return value


def stored_list(where: str, value: Any, length: int | None = None) -> Sequence[Any]:
    """Return a list, of some length if one is given, or raise ValueError."""
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{where} must be a list, got {_shown(value)}")
    if length is not None and len(value) != length:
        raise ValueError(f"{where} must have {length} entries, got {len(value)}")
    return value


def stored_count(where: str, value: Any, minimum: int = 0, maximum: int = _LARGEST) -> int:
    """Return a whole number, which PyTorch may have stored as a float, as an int, or raise ValueError."""
    number = _number(where, value, "a whole number")
    if isinstance(number, float) and not number.is_integer():  # infinite, too
        raise ValueError(f"{where} must be a whole number, got {_shown(value)}")
    if not minimum <= number <= maximum:
        raise ValueError(f"{where} must be from {minimum} to {maximum}, got {_shown(value)}")
    return int(number)


def stored_number(where: str, value: Any, minimum: float | None = None) -> float:
    """Return a number, of at least some size and finite if one is given, as a float, or raise ValueError."""
    number = _number(where, value, "a number")
    fits = minimum is None or minimum <= number < math.inf
    if not fits or (isinstance(number, int) and abs(number) > _LARGEST):
        raise ValueError(
            f"{where} must be a number{'' if minimum is None else f' from {minimum:g}'}, got {_shown(value)}"
        )
    return float(number)


def stored_flag(where: str, value: Any) -> bool:
    """Return True or False, for which 1 or 0 may stand, or raise ValueError."""
    if not isinstance(value, int) or value not in (0, 1):
        raise ValueError(f"{where} must be true or false, got {_shown(value)}")
    return bool(value)


def _number(where: str, value: Any, kind: str) -> float:
    """Return a number, NumPy's and PyTorch's as Python's."""
    if hasattr(value, "item") and not getattr(value, "shape", ()):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{where} must be {kind}, got {_shown(value)}")
    return value


def _shown(value: Any) -> str:
    """Return a number or a short text as it is, everything else as its kind."""
    if isinstance(value, (bool, float, str, type(None))) or (isinstance(value, int) and abs(value) <= _LARGEST):
        return repr(value)[:80]
    return "a number out of all bounds" if isinstance(value, int) else f"a {type(value).__name__}"
