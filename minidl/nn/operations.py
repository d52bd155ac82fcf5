"""The operations that a recorded forward pass may use, and their gradients: a page of formulas.

An operation computes its output at once, and returns with it what turns the output's gradient g into that of each
input: one function for each, or None for an input that has no gradient. What such a function mentions is kept until the
backward pass, and nothing else. Names and arguments are NumPy's; `nn/tensor.py` spells them PyTorch's way.

Sources: the derivatives are textbook; where they are a matter of choice (ties, kinks, 0**0), the choice is PyTorch's.
"""

# mypy: disable-error-code="no-any-return"
# (what NumPy computes from arrays of either dtype is Any)
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .._core import Array

__all__ = ["CONSTANT", "ELEMENTWISE", "FUNCTIONS", "Gradients", "Operation", "unbroadcast"]

Gradient = Callable[[Any], Any]
Gradients = tuple[Gradient | None, ...]
Operation = Callable[..., tuple[Any, Gradients]]


def unbroadcast(g: Array, shape: tuple[int, ...]) -> Array:
    """Return the gradient of an array of ``shape`` that was broadcast to g's: the sum over what was repeated."""
    if g.shape == shape:
        return g
    g = g.sum(axis=tuple(range(g.ndim - len(shape))))
    return g.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1 and g.shape[i] != 1), keepdims=True)


# Elementwise: y = f(a, b), or f(a). Each formula gives one input's gradient from g and what else it names: a, b or y.

_FORMULAS: dict[np.ufunc, tuple[Callable[..., Any], ...]] = {
    np.add: (lambda g: g, lambda g: g),
    np.subtract: (lambda g: g, lambda g: -g),
    np.multiply: (lambda g, b: g * b, lambda g, a: g * a),
    np.divide: (lambda g, b: g / b, lambda g, y, b: -g * y / b),
    np.power: (
        lambda g, a, b: g * np.where(b == 0, 0, b * a ** np.where(b == 0, 1, b - 1)).astype(g.dtype),
        lambda g, y, a, b: g * np.where((a == 0) & (b >= 0), 0, y * np.log(a)).astype(g.dtype),
    ),
    np.negative: (lambda g: -g,),
    np.positive: (lambda g: g,),
    np.exp: (lambda g, y: g * y,),
    np.exp2: (lambda g, y: g * y * math.log(2),),
    np.expm1: (lambda g, y: g * (y + 1),),
    np.log: (lambda g, a: g / a,),
    np.log2: (lambda g, a: g / (a * math.log(2)),),
    np.log10: (lambda g, a: g / (a * math.log(10)),),
    np.log1p: (lambda g, a: g / (a + 1),),
    np.sqrt: (lambda g, y: g / (2 * y),),
    np.square: (lambda g, a: g * 2 * a,),
    np.reciprocal: (lambda g, y: -g * y * y,),
    np.absolute: (lambda g, a: g * np.sign(a),),
    np.fabs: (lambda g, a: g * np.sign(a),),
    np.sin: (lambda g, a: g * np.cos(a),),
    np.cos: (lambda g, a: -g * np.sin(a),),
    np.tan: (lambda g, y: g * (1 + y * y),),
    np.arcsin: (lambda g, a: g / np.sqrt(1 - a * a),),
    np.arccos: (lambda g, a: -g / np.sqrt(1 - a * a),),
    np.arctan: (lambda g, a: g / (1 + a * a),),
    np.arctan2: (lambda g, a, b: g * b / (a * a + b * b), lambda g, a, b: -g * a / (a * a + b * b)),
    np.sinh: (lambda g, a: g * np.cosh(a),),
    np.cosh: (lambda g, a: g * np.sinh(a),),
    np.tanh: (lambda g, y: g * (1 - y * y),),
    np.hypot: (lambda g, y, a: g * a / y, lambda g, y, b: g * b / y),
    np.logaddexp: (lambda g, y, a: g * np.exp(a - y), lambda g, y, b: g * np.exp(b - y)),
    np.maximum: (lambda g, a, b: _share(g, a, b), lambda g, a, b: _share(g, b, a)),
    np.minimum: (lambda g, a, b: _share(g, b, a), lambda g, a, b: _share(g, a, b)),
}


def _share(g: Any, a: Any, b: Any) -> Any:
    """Return what a gets of the gradient g of max(a, b): all where it is larger, half of a tie, else nothing."""
    return np.where(np.equal(a, b), g / 2, np.where(np.greater(a, b), g, g.dtype.type(0)))


