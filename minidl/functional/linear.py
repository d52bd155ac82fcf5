"""The fully connected layer in forward and backward pairs."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .._core import Array, check_bias, check_float, check_grad, check_same_dtype
from .._core import memory as _memory
from .._core.threads import cut, one_blas_thread, run
from ._explain import explain

__all__ = ["LinearCache", "linear_backward", "linear_forward"]

# Multiply-adds that are worth a piece of their own, and the least columns of one.
_WORK, _NARROW = 2**24, 64


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
    check_bias(b, out_features, w)
    # (w @ x.T).T rather than x @ w.T: the batch stays innermost in memory, as convolutions have it, and BLAS is faster
    columns = x.reshape(-1, in_features).T
    out = _memory.empty((out_features, columns.shape[1]), x.dtype)

    def work(part: slice) -> None:
        np.matmul(w[part], columns, out=out[part])
        if b is not None:
            out[part] += b[part, None]

    _share(work, out_features, out.size * in_features)
    return out.T.reshape(*x.shape[:-1], out_features), LinearCache(x, w, b is not None)


@explain
def linear_backward(
    grad_output: Array, cache: LinearCache, *, needs_input_grad: bool = True
) -> tuple[Array | None, Array, Array | None]:
    """Gradients of `linear_forward`: dx = grad @ w, dw = grad.T @ x, db = sum of grad over the batch.

    Returns:
        (dx, dw, db) in the shapes of x, w and b; dx is None if it was not asked for, db if there was no bias.
    """
    x, w, has_bias = cache
    check_grad(grad_output, (*x.shape[:-1], w.shape[0]), x.dtype)
    grad, flat = grad_output.reshape(-1, w.shape[0]), x.reshape(-1, w.shape[1])
    dx = _memory.empty((w.shape[1], len(grad)), x.dtype) if needs_input_grad else None
    dw = _memory.empty(w.shape, x.dtype)

    def work(part: slice) -> None:
        np.matmul(grad.T, flat[:, part], out=dw[:, part])
        if dx is not None:
            np.matmul(w.T[part], grad.T, out=dx[part])

    _share(work, w.shape[1], 2 * dw.size * len(grad))
    return None if dx is None else dx.T.reshape(x.shape), dw, grad.sum(axis=0) if has_bias else None


def _share(work: Callable[[slice], None], columns: int, multiply_adds: int) -> None:
    """Do the columns of a product in pieces, cut by shape alone; narrow ones would be slow."""
    pieces = max(1, min(multiply_adds // _WORK, columns // _NARROW))
    with one_blas_thread:
        run(work, cut(columns, -(-columns // pieces)))
