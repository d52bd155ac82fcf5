"""The functions that a record may name: minidl's operations, NumPy's without a gradient, and `nn.functional`'s pairs.

What a file names is looked up here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np

from ..nn import functional, operations, rearranging
from ..nn.recording import apply, compute

__all__ = ["function_of", "name_of"]

_ALIASES = {"amax": "max", "amin": "min"}  # in NumPy 1.26 these are the functions' names


def _operations() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for module in (operations, rearranging):
        for name, value in vars(module).items():
            gives = getattr(value, "__annotations__", {}).get("return", "")
            if isinstance(value, FunctionType) and value.__module__ == module.__name__ and "Gradients" in str(gives):
                found[name] = value
    for function, operation in operations.FUNCTIONS.items():
        if operation not in found.values():
            found.setdefault(_ALIASES.get(function.__name__, function.__name__), operation)
    return found


_OPERATIONS = _operations()
_CONSTANT: dict[str, Any] = {
    _ALIASES.get(function.__name__, function.__name__): function
    for function in (*operations.FUNCTIONS, *operations.CONSTANT, np.invert, np.bitwise_and, np.bitwise_or)
} | {"astype": np.ndarray.astype}
_INPUTS = ("input", "weight", "bias")
_PAIRS = {
    **dict.fromkeys(
        ("linear", "conv1d", "conv2d", "conv_transpose2d", "prelu", "batch_norm", "instance_norm"), _INPUTS
    ),
    **dict.fromkeys(("embedding", "group_norm", "layer_norm", "rms_norm"), _INPUTS),
    "bilinear": ("input1", "input2", "weight", "bias"),
}


def name_of(what: Any) -> dict[str, str] | None:
    """Return how a record names the operation, function or pair of a note; None if it cannot."""
    if isinstance(what, str):
        return {"pair": what} if what in _PAIRS else None
    for kind, known in (("operation", _OPERATIONS), ("constant", _CONSTANT)):
        for name, function in known.items():
            if function is what:
                return {kind: name}
    return None


def function_of(kind: str, name: str) -> Callable[..., Any]:
    """Return a function of inputs and options, that does what a record names.

    Raises:
        ValueError: there is no such function.
    """
    if kind == "operation" and name in _OPERATIONS:
        operation = _OPERATIONS[name]
        return lambda *inputs, **options: apply(operation, *inputs, **options)
    if kind == "constant" and name in _CONSTANT:
        function = _CONSTANT[name]
        return lambda *inputs, **options: compute(function, *inputs, **options)
    if kind == "pair" and name in _PAIRS:
        return lambda *inputs, **options: _pair(name, inputs, options)
    raise ValueError(f"it names a function that this version does not have: {kind} {name!r}")


def _pair(name: str, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
    if name == "batch_norm":
        running = options.get("running")
        mean, var = (None, None) if running is None else running
        options = {"running_mean": mean, "running_var": var, "training": running is None, "eps": options["eps"]}
    return getattr(functional, name)(**dict(zip(_PAIRS[name], inputs, strict=False)), **options)
