"""Parameter: an array that is trained, and its gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .._core import Array, check_float
from ..engine import empty_like
from .in_place import InPlace
from .modes import mode
from .unsized import sealed

__all__ = ["Parameter", "filled"]


class Parameter(InPlace):
    """An array that an optimiser changes, with a place for its gradient.

    Args:
        data: the initial value; a float32 or float64 array, copied.
        requires_grad: False freezes it: gradients are dropped and optimisers skip it.

    The parameters of a layer whose input size is left out have the shape (0,) until its first input gives them a size
    and a value. What is written to them before would be lost: their data are read-only, and initialisers refuse them.

    Attributes:
        data: the value, float32 or float64. Optimisers change it in place.
        grad: gradient with data's shape and dtype; None until the first backward pass; later passes add to it.
        requires_grad: whether gradients are collected.
        changed: when an optimiser or `load_state_dict` last changed the value, as the number of a forward pass.

    Raises:
        TypeError: data does not have a float dtype.
    """

    changed: int = 0

    def __init__(self, data: ArrayLike, requires_grad: bool = True) -> None:
        self.data: Array = check_float(np.array(data), "Parameter")
        self.grad: Array | None = None
        self.requires_grad = requires_grad

    def requires_grad_(self, requires_grad: bool = True) -> Parameter:
        """Collect gradients, or not; return self."""
        self.requires_grad = requires_grad
        return self

    def detach(self) -> Array:
        """Return the value: the array itself."""
        return self.data

    def add_grad(self, grad: Array) -> None:
        """Add to `grad`; layers call it in their backward pass. Does nothing if the parameter is frozen.

        Args:
            grad: array of data's shape; copied, and converted to data's dtype.

        Raises:
            ValueError: the shape differs from data's.
        """
        if not self.requires_grad:
            return
        if grad.shape != self.data.shape:
            raise ValueError(f"expected a gradient of the parameter's shape {self.data.shape}, got {grad.shape}")
        if self.grad is None:
            self.grad = empty_like(self.data)
            self.grad[...] = grad
        else:
            self.grad += grad

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Reset the gradient: `grad` becomes None, or zeros with ``set_to_none=False`` if there is one."""
        if set_to_none:
            self.grad = None
        elif self.grad is not None:
            self.grad.fill(0)

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        sealed(self.data)  # copies and pickles are writeable

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        if mode.record is not None and mode.enabled and self.requires_grad:
            raise RuntimeError(
                "this would make a plain array of a Parameter inside a recorded forward, and its gradient would be "
                "lost; if that is meant use .data"
            )
        return np.array(self.data, dtype=dtype, copy=copy)

    def _outside(self) -> Array:
        if mode.enabled and self.requires_grad:
            raise RuntimeError(
                "a Parameter was used in arithmetic outside a forward pass, where its gradient would be lost; move "
                "it into the forward of a Module, or use its .data, or no_grad()"
            )
        return self.data

    def __repr__(self) -> str:
        frozen = "" if self.requires_grad else ", requires_grad=False"
        return f"Parameter(shape={self.data.shape}, dtype={self.data.dtype}{frozen})"


def filled(shape: int | tuple[int, ...], value: float, dtype: DTypeLike | None) -> Parameter:
    """Return a Parameter filled with one value; a dtype of None is float32. Of the shape (0,) it has no size yet."""
    parameter = Parameter(np.full(shape, value, np.float32 if dtype is None else dtype))
    sealed(parameter.data)
    return parameter
