"""ONNX operators that are no layer of minidl's, as modules: arithmetic with broadcasting, and moving numbers about.

Those with several inputs return the gradients of all of them from `backward`, as a tuple.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .._core import Array, check_grad
from ..nn import Module, Parameter

__all__ = ["ELEMENTWISE", "Concat", "Elementwise", "Pad", "Reduce", "Reshape", "Sum", "Take", "Transpose"]

# operator -> (what it computes, the gradient of each operand: of grad, output and operands; None where there is none)
Slope = Callable[..., Array] | None
ELEMENTWISE: dict[str, tuple[Callable[..., Array], tuple[Slope, ...]]] = {
    "Add": (np.add, (lambda g, y, a, b: g, lambda g, y, a, b: g)),
    "Sub": (np.subtract, (lambda g, y, a, b: g, lambda g, y, a, b: -g)),
    "Mul": (np.multiply, (lambda g, y, a, b: g * b, lambda g, y, a, b: g * a)),
    "Div": (np.divide, (lambda g, y, a, b: g / b, lambda g, y, a, b: -g * y / b)),
    "Pow": (np.power, (lambda g, y, a, b: g * b * a ** (b - 1), lambda g, y, a, b: g * y * np.log(a))),
    "Neg": (np.negative, (lambda g, y, a: -g,)),
    "Sqrt": (np.sqrt, (lambda g, y, a: g / (2 * y),)),
    "Greater": (np.greater, (None, None)),
    "Where": (np.where, (None, lambda g, y, c, a, b: np.where(c, g, 0), lambda g, y, c, a, b: np.where(c, 0, g))),
}


class Elementwise(Module):
    """An operator on numbers, of arrays that broadcast to each other.

    Args:
        operator: its name, one of `ELEMENTWISE`.
        operands: an array for each operand that is fixed, a Parameter for one that is learnt, None for an input.
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
        if self.operator == "Pow":  # an exponent may be of another type
            out = out.astype(operands[0].dtype, copy=False)
        self.save_for_backward((operands, out))
        return out

    def backward(self, grad_output: Array) -> tuple[Array | None, ...]:
        """Add the gradients of the operands that are learnt; return those of the inputs."""
        operands, out = self.take_saved()
        check_grad(grad_output, out.shape, out.dtype)
        grads: list[Array | None] = []
        for name, slope, operand in zip(self._given, ELEMENTWISE[self.operator][1], operands, strict=True):
            learnt = name is not None and isinstance(getattr(self, name), Parameter)
            if name is not None and not learnt:
                continue
            with np.errstate(invalid="ignore", divide="ignore"):
                grad = None if slope is None else _sum_to(slope(grad_output, out, *operands), operand.shape)
            if name is None:
                grads.append(grad)
            elif grad is not None:
                getattr(self, name).add_grad(grad)
        return tuple(grads)

    def extra_repr(self) -> str:
        """The operator."""
        return self.operator


def _sum_to(grad: Array, shape: tuple[int, ...]) -> Array:
    """Undo broadcasting: add up what came from one number."""
    grad = grad.sum(axis=tuple(range(grad.ndim - len(shape))))
    axes = tuple(axis for axis, size in enumerate(shape) if size == 1 and grad.shape[axis] != 1)
    return np.asarray(grad.sum(axis=axes, keepdims=True))


