"""The methods of Tensors and Parameters that rearrange elements, under PyTorch's names."""

# mypy: disable-error-code="no-any-return"
from __future__ import annotations

import math
from typing import Any

import numpy as np

from .._core import Array
from . import operations as op
from . import rearranging
from .recording import apply, axis_of, plain, sizes

__all__ = ["Shapes"]


class Shapes:
    """What `Operand` is about shapes and indices."""

    __slots__ = ()
    data: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return self.data.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.data.ndim

    @property
    def T(self) -> Any:
        """The axes in reverse order."""
        return apply(rearranging.transpose, self)

    @property
    def mT(self) -> Any:
        """The last two axes exchanged."""
        return apply(rearranging.swapaxes, self, axis1=-1, axis2=-2)

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self.data)))

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, tuple):
            return apply(rearranging.getitem, self, key=tuple([plain(part) for part in key]))
        return apply(rearranging.getitem, self, key=plain(key))

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
        return apply(rearranging.reshape, self, shape=sizes(shape))

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
        first, last = axis_of(start_dim, len(shape)), axis_of(end_dim, len(shape))
        return self.reshape((*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :]))

    def unflatten(self, dim: int, lengths: Any) -> Any:
        """Split an axis into several; one of the lengths may be -1."""
        at = axis_of(dim, self.ndim)
        known = -math.prod(lengths)
        split = [self.shape[at] // known if n == -1 else n for n in lengths]
        return self.reshape((*self.shape[:at], *split, *self.shape[at + 1 :]))

    def transpose(self, *axes: Any) -> Any:
        """Exchange two axes, as PyTorch's ``transpose(dim0, dim1)``; or put all in another order, as NumPy's."""
        order = sizes(axes)
        if len(order) == 2:
            return apply(rearranging.swapaxes, self, axis1=order[0], axis2=order[1])
        return apply(rearranging.transpose, self, axes=order or None)

    def swapaxes(self, axis0: int, axis1: int) -> Any:
        """Exchange two axes."""
        return apply(rearranging.swapaxes, self, axis1=axis0, axis2=axis1)

    def t(self) -> Any:
        """Exchange the axes of a matrix."""
        if self.ndim > 2:
            raise ValueError(f"t: expected at most two axes, got shape {self.shape}")
        return apply(rearranging.transpose, self)

    def permute(self, *dims: Any) -> Any:
        """Put the axes in another order."""
        return apply(rearranging.transpose, self, axes=sizes(dims))

    def movedim(self, source: Any, destination: Any) -> Any:
        """Move axes to another place."""
        return apply(rearranging.moveaxis, self, source=source, destination=destination)

    def squeeze(self, dim: Any = None, axis: Any = None) -> Any:
        """Remove axes of length 1; a ``dim`` that is longer stays."""
        if axis is None and dim is not None:
            dims = dim if isinstance(dim, tuple) else (dim,)
            axis = tuple(d for d in dims if self.shape[d] == 1)
        return apply(rearranging.squeeze, self, axis=axis)

    def unsqueeze(self, dim: int) -> Any:
        """Put in an axis of length 1."""
        return apply(rearranging.expand_dims, self, axis=dim)

    def expand(self, *lengths: Any) -> Any:
        """Repeat along axes of length 1 and new ones in front; -1 leaves an axis as it is."""
        wanted = sizes(lengths)
        old = (1,) * (len(wanted) - self.ndim) + self.shape
        return apply(
            rearranging.broadcast_to, self, shape=tuple(o if n == -1 else n for o, n in zip(old, wanted, strict=True))
        )

    def expand_as(self, other: Any) -> Any:
        """Repeat to another array's shape."""
        return apply(rearranging.broadcast_to, self, shape=other.shape)

    def repeat(self, *counts: Any, axis: int | None = None) -> Any:
        """Tile it ``counts`` times along each axis; with ``axis=``, as in NumPy, repeat each part along that axis."""
        if axis is not None:
            return apply(rearranging.repeat, self, repeats=counts[0], axis=axis)
        reps = sizes(counts)
        if len(reps) < self.ndim:
            raise ValueError(f"repeat: expected a number for each of the {self.ndim} axes, got {reps}")
        return apply(rearranging.tile, self, reps=reps)

    def repeat_interleave(self, repeats: Any, dim: int | None = None) -> Any:
        """Repeat each part along an axis ``repeats`` times in a row."""
        return apply(rearranging.repeat, self, repeats=plain(repeats), axis=dim)

    def chunk(self, chunks: int, dim: int = 0) -> Any:
        """Split an axis into ``chunks`` parts; the last one may be shorter."""
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
        return tuple(apply(rearranging.split, self, sections=ends, axis=dim))

    def unbind(self, dim: int = 0) -> Any:
        """Return the parts along an axis, without it."""
        return tuple([self.select(dim, i) for i in range(self.shape[dim])])

    def select(self, dim: int, index: int) -> Any:
        """Return one part along an axis, without the axis."""
        return self[(slice(None),) * axis_of(dim, self.ndim) + (index,)]

    def narrow(self, dim: int, start: int, length: int) -> Any:
        """Return a part of an axis."""
        return self[(slice(None),) * axis_of(dim, self.ndim) + (slice(start, start + length),)]

    def index_select(self, dim: int, index: Any) -> Any:
        """Return the parts of an axis with these numbers."""
        return self[(slice(None),) * axis_of(dim, self.ndim) + (index,)]

    def gather(self, dim: int, index: Any) -> Any:
        """Return the elements with these numbers along an axis."""
        index = np.asarray(plain(index))
        key = tuple(slice(n) if i != axis_of(dim, self.ndim) else slice(None) for i, n in enumerate(index.shape))
        return apply(op.picked, self[key], indices=index, axis=axis_of(dim, self.ndim))

    def masked_fill(self, mask: Any, value: Any) -> Any:
        """Put a number where the mask is True."""
        return apply(op.where, mask, value, self)

    def flip(self, *dims: Any) -> Any:
        """Reverse the order along axes."""
        return apply(rearranging.flip, self, axis=sizes(dims))

    def roll(self, shifts: Any, dims: Any = None) -> Any:
        """Shift along axes, around the end."""
        return apply(rearranging.roll, self, shift=shifts, axis=dims)

    def tril(self, diagonal: int = 0) -> Any:
        """Put zeros above a diagonal."""
        return apply(rearranging.tril, self, k=diagonal)

    def triu(self, diagonal: int = 0) -> Any:
        """Put zeros below a diagonal."""
        return apply(rearranging.triu, self, k=diagonal)

    def contiguous(self) -> Any:
        """Return self: the order of memory is minidl's own affair."""
        return self
