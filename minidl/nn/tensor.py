"""Tensor: an array on its way through a forward pass that is being recorded; and what can be done with it.

Its methods have PyTorch's names and meaning, with ``dim``; where NumPy's differ they are chosen by ``axis=``.
"""

# mypy: disable-error-code="no-any-return"
from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from .._core import Array
from . import operations as op
from .modes import mode
from .numpy_functions import numpy_function
from .recording import apply, compute, constant, outside, plain, sizes
from .structure import rebuild
from .tensor_sums import Sums

if TYPE_CHECKING:
    from .record import Record

__all__ = ["Operand", "Tensor", "operand"]


class Operand(Sums):
    """What Tensors and Parameters have in common: arithmetic, indexing and methods."""

    __slots__ = ()
    __array_priority__ = 1000.0

    def _outside(self) -> Array:
        """Return the array where nothing is being recorded, or raise RuntimeError."""
        raise NotImplementedError

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the elements."""
        return self.data.dtype

    @property
    def device(self) -> str:
        """Always "cpu"."""
        return "cpu"

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        record = mode.record
        if record is None:
            plain = {name: tuple([outside(x) for x in out]) if name == "out" else out for name, out in options.items()}
            return getattr(ufunc, method)(*[outside(x) for x in inputs], **plain)
        if method != "__call__" or options:
            name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
            given = f" with {', '.join(options)}=" if options else ""
            raise TypeError(
                f"np.{name}{given} cannot be recorded; use it without, or on x.detach(), or write a Module with a "
                "backward"
            )
        return numpy_function(record, ufunc, inputs, options)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if mode.record is None:
            return func(*rebuild(args, outside), **rebuild(kwargs, outside))
        return numpy_function(mode.record, func, args, kwargs)

    # arithmetic: NumPy's operators, and so its broadcasting

    def __add__(self, other: Any) -> Any:
        return apply(_ADD, self, other)

    def __radd__(self, other: Any) -> Any:
        return apply(_ADD, other, self)

    def __sub__(self, other: Any) -> Any:
        return apply(_SUBTRACT, self, other)

    def __rsub__(self, other: Any) -> Any:
        return apply(_SUBTRACT, other, self)

    def __mul__(self, other: Any) -> Any:
        return apply(_MULTIPLY, self, other)

    def __rmul__(self, other: Any) -> Any:
        return apply(_MULTIPLY, other, self)

    def __truediv__(self, other: Any) -> Any:
        return apply(_DIVIDE, self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return apply(_DIVIDE, other, self)

    def __pow__(self, other: Any) -> Any:
        return apply(_POWER, self, other)

    def __rpow__(self, other: Any) -> Any:
        return apply(_POWER, other, self)

    def __matmul__(self, other: Any) -> Any:
        return apply(op.matmul, self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return apply(op.matmul, other, self)

    def __mod__(self, other: Any) -> Any:
        return apply(_REMAINDER, self, other)

    def __rmod__(self, other: Any) -> Any:
        return apply(_REMAINDER, other, self)

    def __floordiv__(self, other: Any) -> Any:
        return compute(np.floor_divide, self, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return compute(np.floor_divide, other, self)

    def __neg__(self) -> Any:
        return apply(_NEGATIVE, self)

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        return apply(_ABSOLUTE, self)

    def clamp(self, min: Any = None, max: Any = None) -> Any:
        """Limit every element to what lies between ``min`` and ``max``, numbers or arrays."""
        if isinstance(min, Operand) or isinstance(max, Operand):
            low = self if min is None else apply(op.where, compute(np.less, self, min), min, self)
            return low if max is None else apply(op.where, compute(np.greater, low, max), max, low)
        return apply(op.clip, self, a_min=min, a_max=max)

    clip = clamp

    def pow(self, exponent: Any) -> Any:
        """Return self ** exponent."""
        return self**exponent

    def matmul(self, other: Any) -> Any:
        """Return self @ other."""
        return self @ other

    mm = bmm = matmul

    def add(self, other: Any, alpha: float = 1) -> Any:
        """Return self + alpha * other."""
        return self + (other if alpha == 1 else other * alpha)

    def sub(self, other: Any, alpha: float = 1) -> Any:
        """Return self - alpha * other."""
        return self - (other if alpha == 1 else other * alpha)

    def mul(self, other: Any) -> Any:
        """Return self * other."""
        return self * other

    def div(self, other: Any) -> Any:
        """Return self / other."""
        return self / other

    def neg(self) -> Any:
        """Return -self."""
        return -self

    def rsqrt(self) -> Any:
        """Return 1 / sqrt(self)."""
        return apply(_POWER, self, -0.5)

    # dtypes and devices

    def astype(self, dtype: Any) -> Any:
        """Return the elements in another dtype; other than float ones have no gradient."""
        wanted = np.dtype(dtype)
        if wanted == self.dtype:
            return self
        if wanted.kind == "f" == self.dtype.kind:
            return apply(op.astype, self, dtype=wanted)
        return compute(np.ndarray.astype, self, dtype=wanted)

    def to(self, *args: Any, **options: Any) -> Any:
        """Return the elements in another dtype, or another array's; a device other than the CPU is an error."""
        for target in (*args, *options.values()):
            if isinstance(target, (str, int)) and not isinstance(target, bool) and str(target).split(":")[0] != "cpu":
                raise ValueError(f"to: minidl computes on the CPU, there is no device {target!r}")
            if isinstance(target, (Operand, np.ndarray)):
                return self.astype(target.dtype)
            if isinstance(target, (type, np.dtype)):
                return self.astype(target)
        return self

    def type_as(self, other: Any) -> Any:
        """Return the elements in another array's dtype."""
        return self.astype(other.dtype)

    def float(self) -> Any:
        """Return the elements as float32; float64 stays, for minidl does not change between the two by itself."""
        return self if self.dtype.kind == "f" else self.astype(np.float32)

    def double(self) -> Any:
        """Return the elements as float64."""
        return self.astype(np.float64)

    def long(self) -> Any:
        """Return the elements as int64; they have no gradient."""
        return self.astype(np.int64)

    def bool(self) -> Any:
        """Return whether each element is not 0; this has no gradient."""
        return self.astype(np.bool_)

    def cpu(self) -> Any:
        """Return self."""
        return self

    def item(self) -> Any:
        """Return the only element as a Python number; it has no gradient."""
        return self.data.item()

    def tolist(self) -> Any:
        """Return the elements as nested lists; they have no gradient."""
        return self.data.tolist()

    def copy(self) -> Any:
        """Same as `clone`."""
        return self.clone()

    def clone(self) -> Any:
        """Return a value of its own; nothing is ever changed in place, so it may share the memory."""
        return apply(_POSITIVE, self)


