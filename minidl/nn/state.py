"""State dicts: checking arrays by name against those of a module, before anything is copied."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from .._core import Array, printable

__all__ = ["IncompatibleKeys", "copy_state", "match_state"]


class IncompatibleKeys(NamedTuple):
    """What `Module.load_state_dict` could not match when not strict."""

    missing_keys: list[str]
    unexpected_keys: list[str]


def match_state(
    owner: str, own: Mapping[str, Array], state: Mapping[str, Any], strict: bool
) -> tuple[dict[str, Array], IncompatibleKeys]:
    """Return the arrays of ``state`` that match those of ``own``, by name, and the names without a counterpart.

    Raises:
        ValueError: names (if strict) or shapes do not match; the message lists all of them. Or a number does not fit in
            the dtype: 1e300 in float32, NaN in a count.
        TypeError: an entry is not an array of numbers.
    """
    missing = [name for name in own if name not in state]
    unexpected = [name for name in state if name not in own]
    values = {name: _as_array(owner, name, state[name]) for name in own if name in state}
    problems = [
        f"{printable(name)} has shape {value.shape}, expected {own[name].shape}"
        + ("" if own[name].size else " (no input size yet: call summary(input_shape) first)")
        for name, value in values.items()
        if value.shape != own[name].shape
    ]
    if strict:
        problems = [
            *(f"missing {printable(name)}" for name in missing),
            *(f"unexpected {printable(name)}" for name in unexpected),
            *problems,
        ]
    if problems:
        raise ValueError(f"{owner}: cannot load state dict: " + "; ".join(problems))
    fitting = {name: _cast(owner, name, value, own[name].dtype) for name, value in values.items()}
    return fitting, IncompatibleKeys(missing, unexpected)


def copy_state(own: Mapping[str, Array], values: Mapping[str, Array]) -> None:
    """Copy arrays into those of the same names: all of them, before a Ctrl-C that comes meanwhile is raised."""
    try:
        for name, value in values.items():
            if own[name].size:  # what has no size yet is read-only
                own[name][...] = value
    except KeyboardInterrupt:
        copy_state(own, values)
        raise


def _cast(owner: str, name: str, value: Array, dtype: np.dtype[Any]) -> Array:
    """Return an array in the dtype of what it is for, if its numbers fit."""
    with np.errstate(all="ignore"):
        cast = value.astype(dtype, copy=False)
    wrong = np.isinf(cast) & np.isfinite(value) if dtype.kind == "f" else cast != value
    if wrong.any():
        raise ValueError(f"{owner}: cannot load {name!r}: {value[wrong][0]} does not fit in {dtype}")
    return cast


def _as_array(owner: str, name: str, value: Any) -> Array:
    """Return an entry of a state dict as an array of numbers; PyTorch's tensors may be part of a graph."""
    try:
        array = np.asarray(value.detach() if hasattr(value, "detach") else value)
    except MemoryError:
        raise
    except Exception as error:  # on another device, or with a dtype that NumPy does not have
        raise TypeError(f"{owner}: cannot load {name!r}: {error}") from error
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{owner}: cannot load {name!r}: expected an array of numbers, got {array.dtype}")
    return array
