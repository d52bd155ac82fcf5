"""Values of options and records as JSON: what JSON lacks is an object with one entry, which says what it is."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .._core import Array, plain

__all__ = ["decoded", "encoded"]


def encoded(value: Any, store: Callable[[Array], int]) -> Any:
    """Return a value as JSON can hold it.

    Args:
        value: None, a number, text, a dtype, a slice, an array, or a tuple, list or dict of such.
        store: takes an array and returns its number.

    Raises:
        TypeError: it is something else.
    """
    made: Any
    if value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value)):
        made = value
    elif isinstance(value, float):
        made = {"float": str(value)}
    elif isinstance(value, (np.ndarray, np.generic)) and not value.dtype.hasobject:
        made = {"array" if isinstance(value, np.ndarray) else "scalar": store(np.asarray(value))}
    elif isinstance(value, (tuple, list)):
        items = [encoded(item, store) for item in value]
        made = {"tuple": items} if isinstance(value, tuple) else items
    elif isinstance(value, Mapping):
        made = {"dict": [[encoded(key, store), encoded(item, store)] for key, item in value.items()]}
    elif isinstance(value, slice):
        made = {"slice": [encoded(plain(part), store) for part in (value.start, value.stop, value.step)]}
    elif value is Ellipsis:
        made = {"ellipsis": True}
    elif isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
        made = {"dtype": np.dtype(value).str}
    else:
        raise TypeError(f"a {type(value).__name__} cannot be stored")
    return made


def decoded(value: Any, fetch: Callable[[str, Any], Any]) -> Any:
    """Return what `encoded` was given.

    Args:
        value: the JSON.
        fetch: takes the kind of an object that is not one of those here, such as "array", and its entry.

    Raises:
        ValueError: it is nothing that `encoded` makes.
    """
    if isinstance(value, list):
        return [decoded(item, fetch) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) != 1:
        raise ValueError(f"it holds an object that is nothing: {value!s:.60}")
    ((kind, entry),) = value.items()
    return _DECODERS[kind](entry, fetch) if kind in _DECODERS else fetch(kind, entry)


def _dtype(entry: Any, fetch: Any) -> np.dtype[Any]:
    dtype = np.dtype(str(entry))
    if dtype.hasobject:
        raise ValueError(f"it names the dtype {entry}")
    return dtype


_DECODERS: dict[str, Callable[[Any, Any], Any]] = {
    "float": lambda entry, fetch: float(entry),
    "scalar": lambda entry, fetch: fetch("array", entry)[()],
    "tuple": lambda entry, fetch: tuple(decoded(item, fetch) for item in entry),
    "dict": lambda entry, fetch: {decoded(key, fetch): decoded(item, fetch) for key, item in entry},
    "slice": lambda entry, fetch: slice(*(decoded(part, fetch) for part in entry)),
    "ellipsis": lambda entry, fetch: Ellipsis,
    "dtype": _dtype,
}
