"""Elementwise activations: each is its value, and its slope given x and the value.

A new one is a class with these two; `Activation` does the rest.
"""

# mypy: disable-error-code="no-any-return"
# (what NumPy computes from arrays of either dtype is Any)
from __future__ import annotations

from typing import Any

import numpy as np

from .._core import Array, check_choice, check_flag, check_float, check_grad, check_number
from ..engine import empty_like, erf, in_pieces, kept_unless, select
from .layer import Layer

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "SELU",
    "Activation",
    "LogSigmoid",
    "Mish",
    "ReLU",
    "SiLU",
    "Sigmoid",
    "Softplus",
    "Softsign",
    "Squareplus",
    "Tanh",
    "Tanhshrink",
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

    def value(self, x: Array) -> Array:
        """Return the output for inputs x."""
        raise NotImplementedError(f"{type(self).__name__} does not define value()")

    def slope(self, x: Array, y: Array) -> Array:
        """Return the derivative at inputs x, whose outputs are y."""
        raise NotImplementedError(f"{type(self).__name__} does not define slope()")

    def _compute(self, x: Array) -> tuple[Array, Any]:
        out = empty_like(check_float(x))

        def work(piece: Array, result: Array) -> None:
            with np.errstate(over="ignore", under="ignore", invalid="ignore"):
                result[...] = self.value(piece)

        in_pieces(work, x, out)
        return out, (x, out)

    def _differentiate(self, grad_output: Array, cache: Any) -> Array:
        x, out = cache
        check_grad(grad_output, out.shape, out.dtype)
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
    out = empty_like(check_float(x))
    in_pieces(lambda piece, result: np.maximum(piece, 0, out=result), x, out)
    return out, out


def relu_backward(grad_output: Array, cache: Array) -> Array:
    """Return the gradient of `relu_forward`: grad_output where x > 0, zero elsewhere (at x == 0 too, as in PyTorch).

    Returns dx of grad_output's shape and dtype. ``grad_output`` must have the output's shape and dtype (ValueError,
    TypeError); ``cache`` is from `relu_forward`.
    """
    check_grad(grad_output, cache.shape, cache.dtype)
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


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))  # exp may overflow to infinity; the quotient is 0 then, as it should be


class Sigmoid(Activation):
    """Logistic function: y = 1 / (1 + exp(-x))."""

    def value(self, x: Array) -> Array:
        """Return y."""
        return _sigmoid(x)

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

    def value(self, x: Array) -> Array:
        """Return y."""
        return np.tanh(x)

    def slope(self, x: Array, y: Array) -> Array:
        """Return dy/dx."""
        return 1 - y * y


class Tanhshrink(Activation):
    """Tanhshrink: y = x - tanh(x)."""

    def value(self, x: Array) -> Array:
        """Return y."""
        return x - np.tanh(x)

    def slope(self, x: Array, y: Array) -> Array:
        """Return dy/dx."""
        return np.tanh(x) ** 2


class LogSigmoid(Activation):
    """Logarithm of the logistic function: y = -log(1 + exp(-x))."""

    def value(self, x: Array) -> Array:
        """Return y."""
        return np.minimum(x, 0) - np.log1p(np.exp(-abs(x)))

    def slope(self, x: Array, y: Array) -> Array:
        """Return dy/dx."""
        return _sigmoid(-x)


class Softsign(Activation):
    """Softsign: y = x / (1 + |x|)."""

    def value(self, x: Array) -> Array:
        """Return y."""
        return x / (1 + abs(x))

    def slope(self, x: Array, y: Array) -> Array:
        """Return dy/dx."""
        return (1 + abs(x)) ** -2


class SiLU(InPlace):
    """Sigmoid linear unit, or swish: y = x / (1 + exp(-x)). ``inplace`` is accepted and ignored."""

    def value(self, x: Array) -> Array:
        """Return y."""
        return x * _sigmoid(x)

    def slope(self, x: Array, y: Array) -> Array:
        """Return dy/dx."""
        sigmoid = _sigmoid(x)
        return sigmoid * (1 + x * (1 - sigmoid))


_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805


class SELU(InPlace):
    """Scaled ELU: y = 1.0507 * (x where x > 0, else 1.6733 * (exp(x) - 1)). ``inplace`` is accepted and ignored.

    Source: Klambauer et al., "Self-normalizing neural networks", 2017, arXiv:1706.02515.
    """

    def value(self, x: Array) -> Array:
        """Return y."""
        return _SELU_SCALE * np.where(x > 0, x, _SELU_ALPHA * np.expm1(np.minimum(x, 0)))

    def slope(self, x: Array, y: Array) -> Array:
        """Return dy/dx."""
        return _SELU_SCALE * np.where(x > 0, 1, _SELU_ALPHA * np.exp(np.minimum(x, 0)))


class _Alpha(InPlace):
    shown = ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.alpha = self._number("alpha", alpha)


