"""Modules for ONNX operators that are not layers of minidl: arithmetic with broadcasting, reductions, moving data.

Those with several inputs return the gradients of all inputs from `backward`, as a tuple.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .._core import Array, check_grad
from ..nn import Module, Parameter

__all__ = [
    "ELEMENTWISE",
    "REDUCTIONS",
    "Concat",
    "Elementwise",
    "Flatten",
    "Pad",
    "Reduce",
    "Reshape",
    "Squeeze",
    "Sum",
    "Take",
    "Transpose",
    "Unsqueeze",
]

# operator: (its value, the gradient of each operand as a function of grad, output and operands; None: no gradient)
Slope = Callable[..., Array] | None
ELEMENTWISE: dict[str, tuple[Callable[..., Array], tuple[Slope, ...]]] = {
    "Abs": (np.abs, (lambda g, y, a: g * np.sign(a),)),
    "Add": (np.add, (lambda g, y, a, b: g, lambda g, y, a, b: g)),
    "Div": (np.divide, (lambda g, y, a, b: g / b, lambda g, y, a, b: -g * y / b)),
    "Exp": (np.exp, (lambda g, y, a: g * y,)),
    "Greater": (np.greater, (None, None)),
    "Log": (np.log, (lambda g, y, a: g / a,)),
    "Mul": (np.multiply, (lambda g, y, a, b: g * b, lambda g, y, a, b: g * a)),
    "Neg": (np.negative, (lambda g, y, a: -g,)),
    "Pow": (np.power, (lambda g, y, a, b: g * b * a ** (b - 1), lambda g, y, a, b: g * y * np.log(a))),
    "Sqrt": (np.sqrt, (lambda g, y, a: g / (2 * y),)),
    "Sub": (np.subtract, (lambda g, y, a, b: g, lambda g, y, a, b: -g)),
    "Where": (np.where, (None, lambda g, y, c, a, b: np.where(c, g, 0), lambda g, y, c, a, b: np.where(c, 0, g))),
}


class Elementwise(Module):
    """An elementwise operator on arrays that broadcast to each other.

    Args:
        operator: its name, one of `ELEMENTWISE`.
        operands: for each operand an array if it is fixed, a Parameter if it is learned, None if it is an input.
    """

    def __init__(self, operator: str, operands: Sequence[Array | Parameter | None]) -> None:
        super().__init__()
        self.operator = operator
        self._given = [None if operand is None else f"operand{number}" for number, operand in enumerate(operands)]
        for number, operand in enumerate(operands):
            if isinstance(operand, Parameter):
                setattr(self, f"operand{number}", operand)
            elif operand is not None:
                self.register_buffer(f"operand{number}", operand)

    def forward(self, *inputs: Array) -> Array:
        """Apply the operator."""
        rest = iter(inputs)
        given = [next(rest) if name is None else getattr(self, name) for name in self._given]
        operands = [operand.data if isinstance(operand, Parameter) else operand for operand in given]
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            out = np.asarray(ELEMENTWISE[self.operator][0](*operands))
        if self.operator == "Pow":  # the exponent may have another dtype
            out = out.astype(operands[0].dtype, copy=False)
        self.save_for_backward((operands, out))
        return out

    def backward(self, grad_output: Array) -> tuple[Array | None, ...]:
        """Add the gradients of the operands that are learned; return those of the inputs."""
        operands, out = self.take_saved()
        check_grad(grad_output, out.shape, out.dtype)
        grads: list[Array | None] = []
        for name, slope, operand in zip(self._given, ELEMENTWISE[self.operator][1], operands, strict=True):
            learnt = name is not None and isinstance(getattr(self, name), Parameter)
            if name is not None and not learnt:
                continue
            with np.errstate(invalid="ignore", divide="ignore"):
                grad = None if slope is None else _sum_to(slope(grad_output, out, *operands), operand.shape)
            if grad is not None:
                grad = grad.astype(grad_output.dtype, copy=False)  # Pow's exponent may have another dtype
            if name is None:
                grads.append(grad)
            elif grad is not None:
                getattr(self, name).add_grad(grad)
        return tuple(grads)

    def extra_repr(self) -> str:
        """The operator."""
        return self.operator


def _sum_to(grad: Array, shape: tuple[int, ...]) -> Array:
    """Undo broadcasting: add up the gradients of all copies of a number."""
    grad = grad.sum(axis=tuple(range(grad.ndim - len(shape))))
    axes = tuple(axis for axis, size in enumerate(shape) if size == 1 and grad.shape[axis] != 1)
    return np.asarray(grad.sum(axis=axes, keepdims=True))


class Sum(Module):
    """Add arrays that broadcast to each other."""

    def forward(self, *inputs: Array) -> Array:
        """Add them."""
        total: Array = np.asarray(sum(inputs[1:], inputs[0]))
        self.save_for_backward(([x.shape for x in inputs], total.shape, total.dtype))
        return total

    def backward(self, grad_output: Array) -> tuple[Array, ...]:
        """Pass the gradient to every input."""
        shapes, shape, dtype = self.take_saved()
        check_grad(grad_output, shape, dtype)
        return tuple(_sum_to(grad_output, own) for own in shapes)


REDUCTIONS: dict[str, Callable[..., Array]] = {"ReduceMax": np.max, "ReduceMean": np.mean, "ReduceSum": np.sum}


class Reduce(Module):
    """Maximum, mean or sum over axes. The gradient of a tie goes to the first maximum, in row-major order.

    Args:
        operator: its name, one of `REDUCTIONS`.
        axes: the axes to reduce; None means all.
        keepdims: whether they stay, with size one.
    """

    def __init__(self, operator: str, axes: Sequence[int] | None, keepdims: bool) -> None:
        super().__init__()
        self.operator, self.axes, self.keepdims = operator, axes, keepdims

    def forward(self, x: Array) -> Array:
        """Reduce."""
        axes = tuple(range(x.ndim)) if self.axes is None else tuple(axis % x.ndim for axis in self.axes)
        out = REDUCTIONS[self.operator](x, axis=axes, keepdims=self.keepdims)
        self.save_for_backward((x, axes, np.shape(out)))
        return np.asarray(out)

    def backward(self, grad_output: Array) -> Array:
        """Spread the gradient over the numbers that were reduced."""
        x, axes, shape = self.take_saved()
        check_grad(grad_output, shape, x.dtype)
        grad = grad_output if self.keepdims else np.expand_dims(grad_output, axes)
        if self.operator == "ReduceMax":
            return _to_first_maximum(grad, x, axes)
        if self.operator == "ReduceMean":
            grad = grad / np.prod([x.shape[axis] for axis in axes]).astype(x.dtype)
        return np.array(np.broadcast_to(grad, x.shape))


def _to_first_maximum(grad: Array, x: Array, axes: tuple[int, ...]) -> Array:
    kept = [axis for axis in range(x.ndim) if axis not in axes]
    order = [*kept, *axes]
    rows = x.transpose(order).reshape(*(x.shape[axis] for axis in kept), -1)
    dx = np.zeros_like(rows)
    np.put_along_axis(dx, rows.argmax(axis=-1)[..., None], grad.transpose(order).reshape(*rows.shape[:-1], 1), -1)
    return np.transpose(dx.reshape([x.shape[axis] for axis in order]), np.argsort(order))


class Concat(Module):
    """Concatenate arrays along an axis."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, *inputs: Array) -> Array:
        """Concatenate them."""
        out = np.concatenate(inputs, axis=self.axis)
        self.save_for_backward(([x.shape[self.axis] for x in inputs], out.shape, out.dtype))
        return out

    def backward(self, grad_output: Array) -> tuple[Array, ...]:
        """Split the gradient."""
        sizes, shape, dtype = self.take_saved()
        check_grad(grad_output, shape, dtype)
        return tuple(np.split(grad_output, np.cumsum(sizes)[:-1], axis=self.axis))


