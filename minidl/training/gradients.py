"""GradientBuffer: gradients that lie one after the other in memory, so that they travel as one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .._core import Array
from ..nn import Parameter

__all__ = ["GradientBuffer"]


class GradientBuffer:
    """Gradients of parameters in one flat array, or one for each dtype that there is.

    Args:
        parameters: whose gradients are kept here.

    Attributes:
        flat: the arrays.
        gradients: one for each parameter, of its shape and memory layout: parts of ``flat``.
    """

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        kinds = sorted({p.data.dtype for p in parameters}, key=str)
        sizes = {kind: sum(p.data.size for p in parameters if p.data.dtype == kind) for kind in kinds}
        arrays = {kind: np.empty(size, kind) for kind, size in sizes.items()}
        used = dict.fromkeys(kinds, 0)
        self.flat = list(arrays.values())
        self.gradients: list[Array] = []
        for parameter in parameters:
            kind, size = parameter.data.dtype, parameter.data.size
            part = arrays[kind][used[kind] : used[kind] + size]
            used[kind] += size
            self.gradients.append(_laid_out_as(parameter.data, part))

    def put(self, gradients: Sequence[Array | None]) -> None:
        """Copy gradients to their places; those that do not exist are zeros."""
        for place, gradient in zip(self.gradients, gradients, strict=True):
            place[...] = 0 if gradient is None else gradient


def _laid_out_as(array: Array, flat: Array) -> Array:
    """Return a flat array in another's shape, with its axes in the same order in memory."""
    order = sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis]))
    back = np.argsort(order) if order else ()
    return flat.reshape([array.shape[axis] for axis in order]).transpose(back)
