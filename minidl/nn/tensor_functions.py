"""PyTorch's functions of tensors as a whole: ``minidl.cat``, ``stack``, ``flatten``, ``max``, ``sum``.

Values of a recorded forward pass, and Parameters in it, are recorded; arrays give arrays. Each is the method of the
same name that values have.
"""

# mypy: disable-error-code="no-any-return"
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import rearranging as shapes
from .recording import apply
from .tensor import operand
from .tensor_sums import Maximum

__all__ = [
    "all",
    "amax",
    "amin",
    "any",
    "argmax",
    "argmin",
    "argsort",
    "broadcast_to",
    "cat",
    "chunk",
    "concat",
    "concatenate",
    "cumsum",
    "flatten",
    "flip",
    "gather",
    "index_select",
    "logsumexp",
    "max",
    "mean",
    "min",
    "movedim",
    "narrow",
    "norm",
    "permute",
    "prod",
    "repeat_interleave",
    "reshape",
    "roll",
    "sort",
    "split",
    "squeeze",
    "stack",
    "std",
    "sum",
    "swapaxes",
    "tile",
    "topk",
    "transpose",
    "tril",
    "triu",
    "unbind",
    "unflatten",
    "unsqueeze",
    "var",
]


# Arrays put together and taken apart


def cat(tensors: Sequence[Any], dim: int = 0) -> Any:
    """Return the arrays ``tensors`` one after another along the axis ``dim``."""
    return apply(shapes.concatenate, *tensors, axis=dim)


concat = concatenate = cat


def stack(tensors: Sequence[Any], dim: int = 0) -> Any:
    """Return the arrays ``tensors`` side by side along a new axis ``dim``."""
    return apply(shapes.stack, *tensors, axis=dim)


def split(tensor: Any, split_size_or_sections: Any, dim: int = 0) -> Any:
    """Return parts of ``tensor`` along the axis ``dim``; split_size_or_sections is their length, or lengths."""
    return operand(tensor).split(split_size_or_sections, dim)


def chunk(input: Any, chunks: int, dim: int = 0) -> Any:
    """Split input into ``chunks`` parts along the axis ``dim``; the last one may be shorter."""
    return operand(input).chunk(chunks, dim)


def unbind(input: Any, dim: int = 0) -> Any:
    """Return the parts of input along the axis ``dim``, without it."""
    return operand(input).unbind(dim)


def gather(input: Any, dim: int, index: Any) -> Any:
    """Return the elements of input with the numbers ``index`` along the axis ``dim``."""
    return operand(input).gather(dim, index)


def index_select(input: Any, dim: int, index: Any) -> Any:
    """Return the parts of input with the numbers ``index`` along the axis ``dim``."""
    return operand(input).index_select(dim, index)


def narrow(input: Any, dim: int, start: int, length: int) -> Any:
    """Return ``length`` parts of input from ``start`` on, along the axis ``dim``."""
    return operand(input).narrow(dim, start, length)


def repeat_interleave(input: Any, repeats: Any, dim: int | None = None) -> Any:
    """Return each part of input along the axis ``dim`` ``repeats`` times in a row."""
    return operand(input).repeat_interleave(repeats, dim)


# Shapes


def flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """Return input with the axes from start_dim to end_dim joined into one."""
    return operand(input).flatten(start_dim, end_dim)


def unflatten(input: Any, dim: int, sizes: Any) -> Any:
    """Return input with the axis ``dim`` split into ``sizes``, one of which may be -1."""
    return operand(input).unflatten(dim, sizes)


def reshape(input: Any, shape: Any) -> Any:
    """Return the same elements of input in another ``shape``."""
    return operand(input).reshape(shape)


def broadcast_to(input: Any, shape: Any) -> Any:
    """Return input repeated along its axes of length 1, and new ones in front, to ``shape``."""
    return operand(input).expand(shape)


def tile(input: Any, dims: Any) -> Any:
    """Return input side by side, ``dims`` times along each axis."""
    return apply(shapes.tile, input, reps=tuple(dims))


def transpose(input: Any, dim0: int, dim1: int) -> Any:
    """Return input with the axes dim0 and dim1 exchanged."""
    return operand(input).transpose(dim0, dim1)


def swapaxes(input: Any, axis0: int, axis1: int) -> Any:
    """Return input with the axes axis0 and axis1 exchanged."""
    return operand(input).transpose(axis0, axis1)


def permute(input: Any, dims: Any) -> Any:
    """Return input with its axes in the order ``dims``."""
    return operand(input).permute(dims)


def movedim(input: Any, source: Any, destination: Any) -> Any:
    """Return input with the axes ``source`` moved to ``destination``."""
    return operand(input).movedim(source, destination)


def squeeze(input: Any, dim: Any = None) -> Any:
    """Return input without axes of length 1; with ``dim`` only that one, if its length is 1."""
    return operand(input).squeeze(dim)


def unsqueeze(input: Any, dim: int) -> Any:
    """Return input with an axis of length 1 put in at ``dim``."""
    return operand(input).unsqueeze(dim)


