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
from collections.abc import Callable
from typing import Any

import numpy as np

from .._core import Array
from . import rearranging as shapes
from .rearranging import Gradient, Gradients, Operation, axes_of, unbroadcast

__all__ = ["CONSTANT", "ELEMENTWISE", "FUNCTIONS"]

# Elementwise: y = f(a, b), or f(a). Each formula gives one input's gradient from g and what else it names: a, b or y.


def _larger(g: Any, a: Any, b: Any) -> Any:
    """Return what a gets of the gradient g of max(a, b): all where it is larger, half of a tie, else nothing."""
    return np.where(np.equal(a, b), g / 2, np.where(np.greater(a, b), g, g.dtype.type(0)))


_FORMULAS: dict[np.ufunc, tuple[Callable[..., Any], ...]] = {
    np.add: (lambda g: g, lambda g: g),
    np.subtract: (lambda g: g, lambda g: -g),
    np.multiply: (lambda g, b: g * b, lambda g, a: g * a),
    np.divide: (lambda g, b: g / b, lambda g, y, b: -g * y / b),
    np.remainder: (lambda g: g, lambda g, a, b: -g * np.floor_divide(a, b)),
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
    np.maximum: (_larger, lambda g, a, b: _larger(g, b, a)),
    np.minimum: (lambda g, a, b: _larger(g, b, a), _larger),
}


def _elementwise(function: np.ufunc, formulas: tuple[Callable[..., Any], ...]) -> Operation:
    """Make an operation of its formulas; it undoes broadcasting."""
    order = {"y": 0, "a": 1, "b": 2}
    needs = [[order[name] for name in f.__code__.co_varnames[1 : f.__code__.co_argcount]] for f in formulas]

    def gradient(number: int, values: tuple[Any, ...]) -> Gradient | None:
        formula, y, x = formulas[number], values[0], values[number + 1]
        if not isinstance(x, np.ndarray):
            return None
        kept = [values[i] for i in needs[number]]
        if x.shape == y.shape:
            return (lambda g: formula(g, *kept)) if kept else formula
        shape = x.shape
        return lambda g: unbroadcast(formula(g, *kept), shape)

    def one(a: Any) -> tuple[Any, Gradients]:
        y = np.asarray(function(a))
        return y, (gradient(0, (y, a)),)

    def two(a: Any, b: Any) -> tuple[Any, Gradients]:
        a, b = alike(a, b)
        y = np.asarray(function(a, b))
        return y, (gradient(0, (y, a, b)), gradient(1, (y, a, b)))

    return one if len(formulas) == 1 else two


def alike(a: Any, b: Any) -> tuple[Any, Any]:
    """Return two operands, the weaker in the other's float dtype: float32 is made float64 by a float64 array alone.

    Weaker are numbers, arrays without axes, and arrays of integers, which NumPy's rules let make float64 of float32.
    """
    if type(a) is type(b) and a.dtype is b.dtype:  # nearly always
        return a, b
    floats = [x for x in (a, b) if isinstance(x, np.ndarray) and x.dtype.kind == "f"]
    if not floats:
        return a, b
    dtype = max([x for x in floats if x.ndim] or floats, key=lambda x: x.itemsize).dtype
    return _weak(a, dtype), _weak(b, dtype)


def _weak(x: Any, dtype: np.dtype[Any]) -> Any:
    if isinstance(x, np.ndarray):
        return x.astype(dtype) if x.dtype.kind in "iu" or (x.dtype.kind == "f" and not x.ndim) else x
    return dtype.type(x) if isinstance(x, (int, float, np.integer, np.floating)) and not isinstance(x, bool) else x


ELEMENTWISE: dict[Any, Operation] = {function: _elementwise(function, rules) for function, rules in _FORMULAS.items()}


def where(condition: Array, a: Any, b: Any) -> tuple[Array, Gradients]:
    """y = a where the condition holds, else b."""
    of_a, of_b = np.shape(a), np.shape(b)
    a, b = alike(a, b)
    return np.where(condition, a, b), (
        None,
        lambda g: unbroadcast(np.where(condition, g, g.dtype.type(0)), of_a),
        lambda g: unbroadcast(np.where(condition, g.dtype.type(0), g), of_b),
    )


def clip(x: Array, a_min: Any = None, a_max: Any = None) -> tuple[Array, Gradients]:
    """y = min(max(x, a_min), a_max); the gradient passes where x lies between them, bounds included."""
    a_min, a_max = (bound if bound is None else alike(x, bound)[1] for bound in (a_min, a_max))
    inside = np.logical_and(True if a_min is None else x >= a_min, True if a_max is None else x <= a_max)
    return np.clip(x, a_min, a_max), (lambda g: np.where(inside, g, g.dtype.type(0)),)


# Sums along axes: `spread` gives a reduced array the axes back that it lost.


