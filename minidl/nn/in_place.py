"""Changing a Parameter in place: ``p -= lr * p.grad``, ``p.copy_(x)``, inside `no_grad` as in PyTorch."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

from .changes import mark_changed
from .modes import mode
from .recording import plain
from .tensor import Operand

__all__ = ["InPlace"]

Self = TypeVar("Self", bound="InPlace")


class InPlace(Operand):
    """What `Parameter` is about changes in place: all need `no_grad`, unless the parameter is frozen."""

    requires_grad: bool

    def _change(self: Self, function: np.ufunc | None, value: Any, key: Any = ...) -> Self:
        """Put a value, or the function of what is there and the value, into a place; return self."""
        if mode.enabled and self.requires_grad:
            raise RuntimeError(
                "a Parameter is changed in place where its gradient may be needed; put it inside no_grad(), or "
                "change its .data between backward() and the next forward pass"
            )
        data, value = self.data, plain(value)
        data[key] = value if function is None else function(data[key], value)
        mark_changed([self])
        return self

    def __iadd__(self: Self, other: Any) -> Self:
        return self._change(np.add, other)

    def __isub__(self: Self, other: Any) -> Self:
        return self._change(np.subtract, other)

    def __imul__(self: Self, other: Any) -> Self:
        return self._change(np.multiply, other)

    def __itruediv__(self: Self, other: Any) -> Self:
        return self._change(np.divide, other)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._change(None, value, plain(key))

    def add_(self: Self, other: Any, alpha: float = 1) -> Self:
        """Add alpha * other in place; return self."""
        return self._change(np.add, other if alpha == 1 else plain(other) * alpha)

    def sub_(self: Self, other: Any, alpha: float = 1) -> Self:
        """Subtract alpha * other in place; return self."""
        return self._change(np.subtract, other if alpha == 1 else plain(other) * alpha)

    def mul_(self: Self, other: Any) -> Self:
        """Multiply in place; return self."""
        return self._change(np.multiply, other)

    def div_(self: Self, other: Any) -> Self:
        """Divide in place; return self."""
        return self._change(np.divide, other)

    def copy_(self: Self, other: Any) -> Self:
        """Take another array's values; return self."""
        return self._change(None, other)

    def fill_(self: Self, value: float) -> Self:
        """Fill with a number; return self."""
        return self._change(None, value)

    def zero_(self: Self) -> Self:
        """Fill with zeros; return self."""
        return self._change(None, 0)

    def clamp_(self: Self, min: float | None = None, max: float | None = None) -> Self:
        """Limit the values in place to what lies between ``min`` and ``max``; return self."""
        return self._change(None, np.clip(self.data, min, max))