def _elementwise(function: np.ufunc, formulas: tuple[Callable[..., Any], ...]) -> Operation:
    """Make an operation of its formulas; it undoes broadcasting."""
    order = {"y": 0, "a": 1, "b": 2}
    needs = [[order[name] for name in f.__code__.co_varnames[1 : f.__code__.co_argcount]] for f in formulas]
    parts = list(zip(formulas, needs, strict=True))

    def gradient(
        formula: Callable[..., Any], kept: list[Any], shape: tuple[int, ...], out: tuple[int, ...]
    ) -> Gradient:
        if shape == out:
            return (lambda g: formula(g, *kept)) if kept else formula
        return lambda g: unbroadcast(formula(g, *kept), shape)

    def operation(*inputs: Any) -> tuple[Any, Gradients]:
        y = np.asarray(function(*inputs))
        values = (y, *inputs)
        return y, tuple(
            [
                gradient(formula, [values[i] for i in kept], x.shape, y.shape) if isinstance(x, np.ndarray) else None
                for (formula, kept), x in zip(parts, inputs, strict=True)
            ]
        )

    return operation


ELEMENTWISE: dict[Any, Operation] = {function: _elementwise(function, rules) for function, rules in _FORMULAS.items()}


def where(condition: Array, a: Any, b: Any) -> tuple[Array, Gradients]:
    """y = a where the condition holds, else b."""
    y = np.where(condition, a, b)
    return y, (
        None,
        lambda g, shape=np.shape(a): unbroadcast(np.where(condition, g, g.dtype.type(0)), shape),
        lambda g, shape=np.shape(b): unbroadcast(np.where(condition, g.dtype.type(0), g), shape),
    )


def clip(x: Array, a_min: Any = None, a_max: Any = None) -> tuple[Array, Gradients]:
    """y = min(max(x, a_min), a_max); the gradient passes where x lies between them, bounds included."""
    inside = np.logical_and(True if a_min is None else x >= a_min, True if a_max is None else x <= a_max)
    return np.clip(x, a_min, a_max), (lambda g: np.where(inside, g, g.dtype.type(0)),)


# Sums along axes: `spread` gives a reduced array the axes back that it lost.


def _axes(axis: Any, ndim: int) -> tuple[int, ...]:
    axes = range(ndim) if axis is None else axis if isinstance(axis, (tuple, list)) else (axis,)
    if any(not -ndim <= i < ndim for i in axes):
        raise ValueError(f"axis {axis} does not exist in an array of {ndim} axes")
    return tuple(i % ndim for i in axes)


def _spread(g: Any, axes: tuple[int, ...], keepdims: bool) -> Array:
    return np.asarray(g) if keepdims else np.expand_dims(np.asarray(g), axes)


def total(x: Array, axis: Any = None, keepdims: bool = False) -> tuple[Array, Gradients]:
    """y = sum of x along the axes: each element gets y's gradient."""
    axes, shape = _axes(axis, x.ndim), x.shape
    y = np.asarray(x.sum(axis=axes, keepdims=keepdims))
    return y, (lambda g: np.broadcast_to(_spread(g, axes, keepdims), shape),)


def mean(x: Array, axis: Any = None, keepdims: bool = False) -> tuple[Array, Gradients]:
    """y = mean of x along the axes, of n elements: each gets g / n."""
    axes, shape = _axes(axis, x.ndim), x.shape
    count = math.prod(shape[i] for i in axes)
    y = np.asarray(x.mean(axis=axes, keepdims=keepdims))
    return y, (lambda g: np.broadcast_to(_spread(g, axes, keepdims) / count, shape),)


