"""The random generators that the modules of a tree hold."""

from __future__ import annotations

from collections.abc import Iterator
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from .module import Module
from .parameter import Parameter

__all__ = ["generators"]

_DEPTH = 5  # of lists, dicts and objects inside each other


def generators(*roots: Module) -> tuple[list[np.random.Generator], list[np.random.Generator]]:
    """Return the generators of some modules and their descendants, in the order of their attributes.

    Returns:
        Those that are attributes of modules; and the others, which are inside lists, tuples, dicts or plain objects.
    """
    direct, inside = list[np.random.Generator](), list[np.random.Generator]()
    for root in roots:
        for module in root.modules():
            for name, value in vars(module).items():
                if isinstance(value, np.random.Generator):
                    direct.append(value)
                elif name != "_saved":
                    inside += _inside(value, _DEPTH)
    known = {id(generator) for generator in direct}
    return direct, [g for g in {id(g): g for g in inside}.values() if id(g) not in known]


def _inside(value: Any, depth: int) -> Iterator[np.random.Generator]:
    """Yield the generators in a value that is not a module: modules are visited on their own."""
    parts: Any = ()
    if isinstance(value, np.random.Generator):
        yield value
    elif isinstance(value, (list, tuple)):
        parts = value
    elif isinstance(value, dict):
        parts = value.values()
    elif hasattr(value, "__dict__") and not isinstance(
        value, (Module, Parameter, type, FunctionType, MethodType, ModuleType)
    ):
        parts = vars(value).values()
    for part in parts if depth else ():
        yield from _inside(part, depth - 1)
