"""The methods of Tensors and Parameters that sum and compare along axes: ``dim`` is PyTorch's, ``axis`` NumPy's."""

# mypy: disable-error-code="no-any-return"
from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from . import operations as op
from .rearranging import Operation
from .recording import apply, axis_of, compute, constant, either
from .tensor_shapes import Shapes

__all__ = ["Maximum", "Sums"]


class Maximum(NamedTuple):
    """What ``x.max(dim)``, ``x.min(dim)``, ``x.sort(dim)`` and ``x.topk(k)`` return."""

    values: Any
    indices: Any


class Sums(Shapes):
    """What `Operand` is about sums, extremes and orders along axes."""

    __slots__ = ()

    def sum(self, dim: Any = None, keepdim: bool = False, *, axis: Any = None, keepdims: bool = False) -> Any:
        """Return the sum along axes."""
        return apply(op.total, self, axis=either(dim, axis), keepdims=keepdim or keepdims)

    def mean(self, dim: Any = None, keepdim: bool = False, *, axis: Any = None, keepdims: bool = False) -> Any:
        """Return the mean along axes."""
        return apply(op.mean, self, axis=either(dim, axis), keepdims=keepdim or keepdims)

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
        operation: Operation,
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
        return apply(operation, self, axis=either(dim, axis), ddof=ddof, keepdims=keepdim or keepdims)

    def prod(self, dim: Any = None, keepdim: bool = False, *, axis: Any = None, keepdims: bool = False) -> Any:
        """Return the product along axes."""
        return apply(op.prod, self, axis=either(dim, axis), keepdims=keepdim or keepdims)

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
        if isinstance(dim, (Sums, np.ndarray)):  # torch.max(a, b)
            return apply(both, self, dim)
        if dim is None or axis is not None:
            return apply(op.FUNCTIONS[value], self, axis=either(dim, axis), keepdims=keepdims or keepdim)
        at = axis_of(dim, self.ndim)
        indices = np.expand_dims(index(self.data, axis=at), at)
        values = apply(op.picked, self, indices=indices, axis=at)
        return Maximum(values if keepdim else values.squeeze(at), constant(indices if keepdim else indices.squeeze(at)))

    def sort(self, dim: int = -1, descending: bool = False, *, stable: bool = True) -> Maximum:
        """Return ``(values, indices)`` in order along an axis, NaN as the largest; equal ones keep theirs."""
        at = axis_of(dim, self.ndim)
        if descending:  # in the order of the array from its end, so that equal ones keep theirs
            backwards = np.argsort(np.flip(self.data, at), axis=at, kind="stable")
            indices = np.flip(self.shape[at] - 1 - backwards, at)
        else:
            indices = np.argsort(self.data, axis=at, kind="stable")
        return Maximum(apply(op.picked, self, indices=indices, axis=at), constant(indices))

    def topk(self, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Maximum:
        """Return ``(values, indices)`` of the k largest, always in order."""
        values, indices = self.sort(dim, descending=largest)
        if not 0 <= k <= self.shape[axis_of(dim, self.ndim)]:
            raise ValueError(f"topk: k must be between 0 and {self.shape[dim]}, got {k}")
        key = (slice(None),) * axis_of(dim, self.ndim) + (slice(k),)
        return Maximum(values[key], indices[key])

    def argmax(self, dim: Any = None, keepdim: bool = False, *, axis: Any = None) -> Any:
        """Return the numbers of the largest; they have no gradient."""
        found = either(dim, axis)
        return compute(np.argmax, self, axis=found, keepdims=keepdim and found is not None)

    def argmin(self, dim: Any = None, keepdim: bool = False, *, axis: Any = None) -> Any:
        """Return the numbers of the smallest; they have no gradient."""
        found = either(dim, axis)
        return compute(np.argmin, self, axis=found, keepdims=keepdim and found is not None)

    def all(self, dim: Any = None, keepdim: bool = False) -> Any:
        """Return whether all elements are not 0; this has no gradient."""
        return constant(np.all(self.data, axis=dim, keepdims=keepdim))

    def any(self, dim: Any = None, keepdim: bool = False) -> Any:
        """Return whether an element is not 0; this has no gradient."""
        return constant(np.any(self.data, axis=dim, keepdims=keepdim))

    def logsumexp(self, dim: Any, keepdim: bool = False) -> Any:
        """Return log(sum(exp(x))) along axes."""
        return apply(op.logsumexp, self, axis=dim, keepdims=keepdim)

    def norm(self, p: Any = 2, dim: Any = None, keepdim: bool = False) -> Any:
        """Return the p-norm along axes; with an infinite p the largest absolute value, or the smallest."""
        if p in (math.inf, -math.inf):
            extreme = op.FUNCTIONS[np.max if p > 0 else np.min]
            return apply(extreme, apply(op.ELEMENTWISE[np.absolute], self), axis=dim, keepdims=keepdim)
        return apply(op.norm, self, ord=2.0 if p == "fro" else float(p), axis=dim, keepdims=keepdim)

    def cumsum(self, dim: int = 0) -> Any:
        """Return the running sums along an axis."""
        return apply(op.cumsum, self, axis=dim)
