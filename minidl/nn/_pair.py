"""Pair: the base of layers that are a pair of functions and their options, without parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from .._core import Array
from .module import Module

__all__ = ["Pair"]


class Pair(Module):
    """A module whose passes are two functions of `minidl.functional`.

    ``functions`` are the two; ``**options`` become attributes, with which the first is called, and which repr shows.
    """

    functions: ClassVar[tuple[Callable[..., tuple[Array, Any]], Callable[..., Array]]]

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self._options = tuple(options)
        for name, value in options.items():
            setattr(self, name, value)

    def forward(self, x: Array) -> Array:
        """Apply the function."""
        out, cache = self.functions[0](x, **{name: getattr(self, name) for name in self._options})
        self.save_for_backward(cache)
        result: Array = self._result(out, cache)  # a pair of them where a pooling's indices are asked for
        return result

    def _result(self, out: Array, cache: Any) -> Any:
        return out

    def backward(self, grad_output: Array) -> Array:
        """Return the gradient of the input."""
        return self.functions[1](grad_output, self.take_saved())

    def extra_repr(self) -> str:
        """Options in PyTorch's form."""
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in self._options)
