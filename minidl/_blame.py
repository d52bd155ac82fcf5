"""Blame: which layers inside a module have a wrong backward of their own, found on the inputs that they really get."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from .nn import Module
from .nn.naming import layer_at
from .nn.record import has_backward
from .nn.recording import plain
from .nn.structure import leaves, rebuild

__all__ = ["wrong_children"]

Call = tuple[Any, ...]


def wrong_children(module: Module, inputs: tuple[Any, ...], check: Callable[..., Any]) -> list[str]:
    """Return a line for each layer inside whose own backward is wrong; or one that says that none is.

    Each layer with a backward of its own is checked on the inputs of every call that the module makes. One that
    contains a wrong layer is not blamed itself.

    Args:
        module: whose gradients are wrong.
        inputs: what its forward takes.
        check: ``check(layer, *inputs)`` raises AssertionError if that layer's gradients are wrong, ValueError if it
            cannot tell.
    """
    inner = [(path, child) for path, child in module.named_modules() if path]
    unsure: list[str] = []
    blamed = _wrong([entry for entry in inner if has_backward(entry[1])], module, inputs, check, unsure)
    if blamed:
        return [f"the backward of {name} is wrong on the inputs that it gets here: {error}" for name, error in blamed]
    right = "the layers inside are right on the inputs that they get here"
    right += f" (not checked: {', '.join(dict.fromkeys(unsure))}): " if unsure else ": "
    kind = type(module).__name__
    if has_backward(module):
        return [f"{right}look at {kind}.backward"] if inner else []
    derived = [entry for entry in inner if not has_backward(entry[1])]
    names = [name for name, _ in _wrong(derived, module, inputs, check, [])]
    where = f"the forward of {' and of '.join(names)}" if names else f"{kind}.forward"
    lost = f"look in {where} for a .data, detach() or no_grad() through which a gradient is lost"
    return [right + lost if any(has_backward(child) for _, child in inner) else lost]


def _wrong(
    layers: list[tuple[str, Module]],
    module: Module,
    inputs: tuple[Any, ...],
    check: Callable[..., Any],
    unsure: list[str],
) -> list[tuple[str, str]]:
    """Return name and error of each layer whose gradients are wrong, but of none that contains another.

    The names of those that cannot be checked are added to ``unsure``.
    """
    calls = _calls([child for _, child in layers], module, inputs)
    blamed: list[tuple[str, str]] = []
    found: set[int] = set()
    for path, child in sorted(layers, key=lambda entry: -entry[0].count(".")):  # the innermost first
        if any(id(part) in found for part in child.modules()):
            continue
        for given in calls[id(child)]:
            try:
                check(child, *given)
            except AssertionError as error:
                blamed.append((layer_at(type(child).__name__, path), str(error)))
                found.add(id(child))
                break
            except (ValueError, TypeError):  # it cannot be checked here
                unsure.append(layer_at(type(child).__name__, path))
    return blamed


def _calls(layers: list[Module], module: Module, inputs: tuple[Any, ...]) -> dict[int, list[Call]]:
    """Return the inputs of every call of each layer in one forward pass, by the layer's id."""
    calls: dict[int, list[Call]] = {id(layer): [] for layer in layers}

    def watch(layer: Module) -> None:
        forward = layer.forward

        def watched(*given: Any, **options: Any) -> Any:
            bound = inspect.signature(forward).bind(*rebuild(given, _kept), **rebuild(options, _kept))
            if options:
                bound.apply_defaults()
            if not bound.kwargs and any(isinstance(x, np.ndarray) for x in leaves(bound.args)):
                calls[id(layer)].append(bound.args)
            return forward(*given, **options)

        layer.__dict__["forward"] = watched

    for layer in layers:
        watch(layer)
    try:
        module(*inputs)
    finally:
        for layer in layers:
            del layer.__dict__["forward"]
    return calls


def _kept(value: Any) -> Any:
    value = plain(value)
    return value.copy() if isinstance(value, np.ndarray) else value
