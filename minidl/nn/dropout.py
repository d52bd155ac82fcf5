"""Dropout layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from .._core import Array, default_rng
from ..functional import dropout as f
from .module import Module

__all__ = ["AlphaDropout", "Dropout", "Dropout1d", "Dropout2d"]


class _Dropout(Module):
    functions: ClassVar[tuple[Callable[..., tuple[Array, Any]], Callable[..., Array]]]
    axes: ClassVar[tuple[int, str] | None] = None

    def __init__(self, p: float = 0.5, *, rng: np.random.Generator | None = None) -> None:
        super().__init__()
        f.check_probability(type(self).__name__, p)
        self.p = p
        if rng is not None:
            default_rng(rng)
        self.rng = rng

    def forward(self, x: Array) -> Array:
        """Apply the layer."""
        if self.axes is not None and np.ndim(x) != self.axes[0]:
            raise ValueError(f"expected an input of shape {self.axes[1]}, got {np.shape(x)}")
        out, cache = self.functions[0](x, self.p, training=self.training, rng=default_rng(self.rng))
        self.save_for_backward(cache)
        return out

    def backward(self, grad_output: Array) -> Array:
        """Return grad_output through the same mask."""
        return self.functions[1](grad_output, self.take_saved())

    def extra_repr(self) -> str:
        """Options in PyTorch's form."""
        return f"p={self.p}"


class Dropout(_Dropout):
    """In training zero each element with probability p and scale the others by 1/(1-p); in evaluation do nothing.

    Args:
        p: the probability of DROPPING an element, in [0, 1].
        rng: generator for the masks; None means minidl's own, see `minidl.manual_seed`.

    Shape:
        input and output: any, the same.

    Source: Srivastava et al., JMLR 15 (2014) 1929.
    """

    functions = f.dropout_forward, f.dropout_backward


class Dropout1d(_Dropout):
    """In training zero whole channels of sequences with probability p, scale the others by 1/(1-p).

    Args:
        p: the probability of DROPPING a channel, in [0, 1].
        rng: generator for the masks; None means minidl's own, see `minidl.manual_seed`.

    Shape:
        input and output: (N, C, L), the same.
    """

    functions = f.dropout_channels_forward, f.dropout_channels_backward
    axes = 3, "(N, C, L)"


class Dropout2d(_Dropout):
    """In training zero whole channels of images with probability p, scale the others by 1/(1-p).

    Args:
        p: the probability of DROPPING a channel, in [0, 1].
        rng: generator for the masks; None means minidl's own, see `minidl.manual_seed`.

    Shape:
        input and output: (N, C, H, W), the same.

    Source: Tompson et al. 2015, arXiv:1411.4280.
    """

    functions = f.dropout_channels_forward, f.dropout_channels_backward
    axes = 4, "(N, C, H, W)"


class AlphaDropout(_Dropout):
    """In training set elements to SELU's lowest value with probability p and rescale, so that mean and variance stay.

    Args:
        p: the probability of DROPPING an element, in [0, 1].
        rng: generator for the masks; None means minidl's own, see `minidl.manual_seed`.

    Shape:
        input and output: any, the same.

    Source: Klambauer et al. 2017, arXiv:1706.02515.
    """

    functions = f.alpha_dropout_forward, f.alpha_dropout_backward
