"""Seeds: the gradients that a backward pass begins with, one for each output."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._core import check_grad
from .structure import values_at

__all__ = ["seed_of", "seeds_of"]

Output = tuple[int, tuple[int, ...], Any]  # number, shape, dtype


def seeds_of(form: Any, outputs: list[Output], grad_output: tuple[Any, ...]) -> list[Any]:
    """Return the gradient of each output from what `backward` was given, in the outputs' structure.

    An output of one number alone needs none: it is 1.

    Raises:
        ValueError: the structure or a shape is another.
        TypeError: a dtype is another.
    """
    if not grad_output and len(outputs) == 1 and outputs[0][1] == ():
        grad_output = (1.0,)
    try:
        given = list(values_at(form, grad_output[0] if len(grad_output) == 1 else grad_output))
    except ValueError as error:
        raise ValueError(f"gradients in another structure than the outputs: {error}") from None
    return [seed_of(grad, *output) for grad, output in zip(given, outputs, strict=True)]


def seed_of(grad: Any, number: int, shape: tuple[int, ...], dtype: Any) -> Any:
    """Return the gradient of an output, checked; None if nothing depends on it."""
    if grad is None or number < 0:
        return None
    return check_grad(np.asarray(grad, dtype) if shape == () else grad, shape, dtype)
