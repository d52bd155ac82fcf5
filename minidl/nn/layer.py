"""Layer: the base of layers without parameters, whose passes are a pair of pure functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from .._core import Array
from .module import Module

__all__ = ["Layer"]


class Layer(Module):
    """A module built on two pure functions; it saves the cache that the first returns for the second.

    A subclass names the ``_pair`` and the ``_options``: attributes that the first function takes as arguments of the
    same names. ``shown`` are those that repr shows; by default all. One whose passes are not such a pair defines
    ``_compute(x) -> (out, cache)`` and ``_differentiate(grad_output, cache) -> dx`` itself.
    """

    _pair: ClassVar[tuple[Callable[..., Any], Callable[..., Any]]]
    _options: ClassVar[tuple[str, ...]] = ()
    shown: ClassVar[tuple[str, ...]] = ()

    def _compute(self, x: Array) -> tuple[Any, Any]:
        out, cache = self._pair[0](x, **{name: getattr(self, name) for name in self._options})
        return out, cache

    def _differentiate(self, grad_output: Array, cache: Any) -> Array:
        dx: Array = self._pair[1](grad_output, cache)
        return dx

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
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in self.shown or self._options)
