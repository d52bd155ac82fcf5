"""Softmax, its logarithm, and its relatives along an axis."""

# mypy: disable-error-code="no-any-return"
# (what NumPy computes from arrays of either dtype is Any)
from __future__ import annotations

from typing import ClassVar

import numpy as np

from .._core import Array, check_float, check_grad, check_int
from .layer import Layer

__all__ = [
    "LogSoftmax",
    "Softmax",
    "Softmax2d",
    "Softmin",
    "log_softmax_backward",
    "log_softmax_forward",
    "softmax_backward",
    "softmax_forward",
]

Cache = tuple[Array, int]  # output and axis


def softmax_forward(x: Array, axis: int = 1) -> tuple[Array, Cache]:
    """Exponentiate and normalise along an axis: out = exp(x - max x) / sum exp(x - max x).

    x, the scores (logits), may have any shape; axis is the class axis. Returns probabilities and the cache for
    `softmax_backward`. Raises TypeError if x is not float32 or float64.
    """
    check_float(x)
    with np.errstate(invalid="ignore"):  # an infinite logit gives NaN, as in PyTorch, without a warning
        out = np.exp(x - x.max(axis=axis, keepdims=True, initial=-np.inf))
        out /= out.sum(axis=axis, keepdims=True)
    return out, (out, axis)


def softmax_backward(grad_output: Array, cache: Cache) -> Array:
    """Return the gradient of `softmax_forward`: dx = out * (grad - sum(grad * out)).

    ``grad_output`` must have the output's shape and dtype (ValueError, TypeError); ``cache`` is from
    `softmax_forward`.
    """
    out, axis = cache
    check_grad(grad_output, out.shape, out.dtype)
    return out * (grad_output - (grad_output * out).sum(axis=axis, keepdims=True))


def log_softmax_forward(x: Array, axis: int = 1) -> tuple[Array, Cache]:
    """Logarithm of the softmax, without forming it: out = x - max x - log sum exp(x - max x).

    x, the scores (logits), may have any shape; values of +-1e4 are fine. axis is the class axis. Returns
    log-probabilities and the cache for `log_softmax_backward`. Raises TypeError if x is not float32 or float64.
    """
    check_float(x)
    with np.errstate(invalid="ignore"):
        out = x - x.max(axis=axis, keepdims=True, initial=-np.inf)
        out -= np.log(np.exp(out).sum(axis=axis, keepdims=True))
    return out, (out, axis)


def log_softmax_backward(grad_output: Array, cache: Cache) -> Array:
    """Return the gradient of `log_softmax_forward`: dx = grad - softmax(x) * sum(grad).

    ``grad_output`` must have the output's shape and dtype (ValueError, TypeError); ``cache`` is from
    `log_softmax_forward`.
    """
    out, axis = cache
    check_grad(grad_output, out.shape, out.dtype)
    return grad_output - np.exp(out) * grad_output.sum(axis=axis, keepdims=True)


class Softmax(Layer):
    """Normalised exponentials along an axis: y = exp(x) / sum exp(x).

    Args:
        dim: the axis; None means axis 1, as PyTorch chooses it (axis 0 for one or three axes).

    CrossEntropyLoss takes logits: do not put a Softmax before it.
    """

    shown: ClassVar[tuple[str, ...]] = ("dim",)

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim if dim is None else check_int(type(self).__name__, "dim", dim, minimum=-64)

    def _axis(self, x: Array) -> int:
        return self.dim if self.dim is not None else 0 if np.ndim(x) in (1, 3) else 1

    def _compute(self, x: Array) -> tuple[Array, Cache]:
        return softmax_forward(x, self._axis(x))

    def _differentiate(self, grad_output: Array, cache: Cache) -> Array:
        return softmax_backward(grad_output, cache)


class LogSoftmax(Softmax):
    """Logarithm of the softmax along an axis: y = x - log sum exp(x). ``dim`` as for Softmax."""

    def _compute(self, x: Array) -> tuple[Array, Cache]:
        return log_softmax_forward(x, self._axis(x))

    def _differentiate(self, grad_output: Array, cache: Cache) -> Array:
        return log_softmax_backward(grad_output, cache)


class Softmin(Softmax):
    """Softmax of -x along an axis. ``dim`` as for Softmax."""

    def _compute(self, x: Array) -> tuple[Array, Cache]:
        return softmax_forward(np.negative(check_float(x), out=np.empty_like(x)), self._axis(x))

    def _differentiate(self, grad_output: Array, cache: Cache) -> Array:
        return -softmax_backward(grad_output, cache)


class Softmax2d(Softmax):
    """Softmax over the channels at each pixel: axis 1 of (N, C, H, W)."""

    shown = ()

    def __init__(self) -> None:
        super().__init__(1)

    def _compute(self, x: Array) -> tuple[Array, Cache]:
        if np.ndim(x) != 4:
            raise ValueError(f"expected an input of shape (N, C, H, W), got {np.shape(x)}")
        return super()._compute(x)
