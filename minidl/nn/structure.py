"""Structures: tuples, lists and dicts of arrays, as models take and return them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

__all__ = ["by_position", "joined", "leaves", "rebuild", "values_at"]


def leaves(value: Any, none: bool = False) -> Iterator[Any]:
    """Yield what a structure holds that is neither a tuple, a list, a dict nor None (with ``none``, that too)."""
    if isinstance(value, (tuple, list)):
        for item in value:
            yield from leaves(item, none)
    elif isinstance(value, dict):
        for item in value.values():
            yield from leaves(item, none)
    elif value is not None or none:
        yield value


def rebuild(value: Any, function: Callable[[Any], Any]) -> Any:
    """Return a structure like ``value`` with ``function`` of each leaf."""
    if isinstance(value, (tuple, list)):
        items = [rebuild(item, function) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if isinstance(value, dict):
        return {key: rebuild(item, function) for key, item in value.items()}
    return function(value)


def joined(values: list[Any], *, owner: str = "") -> Any:
    """Return structures of arrays (N, ...), of one form, as one structure of arrays (the sum of all N, ...).

    Raises:
        TypeError: they do not consist of arrays; the message begins with the ``owner``.
    """
    first = values[0]
    if isinstance(first, np.ndarray):
        return np.concatenate([np.ascontiguousarray(value) for value in values])
    if isinstance(first, dict):
        return {key: joined([value[key] for value in values], owner=owner) for key in first}
    if isinstance(first, (tuple, list)):
        return type(first)(joined(list(column), owner=owner) for column in zip(*values, strict=True))
    if first is None:
        return None
    raise TypeError(f"{owner}: the model returned a {type(first).__name__}, not an array or a structure of arrays")


def values_at(form: Any, value: Any) -> Iterator[Any]:
    """Yield from a structure what stands where ``form``, another one, has leaves; None for what is left out.

    Raises:
        ValueError: the structures differ.
    """
    if isinstance(form, dict):
        given = {} if value is None else value
        if not isinstance(given, dict) or not set(given) <= set(form):
            held = f"keys {', '.join(map(repr, given))}" if isinstance(given, dict) else f"a {type(value).__name__}"
            raise ValueError(f"expected a dict with the keys {', '.join(map(repr, form))}, got {held}")
        for key, inner in form.items():
            yield from values_at(inner, given.get(key))
    elif isinstance(form, (tuple, list)):
        given = [None] * len(form) if value is None else value
        if not isinstance(given, (tuple, list)) or len(given) != len(form):
            held = f"{len(given)}" if isinstance(given, (tuple, list)) else f"a {type(value).__name__}"
            raise ValueError(f"expected {len(form)} in a {type(form).__name__}, got {held}")
        for inner, item in zip(form, given, strict=True):
            yield from values_at(inner, item)
    elif form is not None:
        yield value


def by_position(
    function: Callable[..., Any], inputs: tuple[Any, ...], options: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return arguments with those given by name put in their places, if there are arrays or operands among them."""
    if not any(hasattr(x, "__array_ufunc__") and getattr(x, "ndim", 0) for x in leaves(options)):
        return inputs, options
    try:
        bound = inspect.signature(function).bind(*inputs, **options)
    except TypeError:  # the call itself says what is wrong with them
        return inputs, options
    bound.apply_defaults()
    return bound.args, bound.kwargs
