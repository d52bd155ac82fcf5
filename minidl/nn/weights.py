"""Weighted: the base of the linear and convolutional layers."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import DTypeLike

from .._core import Array, check_flag
from . import init
from .module import Module
from .parameter import Parameter, filled
from .unsized import check_unset

__all__ = ["Weighted"]


class Weighted(Module):
    """A module with a weight and a bias: their initial values and gradients, whether it knows its input size or not."""

    weight: Parameter
    bias: Parameter | None

    def _make(
        self, shape: tuple[int, ...] | None, bias: bool, dtype: DTypeLike | None, rng: np.random.Generator | None
    ) -> None:
        """Make the parameters, the weight of this ``shape``; None leaves them empty until `_fix_size`."""
        check_flag(type(self).__name__, "bias", bias)
        self.weight = filled(0, 0, dtype)
        self.bias = filled(0, 0, dtype) if bias else None
        if shape is not None:
            self._fix_size(shape, rng)

    def _fix_size(self, shape: tuple[int, ...], rng: np.random.Generator | None) -> None:
        """Set the parameters' sizes and draw their values from U(-1/sqrt(fan_in), 1/sqrt(fan_in))."""
        check_unset(weight=self.weight, bias=self.bias)
        self.weight.data = np.empty(shape, self.weight.dtype)
        init.kaiming_uniform_(self.weight, math.sqrt(5), rng=rng)
        if self.bias is not None:
            self.bias.data = np.empty(self._outputs(), self.bias.dtype)
            bound = 1 / math.sqrt(init.fan_in(self.weight))
            init.uniform_(self.bias, -bound, bound, rng=rng)

    def _outputs(self) -> int:
        """Return the size of the bias: the weight's first axis, unless a subclass says otherwise."""
        return self.weight.shape[0]

    def _bias(self) -> Array | None:
        return None if self.bias is None else self.bias.data

    def _add_grads(self, dw: Array, db: Array | None) -> None:
        self.weight.add_grad(dw)
        if self.bias is not None and db is not None:
            self.bias.add_grad(db)
