"""Arrays as PyTorch programs make them: floats are float32, and random numbers come from minidl's generator.

The results are NumPy arrays; in a recorded forward pass they are values of it, without a gradient. Where a function
takes them, ``dtype`` is NumPy's; ``device`` can only be the CPU, and ``requires_grad`` False: what is trained is a
Parameter. ``generator`` and ``rng`` are two names of a ``numpy.random.Generator``; without it minidl's own is used, see
`minidl.manual_seed`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .._core import Array, default_rng
from .devices import check_device
from .recording import constant, plain, sizes

__all__ = [
    "arange",
    "as_tensor",
    "bernoulli",
    "empty",
    "empty_like",
    "eye",
    "from_numpy",
    "full",
    "full_like",
    "linspace",
    "normal",
    "ones",
    "ones_like",
    "rand",
    "rand_like",
    "randint",
    "randn",
    "randn_like",
    "randperm",
    "tensor",
    "zeros",
    "zeros_like",
]

Generator = np.random.Generator | None


def _check(owner: str, device: Any, requires_grad: bool) -> None:
    check_device(owner, device)
    if requires_grad:
        raise ValueError(
            f"{owner}: requires_grad=True is not supported, what is trained is a Parameter of a Module: "
            f"nn.Parameter(minidl.{owner}(...)); the gradient of a model's input is what model.backward() returns"
        )


def _array(data: Any, dtype: DTypeLike | None) -> Array:
    """Return data as an array: Python's floats become float32, arrays and NumPy's numbers keep their dtype."""
    first, array = plain(data), np.asarray(plain(data))
    while isinstance(first, (tuple, list)) and first:
        first = first[0]
    if dtype is None and array.dtype == np.float64 and not hasattr(first, "dtype"):
        dtype = np.float32
    return array if dtype is None else array.astype(dtype, copy=False)


def tensor(data: Any, *, dtype: DTypeLike | None = None, device: Any = None, requires_grad: bool = False) -> Any:
    """Return a copy of numbers, lists of numbers or an array as an array.

    Args:
        data: the values. Python's floats become float32, an array keeps its dtype.
        dtype: of the result; None leaves the choice to the values.
        device, requires_grad: only the CPU, and only False.

    Raises:
        ValueError: another device, or requires_grad=True.
    """
    _check("tensor", device, requires_grad)
    return constant(_array(data, dtype).copy())


def as_tensor(data: Any, dtype: DTypeLike | None = None, device: Any = None) -> Any:
    """Return data as an array, an array of that dtype itself; data, dtype and device as for `tensor`."""
    _check("as_tensor", device, False)
    return data if hasattr(data, "_outside") and dtype is None else constant(_array(data, dtype))


def from_numpy(ndarray: Any) -> Any:
    """Return a NumPy array, ``ndarray``, as it is; TypeError if it is something else."""
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"from_numpy: expected a NumPy array, got {type(ndarray).__name__}")
    return constant(ndarray)


def _shape(owner: str, shape: tuple[Any, ...], size: Any) -> tuple[int, ...]:
    """Return a shape that was given as numbers, as a tuple, or by its name ``size``."""
    if size is not None and shape:
        raise TypeError(f"{owner}: give the shape once, by position or as size=")
    return sizes(shape if size is None else (size,))


def _float(dtype: DTypeLike | None) -> np.dtype[Any]:
    return np.dtype(np.float32 if dtype is None else dtype)


def zeros(
    *shape: Any, size: Any = None, dtype: DTypeLike | None = None, device: Any = None, requires_grad: bool = False
) -> Any:
    """Return zeros of a shape: ``zeros(2, 3)``, ``zeros((2, 3))`` or ``zeros(size=(2, 3))``.

    dtype, device and requires_grad as for `tensor`.
    """
    _check("zeros", device, requires_grad)
    return constant(np.zeros(_shape("zeros", shape, size), _float(dtype)))


def ones(
    *shape: Any, size: Any = None, dtype: DTypeLike | None = None, device: Any = None, requires_grad: bool = False
) -> Any:
    """Return ones of a shape: ``ones(2, 3)``, ``ones((2, 3))`` or ``ones(size=(2, 3))``.

    dtype, device and requires_grad as for `tensor`.
    """
    _check("ones", device, requires_grad)
    return constant(np.ones(_shape("ones", shape, size), _float(dtype)))


def empty(
    *shape: Any, size: Any = None, dtype: DTypeLike | None = None, device: Any = None, requires_grad: bool = False
) -> Any:
    """Return an array of a shape, given as to `zeros` (perhaps as ``size``), whose values are arbitrary.

    dtype, device and requires_grad as for `tensor`.
    """
    _check("empty", device, requires_grad)
    return constant(np.empty(_shape("empty", shape, size), _float(dtype)))


def full(
    size: Any, fill_value: Any, *, dtype: DTypeLike | None = None, device: Any = None, requires_grad: bool = False
) -> Any:
    """Return an array of the shape ``size`` of ``fill_value``; dtype, device, requires_grad as for `tensor`."""
    _check("full", device, requires_grad)
    return constant(np.full(sizes((size,)), _array(fill_value, dtype)))


def eye(
    n: int, m: int | None = None, *, dtype: DTypeLike | None = None, device: Any = None, requires_grad: bool = False
) -> Any:
    """Return an (n, m) matrix with ones on the diagonal, m = n if None; dtype, device, requires_grad: see `tensor`."""
    _check("eye", device, requires_grad)
    return constant(np.eye(n, m, dtype=_float(dtype)))


def arange(
    start: Any,
    end: Any = None,
    step: Any = 1,
    *,
    dtype: DTypeLike | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """Return the numbers from ``start`` (0 if there is no ``end``) up to ``end``, in steps of ``step``.

    Integers give int64, floats float32; dtype, device and requires_grad as for `tensor`.
    """
    _check("arange", device, requires_grad)
    start, end = (0, start) if end is None else (start, end)
    numbers = np.arange(plain(start), plain(end), plain(step))
    if dtype is None:
        dtype = np.int64 if numbers.dtype.kind in "iu" else np.float32
    return constant(numbers.astype(dtype, copy=False))


def linspace(
    start: float,
    end: float,
    steps: int,
    *,
    dtype: DTypeLike | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """Return ``steps`` numbers from ``start`` to ``end``, both included; dtype, device, requires_grad: see `tensor`."""
    _check("linspace", device, requires_grad)
    return constant(np.linspace(start, end, steps, dtype=_float(dtype)))


# Like another array


def zeros_like(input: Any, *, dtype: DTypeLike | None = None, device: Any = None, requires_grad: bool = False) -> Any:
    """Return zeros in the shape and dtype of input; dtype, device and requires_grad as for `tensor`."""
    _check("zeros_like", device, requires_grad)
    return constant(np.zeros_like(plain(input), dtype=dtype))


def ones_like(input: Any, *, dtype: DTypeLike | None = None, device: Any = None, requires_grad: bool = False) -> Any:
    """Return ones in the shape and dtype of input; dtype, device and requires_grad as for `tensor`."""
    _check("ones_like", device, requires_grad)
    return constant(np.ones_like(plain(input), dtype=dtype))


def empty_like(input: Any, *, dtype: DTypeLike | None = None, device: Any = None, requires_grad: bool = False) -> Any:
    """Return arbitrary values in the shape and dtype of input; dtype, device and requires_grad as for `tensor`."""
    _check("empty_like", device, requires_grad)
    return constant(np.empty_like(plain(input), dtype=dtype))


def full_like(
    input: Any, fill_value: Any, *, dtype: DTypeLike | None = None, device: Any = None, requires_grad: bool = False
) -> Any:
    """Return ``fill_value`` in the shape and dtype of input; dtype, device and requires_grad as for `tensor`."""
    _check("full_like", device, requires_grad)
    return constant(np.full_like(plain(input), fill_value, dtype=dtype))


# Random numbers


def _rng(owner: str, generator: Generator, rng: Generator) -> np.random.Generator:
    if generator is not None and rng is not None:
        raise TypeError(f"{owner}: give generator or rng, not both")
    return default_rng(generator if rng is None else rng)


def _draw(rng: np.random.Generator, kind: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Draw from U(0, 1) or N(0, 1)."""
    if dtype.kind != "f":
        raise TypeError(f"random numbers of dtype {dtype}: expected float32 or float64; for integers use randint")
    draw = rng.random if kind == "uniform" else rng.standard_normal
    return np.asarray(draw(shape, dtype))


