"""Dropout layers."""

from __future__ import annotations

import numpy as np

from .._random import default_rng
from ..functional._checks import Array
from ..functional.dropout import check_probability, dropout_backward, dropout_forward
from .module import Module

__all__ = ["Dropout"]


class Dropout(Module):
    """In training zero each element with probability p and scale the others by 1/(1-p); in evaluation do nothing.

    Args:
        p: the probability of DROPPING an element, in [0, 1].
        rng: generator for the masks; None means minidl's own, see `minidl.manual_seed`.

    Shape:
        input and output: any, the same.

    Source: Srivastava et al., JMLR 15 (2014) 1929.
    """

    def __init__(self, p: float = 0.5, *, rng: np.random.Generator | None = None) -> None:
        super().__init__()
        self.p = check_probability("Dropout", p)
        if rng is not None:
            default_rng(rng)
        self.rng = rng

    def forward(self, x: Array) -> Array:
        """Apply the layer."""
        out, cache = dropout_forward(x, self.p, training=self.training, rng=default_rng(self.rng))
        self.save_for_backward(cache)
        return out

    def backward(self, grad_output: Array) -> Array:
        """Return the gradient of the input: grad_output through the mask of the forward pass."""
        return dropout_backward(grad_output, self.take_saved())

    def extra_repr(self) -> str:
        """Options in PyTorch's form."""
        return f"p={self.p}"
