"""Trees: dicts and lists of arrays, numbers, texts and None, as JSON and a list of the arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..nn import Module, Parameter

__all__ = ["packed", "unpacked"]


def packed(value: Any, arrays: list[Any], path: str = "state") -> Any:
    """Return ``value`` as JSON can hold it; an array is appended to ``arrays`` and replaced by its index.

    Tuples become lists, NumPy's scalars numbers, and a Parameter its array. The ``path`` is for errors.

    Raises:
        TypeError: there is something else in it.
    """
    if isinstance(value, (bool, int, float, str)) or value is None:
        return value
    if isinstance(value, np.generic) and not value.dtype.hasobject:
        return packed(value.item(), arrays, path)
    if isinstance(value, Parameter):
        value = value.data
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        arrays.append(value)
        return {"array": len(arrays) - 1}
    if isinstance(value, Mapping):  # as pairs, because JSON's keys are text
        pairs = [
            [packed(key, arrays, f"a key of {path}"), packed(item, arrays, f"{path}[{key!r}]")]
            for key, item in value.items()
        ]
        return {"dict": pairs}
    if isinstance(value, (list, tuple)):
        return [packed(item, arrays, f"{path}[{number}]") for number, item in enumerate(value)]
    what = "; give its state_dict()" if isinstance(value, Module) or hasattr(value, "state_dict") else f": {value!r}"
    raise TypeError(f"cannot save a {type(value).__name__}, which {path} is{what}")


def unpacked(value: Any, arrays: list[Any]) -> Any:
    """Return what `packed` was given."""
    if isinstance(value, list):
        return [unpacked(item, arrays) for item in value]
    if isinstance(value, dict):
        if "array" in value:
            return arrays[value["array"]]
        return {unpacked(key, arrays): unpacked(item, arrays) for key, item in value["dict"]}
    return value
