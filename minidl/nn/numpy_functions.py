"""NumPy's functions of Tensors and Parameters, by `__array_ufunc__` and `__array_function__`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .operations import CONSTANT, FUNCTIONS
from .recording import compute, plain
from .structure import leaves, rebuild

if TYPE_CHECKING:
    from .record import Record

__all__ = ["numpy_function"]

_LISTS = {np.concatenate, np.stack}  # their first argument is a list of arrays
_PLAIN = {np.einsum, np.where}  # their arguments are operands, in order


def numpy_function(record: Record, function: Any, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Do a NumPy function in a recorded forward pass, if its gradient is known or not needed.

    Raises:
        TypeError: it has no known gradient, and that is needed.
    """
    operation = FUNCTIONS.get(function)
    tracked = any(record.number_of(x) >= 0 for x in leaves((inputs, options)))
    if operation is None or not tracked:
        if tracked and function not in CONSTANT:
            raise TypeError(
                f"np.{function.__name__} has no known gradient here: use a function that has, write a Module with a "
                "backward of its own, or give it x.detach()"
            )
        return compute(function, *inputs, **options)
    if function in _LISTS:
        options = {**dict(zip(("axis",), inputs[1:], strict=False)), **options}
        return record.apply(operation, tuple(inputs[0]), options)
    if isinstance(function, np.ufunc) or function in _PLAIN:
        return record.apply(operation, inputs, options)
    names = operation.__code__.co_varnames[: operation.__code__.co_argcount]
    options = {**dict(zip(names[1:], inputs[1:], strict=False)), **options}
    unknown = [name for name in options if name not in names]
    if unknown:
        raise TypeError(f"np.{function.__name__} with {', '.join(unknown)}= has no known gradient here")
    if function is np.dot:
        return record.apply(operation, (inputs[0], options["b"]), {})
    return record.apply(operation, inputs[:1], rebuild(options, plain))
