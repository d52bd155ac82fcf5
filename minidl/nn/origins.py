"""Origins: which output of which forward pass an array is, by identity while it lives; and what has lost its way.

A view of an output, and what a function made of one outside of a forward, look like any other array; but the gradient
of the model that the output came from would be lost. They are remembered, so that `loss.backward()` can say so.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from .._core import Array
from .modes import mode
from .structure import leaves

if TYPE_CHECKING:
    from .module import Module
    from .record import Record

__all__ = ["CHANGED", "Origin", "cut", "origin_of", "outputs", "prune", "remember_output"]

_MANY = 256
CHANGED = "was changed in place before something else was computed from it"
# the pass, the place among its outputs, its module, and what is wrong: "" if nothing
Origin = tuple["weakref.ref[Record]", int, "weakref.ref[Module]", str]
# by the arrays' ids: an output's place in its pass, its module, and what it held
outputs: dict[int, tuple[weakref.ref[Array], weakref.ref[Record], int, weakref.ref[Module], Any]] = {}
_owners: dict[int, tuple[weakref.ref[Array], weakref.ref[Record]]] = {}  # the arrays whose memory outputs lie in
_cuts: dict[int, tuple[weakref.ref[Array], weakref.ref[Record], str]] = {}  # what functions made of outputs


def _owner(x: Array) -> Array:
    while isinstance(x.base, np.ndarray):
        x = x.base
    return x


def remember_output(array: Array, record: Record, place: int, held: Any, inputs: Any) -> None:
    """Note that an array is an output of a pass; its memory, too, unless that is the caller's own."""
    reference = weakref.ref(record)
    outputs[id(array)] = weakref.ref(array), reference, place, record.module, held
    owner = _owner(array)
    for x in inputs:
        if type(x) is not np.ndarray and any(_owner(y) is owner for y in leaves(x) if isinstance(y, np.ndarray)):
            break
        if type(x) is np.ndarray and _owner(x) is owner:
            break
    else:
        _owners[id(owner)] = weakref.ref(owner), reference
    if len(outputs) > _MANY or len(_owners) > _MANY:
        for registry in (outputs, _owners, _cuts):
            prune(registry)


def origin_of(x: Array, held: Any) -> Origin | None:
    """Return where an array came from; ``held`` is what it holds now, None if it cannot have been changed."""
    known = outputs.get(id(x))
    if known is not None and known[0]() is x:
        return (*known[1:4], "" if held is None or known[4] in (None, held) else CHANGED)
    owner = _owner(x)
    if _cuts:
        for made in (_cuts.get(id(x)), _cuts.get(id(owner))):
            if made is not None and (made[0]() is x or made[0]() is owner):
                return _lost(made[1], f"went through {made[2]} outside of a forward")
    if owner is not x:
        whole = _owners.get(id(owner))
        if whole is not None and whole[0]() is owner:
            return _lost(whole[1], "was sliced or reshaped outside of a forward")
    return None


def _lost(reference: weakref.ref[Record], what: str) -> Origin | None:
    record = reference()
    return None if record is None or record.used else (reference, 0, record.module, what)


def cut(result: Any, inputs: Any, name: str) -> Any:
    """Note that a function made something of what may be outputs, outside of a forward; return it."""
    if mode.enabled and (outputs or _cuts):
        for x in leaves(inputs):
            origin = origin_of(x, None) if isinstance(x, np.ndarray) else None
            record = None if origin is None else origin[0]()
            if origin is not None and record is not None and not record.used:
                for y in leaves(result):
                    if isinstance(y, np.ndarray) and y is not x:
                        _cuts[id(y)] = weakref.ref(y), origin[0], name
                if len(_cuts) > _MANY:
                    prune(_cuts)
                break
    return result


def prune(registry: dict[int, Any]) -> None:
    """Forget the arrays that are gone."""
    for key in [key for key, entry in registry.copy().items() if entry[0]() is None]:  # other threads add to it
        registry.pop(key, None)
