"""Bilinear: a product of two inputs."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import DTypeLike

from .._core import Array, check_bias, check_flag, check_float, check_grad, check_int, check_same_dtype
from ..engine import sum_over
from . import init
from .parameter import Parameter
from .weights import Weighted

__all__ = ["Bilinear", "bilinear_backward", "bilinear_forward"]

Cache = tuple[Array, Array, Array, bool]  # both inputs, weight, whether there is a bias


def bilinear_forward(x1: Array, x2: Array, w: Array, b: Array | None = None) -> tuple[Array, Cache]:
    """Multiply two inputs through a matrix for each output: out[..., m] = x1 @ w[m] @ x2 + b[m].

    x1 is (N, ..., K1), x2 (N, ..., K2), w (M, K1, K2), b (M,) or None, of the same dtype. Returns out (N, ..., M) and
    the cache for `bilinear_backward`. Raises ValueError if shapes or options do not fit, TypeError if dtypes do not.
    """
    check_float(w, "weight")
    if w.ndim != 3:
        raise ValueError(f"expected a weight of shape (M, K1, K2), got {w.shape}")
    for name, x, features in (("first", x1, w.shape[1]), ("second", x2, w.shape[2])):
        check_same_dtype(check_float(x, f"{name} input"), w)
        if x.ndim < 2 or x.shape[-1] != features:
            raise ValueError(f"expected a {name} input of shape (N, ..., {features}), got {x.shape}")
    if x1.shape[:-1] != x2.shape[:-1]:
        raise ValueError(f"expected inputs with the same leading axes, got shapes {x1.shape} and {x2.shape}")
    check_bias(b, len(w), w)
    out = np.einsum("...i,mij,...j->...m", x1, w, x2, optimize=True)
    return out if b is None else out + b, (x1, x2, w, b is not None)


def bilinear_backward(grad_output: Array, cache: Cache) -> tuple[Array, Array, Array, Array | None]:
    """Return (dx1, dx2, dw, db) in the shapes of x1, x2, w and b; db is None if there was no bias.

    ``grad_output`` must have the output's shape and dtype (ValueError, TypeError); ``cache`` is from
    `bilinear_forward`.
    """
    x1, x2, w, has_bias = cache
    check_grad(grad_output, (*x1.shape[:-1], len(w)), w.dtype)
    dx1 = np.einsum("...m,mij,...j->...i", grad_output, w, x2, optimize=True)
    dx2 = np.einsum("...m,mij,...i->...j", grad_output, w, x1, optimize=True)
    dw = np.einsum("...m,...i,...j->mij", grad_output, x1, x2, optimize=True)
    return dx1, dx2, dw, sum_over(grad_output.reshape(-1, len(w)), (0,)) if has_bias else None


class Bilinear(Weighted):
    """A product of two inputs: y[m] = x1 W[m] x2 + b[m].

    Args:
        in1_features: size of the first input, K1.
        in2_features: size of the second input, K2.
        out_features: size of the output, M.
        bias: whether to add b.
        dtype: float32 (default) or float64.
        rng: generator for the initial weights; None means minidl's own, see `minidl.manual_seed`.

    Shape:
        inputs (N, ..., K1) and (N, ..., K2), output (N, ..., M). `backward` returns the gradients of both inputs.

    Attributes:
        weight: Parameter (M, K1, K2), from U(-1/sqrt(K1), 1/sqrt(K1)).
        bias: Parameter (M,), from the same distribution; or None.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.Bilinear.html
    """

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        *,
        dtype: DTypeLike | None = None,
        rng: np.random.Generator | None = None,
    ) -> None:
        super().__init__()
        self.in1_features = check_int("Bilinear", "in1_features", in1_features)
        self.in2_features = check_int("Bilinear", "in2_features", in2_features)
        self.out_features = check_int("Bilinear", "out_features", out_features)
        check_flag("Bilinear", "bias", bias)
        kind, bound = np.float32 if dtype is None else dtype, 1 / math.sqrt(self.in1_features)
        shape = (self.out_features, self.in1_features, self.in2_features)
        self.weight = init.uniform_(Parameter(np.empty(shape, kind)), -bound, bound, rng=rng)
        self.bias = None
        if bias:
            self.bias = init.uniform_(Parameter(np.empty(self.out_features, kind)), -bound, bound, rng=rng)

    def forward(self, x1: Array, x2: Array) -> Array:
        """Apply the layer to (N, ..., K1) and (N, ..., K2)."""
        out, cache = bilinear_forward(x1, x2, self.weight.data, self._bias())
        self.save_for_backward(cache)
        return out

    def backward(self, grad_output: Array) -> tuple[Array, Array]:
        """Add the gradients of weight and bias; return those of both inputs."""
        dx1, dx2, dw, db = bilinear_backward(grad_output, self.take_saved())
        self._add_grads(dw, db)
        return dx1, dx2

    def multiply_adds(self, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> int:
        """One for each output and each pair of features."""
        return math.prod(output_shape) * self.in1_features * self.in2_features

    def extra_repr(self) -> str:
        """Options in PyTorch's form."""
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )
