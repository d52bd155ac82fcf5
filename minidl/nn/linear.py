"""The fully connected layer, and Identity."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from .._core import Array, check_bias, check_float, check_grad, check_int, check_same_dtype
from ..engine import product, sum_over
from .module import Module
from .weights import Weighted

__all__ = ["Identity", "Linear", "linear_backward", "linear_forward"]


class LinearCache(NamedTuple):
    """What `linear_backward` needs."""

    x: Array
    w: Array
    has_bias: bool


def linear_forward(x: Array, w: Array, b: Array | None = None) -> tuple[Array, LinearCache]:
    """Multiply by a matrix and add a bias: out = x @ w.T + b.

    x (N, ..., K), w (M, K) and b (M,) or None have the same dtype. Returns out (N, ..., M) and the cache for
    `linear_backward`. Raises ValueError if shapes or options do not fit, TypeError if dtypes do not.
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
    # (w @ x.T).T rather than x @ w.T: the batch stays innermost in memory, as in convolutions, and BLAS is faster
    out = product(w, x.reshape(-1, in_features).T, b).T
    return out.reshape(*x.shape[:-1], out_features), LinearCache(x, w, b is not None)


def linear_backward(
    grad_output: Array, cache: LinearCache, *, needs_input_grad: bool = True
) -> tuple[Array | None, Array, Array | None]:
    """Return the gradients of `linear_forward`: dx = grad @ w, dw = grad.T @ x, db = sum of grad over the batch.

    Returns (dx, dw, db) in the shapes of x, w and b; dx is None if it was not requested, db if there was no bias.
    ``grad_output`` must have the output's shape and dtype (ValueError, TypeError); ``cache`` is from
    `linear_forward`. ``needs_input_grad=False`` skips dx.
    """
    x, w, has_bias = cache
    check_grad(grad_output, (*x.shape[:-1], w.shape[0]), x.dtype)
    grad, flat = grad_output.reshape(-1, w.shape[0]), x.reshape(-1, w.shape[1])
    dx = product(w.T, grad.T).T.reshape(x.shape) if needs_input_grad else None
    return dx, product(grad.T, flat), sum_over(grad, (0,)) if has_bias else None


class Linear(Weighted):
    """Fully connected layer: y = x W^T + b.

    Args:
        in_features: size of each input sample, K; None: set by the first input, or by `summary`.
        out_features: size of each output sample, M.
        bias: whether to add b.
        dtype: float32 (default) or float64.
        rng: generator for the initial weights; None means minidl's own, see `minidl.manual_seed`.

    Shape:
        input (N, ..., K), output (N, ..., M).

    Attributes:
        weight: Parameter (M, K), from U(-1/sqrt(K), 1/sqrt(K)).
        bias: Parameter (M,), from the same distribution; or None.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.Linear.html
    """

    def __init__(
        self,
        in_features: int | None,
        out_features: int,
        bias: bool = True,
        *,
        dtype: DTypeLike | None = None,
        rng: np.random.Generator | None = None,
    ) -> None:
        super().__init__()
        self.in_features = None if in_features is None else check_int("Linear", "in_features", in_features)
        self.out_features = check_int("Linear", "out_features", out_features)
        self._rng = rng
        self._make(None if in_features is None else (out_features, in_features), bias, dtype, rng)

    def forward(self, x: Array) -> Array:
        """Apply the layer to (N, ..., K)."""
        if self.in_features is None and check_float(x).ndim > 1:
            self._fix_size((self.out_features, x.shape[-1]), self._rng)
            self.in_features = x.shape[-1]
        out, cache = linear_forward(x, self.weight.data, self._bias())
        self.save_for_backward(cache)
        return out

    def backward(self, grad_output: Array) -> Array | None:
        """Add the gradients of weight and bias; return that of the input."""
        dx, dw, db = linear_backward(grad_output, self.take_saved(), needs_input_grad=self.needs_input_grad)
        self._add_grads(dw, db)
        return dx

    def multiply_adds(self, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> int:
        """One for each output and each feature it sees."""
        return math.prod(output_shape) * input_shape[-1]

    def extra_repr(self) -> str:
        """Options in PyTorch's form."""
        bias = self.bias is not None
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={bias}"


class Identity(Module):
    """Pass the input through unchanged.

    Args:
        *_args, **_kwargs: accepted and ignored, as in PyTorch, so that it can stand in for any layer.

    Shape:
        input and output: any, the same; float32 or float64.
    """

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        super().__init__()

    def forward(self, x: Array) -> Array:
        """Return x."""
        check_float(x)
        self.save_for_backward((x.shape, x.dtype))
        return x

    def backward(self, grad_output: Array) -> Array:
        """Return grad_output."""
        return check_grad(grad_output, *self.take_saved())
