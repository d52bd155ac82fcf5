"""Activations and softmax in forward and backward pairs."""

from __future__ import annotations

import numpy as np

from . import _layout
from ._checks import Array, check_float, check_grad
from ._mask import kept_unless, select
from ._threads import run

__all__ = [
    "log_softmax_backward",
    "log_softmax_forward",
    "relu_backward",
    "relu_forward",
    "softmax_backward",
    "softmax_forward",
]


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
    out = _layout.empty_like(x)
    run(lambda piece: np.maximum(piece[0], 0, out=piece[1]), _layout.pieces(x, out))
    return out, out


def relu_backward(grad_output: Array, cache: Array) -> Array:
    """Gradient of `relu_forward`: grad_output where x > 0, zero elsewhere (at x == 0 too, as in PyTorch).

    Args:
        grad_output: gradient of the output, any shape.
        cache: from `relu_forward`.

    Returns:
        dx of grad_output's shape and dtype.

    Raises:
        ValueError, TypeError: grad_output has not the output's shape, or is not a float.
    """
    check_float(grad_output, "grad_output")
    check_grad(grad_output, cache.shape, grad_output.dtype)
    dx = _layout.empty_like(grad_output)

    def work(piece: tuple[Array, ...]) -> None:
        grad, out, result = piece
        select(grad, kept_unless(np.less_equal(out, 0)), result)

    run(work, _layout.pieces(grad_output, cache, dx))
    return dx


def softmax_forward(x: Array, axis: int = 1) -> tuple[Array, tuple[Array, int]]:
    """Exponentiate and normalise along one axis: out = exp(x - max x) / sum exp(x - max x).

    Args:
        x: scores (logits), any shape, float32 or float64.
        axis: the class axis.

    Returns:
        Probabilities of x's shape and dtype, and the cache for `softmax_backward`.

    Raises:
        TypeError: the dtype is not a float.
    """
    check_float(x)
    with np.errstate(invalid="ignore"):  # an infinite logit gives NaN, as in PyTorch, without a warning
        out = np.exp(x - x.max(axis=axis, keepdims=True))
        out /= out.sum(axis=axis, keepdims=True)
    return out, (out, axis)


def softmax_backward(grad_output: Array, cache: tuple[Array, int]) -> Array:
    """Gradient of `softmax_forward`: dx = out * (grad - sum(grad * out)).

    Args:
        grad_output: gradient of the probabilities.
        cache: from `softmax_forward`.

    Returns:
        dx of the output's shape and dtype.

    Raises:
        ValueError, TypeError: grad_output has not the output's shape or dtype.
    """
    out, axis = cache
    check_grad(grad_output, out.shape, out.dtype)
    return out * (grad_output - (grad_output * out).sum(axis=axis, keepdims=True))  # type: ignore[no-any-return]


def log_softmax_forward(x: Array, axis: int = 1) -> tuple[Array, tuple[Array, int]]:
    """Logarithm of the softmax, without forming it: out = x - max x - log sum exp(x - max x).

    Args:
        x: scores (logits), any shape, float32 or float64; logits of +-1e4 are no trouble.
        axis: the class axis.

    Returns:
        Log-probabilities of x's shape and dtype, and the cache for `log_softmax_backward`.

    Raises:
        TypeError: the dtype is not a float.
    """
    check_float(x)
    with np.errstate(invalid="ignore"):
        out = x - x.max(axis=axis, keepdims=True)
        out -= np.log(np.exp(out).sum(axis=axis, keepdims=True))
    return out, (out, axis)


def log_softmax_backward(grad_output: Array, cache: tuple[Array, int]) -> Array:
    """Gradient of `log_softmax_forward`: dx = grad - softmax(x) * sum(grad).

    Args:
        grad_output: gradient of the log-probabilities.
        cache: from `log_softmax_forward`.

    Returns:
        dx of the output's shape and dtype.

    Raises:
        ValueError, TypeError: grad_output has not the output's shape or dtype.
    """
    out, axis = cache
    check_grad(grad_output, out.shape, out.dtype)
    return grad_output - np.exp(out) * grad_output.sum(axis=axis, keepdims=True)  # type: ignore[no-any-return]
