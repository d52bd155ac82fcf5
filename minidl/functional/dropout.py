"""Dropout in forward and backward pairs."""

from __future__ import annotations

import numpy as np

from .._core import Array, check_float, check_grad, check_number
from .._core.threads import run
from . import _layout
from ._explain import explain

__all__ = [
    "alpha_dropout_backward",
    "alpha_dropout_forward",
    "check_probability",
    "dropout_backward",
    "dropout_channels_backward",
    "dropout_channels_forward",
    "dropout_forward",
]


def check_probability(owner: str, p: float) -> float:
    """Return ``p`` as a float in [0, 1], or raise; the message says what p is."""
    return check_number(owner, "p", p, maximum=1.0, note=" (it is the probability of dropping an element)")


def dropout_forward(
    x: Array, p: float = 0.5, *, training: bool = True, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Zero each element with probability p and scale the others by 1/(1-p) (inverted dropout).

    The expectation of out is x, so that nothing is left to do in testing: with ``training=False`` out is x.

    Args:
        x: any shape, float32 or float64.
        p: probability of dropping an element, in [0, 1].
        training: False makes this the identity.
        rng: where the random numbers come from; the mask depends on its state and on x's shape and dtype.

    Returns:
        out of x's shape and dtype, and the cache for `dropout_backward`: the scaled mask.

    Raises:
        ValueError: p is outside [0, 1].
        TypeError: the dtype is not a float.

    Source: Srivastava et al., JMLR 15 (2014) 1929; https://docs.pytorch.org/docs/stable/generated/torch.nn.Dropout.html
    """
    check_float(x)
    p = check_probability("dropout", p)
    if not training or p == 0:
        return x, np.broadcast_to(x.dtype.type(1), x.shape)
    mask = _layout.empty(x.shape, x.dtype)
    # drawn in memory order: the same elements are dropped however x itself lies in memory
    in_order = _layout.block(mask) if mask.ndim == 4 else mask
    # 32 random bits an element, drawn 64 at a time: twice as fast as uniform floats
    drawn = rng.integers(0, 2**64 - 1, (mask.size + 1) // 2, np.uint64, endpoint=True)
    bits = drawn.view(np.uint32)[: mask.size].reshape(in_order.shape)
    scale = 0.0 if p == 1 else 1 / (1 - p)
    threshold, factor = np.uint32(min(round(p * 2**32), 2**32 - 1)), x.dtype.type(scale)
    run(lambda piece: np.multiply(piece[0] >= threshold, factor, out=piece[1]), _layout.pieces(bits, in_order))
    return _times(x, mask), mask


@explain
def dropout_backward(grad_output: Array, cache: Array) -> Array:
    """Gradient of `dropout_forward`: grad_output times the same scaled mask.

    Returns:
        dx of grad_output's shape and dtype.
    """
    check_grad(grad_output, cache.shape, cache.dtype)
    return _times(grad_output, cache)


def _times(x: Array, mask: Array) -> Array:
    out = _layout.empty_like(x)
    run(lambda piece: np.multiply(piece[0], piece[1], out=piece[2]), _layout.pieces(x, mask, out))
    return out


def dropout_channels_forward(
    x: Array, p: float = 0.5, *, training: bool = True, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Zero whole channels with probability p, each of each sample by itself, and scale the others by 1/(1-p).

    Args:
        x: (N, C, ...), float32 or float64.
        p: probability of dropping a channel, in [0, 1].
        training: False makes this the identity.
        rng: where the random numbers come from.

    Returns:
        out of x's shape and dtype, and the cache for `dropout_channels_backward`: the scaled mask.

    Raises:
        ValueError: p is outside [0, 1], or x has no channels.
        TypeError: the dtype is not a float.

    Source: Tompson et al. 2015, arXiv:1411.4280.
    """
    check_float(x)
    if x.ndim < 2:
        raise ValueError(f"expected an input of shape (N, C, ...), got {x.shape}")
    _, mask = dropout_forward(np.ones(x.shape[:2], x.dtype), p, training=training, rng=rng)
    whole = np.broadcast_to(mask.reshape(*mask.shape, *(1,) * (x.ndim - 2)), x.shape)
    return (_times(x, whole) if training and p else x), whole


dropout_channels_backward = dropout_backward

# SELU's value at minus infinity: what alpha dropout puts in the place of the dropped
_DROPPED = -1.7580993408473766


def alpha_dropout_forward(
    x: Array, p: float = 0.5, *, training: bool = True, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Set elements to SELU's lowest value with probability p, then rescale: mean 0 and variance 1 stay as they are.

    out = a * (x * mask + d * (1 - mask)) + b,  d = -1.7581, a = ((1-p) * (1 + p*d**2))**-0.5, b = -a*p*d

    Args:
        x: any shape, float32 or float64.
        p: probability of dropping an element, in [0, 1].
        training: False makes this the identity.
        rng: where the random numbers come from.

    Returns:
        out of x's shape and dtype, and the cache for `alpha_dropout_backward`: a * mask.

    Raises:
        ValueError: p is outside [0, 1].
        TypeError: the dtype is not a float.

    Source: Klambauer et al. 2017, arXiv:1706.02515.
    """
    check_float(x)
    p = check_probability("alpha_dropout", p)
    if not training or p in (0, 1):
        mask = np.broadcast_to(x.dtype.type(0 if training and p == 1 else 1), x.shape)
        return (x if p != 1 or not training else x * 0), mask
    _, scaled = dropout_forward(x, p, rng=rng)
    kept = scaled * x.dtype.type(1 - p)
    a = ((1 - p) * (1 + p * _DROPPED**2)) ** -0.5
    factor = kept * x.dtype.type(a)
    return x * factor + (1 - kept) * x.dtype.type(a * _DROPPED) - x.dtype.type(a * p * _DROPPED), factor


alpha_dropout_backward = dropout_backward
