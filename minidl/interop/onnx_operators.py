"""ONNX operators that are not layers of minidl, as functions of values: arithmetic, reductions, moving data.

`OPERATORS` is the table of them. They are computed by operations of a recorded forward, which give their backward.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np

from .._core import Array
from ..nn import Module, Parameter
from ..nn.rearranging import axes_of

__all__ = ["OPERATORS", "Operator"]


class Operator(Module):
    """An ONNX operator.

    Args:
        operator: its name, one of `OPERATORS`.
        operands: for each operand an array if it is fixed, a Parameter if it is learned, None if it is an input.
        **options: what else the function in the table takes.
    """

    def __init__(self, operator: str, operands: Sequence[Array | Parameter | None] = (None,), **options: Any) -> None:
        super().__init__()
        self.operator, self.options = operator, options
        self._given = [None if operand is None else f"operand{number}" for number, operand in enumerate(operands)]
        for number, operand in enumerate(operands):
            if isinstance(operand, Parameter):
                setattr(self, f"operand{number}", operand)
            elif operand is not None:
                self.register_buffer(f"operand{number}", operand)

    def forward(self, *inputs: Any) -> Any:
        """Apply the operator."""
        rest = iter(inputs)
        operands = [next(rest) if name is None else getattr(self, name) for name in self._given]
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            return OPERATORS[self.operator](*operands, **self.options)

    def extra_repr(self) -> str:
        """The operator and its options."""
        return ", ".join([self.operator, *(f"{name}={value}" for name, value in self.options.items())])


def _quotient(a: Any, b: Any) -> Any:
    """Divide; integers towards zero, where NumPy makes floats of them."""
    if a.dtype.kind not in "iu":
        return np.divide(a, b)
    below = np.floor_divide(a, b)
    uneven = np.logical_and(np.remainder(a, b) != 0, np.logical_xor(a < 0, b < 0))
    return below + uneven.astype(a.dtype)


def _power(a: Any, b: Any) -> Any:
    """Raise to a power, whose dtype may be another; the base's stays, and its integers are cut off towards zero."""
    if a.dtype.kind not in "iu":
        return np.power(a, b.astype(a.dtype))
    cut = np.power(a.astype(np.float64), b.astype(np.float64)).astype(a.dtype)
    if b.dtype.kind not in "iu":
        return cut
    return np.where(b >= 0, np.power(a, np.maximum(b, 0).astype(a.dtype)), cut)


def _clipped(x: Any, low: float, high: float) -> Any:
    """Limit; where low is above high, the result is high."""
    return np.minimum(np.maximum(x, x.dtype.type(low)), x.dtype.type(high))


def _many(function: np.ufunc) -> Callable[..., Any]:
    return lambda *inputs: reduce(function, inputs[1:], np.positive(inputs[0]))


def _matmul_add(a: Any, b: Any, c: Any = None, transB: bool = False) -> Any:
    out = a @ (b.T if transB else b)
    return out if c is None else out + c


