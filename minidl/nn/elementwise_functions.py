"""PyTorch's functions of the elements of tensors, and products: ``minidl.exp``, ``where``, ``clamp``, ``matmul``.

Values of a recorded forward pass, and Parameters in it, are recorded; arrays give arrays.
"""

# mypy: disable-error-code="no-any-return"
from __future__ import annotations

from string import ascii_letters
from typing import Any

import numpy as np

from . import operations as op
from .modes import mode
from .recording import apply, compute, constant, outside, plain
from .tensor import Operand, Tensor, operand

__all__ = [
    "abs",
    "acos",
    "add",
    "allclose",
    "asin",
    "atan",
    "atan2",
    "bmm",
    "ceil",
    "clamp",
    "clamp_max",
    "clamp_min",
    "clip",
    "clone",
    "cos",
    "cosh",
    "count_nonzero",
    "detach",
    "div",
    "dot",
    "einsum",
    "eq",
    "equal",
    "exp",
    "exp2",
    "expm1",
    "floor",
    "ge",
    "gt",
    "hypot",
    "is_tensor",
    "isfinite",
    "isinf",
    "isnan",
    "le",
    "log",
    "log1p",
    "log2",
    "log10",
    "logaddexp",
    "logical_and",
    "logical_not",
    "logical_or",
    "lt",
    "masked_fill",
    "matmul",
    "maximum",
    "minimum",
    "mm",
    "mul",
    "mv",
    "ne",
    "neg",
    "nonzero",
    "numel",
    "outer",
    "pow",
    "reciprocal",
    "round",
    "rsqrt",
    "sign",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "sub",
    "tan",
    "trunc",
    "where",
]


# Elementwise


def _elementwise(function: np.ufunc, name: str) -> Any:
    operation = op.ELEMENTWISE[function]

    def of_each(input: Any) -> Any:
        return apply(operation, input)

    of_each.__name__ = of_each.__qualname__ = name
    of_each.__doc__ = f"Return NumPy's {function.__name__} of each element of ``input``."
    return of_each


abs = _elementwise(np.absolute, "abs")
acos = _elementwise(np.arccos, "acos")
asin = _elementwise(np.arcsin, "asin")
atan = _elementwise(np.arctan, "atan")
cos = _elementwise(np.cos, "cos")
cosh = _elementwise(np.cosh, "cosh")
exp = _elementwise(np.exp, "exp")
exp2 = _elementwise(np.exp2, "exp2")
expm1 = _elementwise(np.expm1, "expm1")
log = _elementwise(np.log, "log")
log10 = _elementwise(np.log10, "log10")
log1p = _elementwise(np.log1p, "log1p")
log2 = _elementwise(np.log2, "log2")
neg = _elementwise(np.negative, "neg")
reciprocal = _elementwise(np.reciprocal, "reciprocal")
sin = _elementwise(np.sin, "sin")
sinh = _elementwise(np.sinh, "sinh")
sqrt = _elementwise(np.sqrt, "sqrt")
square = _elementwise(np.square, "square")
tan = _elementwise(np.tan, "tan")


def rsqrt(input: Any) -> Any:
    """Return 1 / sqrt(input)."""
    return reciprocal(sqrt(input))


def _binary(function: np.ufunc, name: str) -> Any:
    operation = op.ELEMENTWISE[function]

    def of_both(input: Any, other: Any) -> Any:
        return apply(operation, input, other)

    of_both.__name__ = of_both.__qualname__ = name
    of_both.__doc__ = f"Return NumPy's {function.__name__} of ``input`` and ``other``, which are broadcast."
    return of_both


atan2 = _binary(np.arctan2, "atan2")
div = _binary(np.divide, "div")
hypot = _binary(np.hypot, "hypot")
logaddexp = _binary(np.logaddexp, "logaddexp")
maximum = _binary(np.maximum, "maximum")
minimum = _binary(np.minimum, "minimum")
mul = _binary(np.multiply, "mul")


def add(input: Any, other: Any, *, alpha: float = 1) -> Any:
    """Return input + alpha * other."""
    return operand(input).add(other, alpha)


