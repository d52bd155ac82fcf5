"""Linear and Identity."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .._core import Array, check_flag, check_float, check_grad, check_int
from ..functional.linear import linear_backward, linear_forward
from . import init
from .module import Module
from .parameter import Parameter, filled

__all__ = ["Identity", "Linear", "fix_size", "unsized", "weight_and_bias"]


def weight_and_bias(
    shape: tuple[int, ...],
    bias: bool,
    dtype: DTypeLike | None,
    rng: np.random.Generator | None,
    *,
    bias_size: int | None = None,
) -> tuple[Parameter, Parameter | None]:
    """Make the parameters of a linear or convolutional layer, from U(-1/sqrt(fan_in), 1/sqrt(fan_in)).

    Args:
        shape: the weight's shape, outputs first.
        bias: whether there is a bias, one per output.
        dtype: float32 (None) or float64.
        rng: generator; None means minidl's own.
        bias_size: how many numbers the bias has, if not as many as the weight has outputs.
    """
    dtype = np.float32 if dtype is None else dtype
    weight = init.kaiming_uniform_(Parameter(np.empty(shape, dtype)), math.sqrt(5), rng=rng)
    if not bias:
        return weight, None
    bound = 1 / math.sqrt(init.fan_in(weight))
    return weight, init.uniform_(Parameter(np.empty(bias_size or shape[0], dtype)), -bound, bound, rng=rng)


def unsized(bias: bool, dtype: DTypeLike | None) -> tuple[Parameter, Parameter | None]:
    """Make the parameters of a layer whose input size is not known yet: of no numbers, until `fix_size`."""
    return filled(0, 0, dtype), filled(0, 0, dtype) if bias else None


def fix_size(
    weight: Parameter,
    bias: Parameter | None,
    shape: tuple[int, ...],
    rng: np.random.Generator | None,
) -> None:
    """Give parameters that `unsized` made their size and first values; an optimiser that has them keeps them."""
    sized_weight, sized_bias = weight_and_bias(shape, bias is not None, weight.dtype, rng)
    weight.data = sized_weight.data
    if bias is not None and sized_bias is not None:
        bias.data = sized_bias.data


class Linear(Module):
    """Fully connected layer: y = x W^T + b.

    Args:
        in_features: size of each input sample, K; None: it is fixed by the first input, or by `summary`.
        out_features: size of each output sample, M.
        bias: whether to add b.
        dtype: float32 (default) or float64.
        rng: generator for the first weights; None means minidl's own, see `minidl.manual_seed`.

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
        check_flag("Linear", "bias", bias)
        self._rng = rng
        if in_features is None:
            self.weight, self.bias = unsized(bias, dtype)
        else:
            self.weight, self.bias = weight_and_bias((out_features, in_features), bias, dtype, rng)

    def forward(self, x: Array) -> Array:
        """Apply the layer to (N, ..., K)."""
        if self.in_features is None and check_float(x).ndim > 1:
            fix_size(self.weight, self.bias, (self.out_features, x.shape[-1]), self._rng)
            self.in_features = x.shape[-1]
        out, cache = linear_forward(x, self.weight.data, None if self.bias is None else self.bias.data)
        self.save_for_backward(cache)
        return out

    def backward(self, grad_output: Array) -> Array | None:
        """Add the gradients of weight and bias; return that of the input."""
        dx, dw, db = linear_backward(grad_output, self.take_saved(), needs_input_grad=self.needs_input_grad)
        self.weight.add_grad(dw)
        if self.bias is not None and db is not None:
            self.bias.add_grad(db)
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
