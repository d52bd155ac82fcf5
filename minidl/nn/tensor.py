"""Tensor: an array on its way through a forward pass that is being recorded; and what can be done with it.

Its methods have PyTorch's names and meaning, with ``dim``; where NumPy's differ they are chosen by ``axis=``.
"""

# mypy: disable-error-code="no-any-return"
from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np

from .._core import Array
from . import operations as op
from .modes import mode
from .structure import rebuild

if TYPE_CHECKING:
    from .record import Record

__all__ = ["Maximum", "Operand", "Tensor", "apply"]


class Maximum(NamedTuple):
    """What ``x.max(dim)``, ``x.min(dim)``, ``x.sort(dim)`` and ``x.topk(k)`` return."""

    values: Any
    indices: Any


def apply(operation: op.Operation, *inputs: Any, **options: Any) -> Any:
    """Do an operation of `operations` on Tensors, Parameters, arrays and numbers.

    Within a recorded forward pass it is noted; elsewhere it simply computes, on arrays.

    Raises:
        RuntimeError: a Parameter is used outside a forward pass, where its gradient would be lost.
    """
    record = mode.record
    if record is not None:
        return record.apply(operation, inputs, options)
    out, _ = operation(*[_outside(x) for x in inputs], **options)
    return out[()] if isinstance(out, np.ndarray) and out.ndim == 0 else out


def _outside(x: Any) -> Any:
    if isinstance(x, Operand):
        return x._outside()
    return x