def sub(input: Any, other: Any, *, alpha: float = 1) -> Any:
    """Return input - alpha * other."""
    return operand(input).sub(other, alpha)


def pow(input: Any, exponent: Any) -> Any:
    """Return input ** exponent."""
    return apply(op.ELEMENTWISE[np.power], input, exponent)


def clamp(input: Any, min: Any = None, max: Any = None) -> Any:
    """Return input limited to what lies between ``min`` and ``max``."""
    return operand(input).clamp(min, max)


clip = clamp


def clamp_min(input: Any, min: Any) -> Any:
    """Return input, or ``min`` where it is less."""
    return operand(input).clamp(min)


def clamp_max(input: Any, max: Any) -> Any:
    """Return input, or ``max`` where it is more."""
    return operand(input).clamp(None, max)


def clone(input: Any) -> Any:
    """Return a copy of input, through which gradients pass."""
    return input.clone() if isinstance(input, Operand) else constant(np.array(input))


def where(condition: Any, input: Any = None, other: Any = None) -> Any:
    """Return ``input`` where the condition holds, else ``other``; of a condition alone the indices where it holds."""
    if input is None and other is None:
        return nonzero(condition, as_tuple=True)
    if not (hasattr(plain(input), "dtype") or hasattr(plain(other), "dtype")):  # two of Python's numbers
        chosen = np.where(plain(condition), input, other)
        return constant(chosen.astype(np.float32) if chosen.dtype.kind == "f" else chosen)
    return apply(op.where, condition, input, other)


def masked_fill(input: Any, mask: Any, value: float) -> Any:
    """Return input with ``value`` where ``mask`` holds."""
    return operand(input).masked_fill(mask, value)


# Comparisons and the like, which have no gradient


def _constant(function: Any, name: str, arguments: int) -> Any:
    def of_one(input: Any) -> Any:
        return compute(function, input)

    def of_both(input: Any, other: Any) -> Any:
        return compute(function, input, other)

    result = of_one if arguments == 1 else of_both
    result.__name__ = result.__qualname__ = name
    both = " and ``other``" if arguments == 2 else ""
    result.__doc__ = f"Return NumPy's {function.__name__} of each element of ``input``{both}; it has no gradient."
    return result


eq = _constant(np.equal, "eq", 2)
ne = _constant(np.not_equal, "ne", 2)
gt = _constant(np.greater, "gt", 2)
ge = _constant(np.greater_equal, "ge", 2)
lt = _constant(np.less, "lt", 2)
le = _constant(np.less_equal, "le", 2)
logical_and = _constant(np.logical_and, "logical_and", 2)
logical_or = _constant(np.logical_or, "logical_or", 2)
logical_not = _constant(np.logical_not, "logical_not", 1)
isnan = _constant(np.isnan, "isnan", 1)
isinf = _constant(np.isinf, "isinf", 1)
isfinite = _constant(np.isfinite, "isfinite", 1)
sign = _constant(np.sign, "sign", 1)
floor = _constant(np.floor, "floor", 1)
ceil = _constant(np.ceil, "ceil", 1)
round = _constant(np.round, "round", 1)
trunc = _constant(np.trunc, "trunc", 1)


def nonzero(input: Any, *, as_tuple: bool = False) -> Any:
    """Return the indices of the elements of input that are not 0, one a row; ``as_tuple`` an array for each axis."""
    found = np.nonzero(plain(input))
    return tuple([constant(index) for index in found]) if as_tuple else constant(np.stack(found, 1))


def count_nonzero(input: Any, dim: Any = None) -> Any:
    """Return how many elements of input are not 0, along the axes ``dim``."""
    return constant(np.count_nonzero(plain(input), axis=dim))


def equal(input: Any, other: Any) -> bool:
    """Return whether input and other have the same shape and the same elements."""
    return bool(np.array_equal(plain(input), plain(other)))