class Concat(Module):
    """Put arrays one after another along an axis."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, *inputs: Array) -> Array:
        """Put them together."""
        out = np.concatenate(inputs, axis=self.axis)
        self.save_for_backward(([x.shape[self.axis] for x in inputs], out.shape, out.dtype))
        return out

    def backward(self, grad_output: Array) -> tuple[Array, ...]:
        """Take them apart."""
        sizes, shape, dtype = self.take_saved()
        check_grad(grad_output, shape, dtype)
        return tuple(np.split(grad_output, np.cumsum(sizes)[:-1], axis=self.axis))


class Sum(Module):
    """Add arrays that broadcast to each other."""

    def forward(self, *inputs: Array) -> Array:
        """Add them."""
        total: Array = np.asarray(sum(inputs[1:], inputs[0]))
        self.save_for_backward(([x.shape for x in inputs], total.shape, total.dtype))
        return total

    def backward(self, grad_output: Array) -> tuple[Array, ...]:
        """Give each the gradient."""
        shapes, shape, dtype = self.take_saved()
        check_grad(grad_output, shape, dtype)
        return tuple(_sum_to(grad_output, own) for own in shapes)


class Reduce(Module):
    """Mean or maximum over axes. A tie's gradient goes to the first maximum, in row-major order.

    Args:
        largest: whether it is the maximum.
        axes: over which; None is all.
        keepdims: whether they stay, with size one.
    """

    def __init__(self, largest: bool, axes: Sequence[int] | None, keepdims: bool) -> None:
        super().__init__()
        self.largest, self.axes, self.keepdims = largest, axes, keepdims

    def forward(self, x: Array) -> Array:
        """Reduce."""
        axes = tuple(range(x.ndim)) if self.axes is None else tuple(axis % x.ndim for axis in self.axes)
        out = (np.max if self.largest else np.mean)(x, axis=axes, keepdims=self.keepdims)
        self.save_for_backward((x, axes, np.shape(out)))
        return np.asarray(out)

    def backward(self, grad_output: Array) -> Array:
        """Spread the gradient."""
        x, axes, shape = self.take_saved()
        check_grad(grad_output, shape, x.dtype)
        grad = grad_output if self.keepdims else np.expand_dims(grad_output, axes)
        if not self.largest:
            count = np.prod([x.shape[axis] for axis in axes]).astype(x.dtype)
            return np.array(np.broadcast_to(grad / count, x.shape))
        kept = [axis for axis in range(x.ndim) if axis not in axes]
        order = [*kept, *axes]
        rows = x.transpose(order).reshape(*(x.shape[axis] for axis in kept), -1)
        dx = np.zeros_like(rows)
        np.put_along_axis(dx, rows.argmax(axis=-1)[..., None], grad.transpose(order).reshape(*rows.shape[:-1], 1), -1)
        return np.transpose(dx.reshape([x.shape[axis] for axis in order]), np.argsort(order))


class Take(Module):
    """Take a part of an array.

    Args:
        index: a slice or an array of numbers for each of the first axes; what stands once may be taken twice.
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
        """Put the gradient where it came from."""
        shape, out_shape, dtype = self.take_saved()
        check_grad(grad_output, out_shape, dtype)
        dx: Array = np.zeros(shape, dtype)
        np.add.at(dx, self._index(len(shape)), grad_output)
        return dx


class Pad(Module):
    """Put a constant around an array, or cut off where a size is negative.

    Args:
        pads: (before, after) for each axis.
        value: the constant.
    """

    def __init__(self, pads: Sequence[tuple[int, int]], value: float) -> None:
        super().__init__()
        self.pads, self.value = list(pads), value

    def forward(self, x: Array) -> Array:
        """Pad and cut."""
        grown = [(max(before, 0), max(after, 0)) for before, after in self.pads]
        cut = tuple(slice(max(-before, 0), -max(-after, 0) or None) for before, after in self.pads)
        out = np.pad(x, grown, constant_values=self.value)[cut]
        self.save_for_backward((out.shape, out.dtype))
        return out

    def backward(self, grad_output: Array) -> Array:
        """Leave the padding out."""
        check_grad(grad_output, *self.take_saved())
        back = Pad([(-before, -after) for before, after in self.pads], 0.0)
        return back.forward(grad_output)


class Reshape(Module):
    """Give another shape: 0 keeps an axis's size, one -1 takes what is left. A Flatten's axis comes as ``flatten``."""

    def __init__(self, shape: Sequence[int] = (), *, flatten: int | None = None) -> None:
        super().__init__()
        self.shape, self.flatten = [int(size) for size in shape], flatten

    def forward(self, x: Array) -> Array:
        """Reshape."""
        if self.flatten is None:
            shape = [x.shape[axis] if size == 0 else size for axis, size in enumerate(self.shape)]
        else:
            shape = [int(np.prod(x.shape[: self.flatten])), -1]
        out = x.reshape(shape)
        self.save_for_backward((x.shape, out.shape, x.dtype))
        return out

    def backward(self, grad_output: Array) -> Array:
        """Reshape back."""
        shape, out_shape, dtype = self.take_saved()
        return np.reshape(check_grad(grad_output, out_shape, dtype), shape)


class Transpose(Module):
    """Put the axes into another order; None reverses them."""

    def __init__(self, order: Sequence[int] | None) -> None:
        super().__init__()
        self.order = order

    def forward(self, x: Array) -> Array:
        """Put them into that order."""
        out = x.transpose(self.order)
        self.save_for_backward((out.shape, out.dtype))
        return out

    def backward(self, grad_output: Array) -> Array:
        """Put them back."""
        check_grad(grad_output, *self.take_saved())
        return grad_output.transpose(None if self.order is None else np.argsort(self.order))