def var(x: Array, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> tuple[Array, Gradients]:
    """y = sum (x - mean)**2 / (n - ddof): each element gets g * 2 * (x - mean) / (n - ddof)."""
    axes = _axes(axis, x.ndim)
    count = math.prod(x.shape[i] for i in axes) - ddof
    deviation = x - x.mean(axis=axes, keepdims=True)
    y = np.asarray(np.divide((deviation * deviation).sum(axis=axes, keepdims=keepdims), count, dtype=x.dtype))
    return y, (lambda g: _spread(g, axes, keepdims) * (2 * deviation / count),)


def std(x: Array, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> tuple[Array, Gradients]:
    """y = sqrt(var): each element gets g * (x - mean) / (n - ddof) / y, and nothing where y is 0."""
    square, (slope,) = var(x, axis, ddof, keepdims)
    y = np.sqrt(square)
    half = np.divide(0.5, y, out=np.zeros_like(y), where=y != 0)
    return y, (None if slope is None else lambda g: slope(g * half),)


def prod(x: Array, axis: Any = None, keepdims: bool = False) -> tuple[Array, Gradients]:
    """y = product of x along the axes: each element gets g times the product of the others."""
    axes = _axes(axis, x.ndim)
    rest = [i for i in range(x.ndim) if i not in axes]
    rows = x.transpose(*rest, *axes).reshape(*(x.shape[i] for i in rest), -1)
    ones = np.ones((*rows.shape[:-1], 1), x.dtype)
    before = np.cumprod(np.concatenate([ones, rows[..., :-1]], -1), -1) if rows.shape[-1] else rows
    after = np.cumprod(np.concatenate([ones, rows[..., :0:-1]], -1), -1)[..., ::-1] if rows.shape[-1] else rows
    others = (before * after).reshape(*(x.shape[i] for i in (*rest, *axes)))
    others = others.transpose(np.argsort([*rest, *axes]))
    y = np.asarray(x.prod(axis=axes, keepdims=keepdims))
    return y, (lambda g: _spread(g, axes, keepdims) * others,)


def _extreme(function: Callable[..., Any]) -> Operation:
    def extreme(x: Array, axis: Any = None, keepdims: bool = False) -> tuple[Array, Gradients]:
        """y = largest (or smallest) of x along the axes; those that are equal share its gradient."""
        axes = _axes(axis, x.ndim)
        y = np.asarray(function(x, axis=axes, keepdims=True))
        chosen = np.equal(x, y)
        counts = chosen.sum(axis=axes, keepdims=True)
        result = y if keepdims else y.reshape([n for i, n in enumerate(y.shape) if i not in axes])
        return result, (
            lambda g: np.where(chosen, (_spread(g, axes, keepdims) / counts).astype(g.dtype), g.dtype.type(0)),
        )

    return extreme


def picked(x: Array, indices: Array, axis: int) -> tuple[Array, Gradients]:
    """y = the elements of x at ``indices`` along an axis: these get its gradient, added up where one is picked twice."""
    shape = x.shape
    grid = list(np.ogrid[tuple(slice(n) for n in indices.shape)])
    grid[axis] = indices
    key = tuple(grid)

    def back(g: Array) -> Array:
        dx = np.zeros(shape, g.dtype)
        np.add.at(dx, key, g)
        return dx

    return x[key], (back,)


def cumsum(x: Array, axis: int = 0) -> tuple[Array, Gradients]:
    """y[i] = x[0] + ... + x[i]: x[i] gets g[i] + ... + g[n - 1]."""
    return np.cumsum(x, axis), (lambda g: np.flip(np.cumsum(np.flip(g, axis), axis), axis),)


def logsumexp(x: Array, axis: Any = None, keepdims: bool = False) -> tuple[Array, Gradients]:
    """y = log(sum(exp(x))) along the axes: x gets g * exp(x - y)."""
    axes = _axes(axis, x.ndim)
    largest = x.max(axis=axes, keepdims=True)
    largest = np.where(np.isfinite(largest), largest, 0).astype(x.dtype)
    with np.errstate(divide="ignore"):
        full = np.log(np.exp(x - largest).sum(axis=axes, keepdims=True)) + largest
    y = full if keepdims else full.reshape([n for i, n in enumerate(x.shape) if i not in axes])
    return y, (lambda g: _spread(g, axes, keepdims) * np.exp(x - full),)


def norm(x: Array, ord: float = 2.0, axis: Any = None, keepdims: bool = False) -> tuple[Array, Gradients]:
    """y = sum(abs(x)**ord)**(1/ord): x gets g * sign(x) * (abs(x) / y)**(ord - 1), and nothing where y is 0."""
    axes = _axes(axis, x.ndim)
    size = np.abs(x)
    if not 0 < ord < math.inf:
        raise ValueError(f"norm: ord must be positive and finite, got {ord}; for others use abs, max and sum")
    full = (size**ord).sum(axis=axes, keepdims=True) ** (1 / ord)
    y = full if keepdims else full.reshape([n for i, n in enumerate(x.shape) if i not in axes])
    ratio = np.divide(size, full, out=np.zeros_like(size), where=full != 0)
    slope = np.sign(x) * ratio ** (ord - 1)
    return y.astype(x.dtype), (lambda g: _spread(g, axes, keepdims) * slope,)


# Products


def matmul(a: Array, b: Array) -> tuple[Array, Gradients]:
    """y = a @ b, over the last two axes: a gets g @ b.T, b gets a.T @ g."""
    y = np.matmul(a, b)
    left, right = (a[None] if a.ndim == 1 else a), (b[:, None] if b.ndim == 1 else b)
    shapes = a.shape, b.shape

    def full(g: Array) -> Array:
        g = g[..., None] if len(shapes[1]) == 1 else g
        return g[..., None, :] if len(shapes[0]) == 1 else g

    return np.asarray(y), (
        lambda g: unbroadcast(np.matmul(full(g), right.swapaxes(-1, -2)), left.shape).reshape(shapes[0]),
        lambda g: unbroadcast(np.matmul(left.swapaxes(-1, -2), full(g)), right.shape).reshape(shapes[1]),
    )


def dot(a: Array, b: Array) -> tuple[Array, Gradients]:
    """y = a . b of vectors and matrices, as `matmul`."""
    if a.ndim > 2 or b.ndim > 2:
        raise ValueError("dot: more than two axes have no known gradient here; use matmul, or @")
    return matmul(a, b)


def einsum(subscripts: str, *operands: Array) -> tuple[Array, Gradients]:
    """y = einsum(subscripts, ...): each operand gets the product of g with all others, summed to its own indices."""
    terms, arrow, result = subscripts.replace(" ", "").partition("->")
    names = terms.split(",")
    if not arrow or "." in subscripts or any(len(set(name)) < len(name) for name in names):
        raise ValueError(f"einsum: give the output's indices, none twice in a term, and no dots, got {subscripts!r}")
    y = np.asarray(np.einsum(subscripts, *operands, optimize=True))

    def gradient(number: int) -> Gradient:
        others = [i for i in range(len(names)) if i != number]
        known = set(result).union(*(names[i] for i in others))
        inner = "".join(index for index in names[number] if index in known)
        formula = ",".join([result, *(names[i] for i in others)]) + "->" + inner
        kept, shape = [operands[i] for i in others], operands[number].shape
        lost = tuple(i for i, index in enumerate(names[number]) if index not in known)

        def back(g: Array) -> Array:
            return np.broadcast_to(np.expand_dims(np.einsum(formula, g, *kept, optimize=True), lost), shape)

        return back

    return y, (None, *(gradient(number) for number in range(len(names))))


# Shapes


def reshape(x: Array, shape: Any) -> tuple[Array, Gradients]:
    """The same elements in another shape."""
    before = x.shape
    return x.reshape(shape), (lambda g: g.reshape(before),)


def transpose(x: Array, axes: Sequence[int] | None = None) -> tuple[Array, Gradients]:
    """y has x's axes in another order."""
    order = tuple(reversed(range(x.ndim))) if axes is None else _axes(tuple(axes), x.ndim)
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


def tile(x: Array, reps: Sequence[int]) -> tuple[Array, Gradients]:
    """y is x, laid side by side ``reps`` times along each axis."""
    reps = (reps,) if isinstance(reps, (int, np.integer)) else tuple(reps)
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


def astype(x: Array, dtype: Any) -> tuple[Array, Gradients]:
    """y is x in another float dtype."""
    before = x.dtype
    return x.astype(dtype), (lambda g: g.astype(before),)


# NumPy's functions, by which `np.sum(x)` and the like are looked up. Lists of arrays are given as separate arguments.

FUNCTIONS: dict[Any, Operation] = {
    **ELEMENTWISE,
    **{
        np.where: where,
        np.clip: clip,
        np.sum: total,
        np.mean: mean,
        np.var: var,
        np.std: std,
        np.prod: prod,
        np.max: _extreme(np.max),
        np.amax: _extreme(np.max),
        np.min: _extreme(np.min),
        np.amin: _extreme(np.min),
        np.take_along_axis: picked,
        np.cumsum: cumsum,
        np.matmul: matmul,
        np.dot: dot,
        np.einsum: einsum,
        np.reshape: reshape,
        np.transpose: transpose,
        np.swapaxes: swapaxes,
        np.moveaxis: moveaxis,
        np.expand_dims: expand_dims,
        np.squeeze: squeeze,
        np.broadcast_to: broadcast_to,
        np.flip: flip,
        np.roll: roll,
        np.tile: tile,
        np.repeat: repeat,
        np.tril: tril,
        np.triu: triu,
        np.pad: pad,
        np.concatenate: concatenate,
        np.stack: stack,
        np.split: split,
    },
}

# What is constant nearly everywhere: it is computed, and the gradient ends there.
CONSTANT: frozenset[Any] = frozenset(
    [np.greater, np.greater_equal, np.less, np.less_equal, np.equal, np.not_equal, np.sign, np.floor, np.ceil, np.rint]
    + [np.trunc, np.isnan, np.isfinite, np.isinf, np.logical_and, np.logical_or, np.logical_not, np.logical_xor]
    + [np.argmax, np.argmin, np.argsort, np.any, np.all, np.count_nonzero, np.nonzero, np.shape, np.ndim, np.size]
    + [np.zeros_like, np.ones_like, np.full_like, np.empty_like, np.allclose, np.isclose, np.array_equal, np.round]
    + [np.floor_divide, np.signbit, np.result_type, np.searchsorted]
)
