"""LossValue: a loss is a float that knows the forward pass it came from, so that `loss.backward()` works."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from .modes import mode
from .origins import CHANGED
from .saved import trains
from .unchanged import check_unchanged

if TYPE_CHECKING:
    from .record import Record

__all__ = ["LossValue", "is_loss", "links"]


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
            wanted = [bool(links(origin)) for origin in record.origins]
            mode.walking = True
            try:
                found = record.walk(seeds, wanted, retain_graph)
            finally:
                mode.walking = False
            for grad, origin in zip(found, record.origins, strict=True):
                for reference, place, factor in links(origin) if grad is not None else ():
                    before = _alive(reference())
                    more = pending.setdefault(before.number, (before, [None] * len(before.outputs)))[1]
                    dtype = before.outputs[place][2]  # that of a target may differ
                    own = float(grad) if dtype is None else np.asarray(grad, dtype)
                    own = own if factor == 1 else own * factor
                    more[place] = own if more[place] is None else more[place] + own
        if not retain_graph:
            for record in done:
                record.release()

    def mean(self) -> LossValue:
        """Return the loss: it is one number."""
        return self

    sum = mean

    def _plus(self, other: Any, sign: float, own: float = 1.0) -> Any:
        number = _number(other)
        if number is None:
            return NotImplemented
        terms = other.terms if isinstance(other, LossValue) else ()
        scaled = (*((r, own * f) for r, f in self.terms), *((r, sign * f) for r, f in terms))
        return LossValue(own * float(self) + sign * number, scaled)

    def _scaled(self, value: float, slope: float, more: tuple[tuple[Source, float], ...] = ()) -> LossValue:
        return LossValue(value, (*((r, f * slope) for r, f in self.terms), *more))

    def __add__(self, other: Any) -> Any:
        return self._plus(other, 1.0)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return self._plus(other, -1.0)

    def __rsub__(self, other: Any) -> Any:
        return self._plus(other, 1.0, -1.0)

    def __mul__(self, other: Any) -> Any:
        a, b = float(self), _number(other)
        if b is None:
            return NotImplemented
        more = tuple((r, f * a) for r, f in other.terms) if isinstance(other, LossValue) else ()
        return self._scaled(a * b, b, more)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Any:
        a, b = float(self), _number(other)
        if b is None:
            return NotImplemented
        more = tuple((r, -f * a / (b * b)) for r, f in other.terms) if isinstance(other, LossValue) else ()
        return self._scaled(a / b, 1 / b, more)

    def __rtruediv__(self, other: Any) -> Any:
        a, b = _number(other), float(self)
        return NotImplemented if a is None else self._scaled(a / b, -a / (b * b))

    def __pow__(self, other: Any, modulo: None = None) -> Any:
        n = None if isinstance(other, LossValue) else _number(other)
        a = float(self)
        return NotImplemented if n is None else self._scaled(a**n, n * a ** (n - 1) if n else 0.0)

    def __abs__(self) -> Any:
        return self if self >= 0 else -self

    abs = __abs__

    def __neg__(self) -> Any:
        return self * -1.0

    def __pos__(self) -> Any:
        return self

    def __reduce__(self) -> Any:
        return float, (float(self),)

    def __deepcopy__(self, memo: Any) -> float:
        return float(self)


def _number(x: Any) -> float | None:
    """Return a number, or an array without axes, as a float; None for anything else."""
    if isinstance(x, (int, float, np.integer, np.floating)) or (isinstance(x, np.ndarray) and not x.ndim):
        return float(x)
    return None


def _alive(record: Record | None) -> Record:
    """Return a record that can still be walked, or raise RuntimeError."""
    if record is None or record.used:
        raise RuntimeError(
            "loss.backward(): a forward pass that led to this loss is gone: its backward pass has been run already "
            "(with retain_graph=True it could be run again), or a later forward pass of the same module has replaced "
            "it; call backward() before the next one (join batches, or call backward() for each part of a sum)"
        )
    return record


def is_loss(x: Any) -> bool:
    """Return whether a value is a loss that was computed in a pass."""
    return isinstance(x, LossValue) and bool(x.terms)


def links(origin: Any) -> list[tuple[weakref.ref[Record], int, float]]:
    """Return the outputs of passes that an input is made of: itself, or the terms of a loss, with their factors."""
    if isinstance(origin, LossValue):
        return [(reference, place, factor) for (reference, place), factor in origin.terms]
    return [] if origin is None or origin[3] else [(origin[0], origin[1], 1.0)]


def _reached(records: list[Record]) -> list[Record]:
    """Return all records that a backward pass goes through; raise RuntimeError if one of them cannot be."""
    found: dict[int, Record] = {}
    waiting = list(records)
    while waiting:
        record = waiting.pop()
        if id(record) in found:
            continue
        found[id(record)] = record
        for origin in record.origins:
            _check_origin(origin)
            waiting += [_alive(reference()) for reference, _, _ in links(origin)]
        _check_leads(record)
    if not found:
        _check_leads(None)
    return list(found.values())


def _check_leads(record: Record | None) -> None:
    """Raise RuntimeError if a pass has nothing to train, and was given nothing that came from elsewhere."""
    if record is not None:
        module = record.module() or (record.memory[0][0] if record.memory else None)
        inside = [module, *(part for part, *_ in record.steps)]
        trained = record.parameters or any(part is not None and trains(part) for part in inside)
        if trained or any(origin is not None for origin in record.origins):
            return
    raise RuntimeError(
        "loss.backward(): the loss, or a term of it, was not computed from a model's output as it was returned (or "
        "that was inside no_grad(), or everything is frozen): give the loss the output itself, or call "
        "model.backward(loss_fn.backward()), with what you did in between undone by hand"
    )


def _check_origin(origin: Any) -> None:
    """Raise RuntimeError if the gradient of a model that has something to train would be lost on the way."""
    if origin is None or isinstance(origin, LossValue) or not origin[3]:
        return
    record, module = origin[0](), origin[2]()
    if record is not None and not record.used and (origin[3] == CHANGED or (module is not None and trains(module))):
        raise RuntimeError(
            f"loss.backward(): an output of {type(module).__name__} {origin[3]}, and its gradient would be lost: put "
            "that into the model's forward, or make a model of both; if it is meant to end there, use minidl.detach(x)"
        )