class Take(Module):
    """Take a part of an array.

    Args:
        index: by axis, a slice or an array of positions; a position may appear more than once.
    """

    def __init__(self, index: dict[int, Any]) -> None:
        super().__init__()
        self.index = index

    def _index(self, dimensions: int) -> tuple[Any, ...]:
        wanted = {axis % dimensions: part for axis, part in self.index.items()}
        return tuple(wanted.get(axis, slice(None)) for axis in range(dimensions))

    def forward(self, x: Array) -> Array:
        """Take it."""
        out: Array = x[self._index(x.ndim)]
        self.save_for_backward((x.shape, out.shape, x.dtype))
        return out

    def backward(self, grad_output: Array) -> Array:
        """Add the gradient where the part was taken from."""
        shape, out_shape, dtype = self.take_saved()
        check_grad(grad_output, out_shape, dtype)
        dx: Array = np.zeros(shape, dtype)
        np.add.at(dx, self._index(len(shape)), grad_output)
        return dx


class Pad(Module):
    """Pad an array with a constant, or crop it where a size is negative.

    Args:
        pads: (before, after) for each axis.
        value: the constant.
    """

    def __init__(self, pads: Sequence[tuple[int, int]], value: float) -> None:
        super().__init__()
        self.pads, self.value = list(pads), value

    def forward(self, x: Array) -> Array:
        """Pad and crop."""
        out = _padded(x, self.pads, self.value)
        self.save_for_backward((out.shape, out.dtype))
        return out

    def backward(self, grad_output: Array) -> Array:
        """Crop what was padded, and pad what was cropped with zeros."""
        check_grad(grad_output, *self.take_saved())
        return _padded(grad_output, [(-before, -after) for before, after in self.pads], 0.0)