def flip(input: Any, dims: Any) -> Any:
    """Return input in reverse order along the axes ``dims``."""
    return operand(input).flip(*dims) if isinstance(dims, (tuple, list)) else operand(input).flip(dims)


def roll(input: Any, shifts: Any, dims: Any = None) -> Any:
    """Return input shifted by ``shifts`` along the axes ``dims``, around the end."""
    return operand(input).roll(shifts, dims)


def tril(input: Any, diagonal: int = 0) -> Any:
    """Return input with zeros above a ``diagonal``."""
    return operand(input).tril(diagonal)


def triu(input: Any, diagonal: int = 0) -> Any:
    """Return input with zeros below a ``diagonal``."""
    return operand(input).triu(diagonal)


# Sums, extremes and orders along axes


def sum(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """Return the sum of input along the axes ``dim``, which stay with ``keepdim``; ``dtype`` converts input first."""
    return operand(_cast(input, dtype)).sum(dim, keepdim)


def mean(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """Return the mean of input along the axes ``dim``, which stay with ``keepdim``; ``dtype`` converts input first."""
    return operand(_cast(input, dtype)).mean(dim, keepdim)


def prod(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """Return the product of input along the axis ``dim``, which stays with ``keepdim``; ``dtype`` converts input."""
    return operand(_cast(input, dtype)).prod(dim, keepdim)


def _cast(input: Any, dtype: Any) -> Any:
    return input if dtype is None else operand(input).astype(dtype)


def var(
    input: Any, dim: Any = None, unbiased: bool = True, keepdim: bool = False, *, correction: int | None = None
) -> Any:
    """Return the variance of input along the axes ``dim``, which stay with ``keepdim``.

    It is divided by n - 1, with ``unbiased=False`` by n, or by n - correction.
    """
    return operand(input).var(dim, unbiased, keepdim, correction=correction)


def std(
    input: Any, dim: Any = None, unbiased: bool = True, keepdim: bool = False, *, correction: int | None = None
) -> Any:
    """Return the root of `var`, with the same input, dim, unbiased, keepdim and correction."""
    return operand(input).std(dim, unbiased, keepdim, correction=correction)


def max(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """Return the largest of all, ``(values, indices)`` along the axis ``dim``, or the larger of input and an array.

    With ``keepdim`` the axis stays.
    """
    return operand(input).max(dim, keepdim)


def min(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """Return the smallest of all, ``(values, indices)`` along the axis ``dim``, or the smaller of input and an array.

    With ``keepdim`` the axis stays.
    """
    return operand(input).min(dim, keepdim)


def amax(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """Return the largest of input along the axes ``dim``, which stay with ``keepdim``."""
    return operand(input).amax(dim, keepdim)


def amin(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """Return the smallest of input along the axes ``dim``, which stay with ``keepdim``."""
    return operand(input).amin(dim, keepdim)


def argmax(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """Return the number of the largest of input along the axis ``dim``, which stays with ``keepdim``; no gradient."""
    return operand(input).argmax(dim, keepdim)


def argmin(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """Return the number of the smallest of input along the axis ``dim``, which stays with ``keepdim``; no gradient."""
    return operand(input).argmin(dim, keepdim)


def all(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """Return whether all elements of input are not 0, along the axes ``dim``, which stay with ``keepdim``."""
    return operand(input).all(dim, keepdim)


def any(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """Return whether an element of input is not 0, along the axes ``dim``, which stay with ``keepdim``."""
    return operand(input).any(dim, keepdim)


def sort(input: Any, dim: int = -1, descending: bool = False, *, stable: bool = True) -> Maximum:
    """Return ``(values, indices)`` of input in order along the axis ``dim``, the largest first if ``descending``.

    It is always ``stable``: equal ones keep their order.
    """
    return operand(input).sort(dim, descending)


def argsort(input: Any, dim: int = -1, descending: bool = False, *, stable: bool = True) -> Any:
    """Return the indices of `sort`, with the same input, dim, descending and stable."""
    return operand(input).sort(dim, descending).indices


def topk(input: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Maximum:
    """Return ``(values, indices)`` of the k largest of input along the axis ``dim``, or smallest if not ``largest``.

    They are always ``sorted``.
    """
    return operand(input).topk(k, dim, largest)


def logsumexp(input: Any, dim: Any, keepdim: bool = False) -> Any:
    """Return log(sum(exp(input))) along the axes ``dim``, which stay with ``keepdim``."""
    return operand(input).logsumexp(dim, keepdim)


def norm(input: Any, p: Any = "fro", dim: Any = None, keepdim: bool = False) -> Any:
    """Return the p-norm of input along the axes ``dim``, which stay with ``keepdim``; 'fro' is p = 2."""
    return operand(input).norm(p, dim, keepdim)


def cumsum(input: Any, dim: int) -> Any:
    """Return the running sums of input along the axis ``dim``."""
    return operand(input).cumsum(dim)
