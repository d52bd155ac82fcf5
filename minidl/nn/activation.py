"""Elementwise activations: each is its value, and its slope given x and the value.

A new one is a class with these two; `Activation` does the rest.
"""

# mypy: disable-error-code="no-any-return"
# (what NumPy computes from arrays of either dtype is Any)
from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from .._core import Array, check_flag, check_float, check_grad, check_number
from ..engine import current_engine, empty_like, in_pieces, kept_unless, select
from .layer import Layer

__all__ = [
    "Activation",
    "ReLU",
    "Sigmoid",
    "Tanh",
    "relu_backward",
    "relu_forward",
    "sigmoid_backward",
    "sigmoid_forward",
    "tanh_backward",
    "tanh_forward",
]

INF = float("inf")
Cache = tuple[Array, Array]  # input and output


class Activation(Layer):
    """Base of the elementwise activations: a subclass defines the ``value`` at x, and the ``slope`` at x given y.

    Both get pieces of the arrays; they may overflow to infinity in between, and must keep the dtype.

    Shape:
        input and output: any, the same; float32 or float64.
    """

    _known: ClassVar[bool] = False  # whether the formula is that of this class's value and slope

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        said = {"value", "slope", "formula"} & vars(cls).keys()
        if said:
            cls._known = "formula" in said

    def value(self, x: Array) -> Array:
        """Return the output for inputs x."""
        raise NotImplementedError(f"{type(self).__name__} does not define value()")

    def slope(self, x: Array, y: Array) -> Array:
        """Return the derivative at inputs x, whose outputs are y."""
        raise NotImplementedError(f"{type(self).__name__} does not define slope()")

    def formula(self) -> tuple[str, float, float]:
        """Return the name by which engines know value and slope, and up to two options; only minidl's classes have it.

        A subclass that overrides value or slope without a formula of its own is computed by these.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define formula()")

    def _compute(self, x: Array) -> tuple[Array, Any]:
        check_float(x)
        activate = current_engine().activate
        if activate is not None and self._known:
            out = activate(*self.formula(), x)
            return out, (x, out)
        out = empty_like(x)

        def work(piece: Array, result: Array) -> None:
            with np.errstate(over="ignore", under="ignore", invalid="ignore"):
                result[...] = self.value(piece)

        in_pieces(work, x, out)
        return out, (x, out)

    def _differentiate(self, grad_output: Array, cache: Any) -> Array:
        x, out = cache
        check_grad(grad_output, out.shape, out.dtype)
        activate_grad = current_engine().activate_grad
        if activate_grad is not None and self._known:
            return activate_grad(*self.formula(), grad_output, x, out)
        dx = empty_like(grad_output)

        def work(grad: Array, before: Array, after: Array, result: Array) -> None:
            with np.errstate(over="ignore", under="ignore", invalid="ignore"):
                np.multiply(grad, self.slope(before, after), out=result)

        in_pieces(work, grad_output, x, out, dx)
        return dx

    def _number(self, name: str, value: float, minimum: float = -INF) -> float:
        return check_number(type(self).__name__, name, value, minimum=minimum)


class InPlace(Activation):
    """An activation with PyTorch's option ``inplace``: it is accepted, and the output is always a new array."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        check_flag(type(self).__name__, "inplace", inplace)


def relu_forward(x: Array) -> tuple[Array, Array]:
    """Rectify: out = max(x, 0), elementwise.

    Args:
        x: any shape, float32 or float64; -inf gives 0, NaN stays NaN.

    Returns:
        out of x's shape and dtype, and the cache for `relu_backward`.

    Raises:
        TypeError: the dtype is not a float.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.ReLU.html
    """
    check_float(x)
    activate = current_engine().activate
    if activate is not None:
        out = activate("relu", 0, 0, x)
        return out, out
    out = empty_like(x)
    in_pieces(lambda piece, result: np.maximum(piece, 0, out=result), x, out)
    return out, out


def relu_backward(grad_output: Array, cache: Array) -> Array:
    """Return the gradient of `relu_forward`: grad_output where x > 0, zero elsewhere (at x == 0 too, as in PyTorch).

    Returns dx of grad_output's shape and dtype. ``grad_output`` must have the output's shape and dtype (ValueError,
    TypeError); ``cache`` is from `relu_forward`.
    """
    check_grad(grad_output, cache.shape, cache.dtype)
    activate_grad = current_engine().activate_grad
    if activate_grad is not None:
        return activate_grad("relu", 0, 0, grad_output, cache, cache)
    dx = empty_like(grad_output)

    def work(grad: Array, out: Array, result: Array) -> None:
        dropped = np.less_equal(out, 0, out=empty_like(out, np.dtype(bool)))
        select(grad, kept_unless(dropped), result)

    in_pieces(work, grad_output, cache, dx)
    return dx


class ReLU(InPlace):
    """Rectified linear unit: y = max(x, 0). Its gradient at x == 0 is 0.

    Args:
        inplace: accepted, as in PyTorch; the output is always a new array.

    Shape:
        input and output: any, the same.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.ReLU.html
    """

    _compute = staticmethod(relu_forward)
    _differentiate = staticmethod(relu_backward)


def sigmoid_forward(x: Array) -> tuple[Array, Cache]:
    """Logistic function: out = 1 / (1 + exp(-x)), elementwise.

    Returns out of x's shape and dtype and the cache for `sigmoid_backward`. Raises TypeError if x is not float32 or
    float64.
    """
    return Sigmoid()._compute(x)


def sigmoid_backward(grad_output: Array, cache: Cache) -> Array:
    """Return the gradient of `sigmoid_forward`: grad_output * out * (1 - out).

    ``grad_output`` must have the output's shape and dtype (ValueError, TypeError); ``cache`` is from
    `sigmoid_forward`.
    """
    return Sigmoid()._differentiate(grad_output, cache)


def logistic(x: Array) -> Array:
    """Return 1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-x))  # exp may overflow to infinity; the quotient is 0 then, as it should be


class Sigmoid(Activation):
    """Logistic function: y = 1 / (1 + exp(-x))."""

    def formula(self) -> tuple[str, float, float]:
        """Return the name by which engines know it, and its options."""
        return "sigmoid", 0, 0

    def value(self, x: Array) -> Array:
        """Return y."""
        return logistic(x)

    def slope(self, x: Array, y: Array) -> Array:
        """Return dy/dx."""
        return y * (1 - y)


def tanh_forward(x: Array) -> tuple[Array, Cache]:
    """Hyperbolic tangent, elementwise.

    Returns out of x's shape and dtype and the cache for `tanh_backward`. Raises TypeError if x is not float32 or
    float64.
    """
    return Tanh()._compute(x)


def tanh_backward(grad_output: Array, cache: Cache) -> Array:
    """Return the gradient of `tanh_forward`: grad_output * (1 - out**2).

    ``grad_output`` must have the output's shape and dtype (ValueError, TypeError); ``cache`` is from `tanh_forward`.
    """
    return Tanh()._differentiate(grad_output, cache)


class Tanh(Activation):
    """Hyperbolic tangent."""

    def formula(self) -> tuple[str, float, float]:
        """Return the name by which engines know it, and its options."""
        return "tanh", 0, 0

    def value(self, x: Array) -> Array:
        """Return y."""
        return np.tanh(x)

    def slope(self, x: Array, y: Array) -> Array:
        """Return dy/dx."""
        return 1 - y * y