class Operand:
    """What Tensors and Parameters have in common: arithmetic, indexing and methods."""

    __slots__ = ()
    __array_priority__ = 1000.0
    data: Array

    def _outside(self) -> Array:
        """Return the array where nothing is being recorded, or raise RuntimeError."""
        raise NotImplementedError

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return self.data.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.data.ndim

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the elements."""
        return self.data.dtype

    @property
    def T(self) -> Any:
        """The axes in reverse order."""
        return apply(op.transpose, self)

    @property
    def mT(self) -> Any:
        """The last two axes exchanged."""
        return apply(op.swapaxes, self, axis1=-1, axis2=-2)

    @property
    def device(self) -> str:
        """Always "cpu"."""
        return "cpu"

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self.data)))

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        record = mode.record
        if record is None:
            plain = {name: tuple([_outside(x) for x in out]) if name == "out" else out for name, out in options.items()}
            return getattr(ufunc, method)(*[_outside(x) for x in inputs], **plain)
        if method != "__call__" or options:
            name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
            given = f" with {', '.join(options)}=" if options else ""
            raise TypeError(
                f"np.{name}{given} cannot be recorded; use it without, or on x.detach(), or write a Module with a backward"
            )
        return record.function(ufunc, inputs, options)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if mode.record is None:
            return func(*rebuild(args, _outside), **rebuild(kwargs, _outside))
        return mode.record.function(func, args, kwargs)

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

    def __neg__(self) -> Any:
        return apply(_NEGATIVE, self)

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        return apply(_ABSOLUTE, self)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, tuple):
            return apply(op.getitem, self, key=tuple([_plain(part) for part in key]))
        return apply(op.getitem, self, key=_plain(key))

    # shapes

    def numel(self) -> int:
        """Return the number of elements."""
        return self.data.size

    def size(self, dim: int | None = None) -> Any:
        """Return the shape, or the length of one axis."""
        return self.shape if dim is None else self.shape[dim]

    def dim(self) -> int:
        """Return the number of axes."""
        return self.ndim

    def reshape(self, *shape: Any) -> Any:
        """Return the same elements in another shape."""
        return apply(op.reshape, self, shape=_sizes(shape))

    def view(self, *shape: Any) -> Any:
        """Same as `reshape`."""
        return self.reshape(*shape)

    def reshape_as(self, other: Any) -> Any:
        """Return the same elements in another array's shape."""
        return self.reshape(other.shape)

    view_as = reshape_as

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Any:
        """Merge the axes from ``start_dim`` to ``end_dim`` into one."""
        shape = self.shape or (1,)
        first, last = _axis(start_dim, len(shape)), _axis(end_dim, len(shape))
        return self.reshape((*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :]))

    def unflatten(self, dim: int, sizes: Any) -> Any:
        """Split an axis into several."""
        at = _axis(dim, self.ndim)
        sizes = tuple(sizes)
        if -1 in sizes:
            known = -math.prod(sizes)
            sizes = tuple(self.shape[at] // known if n == -1 else n for n in sizes)
        return self.reshape((*self.shape[:at], *sizes, *self.shape[at + 1 :]))

    def transpose(self, *axes: Any) -> Any:
        """Exchange two axes, PyTorch's ``transpose(dim0, dim1)``; or, with all axes, NumPy's: put them in that order."""
        order = _sizes(axes)
        if len(order) == 2:
            return apply(op.swapaxes, self, axis1=order[0], axis2=order[1])
        return apply(op.transpose, self, axes=order or None)

    def swapaxes(self, axis0: int, axis1: int) -> Any:
        """Exchange two axes."""
        return apply(op.swapaxes, self, axis1=axis0, axis2=axis1)

    def t(self) -> Any:
        """Exchange the axes of a matrix."""
        if self.ndim > 2:
            raise ValueError(f"t: expected at most two axes, got shape {self.shape}")
        return apply(op.transpose, self)

    def permute(self, *dims: Any) -> Any:
        """Put the axes in another order."""
        return apply(op.transpose, self, axes=_sizes(dims))

    def movedim(self, source: Any, destination: Any) -> Any:
        """Move axes to another place."""
        return apply(op.moveaxis, self, source=source, destination=destination)

    def squeeze(self, dim: Any = None, axis: Any = None) -> Any:
        """Remove axes of length 1; a ``dim`` that is longer stays."""
        if axis is None and dim is not None:
            dims = dim if isinstance(dim, tuple) else (dim,)
            axis = tuple(d for d in dims if self.shape[d] == 1)
        return apply(op.squeeze, self, axis=axis)

    def unsqueeze(self, dim: int) -> Any:
        """Put in an axis of length 1."""
        return apply(op.expand_dims, self, axis=dim)

    def expand(self, *sizes: Any) -> Any:
        """Repeat along axes of length 1 and new ones in front; -1 leaves an axis as it is."""
        wanted = _sizes(sizes)
        old = (1,) * (len(wanted) - self.ndim) + self.shape
        return apply(op.broadcast_to, self, shape=tuple(o if n == -1 else n for o, n in zip(old, wanted, strict=True)))

    def expand_as(self, other: Any) -> Any:
        """Repeat to another array's shape."""
        return apply(op.broadcast_to, self, shape=other.shape)

    def repeat(self, *sizes: Any, axis: int | None = None) -> Any:
        """Lay it side by side ``sizes`` times along each axis; with ``axis=`` NumPy's: each part so many times."""
        if axis is not None:
            return apply(op.repeat, self, repeats=sizes[0], axis=axis)
        reps = _sizes(sizes)
        if len(reps) < self.ndim:
            raise ValueError(f"repeat: expected a number for each of the {self.ndim} axes, got {reps}")
        return apply(op.tile, self, reps=reps)

    def repeat_interleave(self, repeats: Any, dim: int | None = None) -> Any:
        """Repeat each part along an axis so many times in a row."""
        return apply(op.repeat, self, repeats=_plain(repeats), axis=dim)

    def chunk(self, chunks: int, dim: int = 0) -> Any:
        """Split an axis into so many parts, the last of which may be shorter."""
        return self.split(-(-self.shape[dim] // chunks), dim)

    def split(self, split_size: Any, dim: int = 0) -> Any:
        """Split an axis into parts of this length, or of these lengths."""
        length = self.shape[dim]
        if isinstance(split_size, int):
            ends = list(range(split_size, length, split_size))
        else:
            if sum(split_size) != length:
                raise ValueError(f"split: the lengths {tuple(split_size)} do not add up to {length}")
            ends = [int(n) for n in np.cumsum(split_size)[:-1]]
        return tuple(apply(op.split, self, sections=ends, axis=dim))

    def unbind(self, dim: int = 0) -> Any:
        """Return the parts along an axis, without it."""
        return tuple([self.select(dim, i) for i in range(self.shape[dim])])

    def select(self, dim: int, index: int) -> Any:
        """Return one part along an axis, without the axis."""
        return self[(slice(None),) * _axis(dim, self.ndim) + (index,)]

    def narrow(self, dim: int, start: int, length: int) -> Any:
        """Return a part of an axis."""
        return self[(slice(None),) * _axis(dim, self.ndim) + (slice(start, start + length),)]

    def index_select(self, dim: int, index: Any) -> Any:
        """Return the parts of an axis with these numbers."""
        return self[(slice(None),) * _axis(dim, self.ndim) + (index,)]

    def gather(self, dim: int, index: Any) -> Any:
        """Return the elements with these numbers along an axis."""
        index = np.asarray(_plain(index))
        key = tuple(slice(n) if i != _axis(dim, self.ndim) else slice(None) for i, n in enumerate(index.shape))
        return apply(op.picked, self[key], indices=index, axis=_axis(dim, self.ndim))

    def masked_fill(self, mask: Any, value: Any) -> Any:
        """Put a number where the mask is True."""
        return apply(op.where, mask, value, self)

    def flip(self, *dims: Any) -> Any:
        """Reverse the order along axes."""
        return apply(op.flip, self, axis=_sizes(dims))

    def roll(self, shifts: Any, dims: Any = None) -> Any:
        """Shift along axes, around the end."""
        return apply(op.roll, self, shift=shifts, axis=dims)

    def tril(self, diagonal: int = 0) -> Any:
        """Put zeros above a diagonal."""
        return apply(op.tril, self, k=diagonal)

    def triu(self, diagonal: int = 0) -> Any:
        """Put zeros below a diagonal."""
        return apply(op.triu, self, k=diagonal)

    def contiguous(self) -> Any:
        """Return self: the order of memory is minidl's own affair."""
        return self

    # sums and the like, along ``dim`` (PyTorch) or ``axis`` (NumPy)

    def sum(self, dim: Any = None, keepdim: bool = False, *, axis: Any = None, keepdims: bool = False) -> Any:
        """Return the sum along axes."""
        return apply(op.total, self, axis=_either(dim, axis), keepdims=keepdim or keepdims)

    def mean(self, dim: Any = None, keepdim: bool = False, *, axis: Any = None, keepdims: bool = False) -> Any:
        """Return the mean along axes."""
        return apply(op.mean, self, axis=_either(dim, axis), keepdims=keepdim or keepdims)

    def var(
        self,
        dim: Any = None,
        unbiased: bool = True,
        keepdim: bool = False,
        *,
        correction: int | None = None,
        axis: Any = None,
        ddof: int = 0,
        keepdims: bool = False,
    ) -> Any:
        """Return the variance along axes: PyTorch's, which divides by n - 1; with ``axis=`` NumPy's, by n - ddof."""
        return self._spread(op.var, dim, unbiased, keepdim, correction, axis, ddof, keepdims)

    def std(
        self,
        dim: Any = None,
        unbiased: bool = True,
        keepdim: bool = False,
        *,
        correction: int | None = None,
        axis: Any = None,
        ddof: int = 0,
        keepdims: bool = False,
    ) -> Any:
        """Return the root of `var`, with the same arguments."""
        return self._spread(op.std, dim, unbiased, keepdim, correction, axis, ddof, keepdims)

    def _spread(
        self,
        operation: op.Operation,
        dim: Any,
        unbiased: bool,
        keepdim: bool,
        correction: int | None,
        axis: Any,
        ddof: int,
        keepdims: bool,
    ) -> Any:
        if isinstance(dim, bool):  # x.var(False): PyTorch's older form, over everything
            dim, unbiased = None, dim
        if axis is None:
            ddof = int(unbiased) if correction is None else correction
        return apply(operation, self, axis=_either(dim, axis), ddof=ddof, keepdims=keepdim or keepdims)

    def prod(self, dim: Any = None, keepdim: bool = False, *, axis: Any = None, keepdims: bool = False) -> Any:
        """Return the product along axes."""
        return apply(op.prod, self, axis=_either(dim, axis), keepdims=keepdim or keepdims)

    def amax(self, dim: Any = None, keepdim: bool = False) -> Any:
        """Return the largest along axes; equal ones share the gradient."""
        return apply(op.FUNCTIONS[np.max], self, axis=dim, keepdims=keepdim)

    def amin(self, dim: Any = None, keepdim: bool = False) -> Any:
        """Return the smallest along axes; equal ones share the gradient."""
        return apply(op.FUNCTIONS[np.min], self, axis=dim, keepdims=keepdim)

    def max(self, dim: Any = None, keepdim: bool = False, *, axis: Any = None, keepdims: bool = False) -> Any:
        """Return the largest of all; ``(values, indices)`` along ``dim``; the values alone along ``axis=``."""
        return self._extreme(np.max, np.argmax, op.ELEMENTWISE[np.maximum], dim, keepdim, axis, keepdims)

    def min(self, dim: Any = None, keepdim: bool = False, *, axis: Any = None, keepdims: bool = False) -> Any:
        """Return the smallest of all; ``(values, indices)`` along ``dim``; the values alone along ``axis=``."""
        return self._extreme(np.min, np.argmin, op.ELEMENTWISE[np.minimum], dim, keepdim, axis, keepdims)

    def _extreme(self, value: Any, index: Any, both: Any, dim: Any, keepdim: bool, axis: Any, keepdims: bool) -> Any:
        if isinstance(dim, (Operand, np.ndarray)):  # torch.max(a, b)
            return apply(both, self, dim)
        if dim is None or axis is not None:
            return apply(op.FUNCTIONS[value], self, axis=_either(dim, axis), keepdims=keepdims or keepdim)
        at = _axis(dim, self.ndim)
        indices = np.expand_dims(index(self.data, axis=at), at)
        values = apply(op.picked, self, indices=indices, axis=at)
        return Maximum(
            values if keepdim else values.squeeze(at), _constant(indices if keepdim else indices.squeeze(at))
        )

    def sort(self, dim: int = -1, descending: bool = False) -> Maximum:
        """Return ``(values, indices)`` in order along an axis."""
        at = _axis(dim, self.ndim)
        keys = -self.data if descending else self.data
        indices = np.argsort(keys, axis=at, kind="stable")
        return Maximum(apply(op.picked, self, indices=indices, axis=at), _constant(indices))

    def topk(self, k: int, dim: int = -1, largest: bool = True) -> Maximum:
        """Return ``(values, indices)`` of the k largest, in order."""
        values, indices = self.sort(dim, descending=largest)
        key = (slice(None),) * _axis(dim, self.ndim) + (slice(k),)
        return Maximum(values[key], indices[key])

    def argmax(self, dim: Any = None, keepdim: bool = False, *, axis: Any = None) -> Any:
        """Return the numbers of the largest; they have no gradient."""
        found = _either(dim, axis)
        return _constant(np.argmax(self.data, axis=found, keepdims=keepdim and found is not None))

    def argmin(self, dim: Any = None, keepdim: bool = False, *, axis: Any = None) -> Any:
        """Return the numbers of the smallest; they have no gradient."""
        found = _either(dim, axis)
        return _constant(np.argmin(self.data, axis=found, keepdims=keepdim and found is not None))

    def all(self, dim: Any = None, keepdim: bool = False) -> Any:
        """Return whether all elements are not 0; this has no gradient."""
        return _constant(np.all(self.data, axis=dim, keepdims=keepdim))

    def any(self, dim: Any = None, keepdim: bool = False) -> Any:
        """Return whether an element is not 0; this has no gradient."""
        return _constant(np.any(self.data, axis=dim, keepdims=keepdim))

    def logsumexp(self, dim: Any, keepdim: bool = False) -> Any:
        """Return log(sum(exp(x))) along axes."""
        return apply(op.logsumexp, self, axis=dim, keepdims=keepdim)

    def norm(self, p: Any = 2, dim: Any = None, keepdim: bool = False) -> Any:
        """Return the p-norm along axes."""
        return apply(op.norm, self, ord=2.0 if p == "fro" else float(p), axis=dim, keepdims=keepdim)

    def cumsum(self, dim: int = 0) -> Any:
        """Return the running sums along an axis."""
        return apply(op.cumsum, self, axis=dim)

    def clamp(self, min: Any = None, max: Any = None) -> Any:
        """Limit every element to what lies between ``min`` and ``max``."""
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

    # dtypes and devices

    def astype(self, dtype: Any) -> Any:
        """Return the elements in another dtype; other than float ones have no gradient."""
        wanted = np.dtype(dtype)
        if wanted == self.dtype:
            return self
        return apply(op.astype, self, dtype=wanted) if wanted.kind == "f" else _constant(self.data.astype(wanted))

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
        return _constant(self.data.astype(np.int64))

    def bool(self) -> Any:
        """Return whether each element is not 0; this has no gradient."""
        return _constant(self.data.astype(bool))

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
        return _constant(function(self.data, _plain(other)))

    compare.__doc__ = f"Return NumPy's {function.__name__} of each element; it has no gradient."
    return compare


class Tensor(Operand):
    """An array inside a recorded forward pass: what the forward of a Module without a backward gets and computes with.

    It takes NumPy's functions and PyTorch's methods; each is done at once, and noted for the backward pass. It lives
    as long as its forward pass, and is never changed in place.

    Attributes:
        data: the array.
        shape, ndim, dtype: the array's.
    """

    __slots__ = ("data", "number", "record")
    __hash__ = object.__hash__

    def __init__(self, data: Array, record: Record, number: int) -> None:
        self.data, self.record, self.number = data, record, number

    __gt__, __ge__, __lt__, __le__ = (_compare(f) for f in (np.greater, np.greater_equal, np.less, np.less_equal))
    __eq__, __ne__ = _compare(np.equal), _compare(np.not_equal)
    __invert__ = lambda self: _constant(~self.data)  # noqa: E731
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
        return _constant(np.zeros(_sizes(shape), self.dtype))

    def new_ones(self, *shape: Any) -> Any:
        """Return ones of this dtype."""
        return _constant(np.ones(_sizes(shape), self.dtype))

    def __bool__(self) -> bool:
        return bool(self.data)

    def __int__(self) -> int:
        return int(self.data)

    def __float__(self) -> float:
        return float(self.data)

    def __repr__(self) -> str:
        return f"Tensor({self.data!r})"

    def __setitem__(self, key: Any, value: Any) -> NoReturn:
        raise TypeError(
            "a value in a recorded forward cannot be changed in place; make a new one, with minidl.where, cat or "
            "stack, or masked_fill"
        )

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


def _constant(data: Any) -> Any:
    """Return values that have no gradient: a Tensor where something is being recorded, elsewhere the array."""
    return data if mode.record is None else Tensor(np.asarray(data), mode.record, -1)


def _plain(value: Any) -> Any:
    """Return the array of an operand; other values as they are."""
    return value.data if isinstance(value, Operand) else value


def _sizes(values: tuple[Any, ...]) -> tuple[int, ...]:
    """Return sizes or axes that were given one by one, or as a tuple."""
    if len(values) == 1 and isinstance(values[0], (tuple, list)):
        values = tuple(values[0])
    return tuple([int(v) for v in values])


def _axis(dim: int, ndim: int) -> int:
    if not -ndim <= dim < ndim:
        raise IndexError(f"dim {dim} does not exist in an array of {ndim} axes")
    return dim % ndim


def _either(dim: Any, axis: Any) -> Any:
    if dim is not None and axis is not None:
        raise TypeError("give dim or axis, not both")
    return dim if axis is None else axis
