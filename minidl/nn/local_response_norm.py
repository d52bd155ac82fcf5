"""Local response normalisation: each channel divided by its neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._core import Array, check_float, check_grad, check_int, check_number
from .layer import Layer

__all__ = ["LocalResponseNorm", "local_response_norm_backward", "local_response_norm_forward"]


def _number(owner: str, name: str, value: float) -> float:
    return check_number(owner, name, value, minimum=-float("inf"))


def local_response_norm_forward(
    x: Array, size: int, *, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> tuple[Array, Any]:
    """Divide each channel by its neighbours: out[c] = x[c] / (k + alpha/size * sum of x[c']**2)**beta.

    The sum is over the channels c' from c - size//2 to c + (size-1)//2 that exist. x is (N, C, ...). Returns out and
    the cache for `local_response_norm_backward`. Raises ValueError if shapes or options do not fit, TypeError if x is
    not float32 or float64.
    """
    check_float(x)
    size = check_int("local_response_norm", "size", size)
    options = (("alpha", alpha), ("beta", beta), ("k", k))
    alpha, beta, k = (_number("local_response_norm", *option) for option in options)
    if x.ndim < 3:
        raise ValueError(f"expected an input of shape (N, C, ...) with at least 3 axes, got {x.shape}")
    divisor = k + alpha / size * _over_channels(x * x, size // 2, (size - 1) // 2)
    return x * divisor**-beta, (x, divisor, size, alpha, beta)


def local_response_norm_backward(grad_output: Array, cache: Any) -> Array:
    """Return the gradient of `local_response_norm_forward`.

    dx = grad * d**-beta - 2*alpha*beta/size * x * sum of grad[c'] * x[c'] * d[c']**(-beta-1), d the quantity in
    parentheses and the sum over the channels c' in whose neighbourhood c is.

    ``grad_output`` must have the output's shape and dtype (ValueError, TypeError); ``cache`` is from
    `local_response_norm_forward`.
    """
    x, divisor, size, alpha, beta = cache
    check_grad(grad_output, x.shape, x.dtype)
    spread = _over_channels(grad_output * x * divisor ** (-beta - 1), (size - 1) // 2, size // 2)
    dx: Array = grad_output * divisor**-beta - 2 * alpha * beta / size * x * spread
    return dx


def _over_channels(x: Array, before: int, after: int) -> Array:
    """Sum each channel with ``before`` channels before and ``after`` channels after it."""
    total, channels = np.zeros_like(x), x.shape[1]
    for offset in range(-min(before, channels - 1), min(after, channels - 1) + 1):
        into = slice(max(0, -offset), channels - max(0, offset))
        total[:, into] += x[:, into.start + offset : into.stop + offset]
    return total


class LocalResponseNorm(Layer):
    """Divide each channel by its neighbours: y[c] = x[c] / (k + alpha/size * sum of x[c']**2)**beta.

    Args:
        size: number of neighbouring channels c', c among them.
        alpha, beta, k: as in the formula.

    Shape:
        input and output: (N, C, ...), the same.

    Source: Krizhevsky et al. 2012.
    """

    _pair = local_response_norm_forward, local_response_norm_backward
    _options = "size", "alpha", "beta", "k"

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = check_int("LocalResponseNorm", "size", size)
        options = (("alpha", alpha), ("beta", beta), ("k", k))
        self.alpha, self.beta, self.k = (_number("LocalResponseNorm", *option) for option in options)

    def extra_repr(self) -> str:
        """Options in PyTorch's form."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