_ADD, _SUBTRACT = op.ELEMENTWISE[np.add], op.ELEMENTWISE[np.subtract]
_MULTIPLY, _DIVIDE = op.ELEMENTWISE[np.multiply], op.ELEMENTWISE[np.divide]
_REMAINDER = op.ELEMENTWISE[np.remainder]
_POWER, _NEGATIVE = op.ELEMENTWISE[np.power], op.ELEMENTWISE[np.negative]
_ABSOLUTE, _POSITIVE = op.ELEMENTWISE[np.absolute], op.ELEMENTWISE[np.positive]


def _method(function: np.ufunc) -> Any:
    operation = op.ELEMENTWISE[function]

    def method(self: Operand) -> Any:
        return apply(operation, self)

    method.__doc__ = f"Return NumPy's {function.__name__} of each element."
    return method


for _name in ("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt", "square", "reciprocal", "sin", "cos"):
    setattr(Operand, _name, _method(getattr(np, _name)))
for _name, _function in {"abs": np.absolute, "tan": np.tan, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh}.items():
    setattr(Operand, _name, _method(_function))


def _compare(function: np.ufunc) -> Any:
    def compare(self: Operand, other: Any) -> Any:
        return compute(function, self, other)

    compare.__doc__ = f"Return NumPy's {function.__name__} of each element; it has no gradient."
    return compare


