"""Elementwise activations, and dropout's mask, by compiled loops, one pass each way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..._core import Array
from ..._core.threads import cut, run
from ..elementwise import dropped_at
from ..layout import empty, empty_like
from .activation_loops import LOOPS, mask
from .places import address, in_passes, laid_out

__all__ = ["activate", "activate_grad", "cost", "dropout_mask"]

_PIECE = 2**18  # numbers
_PLAIN = "relu", "leaky_relu", "clip", "hardsigmoid", "hardswish"  # the others have exponentials


def activate(name: str, a: float, b: float, x: Array) -> Array:
    """Return the activation of that name, with options a and b, of each element of x."""
    out = empty_like(x)
    x = laid_out(x, out)
    _run(LOOPS[name][0], (x, out), a, b, cost(name, 2, x))
    return out


def activate_grad(name: str, a: float, b: float, grad: Array, x: Array, out: Array) -> Array:
    """Return the gradient of x, given that of the output and the output."""
    dx = empty_like(out)
    _run(LOOPS[name][1], (laid_out(grad, dx), laid_out(x, dx), laid_out(out, dx), dx), a, b, cost(name, 4, x))
    return dx


def dropout_mask(shape: tuple[int, ...], dtype: np.dtype[Any], p: float, rng: np.random.Generator) -> Array:
    """Draw the mask that `elementwise.dropout_mask` draws."""
    out = empty(shape, dtype)
    drawn, threshold, factor = dropped_at(out.size, p, rng)
    mask(address(drawn), address(out), out.size, int(threshold), dtype.type(factor))
    return out


def cost(name: str, arrays: int, x: Array) -> float:
    """Estimate how long an activation takes, in nanoseconds, if it reads and writes ``arrays`` arrays of x's size."""
    return in_passes(arrays * x.nbytes) + (0 if name in _PLAIN else x.size / 4)


def _run(loop: Callable[..., Any], arrays: tuple[Array, ...], a: float, b: float, cost: float) -> None:
    kind = arrays[0].dtype.type
    places = [address(x) for x in arrays]
    numbers, options = arrays[0].size, (kind(a), kind(b), kind(0))
    if numbers <= 2 * _PIECE:
        loop(*places, numbers, *options)
        return
    size = arrays[0].itemsize

    def work(part: slice) -> None:
        loop(*[place + size * part.start for place in places], part.stop - part.start, *options)

    run(work, cut(numbers, _PIECE), cost)
