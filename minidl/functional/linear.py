"""The fully connected layer in forward and backward pairs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from . import _memory
from ._checks import Array, check_float, check_grad, check_same_dtype

__all__ = ["LinearCache", "linear_backward", "linear_forward"]


class LinearCache(NamedTuple):
    """What `linear_backward` needs."""

    x: Array
    w: Array
    has_bias: bool


def linear_forward(x: Array, w: Array, b: Array | None = None) -> tuple[Array, LinearCache]:
    """Multiply with a matrix and add a bias: out = x @ w.T + b.

    Args:
        x: input (N, ..., K), float32 or float64.
        w: weight (M, K) of the same dtype.
        b: bias (M,), or None.

    Returns:
        out (N, ..., M) of x's dtype, and the cache for `linear_backward`.

    Raises:
        ValueError: the shapes do not fit.
        TypeError: the dtypes do not fit.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.Linear.html
    """
    check_float(x)
    check_float(w, "weight")
    if w.ndim != 2:
        raise ValueError(f"expected a weight of shape (M, K), got {w.shape}")
    out_features, in_features = w.shape
    if x.ndim < 2:
        raise ValueError(f"expected a batch of shape (N, {in_features}), got {x.shape}; for one sample pass x[None]")
    if x.shape[-1] != in_features:
        features = int(np.prod(x.shape[1:]))
        hint = f"did you mean Linear({x.shape[-1]}, {out_features})?"
        if x.ndim == 4:
            hint = f"put Flatten() before it, which gives {features} features"
        raise ValueError(f"expected {in_features} input features, got {x.shape[-1]} (input shape {x.shape}); {hint}")
    check_same_dtype(x, w)
    if b is not None and (b.shape != (out_features,) or b.dtype != w.dtype):
        raise ValueError(f"expected a bias of shape ({out_features},) and {w.dtype}, got {b.shape}, {b.dtype}")
    out = np.matmul(x, w.T)
    if b is not None:
        out += b
    return out, LinearCache(x, w, b is not None)


def linear_backward(
    grad_output: Array, cache: LinearCache, *, needs_input_grad: bool = True
) -> tuple[Array | None, Array, Array | None]:
    """Gradients of `linear_forward`: dx = grad @ w, dw = grad.T @ x, db = sum of grad over the batch.

    Args:
        grad_output: gradient of the output, (N, ..., M).
        cache: from `linear_forward`.
        needs_input_grad: False leaves dx out.

    Returns:
        (dx, dw, db) in the shapes of x, w and b; dx is None if it was not asked for, db if there was no bias.

    Raises:
        ValueError, TypeError: grad_output has not the output's shape or dtype.
    """
    x, w, has_bias = cache
    check_grad(grad_output, (*x.shape[:-1], w.shape[0]), x.dtype)
    grad = grad_output.reshape(-1, w.shape[0])
    dx = None
    if needs_input_grad:
        # (w.T @ grad.T).T rather than grad @ w: the batch stays innermost in memory, as convolutions want it
        dx = np.matmul(w.T, grad.T, out=_memory.empty((w.shape[1], len(grad)), x.dtype)).T.reshape(x.shape)
    dw = np.matmul(grad.T, x.reshape(-1, w.shape[1]), out=_memory.empty(w.shape, x.dtype))
    return dx, dw, grad.sum(axis=0) if has_bias else None
