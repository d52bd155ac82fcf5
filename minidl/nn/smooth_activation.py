"""More elementwise activations, smooth or nearly so: each is its value and its slope, as in `activation`."""

# mypy: disable-error-code="no-any-return"
# (what NumPy computes from arrays of either dtype is Any)
from __future__ import annotations

import numpy as np

from .._core import Array, check_choice
from ..engine import erf
from .activation import Activation, InPlace, logistic

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "SELU",
    "LogSigmoid",
    "Mish",
    "SiLU",
    "Softplus",
    "Softsign",
    "Squareplus",
    "Tanhshrink",
]


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
        return logistic(-x)


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

    def formula(self) -> tuple[str, float, float]:
        """Return the name by which engines know it, and its options."""
        return "silu", 0, 0

    def value(self, x: Array) -> Array:
        """Return y."""
        return x * logistic(x)

    def slope(self, x: Array, y: Array) -> Array:
        """Return dy/dx."""
        sigmoid = logistic(x)
        return sigmoid * (1 + x * (1 - sigmoid))


_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805


class SELU(InPlace):
    """Scaled ELU: y = 1.0507 * (x where x > 0, else 1.6733 * (exp(x) - 1)). ``inplace`` is accepted and ignored.

    Source: Klambauer et al., "Self-normalizing neural networks", 2017, arXiv:1706.02515.
    """

    def formula(self) -> tuple[str, float, float]:
        """Return the name by which engines know it, and its options."""
        return "elu", _SELU_ALPHA, _SELU_SCALE

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

    def formula(self) -> tuple[str, float, float]:
        """Return the name by which engines know it, and its options."""
        return "elu", self.alpha, 1

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

    def formula(self) -> tuple[str, float, float]:
        """Return the name by which engines know it, and its options."""
        return "softplus", self.beta, self.threshold

    def value(self, x: Array) -> Array:
        """Return y."""
        return _softplus(x, self.beta, self.threshold)

    def slope(self, x: Array, y: Array) -> Array:
        """Return dy/dx."""
        return np.where(self.beta * x > self.threshold, 1, logistic(self.beta * x))


class Mish(InPlace):
    """Mish: y = x * tanh(log(1 + exp(x))). ``inplace`` is accepted and ignored."""

    def formula(self) -> tuple[str, float, float]:
        """Return the name by which engines know it, and its options."""
        return "mish", 0, 0

    def value(self, x: Array) -> Array:
        """Return y."""
        return x * np.tanh(_softplus(x))

    def slope(self, x: Array, y: Array) -> Array:
        """Return dy/dx."""
        tanh = np.tanh(_softplus(x))
        return tanh + x * logistic(x) * (1 - tanh**2)


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

    def formula(self) -> tuple[str, float, float]:
        """Return the name by which engines know it, and its options."""
        return "gelu" if self.approximate == "none" else "gelu_tanh", 0, 0

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
