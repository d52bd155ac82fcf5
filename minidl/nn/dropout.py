"""Dropout of elements, of whole channels, and the variant for SELU."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np

from .._core import Array, check_float, check_grad, check_number, default_rng
from ..engine import current_engine, multiply
from .module import Module

__all__ = [
    "AlphaDropout",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "alpha_dropout_backward",
    "alpha_dropout_forward",
    "dropout_backward",
    "dropout_channels_backward",
    "dropout_channels_forward",
    "dropout_forward",
]


def _probability(owner: str, p: float) -> float:
    return check_number(owner, "p", p, maximum=1.0, note=" (it is the probability of dropping an element)")


def dropout_forward(
    x: Array, p: float = 0.5, *, training: bool = True, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Zero each element with probability p and scale the others by 1/(1-p) (inverted dropout).

    The expectation of out is x, so with ``training=False`` out is x. x may have any shape; the mask depends on the
    state of rng and on x's shape and dtype. Returns out and the cache for `dropout_backward`, the scaled mask. Raises
    ValueError if p is outside [0, 1], TypeError if x is not float32 or float64.
    """
    check_float(x)
    p = _probability("dropout", p)
    if not training or p == 0:
        return x, np.broadcast_to(x.dtype.type(1), x.shape)
    mask = current_engine().dropout_mask(x.shape, x.dtype, p, rng)
    return multiply(x, mask), mask


def dropout_backward(grad_output: Array, cache: Array) -> Array:
    """Return the gradient of a dropout: grad_output times the mask that the forward function drew.

    Returns dx of grad_output's shape and dtype. ``grad_output`` must have the output's shape and dtype (ValueError,
    TypeError); ``cache`` is from `dropout_forward`, `dropout_channels_forward` or `alpha_dropout_forward`.
    """
    check_grad(grad_output, cache.shape, cache.dtype)
    return multiply(grad_output, cache)


def dropout_channels_forward(
    x: Array, p: float = 0.5, *, training: bool = True, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Zero whole channels with probability p, independently for each sample, and scale the others by 1/(1-p).

    x is (N, C, ...); training and rng as for `dropout_forward`. Returns out and the cache for
    `dropout_channels_backward`. Raises ValueError if p is outside [0, 1] or x has no channels, TypeError if x is not
    float32 or float64.
    """
    check_float(x)
    if x.ndim < 2:
        raise ValueError(f"expected an input of shape (N, C, ...), got {x.shape}")
    _, mask = dropout_forward(np.ones(x.shape[:2], x.dtype), p, training=training, rng=rng)
    whole = np.broadcast_to(mask.reshape(*mask.shape, *(1,) * (x.ndim - 2)), x.shape)
    return (multiply(x, whole) if training and p else x), whole


# SELU's value at minus infinity: alpha dropout replaces dropped elements with it
_DROPPED = -1.7580993408473766


def alpha_dropout_forward(
    x: Array, p: float = 0.5, *, training: bool = True, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Set elements to SELU's lowest value with probability p, then rescale: mean 0 and variance 1 are preserved.

    out = a * (x * mask + d * (1 - mask)) + b,  d = -1.7581, a = ((1-p) * (1 + p*d**2))**-0.5, b = -a*p*d. x may have
    any shape; training and rng as for `dropout_forward`. Returns out and the cache for `alpha_dropout_backward`, a *
    mask. Raises what `dropout_forward` does.
    """
    check_float(x)
    p = _probability("alpha_dropout", p)
    if not training or p in (0, 1):
        mask = np.broadcast_to(x.dtype.type(0 if training and p == 1 else 1), x.shape)
        return (x if p != 1 or not training else x * 0), mask
    kept = current_engine().dropout_mask(x.shape, x.dtype, p, rng) * x.dtype.type(1 - p)
    a = ((1 - p) * (1 + p * _DROPPED**2)) ** -0.5
    factor = kept * x.dtype.type(a)
    return x * factor + (1 - kept) * x.dtype.type(a * _DROPPED) - x.dtype.type(a * p * _DROPPED), factor


dropout_channels_backward = alpha_dropout_backward = dropout_backward


class _Dropout(Module):
    function: ClassVar[Callable[..., tuple[Array, Array]]]
    axes: ClassVar[tuple[int, str] | None] = None

    def __init__(self, p: float = 0.5, *, rng: np.random.Generator | None = None) -> None:
        super().__init__()
        self.p = _probability(type(self).__name__, p)
        if rng is not None:
            default_rng(rng)
        self.rng = rng

    def forward(self, x: Array) -> Array:
        """Apply the layer."""
        if self.axes is not None and np.ndim(x) != self.axes[0]:
            raise ValueError(f"expected an input of shape {self.axes[1]}, got {np.shape(x)}")
        out, mask = type(self).function(x, self.p, training=self.training, rng=default_rng(self.rng))
        self.save_for_backward(mask)
        return out

    def backward(self, grad_output: Array) -> Array:
        """Apply the same mask to grad_output."""
        return dropout_backward(grad_output, self.take_saved())

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

    function = staticmethod(dropout_forward)


class Dropout1d(_Dropout):
    """In training zero whole channels of sequences with probability p, scale the others by 1/(1-p).

    Args:
        p: the probability of DROPPING a channel, in [0, 1].
        rng: generator for the masks; None means minidl's own, see `minidl.manual_seed`.

    Shape:
        input and output: (N, C, L), the same.
    """

    function = staticmethod(dropout_channels_forward)
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

    function = staticmethod(dropout_channels_forward)
    axes = 4, "(N, C, H, W)"


class AlphaDropout(_Dropout):
    """In training set elements to SELU's lowest value with probability p and rescale: mean and variance are preserved.

    Args:
        p: the probability of DROPPING an element, in [0, 1].
        rng: generator for the masks; None means minidl's own, see `minidl.manual_seed`.

    Shape:
        input and output: any, the same.

    Source: Klambauer et al. 2017, arXiv:1706.02515.
    """

    function = staticmethod(alpha_dropout_forward)
