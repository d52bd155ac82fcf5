"""Layer: the base of layers without parameters, whose passes are a pair of pure functions."""

from __future__ import annotations

from typing import Any, ClassVar

from .._core import Array
from .module import Module

__all__ = ["Layer"]


class Layer(Module):
    """A module built on two pure functions; it saves the cache that the first returns for the second.

    A subclass defines ``_compute(x) -> (out, cache)`` and ``_differentiate(grad_output, cache) -> dx``; ``shown`` names
    the attributes that repr shows.
    """

    shown: ClassVar[tuple[str, ...]] = ()

    def _compute(self, x: Array) -> tuple[Any, Any]:
        raise NotImplementedError(f"{type(self).__name__} does not define _compute()")

    def _differentiate(self, grad_output: Array, cache: Any) -> Array:
        raise NotImplementedError(f"{type(self).__name__} does not define _differentiate()")

    def forward(self, x: Array) -> Any:
        """Return the output."""
        out, cache = self._compute(x)
        self.save_for_backward(cache)
        return out

    def backward(self, grad_output: Array) -> Array:
        """Return the gradient of the input."""
        return self._differentiate(grad_output, self.take_saved())

    def extra_repr(self) -> str:
        """Options in PyTorch's form."""
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in self.shown)
