"""Activations that are more than an elementwise function: PReLU, with a learned slope, and GLU, with a gate."""

# mypy: disable-error-code="no-any-return"
# (what NumPy computes from arrays of either dtype is Any)
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .._core import Array, check_float, check_grad, check_int, check_number, check_same_dtype
from ..engine import sum_over
from .activation import INF, Sigmoid
from .layer import Layer
from .module import Module
from .parameter import filled

__all__ = ["GLU", "PReLU", "prelu_backward", "prelu_forward"]


def prelu_forward(x: Array, w: Array) -> tuple[Array, tuple[Array, Array]]:
    """Rectify with a slope: out = x where x > 0, else w * x.

    x is (N, C, ...), w (1,) or (C,) of the same dtype. Returns out and the cache for `prelu_backward`. Raises
    ValueError if the shapes do not fit, TypeError if the dtypes do not.
    """
    check_float(x)
    check_same_dtype(x, check_float(w, "weight"))
    channels = x.shape[1] if x.ndim > 1 else 1
    if w.shape not in ((1,), (channels,)):
        raise ValueError(f"expected a weight of shape (1,) or ({channels},) for {channels} channels, got {w.shape}")
    slope = w.reshape(-1, *(1,) * (x.ndim - 2)) if x.ndim > 1 else w
    return np.where(x > 0, x, slope * x), (x, slope)


def prelu_backward(grad_output: Array, cache: tuple[Array, Array]) -> tuple[Array, Array]:
    """Return the gradients (dx, dw) of `prelu_forward`; dw is the sum of grad * x where x <= 0.

    ``grad_output`` must have the output's shape and dtype (ValueError, TypeError); ``cache`` is from `prelu_forward`.
    """
    x, slope = cache
    check_grad(grad_output, x.shape, x.dtype)
    axes = tuple(axis for axis in range(x.ndim) if axis != 1 or slope.size == 1)
    with np.errstate(invalid="ignore"):
        dw = sum_over(np.where(x > 0, 0, grad_output * x), axes).reshape(slope.size)
        return grad_output * np.where(x > 0, 1, slope), dw


class PReLU(Module):
    """ReLU with a learned slope: y = x where x > 0, else weight * x.

    Args:
        num_parameters: 1, or the number of channels.
        init: initial value of the slopes.
        dtype: float32 (default) or float64.

    Shape:
        input and output: (N, C, ...), the same.

    Attributes:
        weight: Parameter (num_parameters,).

    Source: He et al. 2015, arXiv:1502.01852; https://docs.pytorch.org/docs/stable/generated/torch.nn.PReLU.html
    """

    def __init__(self, num_parameters: int = 1, init: float = 0.25, *, dtype: DTypeLike | None = None) -> None:
        super().__init__()
        self.num_parameters = check_int("PReLU", "num_parameters", num_parameters)
        self.weight = filled(num_parameters, check_number("PReLU", "init", init, minimum=-INF), dtype)

    def forward(self, x: Array) -> Array:
        """Apply the function to (N, C, ...)."""
        out, cache = prelu_forward(x, self.weight.data)
        self.save_for_backward(cache)
        return out

    def backward(self, grad_output: Array) -> Array:
        """Add the gradient of the slopes, sum of grad * x where x <= 0; return that of the input."""
        dx, dw = prelu_backward(grad_output, self.take_saved())
        self.weight.add_grad(dw)
        return dx

    def extra_repr(self) -> str:
        """Options in PyTorch's form."""
        return f"num_parameters={self.num_parameters}"


class GLU(Layer):
    """Gated linear unit: y = a * sigmoid(b), a and b being the halves of x along an axis.

    Args:
        dim: the axis.

    Shape:
        input: any, of even size along ``dim``; output: half as large there.

    Raises:
        ValueError: when called: there is no such axis, or its size is odd.
    """

    shown = ("dim",)

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = check_int("GLU", "dim", dim, minimum=-64)

    def _compute(self, x: Array) -> tuple[Array, Any]:
        check_float(x)
        if not -x.ndim <= self.dim < x.ndim:
            raise ValueError(f"expected an input with axis {self.dim}, got shape {x.shape}")
        if x.shape[self.dim] % 2:
            raise ValueError(f"expected an even size along axis {self.dim}, got shape {x.shape}")
        linear, gate = np.split(x, 2, axis=self.dim)
        with np.errstate(over="ignore"):
            opened = Sigmoid().value(gate)
        return linear * opened, (linear, opened)

    def _differentiate(self, grad_output: Array, cache: Any) -> Array:
        linear, opened = cache
        check_grad(grad_output, linear.shape, linear.dtype)
        gate = grad_output * linear * opened * (1 - opened)
        return np.concatenate([grad_output * opened, gate], axis=self.dim)
