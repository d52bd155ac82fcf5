"""LossValue: a loss is a float that knows the forward pass it came from, so that `loss.backward()` works."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from .modes import mode
from .unchanged import check_unchanged

if TYPE_CHECKING:
    from .record import Record

__all__ = ["LossValue"]


Source = tuple["weakref.ref[Record]", int]  # an output of a pass, by its place among the outputs


class LossValue(float):
    """The value of a loss; a float, with the way back to the models whose outputs it was computed from.

    Sums of losses and their multiples with numbers are losses too: ``(loss1 + 0.5 * loss2).backward()``.
    """

    __slots__ = ("terms",)
    __array_priority__ = 1000.0  # 2 * loss is a LossValue for NumPy's 2, too
    terms: tuple[tuple[Source, float], ...]  # the outputs of which passes it is a sum of, and the factors

    def __new__(cls, value: Any, terms: tuple[tuple[Source, float], ...]) -> LossValue:
        """Make a float of ``value`` that knows its ``terms``."""
        self = super().__new__(cls, value)
        self.terms = terms
        return self

    def item(self) -> float:
        """Return the value as a plain float."""
        return float(self)

    def detach(self) -> float:
        """Return the value as a plain float."""
        return float(self)

    def backward(self, retain_graph: bool = False) -> None:
        """Add the gradients of the parameters of every model that led to this loss.

        Where a model's input was another model's output, the backward pass goes on into that model;
        `minidl.detach`, or a copy, stops it.

        Args:
            retain_graph: whether the same forward passes serve another backward pass.

        Raises:
            RuntimeError: a forward pass on the way has been replaced by a later one, or has had its backward pass; an
                array was changed on the way; or the loss was not computed from a model's output.
        """
        pending: dict[int, tuple[Record, list[Any]]] = {}
        for (reference, place), factor in self.terms:
            record = _alive(reference())
            if not record.outputs or record.outputs[place][0] < 0:
                raise RuntimeError(
                    "loss.backward(): the loss depends on nothing whose gradient is known: its forward made a plain "
                    "number of it, with float() or item(), or everything is frozen"
                )
            seeds = pending.setdefault(record.number, (record, [None] * len(record.outputs)))[1]
            dtype = record.outputs[place][2]
            grad: Any = factor if dtype is None else np.asarray(factor, dtype)
            seeds[place] = grad if seeds[place] is None else seeds[place] + grad
        for record in _reached([record for record, _ in pending.values()]):
            check_unchanged(record)
            record.expand()
        done = []
        while pending:
            record, seeds = pending.pop(max(pending))
            done.append(record)
            wanted = [origin is not None for origin in record.origins]
            mode.walking = True
            try:
                found = record.walk(seeds, wanted, retain_graph)
            finally:
                mode.walking = False
            for grad, origin in zip(found, record.origins, strict=True):
                if origin is not None and grad is not None:
                    before = origin[0]()
                    more = pending.setdefault(before.number, (before, [None] * len(before.outputs)))[1]
                    own = grad.astype(before.outputs[origin[1]][2], copy=False)  # a target's dtype may differ
                    more[origin[1]] = own if more[origin[1]] is None else more[origin[1]] + own
        if not retain_graph:
            for record in done:
                record.release()

    def _sum(self, other: Any, sign: float, own: float = 1.0) -> Any:
        if not isinstance(other, (int, float, np.integer, np.floating)):
            return NotImplemented
        terms = other.terms if isinstance(other, LossValue) else ()
        value = own * float(self) + sign * float(other)
        scaled = (*((r, own * f) for r, f in self.terms), *((r, sign * f) for r, f in terms))
        return LossValue(value, scaled)

    def __add__(self, other: Any) -> Any:
        return self._sum(other, 1.0)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return self._sum(other, -1.0)

    def __rsub__(self, other: Any) -> Any:
        return self._sum(other, 1.0, -1.0)

    def __mul__(self, other: Any) -> Any:
        if not isinstance(other, (int, float, np.integer, np.floating)):
            return NotImplemented
        a, b = float(self), float(other)
        terms = tuple((r, f * b) for r, f in self.terms)
        if isinstance(other, LossValue):
            terms += tuple((r, f * a) for r, f in other.terms)
        return LossValue(a * b, terms)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Any:
        if not isinstance(other, (int, float, np.integer, np.floating)):
            return NotImplemented
        a, b = float(self), float(other)
        terms = tuple((r, f / b) for r, f in self.terms)
        if isinstance(other, LossValue):
            terms += tuple((r, -f * a / (b * b)) for r, f in other.terms)
        return LossValue(a / b, terms)

    def __neg__(self) -> Any:
        return self * -1.0

    def __pos__(self) -> Any:
        return self

    def __reduce__(self) -> Any:
        return float, (float(self),)

    def __deepcopy__(self, memo: Any) -> float:
        return float(self)


def _alive(record: Record | None) -> Record:
    """Return a record that can still be walked, or raise RuntimeError."""
    if record is None or record.used:
        raise RuntimeError(
            "loss.backward(): a forward pass that led to this loss is gone: its backward pass has been run already "
            "(with retain_graph=True it could be run again), or a later forward pass of the same module has replaced "
            "it; call backward() before the next one (join batches, or call backward() for each part of a sum)"
        )
    return record


def _reached(records: list[Record]) -> list[Record]:
    """Return all records that a backward pass goes through; raise RuntimeError if one of them cannot be."""
    found: dict[int, Record] = {}
    leads = False
    waiting = list(records)
    while waiting:
        record = waiting.pop()
        if id(record) in found:
            continue
        found[id(record)] = record
        for origin in record.origins:
            if origin is None:
                continue
            if not origin[3]:
                raise RuntimeError(
                    "loss.backward(): the model's output was changed in place before the loss was computed from it, "
                    "and its gradient would be lost; put the change into the model's forward, or write the gradient "
                    "yourself and call model.backward(...)"
                )
            waiting.append(_alive(origin[0]()))
        if not leads:
            leads = record.memory is None or any(origin is not None for origin in record.origins)
    if not leads:
        raise RuntimeError(
            "loss.backward(): the loss was not computed from a model's output as it was returned (or that was inside "
            "no_grad()): give the loss the output itself, or call model.backward(loss_fn.backward()), with what you "
            "did in between undone by hand"
        )
    return list(found.values())
