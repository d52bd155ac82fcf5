"""Rearranging: the operations of `operations` that move elements and change none; and what all operations share."""

# mypy: disable-error-code="no-any-return"
# (what NumPy computes from arrays of either dtype is Any)
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .._core import Array

Gradient = Callable[[Any], Any]
Gradients = tuple[Gradient | None, ...]
Operation = Callable[..., tuple[Any, Gradients]]


def unbroadcast(g: Array, shape: tuple[int, ...]) -> Array:
    """Return the gradient of an array of ``shape`` that was broadcast to g's: the sum over what was repeated."""
    if g.shape == shape:
        return g
    g = g.sum(axis=tuple(range(g.ndim - len(shape))))
    return g.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1 and g.shape[i] != 1), keepdims=True)


def axes_of(axis: Any, ndim: int) -> tuple[int, ...]:
    """Return axes as a tuple of numbers from 0 on; None stands for all; raise ValueError if one does not exist."""
    axes = range(ndim) if axis is None else axis if isinstance(axis, (tuple, list)) else (axis,)
    if any(not -ndim <= i < ndim for i in axes):
        raise ValueError(f"axis {axis} does not exist in an array of {ndim} axes")
    return tuple(i % ndim for i in axes)


def reshape(x: Array, shape: Any) -> tuple[Array, Gradients]:
    """The same elements in another shape."""
    before = x.shape
    return x.reshape(shape), (lambda g: g.reshape(before),)


def transpose(x: Array, axes: Sequence[int] | None = None) -> tuple[Array, Gradients]:
    """y has x's axes in another order."""
    order = tuple(reversed(range(x.ndim))) if axes is None else axes_of(tuple(axes), x.ndim)
    if sorted(order) != list(range(x.ndim)):
        raise ValueError(f"the axes {axes} are not an order of an array's {x.ndim} axes")
    inverse = tuple(int(i) for i in np.argsort(order))
    return x.transpose(order), (lambda g: g.transpose(inverse),)


def swapaxes(x: Array, axis1: int, axis2: int) -> tuple[Array, Gradients]:
    """y is x with two axes exchanged."""
    return x.swapaxes(axis1, axis2), (lambda g: g.swapaxes(axis1, axis2),)


def moveaxis(x: Array, source: Any, destination: Any) -> tuple[Array, Gradients]:
    """y is x with axes moved to another place."""
    return np.moveaxis(x, source, destination), (lambda g: np.moveaxis(g, destination, source),)


def expand_dims(x: Array, axis: Any) -> tuple[Array, Gradients]:
    """y is x with axes of length 1 put in."""
    before = x.shape
    return np.expand_dims(x, axis), (lambda g: g.reshape(before),)


def squeeze(x: Array, axis: Any = None) -> tuple[Array, Gradients]:
    """y is x without axes of length 1."""
    before = x.shape
    return np.squeeze(x, axis), (lambda g: g.reshape(before),)


def broadcast_to(x: Array, shape: Any) -> tuple[Array, Gradients]:
    """y is x, repeated along its axes of length 1 and new ones in front."""
    before = x.shape
    return np.broadcast_to(x, shape), (lambda g: unbroadcast(g, before),)


def getitem(x: Array, key: Any) -> tuple[Array, Gradients]:
    """y = x[key]: the elements that were taken get their gradients; one that was taken twice gets the sum."""
    shape = x.shape
    parts = key if isinstance(key, tuple) else (key,)
    simple = all(isinstance(part, (int, np.integer, slice, type(None), type(...))) for part in parts)

    def back(g: Array) -> Array:
        dx = np.zeros(shape, g.dtype)
        if simple:
            dx[key] = g
        else:
            np.add.at(dx, key, g)
        return dx

    return np.asarray(x[key]), (back,)


def flip(x: Array, axis: Any = None) -> tuple[Array, Gradients]:
    """y is x in reverse order along the axes."""
    return np.flip(x, axis), (lambda g: np.flip(g, axis),)