def rand(
    *shape: Any,
    size: Any = None,
    generator: Generator = None,
    rng: Generator = None,
    dtype: DTypeLike | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """Return random numbers from U(0, 1) of a shape: ``rand(2, 3)``, ``rand((2, 3))`` or ``rand(size=(2, 3))``.

    ``generator`` or ``rng`` draws them, None meaning minidl's own; dtype, device and requires_grad as for `tensor`.
    """
    _check("rand", device, requires_grad)
    return constant(_draw(_rng("rand", generator, rng), "uniform", _shape("rand", shape, size), _float(dtype)))


def randn(
    *shape: Any,
    size: Any = None,
    generator: Generator = None,
    rng: Generator = None,
    dtype: DTypeLike | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """Return random numbers from N(0, 1) of a shape: ``randn(2, 3)``, ``randn((2, 3))`` or ``randn(size=(2, 3))``.

    ``generator`` or ``rng`` draws them, None meaning minidl's own; dtype, device and requires_grad as for `tensor`.
    """
    _check("randn", device, requires_grad)
    return constant(_draw(_rng("randn", generator, rng), "normal", _shape("randn", shape, size), _float(dtype)))


def rand_like(
    input: Any,
    *,
    generator: Generator = None,
    rng: Generator = None,
    dtype: DTypeLike | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """Return random numbers as `rand` does, in the shape and dtype of input.

    generator, rng, dtype, device and requires_grad as for `rand`.
    """
    like = plain(input)
    options: dict[str, Any] = {"dtype": like.dtype if dtype is None else dtype, "device": device}
    return rand(like.shape, generator=generator, rng=rng, requires_grad=requires_grad, **options)


def randn_like(
    input: Any,
    *,
    generator: Generator = None,
    rng: Generator = None,
    dtype: DTypeLike | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """Return random numbers as `randn` does, in the shape and dtype of input.

    generator, rng, dtype, device and requires_grad as for `randn`.
    """
    like = plain(input)
    options: dict[str, Any] = {"dtype": like.dtype if dtype is None else dtype, "device": device}
    return randn(like.shape, generator=generator, rng=rng, requires_grad=requires_grad, **options)


def randint(
    low: int,
    high: Any,
    size: Any = None,
    *,
    generator: Generator = None,
    rng: Generator = None,
    dtype: DTypeLike | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """Return random integers from ``low`` up to, and without, ``high``: ``randint(low, high, size)``.

    ``randint(high, size)`` starts at 0. ``size`` is a shape; dtype is int64 if None; generator, rng, device and
    requires_grad as for `rand`.
    """
    _check("randint", device, requires_grad)
    if size is None:
        low, high, size = 0, low, high
    drawn = _rng("randint", generator, rng).integers(low, high, sizes((size,)))
    return constant(drawn.astype(np.int64 if dtype is None else dtype))


def randperm(
    n: int,
    *,
    generator: Generator = None,
    rng: Generator = None,
    dtype: DTypeLike | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """Return the integers from 0 to n - 1 in random order, int64 if dtype is None.

    generator, rng, device and requires_grad as for `rand`.
    """
    _check("randperm", device, requires_grad)
    drawn = _rng("randperm", generator, rng).permutation(n)
    return constant(drawn.astype(np.int64 if dtype is None else dtype))


def bernoulli(input: Any, p: float | None = None, *, generator: Generator = None, rng: Generator = None) -> Any:
    """Return ones with the probabilities ``input`` and zeros else, in its shape and dtype; with ``p`` all have that.

    ``generator`` or ``rng`` draws them, None meaning minidl's own. Raises ValueError if one is outside [0, 1].
    """
    like: Array = np.asarray(plain(input))
    chance: Any = like if p is None else p
    if not (np.all(np.greater_equal(chance, 0)) and np.all(np.less_equal(chance, 1))):
        raise ValueError("bernoulli: expected probabilities between 0 and 1")
    return constant((_rng("bernoulli", generator, rng).random(like.shape) < chance).astype(like.dtype))


def normal(
    mean: Any, std: Any, size: Any = None, *, generator: Generator = None, rng: Generator = None, dtype: Any = None
) -> Any:
    """Return random numbers with the mean ``mean`` and the standard deviation ``std``, numbers or arrays.

    Args:
        mean, std: numbers or arrays, which are broadcast.
        size: the shape; None means that of the arrays.
        generator, rng: what draws them; None means minidl's own.
        dtype: None means float32, or the arrays' own.

    Raises:
        ValueError: a standard deviation is negative.
    """
    centre, width = (_array(value, None) for value in (mean, std))
    if not np.all(width >= 0):
        raise ValueError("normal: expected a std that is not negative")
    shape = np.broadcast_shapes(centre.shape, width.shape) if size is None else sizes((size,))
    kind = np.result_type(np.float32, *(v.dtype for v in (centre, width) if v.dtype.kind == "f"))
    drawn = _draw(_rng("normal", generator, rng), "normal", shape, np.dtype(kind if dtype is None else dtype))
    return constant((centre + drawn * width).astype(drawn.dtype))