class ELU(_Alpha):
    """Exponential linear unit: y = x where x > 0, else alpha * (exp(x) - 1).

    Args:
        alpha: minus the limit at minus infinity.
        inplace: accepted, as in PyTorch; the output is always a new array.
    """

    def value(self, x: Array) -> Array:
        """Return y."""
        return np.where(x > 0, x, self.alpha * np.expm1(np.minimum(x, 0)))

    def slope(self, x: Array, y: Array) -> Array:
        """Return dy/dx."""
        return np.where(x > 0, 1, self.alpha * np.exp(np.minimum(x, 0)))


class CELU(_Alpha):
    """Continuously differentiable ELU: y = x where x > 0, else alpha * (exp(x/alpha) - 1).

    Args:
        alpha: minus the limit at minus infinity; not 0.
        inplace: accepted, as in PyTorch; the output is always a new array.
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__(alpha, inplace)
        if alpha == 0:
            raise ValueError("CELU: alpha must not be 0")

    def value(self, x: Array) -> Array:
        """Return y."""
        scaled = x / self.alpha
        return np.where(x > 0, x, self.alpha * np.expm1(np.minimum(scaled, 0) if self.alpha > 0 else scaled))

    def slope(self, x: Array, y: Array) -> Array:
        """Return dy/dx."""
        return np.where(x > 0, 1, np.exp(x / self.alpha))


def _softplus(x: Array, beta: float = 1.0, threshold: float = 20.0) -> Array:
    return np.where(beta * x > threshold, x, (np.maximum(beta * x, 0) + np.log1p(np.exp(-abs(beta * x)))) / beta)


class Softplus(Activation):
    """Smooth ReLU: y = log(1 + exp(beta*x)) / beta, and x itself where beta*x > threshold.

    Args:
        beta: sharpness; not 0.
        threshold: above it the function is linear.
    """

    shown = "beta", "threshold"

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta = self._number("beta", beta)
        self.threshold = self._number("threshold", threshold)
        if beta == 0:
            raise ValueError("Softplus: beta must not be 0")

    def value(self, x: Array) -> Array:
        """Return y."""
        return _softplus(x, self.beta, self.threshold)

    def slope(self, x: Array, y: Array) -> Array:
        """Return dy/dx."""
        return np.where(self.beta * x > self.threshold, 1, _sigmoid(self.beta * x))


class Mish(InPlace):
    """Mish: y = x * tanh(log(1 + exp(x))). ``inplace`` is accepted and ignored."""

    def value(self, x: Array) -> Array:
        """Return y."""
        return x * np.tanh(_softplus(x))

    def slope(self, x: Array, y: Array) -> Array:
        """Return dy/dx."""
        tanh = np.tanh(_softplus(x))
        return tanh + x * _sigmoid(x) * (1 - tanh**2)


_TANH_SCALE = float(np.sqrt(2 / np.pi))


class GELU(Activation):
    """Gaussian error linear unit: y = x * Phi(x), Phi the distribution function of the standard normal.

    Args:
        approximate: 'none', or 'tanh' for 0.5 * x * (1 + tanh(sqrt(2/pi) * (x + 0.044715 * x**3))).

    Source: Hendrycks & Gimpel 2016, arXiv:1606.08415.
    """

    shown = ("approximate",)

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = check_choice("GELU", "approximate", approximate, ("none", "tanh"))

    def value(self, x: Array) -> Array:
        """Return y."""
        if self.approximate == "tanh":
            return 0.5 * x * (1 + np.tanh(_TANH_SCALE * (x + 0.044715 * x**3)))
        return 0.5 * x * (1 + erf(x * float(np.sqrt(0.5))))

    def slope(self, x: Array, y: Array) -> Array:
        """Return dy/dx."""
        if self.approximate == "tanh":
            tanh = np.tanh(_TANH_SCALE * (x + 0.044715 * x**3))
            inner = _TANH_SCALE * (1 + 3 * 0.044715 * x**2)
            return 0.5 * (1 + tanh) + 0.5 * x * (1 - tanh**2) * inner
        density = np.exp(-0.5 * x**2) * float(1 / np.sqrt(2 * np.pi))
        return 0.5 * (1 + erf(x * float(np.sqrt(0.5)))) + x * density


class Squareplus(Activation):
    """Smooth ReLU without exponentials: y = (x + sqrt(x**2 + b)) / 2.

    Args:
        b: width of the bend at 0, not negative; 0 gives ReLU.

    Source: Barron 2021, arXiv:2112.11687.
    """

    shown = ("b",)

    def __init__(self, b: float = 4.0) -> None:
        super().__init__()
        self.b = self._number("b", b, minimum=0)

    def value(self, x: Array) -> Array:
        """Return y."""
        return (x + np.sqrt(x * x + self.b)) / 2

    def slope(self, x: Array, y: Array) -> Array:
        """Return dy/dx."""
        root = np.sqrt(x * x + self.b)
        return (1 + np.divide(x, root, out=np.full_like(x, -1), where=root > 0)) / 2
