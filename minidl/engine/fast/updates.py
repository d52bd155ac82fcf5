"""Optimisers' updates by compiled loops."""

from __future__ import annotations

from ..._core import Array
from ..._core.threads import cut, run
from .places import address, in_passes, laid_out
from .update_loops import LOOPS

__all__ = ["update"]

_PIECE = 2**16  # numbers


def update(name: str, numbers: tuple[float, ...], data: Array, grad: Array, slots: list[Array]) -> bool:
    """Update a parameter and its slots in place; return False, and do nothing, if they are laid out differently."""
    if not data.flags.c_contiguous or any(slot.strides != data.strides for slot in slots):
        return False
    kind, size, loop = data.dtype.type, data.itemsize, LOOPS[name]
    options = tuple([kind(number) for number in numbers])
    gradient = laid_out(grad, data)
    places = address(data), address(gradient)
    remembered = tuple([address(slot) for slot in slots]) or (0,)
    like, count = kind(0), data.size

    def work(part: slice) -> None:
        begin = size * part.start
        at = tuple([place + begin for place in remembered])
        loop(places[0] + begin, places[1] + begin, at, part.stop - part.start, options, like)

    run(work, cut(count, _PIECE), in_passes((3 + 2 * len(slots)) * data.nbytes))
    return True