def _reduced(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a reduction over ``axes``, of which None means all; the result has the dtype of x."""

    def reduction(x: Any, axes: Sequence[int] | None, keepdims: bool) -> Any:
        out = function(x, axes_of(axes if axes is None else tuple(axes), x.ndim), keepdims)
        return out.astype(x.dtype) if x.dtype.kind in "iu" else out

    return reduction


def _mean(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    if x.dtype.kind not in "iu":
        return np.mean(x, axis=axes, keepdims=keepdims)
    count = np.asarray(math.prod(x.shape[axis] for axis in axes), np.int64)
    return _quotient(np.sum(x, axis=axes, keepdims=keepdims), count)


def _running_sum(x: Any, axis: int) -> Any:
    out = np.cumsum(x, axis)
    return out.astype(x.dtype) if x.dtype.kind in "iu" else out


def _extreme(name: str) -> Callable[..., Any]:
    """Return maximum or minimum; the gradient of a tie goes to the first one in row-major order."""

    def extreme(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
        for axis in sorted(axes, reverse=True):
            x = getattr(x, name)(dim=axis, keepdim=True)[0]
        return x if keepdims else np.squeeze(x, axes)

    return extreme


def _logsumexp(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    largest = x.detach().amax(axes, keepdim=True)
    out = np.log(np.sum(np.exp(x - largest), axis=axes, keepdims=True)) + largest
    return out if keepdims else np.squeeze(out, axes)


def _concatenate(*inputs: Any, axis: int) -> Any:
    return np.concatenate(list(inputs), axis=axis)


def _taken(x: Any, index: dict[int, Any]) -> Any:
    """Take slices and positions by axis, one axis after another."""
    for axis, part in index.items():
        back = isinstance(part, slice) and part.step is not None and part.step < 0
        x = x[(slice(None),) * (axis % x.ndim) + (_backwards(part, x.shape[axis]) if back else part,)]
    return x


def _backwards(part: slice, size: int) -> slice:
    """Return NumPy's form of ONNX's slice with a negative step: a start before the first place is the first one."""
    start = part.start + size if part.start < 0 else part.start
    return slice(min(max(start, 0), size - 1), part.stop, part.step) if size else slice(0, 0)


def _padded(x: Any, pads: Sequence[tuple[int, int]], value: float) -> Any:
    grown = [(max(before, 0), max(after, 0)) for before, after in pads]
    crop = tuple(slice(max(-before, 0), -max(-after, 0) or None) for before, after in pads)
    x = np.pad(x, grown, constant_values=value) if any(map(any, grown)) else x
    if any(part != slice(0, None) for part in crop):
        return x[crop]
    return x if x.dtype == bool else np.positive(x)


def _reshaped(x: Any, shape: Sequence[int]) -> Any:
    """Give a shape in which 0 keeps the size of that axis and one -1 is inferred."""
    return np.reshape(x, [x.shape[axis] if size == 0 else size for axis, size in enumerate(shape)])


def _flattened(x: Any, axis: int) -> Any:
    return np.reshape(x, (int(np.prod(x.shape[:axis])), -1))


def _squeezed(x: Any, axes: Sequence[int] | None) -> Any:
    ones = [axis for axis, size in enumerate(x.shape) if size == 1]
    wanted = ones if axes is None else [axis % x.ndim for axis in axes]
    if not set(wanted) <= set(ones):
        raise ValueError(f"Squeeze: axes {axes} must have size 1, got an input of shape {x.shape}")
    return np.squeeze(x, tuple(wanted))


def _expanded(x: Any, shape: Sequence[int]) -> Any:
    return np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(int(n) for n in shape)))


def _triangle(x: Any, k: int, upper: bool) -> Any:
    return np.triu(x, k) if upper else np.tril(x, k)


def _place(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, axis, keepdims: function(x, axis=axis, keepdims=keepdims)


# The value of each operator for its operands; the options are those that `onnx_builders` gives.
OPERATORS: dict[str, Callable[..., Any]] = {
    "Abs": np.abs,
    "Acos": np.arccos,
    "Add": np.add,
    "And": np.logical_and,
    "ArgMax": _place(np.argmax),
    "ArgMin": _place(np.argmin),
    "Asin": np.arcsin,
    "Atan": np.arctan,
    "Cast": lambda x, dtype: x.astype(np.dtype(dtype)),
    "Ceil": np.ceil,
    "Clip": _clipped,
    "Concat": _concatenate,
    "Cos": np.cos,
    "Cosh": np.cosh,
    "CumSum": _running_sum,
    "Div": _quotient,
    "Einsum": lambda *inputs, equation: np.einsum(equation, *inputs),
    "Equal": np.equal,
    "Exp": np.exp,
    "Expand": _expanded,
    "Flatten": _flattened,
    "Floor": np.floor,
    "Gather": lambda table, indices: table[indices],
    "Gemm": _matmul_add,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "Identity": lambda x: x,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "Log": np.log,
    "MatMul": np.matmul,
    "Max": _many(np.maximum),
    "Min": _many(np.minimum),
    "Mul": np.multiply,
    "Neg": np.negative,
    "Not": np.logical_not,
    "Or": np.logical_or,
    "Pad": _padded,
    "Pow": _power,
    "Reciprocal": np.reciprocal,
    "ReduceL1": _reduced(lambda x, axes, keepdims: np.sum(np.abs(x), axis=axes, keepdims=keepdims)),
    "ReduceL2": _reduced(lambda x, axes, keepdims: np.sqrt(np.sum(x * x, axis=axes, keepdims=keepdims))),
    "ReduceLogSumExp": _reduced(_logsumexp),
    "ReduceMax": _reduced(_extreme("max")),
    "ReduceMean": _reduced(_mean),
    "ReduceMin": _reduced(_extreme("min")),
    "ReduceProd": _reduced(lambda x, axes, keepdims: np.prod(x, axis=axes, keepdims=keepdims)),
    "ReduceSum": _reduced(lambda x, axes, keepdims: np.sum(x, axis=axes, keepdims=keepdims)),
    "Reshape": _reshaped,
    "Round": np.rint,
    "Shape": lambda x, start, end: np.array(x.shape[start:end], np.int64),
    "Sign": np.sign,
    "Sin": np.sin,
    "Sinh": np.sinh,
    "Slice": _taken,
    "Sqrt": np.sqrt,
    "Squeeze": _squeezed,
    "Sub": np.subtract,
    "Sum": _many(np.add),
    "Tan": np.tan,
    "Tanh": np.tanh,
    "Tile": lambda x, reps: np.tile(x, tuple(reps)),
    "Transpose": np.transpose,
    "Trilu": _triangle,
    "Unsqueeze": lambda x, axes: np.expand_dims(x, tuple(axes)),
    "Where": np.where,
    "Xor": np.logical_xor,
}
