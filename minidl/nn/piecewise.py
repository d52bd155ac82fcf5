"""Piecewise linear activations, and others defined piece by piece."""

# mypy: disable-error-code="no-any-return"
# (what NumPy computes from arrays of either dtype is Any)
from __future__ import annotations

from typing import Any

import numpy as np

from .._core import Array, check_flag, check_float, check_grad, check_number
from .activation import INF, Activation, InPlace
from .layer import Layer

__all__ = ["Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh", "LeakyReLU", "ReLU6", "Softshrink", "Threshold"]


class ReLU6(InPlace):
    """ReLU that stops at six: y = min(max(x, 0), 6). ``inplace`` is accepted and ignored."""

    def formula(self) -> tuple[str, float, float]:
        """Return the name by which engines know it, and its options."""
        return "clip", 0, 6

    def value(self, x: Array) -> Array:
        """Return y."""
        return np.clip(x, 0, 6)

    def slope(self, x: Array, y: Array) -> Array:
        """Return dy/dx."""
        return ((x > 0) & (x < 6)).astype(x.dtype)


class Hardsigmoid(InPlace):
    """Piecewise linear sigmoid: y = min(max(x + 3, 0), 6) / 6. ``inplace`` is accepted and ignored."""

    def formula(self) -> tuple[str, float, float]:
        """Return the name by which engines know it, and its options."""
        return "hardsigmoid", 0, 0

    def value(self, x: Array) -> Array:
        """Return y."""
        return np.clip(x + 3, 0, 6) / 6

    def slope(self, x: Array, y: Array) -> Array:
        """Return dy/dx."""
        return ((x > -3) & (x < 3)).astype(x.dtype) / 6


class Hardswish(InPlace):
    """Hard swish: y = x * min(max(x + 3, 0), 6) / 6. ``inplace`` is accepted and ignored."""

    def formula(self) -> tuple[str, float, float]:
        """Return the name by which engines know it, and its options."""
        return "hardswish", 0, 0

    def value(self, x: Array) -> Array:
        """Return y."""
        return x * np.clip(x + 3, 0, 6) / 6

    def slope(self, x: Array, y: Array) -> Array:
        """Return dy/dx."""
        return np.where(x <= -3, 0, np.where(x >= 3, 1, x / 3 + x.dtype.type(0.5)))


class LeakyReLU(InPlace):
    """Leaky ReLU: y = x where x > 0, else negative_slope * x.

    Args:
        negative_slope: slope below zero.
        inplace: accepted, as in PyTorch; the output is always a new array.
    """

    shown = ("negative_slope",)

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.negative_slope = self._number("negative_slope", negative_slope)

    def formula(self) -> tuple[str, float, float]:
        """Return the name by which engines know it, and its options."""
        return "leaky_relu", self.negative_slope, 0

    def value(self, x: Array) -> Array:
        """Return y."""
        return np.where(x > 0, x, self.negative_slope * x)

    def slope(self, x: Array, y: Array) -> Array:
        """Return dy/dx."""
        return np.where(x > 0, 1, x.dtype.type(self.negative_slope))


class Hardtanh(InPlace):
    """Clip: y = min(max(x, min_val), max_val).

    Args:
        min_val: least value.
        max_val: greatest value, above min_val.
        inplace: accepted, as in PyTorch; the output is always a new array.
    """

    shown = "min_val", "max_val"

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.min_val = self._number("min_val", min_val)
        self.max_val = self._number("max_val", max_val)
        if min_val >= max_val:
            raise ValueError(f"Hardtanh: max_val must be above min_val, got {min_val} and {max_val}")

    def formula(self) -> tuple[str, float, float]:
        """Return the name by which engines know it, and its options."""
        return "clip", self.min_val, self.max_val

    def value(self, x: Array) -> Array:
        """Return y."""
        return np.clip(x, self.min_val, self.max_val)

    def slope(self, x: Array, y: Array) -> Array:
        """Return dy/dx."""
        return ((x > self.min_val) & (x < self.max_val)).astype(x.dtype)


class Threshold(Layer):
    """Threshold: y = x where x > threshold, else value.

    Args:
        threshold: what x must exceed.
        value: what replaces it.
        inplace: accepted, as in PyTorch; the output is always a new array.
    """

    shown = "threshold", "value"

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        check_flag("Threshold", "inplace", inplace)
        self.threshold = check_number("Threshold", "threshold", threshold, minimum=-INF)
        self.value = check_number("Threshold", "value", value, minimum=-INF)

    def _compute(self, x: Array) -> tuple[Array, Any]:
        below = check_float(x) <= self.threshold
        return np.where(below, x.dtype.type(self.value), x), (below, x.dtype)

    def _differentiate(self, grad_output: Array, cache: Any) -> Array:
        below, dtype = cache
        return np.where(below, dtype.type(0), check_grad(grad_output, below.shape, dtype))


class _Shrink(Activation):
    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = self._number("lambd", lambd, minimum=0)

    def slope(self, x: Array, y: Array) -> Array:
        """Return dy/dx."""
        return ((x < -self.lambd) | (x > self.lambd)).astype(x.dtype)

    def extra_repr(self) -> str:
        """Options in PyTorch's form."""
        return str(self.lambd)


class Hardshrink(_Shrink):
    """Hard shrinkage: y = x where |x| > lambd (not negative), else 0."""

    def value(self, x: Array) -> Array:
        """Return y."""
        return np.where((x >= -self.lambd) & (x <= self.lambd), 0, x)


class Softshrink(_Shrink):
    """Soft shrinkage: y = x moved towards 0 by lambd (not negative), and 0 where |x| <= lambd."""

    def value(self, x: Array) -> Array:
        """Return y."""
        return x - np.clip(x, -self.lambd, self.lambd)