def roll(x: Array, shift: Any, axis: Any = None) -> tuple[Array, Gradients]:
    """y[i + shift] = x[i], around the end."""
    back = tuple(-n for n in shift) if isinstance(shift, (tuple, list)) else -shift
    return np.roll(x, shift, axis), (lambda g: np.roll(g, back, axis),)


def tile(x: Array, reps: tuple[int, ...]) -> tuple[Array, Gradients]:
    """y is x, laid side by side ``reps`` times along each axis."""
    shape = (1,) * (len(reps) - x.ndim) + x.shape
    before, counts = x.shape, (1,) * (x.ndim - len(reps)) + tuple(reps)
    blocks = tuple(n for pair in zip(counts, shape, strict=True) for n in pair)
    return np.tile(x, reps), (lambda g: g.reshape(blocks).sum(axis=tuple(range(0, len(blocks), 2))).reshape(before),)


def repeat(x: Array, repeats: Any, axis: int | None = None) -> tuple[Array, Gradients]:
    """y has each element of x (or each part along an axis) ``repeats`` times in a row."""
    source = np.repeat(np.arange(x.size if axis is None else x.shape[axis]), repeats)
    shape = x.shape
    flat = x.reshape(-1) if axis is None else x
    along = 0 if axis is None else axis

    def back(g: Array) -> Array:
        dx = np.zeros(flat_shape, g.dtype)
        np.add.at(np.moveaxis(dx, along, 0), source, np.moveaxis(g, along, 0))
        return dx.reshape(shape)

    flat_shape = flat.shape
    return np.take(flat, source, along), (back,)


def tril(x: Array, k: int = 0) -> tuple[Array, Gradients]:
    """y is x with zeros above a diagonal."""
    return np.tril(x, k), (lambda g: np.tril(g, k),)


def triu(x: Array, k: int = 0) -> tuple[Array, Gradients]:
    """y is x with zeros below a diagonal."""
    return np.triu(x, k), (lambda g: np.triu(g, k),)


def pad(x: Array, pad_width: Any, mode: str = "constant", constant_values: float = 0) -> tuple[Array, Gradients]:
    """y is x with a constant put around it."""
    if mode != "constant":
        raise ValueError(f"pad: mode {mode!r} has no known gradient here; use F.pad or nn.ReflectionPad2d and the like")
    widths = np.broadcast_to(np.asarray(pad_width), (x.ndim, 2))
    inner = tuple(slice(int(a), int(a) + n) for (a, _), n in zip(widths, x.shape, strict=True))
    return np.pad(x, widths, constant_values=constant_values), (lambda g: g[inner],)


def concatenate(*arrays: Array, axis: int = 0) -> tuple[Array, Gradients]:
    """y is the arrays one after another along an axis: each gets its part of the gradient."""
    y, start, parts = np.concatenate(arrays, axis), 0, []
    for array in arrays:
        end = start + array.shape[axis]
        key = (slice(None),) * (axis % y.ndim) + (slice(start, end),)
        parts.append(lambda g, key=key: g[key])
        start = end
    return y, tuple(parts)


def stack(*arrays: Array, axis: int = 0) -> tuple[Array, Gradients]:
    """y is the arrays side by side along a new axis: each gets its part of the gradient."""
    y = np.stack(arrays, axis)
    before = (slice(None),) * (axis % y.ndim)
    return y, tuple([lambda g, key=(*before, number): g[key] for number in range(len(arrays))])


def split(x: Array, sections: Any, axis: int = 0) -> tuple[list[Array], Gradients]:
    """The parts of x between the indices ``sections`` along an axis; what got no gradient got zero."""
    parts = np.split(x, sections, axis)
    shapes = [part.shape for part in parts]

    def back(grads: tuple[Array | None, ...]) -> Array:
        dtype = next(g.dtype for g in grads if g is not None)
        every = zip(grads, shapes, strict=True)
        return np.concatenate([np.zeros(shape, dtype) if g is None else g for g, shape in every], axis)

    return parts, (back,)