def _padded(x: Array, pads: Sequence[tuple[int, int]], value: float) -> Array:
    grown = [(max(before, 0), max(after, 0)) for before, after in pads]
    crop = tuple(slice(max(-before, 0), -max(-after, 0) or None) for before, after in pads)
    return np.pad(x, grown, constant_values=value)[crop]


class _Reshaped(Module):
    """Base of the operators that only change the shape: a subclass defines the output's shape in `new_shape`."""

    def new_shape(self, shape: tuple[int, ...]) -> Sequence[int]:
        """Return the shape of the output for an input of ``shape``."""
        raise NotImplementedError

    def forward(self, x: Array) -> Array:
        """Reshape."""
        out = x.reshape(self.new_shape(x.shape))
        self.save_for_backward((x.shape, out.shape, x.dtype))
        return out

    def backward(self, grad_output: Array) -> Array:
        """Reshape back."""
        shape, out_shape, dtype = self.take_saved()
        return np.reshape(check_grad(grad_output, out_shape, dtype), shape)


class Reshape(_Reshaped):
    """Give an array a shape in which 0 keeps the size of that axis and one -1 is inferred."""

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = list(shape)

    def new_shape(self, shape: tuple[int, ...]) -> Sequence[int]:
        """Fill in the sizes that are kept."""
        return [shape[axis] if size == 0 else size for axis, size in enumerate(self.shape)]


class Flatten(_Reshaped):
    """Make an array a matrix: its rows are the axes before ``axis``, its columns the others."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis

    def new_shape(self, shape: tuple[int, ...]) -> Sequence[int]:
        """Multiply the sizes on both sides of the axis."""
        return [int(np.prod(shape[: self.axis])), -1]


class Squeeze(_Reshaped):
    """Remove axes of size 1; None means all of them."""

    def __init__(self, axes: Sequence[int] | None) -> None:
        super().__init__()
        self.axes = axes

    def new_shape(self, shape: tuple[int, ...]) -> Sequence[int]:
        """Leave the axes out."""
        ones = [axis for axis, size in enumerate(shape) if size == 1]
        axes = ones if self.axes is None else [axis % len(shape) for axis in self.axes]
        if not set(axes) <= set(ones):
            raise ValueError(f"axes {self.axes} must have size 1, got an input of shape {shape}")
        return [size for axis, size in enumerate(shape) if axis not in axes]


class Unsqueeze(_Reshaped):
    """Insert axes of size 1, counted in the output."""

    def __init__(self, axes: Sequence[int]) -> None:
        super().__init__()
        self.axes = axes

    def new_shape(self, shape: tuple[int, ...]) -> Sequence[int]:
        """Insert them."""
        rank, sizes = len(shape) + len(self.axes), iter(shape)
        axes = [axis % rank for axis in self.axes]
        return [1 if axis in axes else next(sizes) for axis in range(rank)]


class Transpose(Module):
    """Permute the axes; None reverses them."""

    def __init__(self, order: Sequence[int] | None) -> None:
        super().__init__()
        self.order = order

    def forward(self, x: Array) -> Array:
        """Permute them."""
        out = x.transpose(self.order)
        self.save_for_backward((out.shape, out.dtype))
        return out

    def backward(self, grad_output: Array) -> Array:
        """Undo the permutation."""
        check_grad(grad_output, *self.take_saved())
        return grad_output.transpose(None if self.order is None else np.argsort(self.order))