def _spread(g: Any, axes: tuple[int, ...], keepdims: bool) -> Array:
    return np.asarray(g) if keepdims else np.expand_dims(np.asarray(g), axes)


def total(x: Array, axis: Any = None, keepdims: bool = False) -> tuple[Array, Gradients]:
    """y = sum of x along the axes: each element gets y's gradient."""
    axes, shape = axes_of(axis, x.ndim), x.shape
    y = np.asarray(x.sum(axis=axes, keepdims=keepdims))
    return y, (lambda g: np.broadcast_to(_spread(g, axes, keepdims), shape),)


def mean(x: Array, axis: Any = None, keepdims: bool = False) -> tuple[Array, Gradients]:
    """y = mean of x along the axes, of n elements: each gets g / n."""
    axes, shape = axes_of(axis, x.ndim), x.shape
    count = math.prod(shape[i] for i in axes)
    y = np.asarray(x.mean(axis=axes, keepdims=keepdims))
    return y, (lambda g: np.broadcast_to(_spread(g, axes, keepdims) / count, shape),)


def var(x: Array, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> tuple[Array, Gradients]:
    """y = sum (x - mean)**2 / (n - ddof): each element gets g * 2 * (x - mean) / (n - ddof)."""
    axes = axes_of(axis, x.ndim)
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
    axes = axes_of(axis, x.ndim)
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
        axes = axes_of(axis, x.ndim)
        y = np.asarray(function(x, axis=axes, keepdims=True))
        chosen = np.equal(x, y)
        counts = chosen.sum(axis=axes, keepdims=True)
        result = y if keepdims else y.reshape([n for i, n in enumerate(y.shape) if i not in axes])
        return result, (
            lambda g: np.where(chosen, (_spread(g, axes, keepdims) / counts).astype(g.dtype), g.dtype.type(0)),
        )

    return extreme


def picked(x: Array, indices: Array, axis: int) -> tuple[Array, Gradients]:
    """y = the elements of x at ``indices`` along an axis: they get its gradient, the sum where one is picked twice."""
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
    axes = axes_of(axis, x.ndim)
    largest = x.max(axis=axes, keepdims=True)
    largest = np.where(np.isfinite(largest), largest, 0).astype(x.dtype)
    with np.errstate(divide="ignore"):
        full = np.log(np.exp(x - largest).sum(axis=axes, keepdims=True)) + largest
    y = full if keepdims else full.reshape([n for i, n in enumerate(x.shape) if i not in axes])
    return y, (lambda g: _spread(g, axes, keepdims) * np.exp(x - full),)


def norm(x: Array, ord: float = 2.0, axis: Any = None, keepdims: bool = False) -> tuple[Array, Gradients]:
    """y = sum(abs(x)**ord)**(1/ord): x gets g * sign(x) * (abs(x) / y)**(ord - 1), and nothing where y is 0."""
    axes = axes_of(axis, x.ndim)
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


def astype(x: Array, dtype: Any) -> tuple[Array, Gradients]:
    """y is x in another float dtype."""
    before = x.dtype
    return x.astype(dtype), (lambda g: g.astype(before),)


# NumPy's functions, by which `np.sum(x)` and the like are looked up. Lists of arrays are given as separate arguments.

FUNCTIONS: dict[Any, Operation] = {
    **ELEMENTWISE,
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
    np.reshape: shapes.reshape,
    np.transpose: shapes.transpose,
    np.swapaxes: shapes.swapaxes,
    np.moveaxis: shapes.moveaxis,
    np.expand_dims: shapes.expand_dims,
    np.squeeze: shapes.squeeze,
    np.broadcast_to: shapes.broadcast_to,
    np.flip: shapes.flip,
    np.roll: shapes.roll,
    np.tile: shapes.tile,
    np.repeat: shapes.repeat,
    np.tril: shapes.tril,
    np.triu: shapes.triu,
    np.pad: shapes.pad,
    np.concatenate: shapes.concatenate,
    np.stack: shapes.stack,
    np.split: shapes.split,
}

# What is constant nearly everywhere: it is computed, and the gradient ends there.
CONSTANT: frozenset[Any] = frozenset(
    [
        *(np.greater, np.greater_equal, np.less, np.less_equal, np.equal, np.not_equal, np.sign, np.floor, np.ceil),
        *(np.rint, np.trunc, np.isnan, np.isfinite, np.isinf, np.logical_and, np.logical_or, np.logical_not, np.round),
        *(np.logical_xor, np.argmax, np.argmin, np.argsort, np.any, np.all, np.count_nonzero, np.nonzero, np.shape),
        *(np.ndim, np.size, np.zeros_like, np.ones_like, np.full_like, np.empty_like, np.allclose, np.isclose),
        *(np.array_equal, np.floor_divide, np.signbit, np.result_type, np.searchsorted),
    ]
)