def allclose(input: Any, other: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    """Return whether input and other differ by at most atol + rtol * |other|; ``equal_nan`` makes NaN equal to NaN."""
    return bool(np.allclose(plain(input), plain(other), rtol, atol, equal_nan))


def numel(input: Any) -> int:
    """Return the number of elements of input."""
    return int(np.size(plain(input)))


def is_tensor(obj: Any) -> bool:
    """Return whether ``obj`` is an array, a value of a recorded forward pass, or a Parameter."""
    return isinstance(obj, (np.ndarray, Operand))


def detach(input: Any) -> Any:
    """Return the values of ``input`` as a constant: no backward pass goes on into what they came from.

    Of a value of a recorded forward pass this is its ``detach()``; of an array, such as a model's output, a copy.
    """
    if isinstance(input, Tensor):
        return input.detach()
    return constant(np.array(plain(input)))


# Products


def matmul(input: Any, other: Any) -> Any:
    """Return input @ other, over the last two axes."""
    return apply(op.matmul, input, other)


def mm(input: Any, mat2: Any) -> Any:
    """Return the product of two matrices, input and mat2."""
    return _product("mm", 2, input, mat2)


def bmm(input: Any, mat2: Any) -> Any:
    """Return the products of two batches of matrices, input (B, N, M) and mat2 (B, M, P)."""
    return _product("bmm", 3, input, mat2)


def dot(input: Any, tensor: Any) -> Any:
    """Return the sum of the products of two vectors, input and ``tensor``."""
    return _product("dot", 1, input, tensor)


def _product(owner: str, ndim: int, a: Any, b: Any) -> Any:
    for x in (plain(a), plain(b)):
        if np.ndim(x) != ndim:
            raise ValueError(f"{owner}: expected arrays with {ndim} axes, got shape {np.shape(x)}")
    return apply(op.matmul, a, b)


def mv(input: Any, vec: Any) -> Any:
    """Return the product of a matrix, input, and a vector, ``vec``."""
    if (np.ndim(plain(input)), np.ndim(plain(vec))) != (2, 1):
        raise ValueError(f"mv: expected a matrix and a vector, got shapes {plain(input).shape} and {plain(vec).shape}")
    return apply(op.matmul, input, vec)


def outer(input: Any, vec2: Any) -> Any:
    """Return the products of each element of the vector input with each of ``vec2``, (N, M)."""
    return apply(op.ELEMENTWISE[np.multiply], operand(input).reshape(-1, 1), operand(vec2).reshape(1, -1))


def einsum(equation: str, *operands: Any) -> Any:
    """Return the sum of products that ``equation`` describes, such as "ij,jk->ik", of the operands."""
    if len(operands) == 1 and isinstance(operands[0], (tuple, list)):
        operands = tuple(operands[0])
    if mode.record is None:
        return np.einsum(equation, *[outside(x) for x in operands], optimize=True)
    return apply(op.einsum, _explicit(equation, [plain(x).shape for x in operands]), *operands)


def _explicit(equation: str, shapes: list[tuple[int, ...]]) -> str:
    """Return an equation with the indices of the output, and indices in place of dots."""
    left, arrow, result = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(shapes):
        raise ValueError(f"einsum: {equation!r} describes {len(terms)} arrays, got {len(shapes)}")
    hidden = [len(shape) - len(term.replace("...", "")) for term, shape in zip(terms, shapes, strict=True)]
    free = [letter for letter in ascii_letters if letter not in equation]
    extra = "".join(free[: max(hidden, default=0)])
    terms = [term.replace("...", extra[len(extra) - n :]) for term, n in zip(terms, hidden, strict=True)]
    if not arrow:
        once = sorted({index for index in left if left.count(index) == 1} - set(",."))
        result = ("..." if "..." in left else "") + "".join(once)
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        if len(term) != len(shape):
            raise ValueError(f"einsum: {equation!r} does not fit an array of shape {shape}")
        for index, size in zip(term, shape, strict=True):
            if sizes.setdefault(index, size) != size:
                raise ValueError(
                    f"einsum: {equation!r} has an index of two sizes, {sizes[index]} and {size}; use expand"
                )
    return f"{','.join(terms)}->{result.replace('...', extra)}"