class Tensor(Operand):
    """An array inside a recorded forward pass: what the forward of a Module without a backward gets and computes with.

    It takes NumPy's functions and PyTorch's methods; each is done at once, and noted for the backward pass. It lives
    as long as its forward pass, and is not changed in place, except inside `no_grad`.

    Attributes:
        data: the array.
        record: of the forward pass.
        number: of the value in it; -1 of a constant.
        shape, ndim, dtype: the array's.
    """

    __slots__ = ("data", "number", "record")
    __hash__ = object.__hash__

    def __init__(self, data: Array, record: Record, number: int) -> None:
        self.data, self.record, self.number = data, record, number

    __gt__, __ge__, __lt__, __le__ = (_compare(f) for f in (np.greater, np.greater_equal, np.less, np.less_equal))
    __eq__, __ne__ = _compare(np.equal), _compare(np.not_equal)
    __invert__ = lambda self: compute(np.invert, self)  # noqa: E731
    __and__, __or__ = _compare(np.logical_and), _compare(np.logical_or)
    eq, ne, gt, ge, lt, le = __eq__, __ne__, __gt__, __ge__, __lt__, __le__

    @property
    def requires_grad(self) -> bool:
        """Whether it depends on something whose gradient is wanted."""
        return self.number >= 0

    @property
    def is_cuda(self) -> bool:
        """False."""
        return False

    def detach(self) -> Tensor:
        """Return the same values as a constant: the gradient ends there."""
        return Tensor(self.data, self.record, -1)

    def numpy(self) -> Array:
        """Return the array of a Tensor that is detached.

        Raises:
            RuntimeError: it is not; its gradient would be lost.
        """
        return self.__array__()

    def new_zeros(self, *shape: Any) -> Any:
        """Return zeros of this dtype."""
        return constant(np.zeros(sizes(shape), self.dtype))

    def new_ones(self, *shape: Any) -> Any:
        """Return ones of this dtype."""
        return constant(np.ones(sizes(shape), self.dtype))

    def __bool__(self) -> bool:
        return bool(self.data)

    def __int__(self) -> int:
        return int(self.data)

    def __float__(self) -> float:
        return float(self.data)

    def __repr__(self) -> str:
        return f"Tensor({self.data!r})"

    def __setitem__(self, key: Any, value: Any) -> None:
        if self.record.state["enabled"]:
            raise TypeError(
                "a value in a recorded forward cannot be changed in place, except inside no_grad(); make a new one, "
                "with minidl.where, cat, stack or masked_fill"
            )
        self.data[rebuild(key, plain)] = plain(value)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        if self.number >= 0:
            raise RuntimeError(
                "this would make a plain array of a recorded value, and its gradient would be lost; if that is meant "
                "use .detach(), otherwise a function whose gradient is known, or a Module with a backward"
            )
        return self.data if dtype is None else self.data.astype(dtype)

    def __getattr__(self, name: str) -> NoReturn:
        if name[:2] == "__":
            raise AttributeError(name)
        hint = "in place nothing can be changed; make a new value" if name.endswith("_") else "use a function that has"
        raise AttributeError(
            f"a recorded value has no {name!r}: {hint}, a Module with a backward of its own, or x.detach().numpy()"
        )

    def __reduce__(self) -> Any:
        return np.asarray, (self.data,)  # a copy, or what is read from a pickle, is outside of all passes

    def _outside(self) -> Array:
        raise RuntimeError(
            "a value of a recorded forward was used after that forward had ended, or in another thread; return it "
            "from forward, or keep x.detach().numpy()"
        )


class _Plain(Operand):
    """An array with the methods of an `Operand`, for one call where nothing is being recorded."""

    __slots__ = ("data",)

    def __init__(self, data: Array) -> None:
        self.data = data

    def _outside(self) -> Array:
        return self.data


def operand(value: Any) -> Any:
    """Return something that has PyTorch's methods: an operand itself, or one made of an array or a number."""
    if isinstance(value, Operand):
        return value
    return _Plain(np.asarray(value)) if mode.record is None else mode.record.constant(value)
