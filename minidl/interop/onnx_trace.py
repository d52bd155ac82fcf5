"""Dry runs of a model that is to be exported: several traces, so that what they do not share is noticed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .._core import Array
from ..nn import Module
from ..nn.modes import evaluating
from ..nn.structure import leaves, rebuild
from ..nn.summary import filled, watched
from ..nn.trace import Trace

__all__ = ["SIGNS", "SIZES", "NoFormError", "Run", "drawn", "dry_runs", "equal"]


SIZES = (2, 7, 2)  # batch sizes of the runs, apart enough that x[: len(x) // 2] shows
SIGNS: tuple[Callable[[Array], Array], ...] = (lambda x: x, np.abs, lambda x: -np.abs(x))  # of the runs' values


class NoFormError(ValueError):
    """A layer has no ONNX form."""


def equal(a: Any, b: Any) -> bool:
    """Return whether two options, or constants, are the same."""
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return _same(a, b)
    if isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)):
        return len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    return bool(a == b) or (isinstance(a, float) and isinstance(b, float) and np.isnan(a) and np.isnan(b))


def _same(a: Any, b: Any) -> bool:
    x: Array = np.asarray(a)
    y: Array = np.asarray(b)
    return x.shape == y.shape and x.dtype == y.dtype and np.array_equal(x, y, equal_nan=x.dtype.kind == "f")


class Run(NamedTuple):
    """One dry run: its trace, the Values that go in and come out, the shapes at each module by id, the batch size."""

    trace: Trace
    inputs: tuple[Any, ...]
    output: Any
    shapes: dict[int, tuple[Any, Any]]
    size: int


def drawn(shape: tuple[int, ...], kind: np.dtype[Any], sign: Any, rng: np.random.Generator, *, other: bool) -> Array:
    """Return an input of one run: random floats of its sign; integers and flags are 1 in the ``other`` size, else 0."""
    return np.asarray(sign(rng.standard_normal(shape)), kind) if kind.kind == "f" else np.full(shape, other, kind)


def dry_runs(model: Module, shapes: tuple[Any, ...], dtype: Any, kind_of: Any) -> list[Run]:
    """Run a model on random values of both signs, in two batch sizes if it allows that, else in the one that is given.

    What is the same in all runs belongs to the graph; what differs depends on the batch size or on the values.
    """

    def runs(*sizes: int | None) -> list[Run]:
        return [_run(model, shapes, dtype, kind_of, *more) for more in zip(sizes, SIGNS, strict=True)]

    try:
        return runs(*SIZES)
    except (NoFormError, MemoryError):
        raise
    except Exception:  # whatever forward raises: it may not work with another batch size
        return runs(None, None, None)


def _run(model: Module, shapes: tuple[Any, ...], dtype: Any, kind_of: Any, size: int | None, sign: Any) -> Run:
    rng, seen, first = np.random.default_rng(0 if size is None else size), {}, []

    def make(shape: tuple[int, ...], kind: np.dtype[Any]) -> Array:
        shape = shape if size is None else (size, *shape[1:])
        first.append(shape[0])
        return drawn(shape, kind, sign, rng, other=size == SIZES[1])

    def look(module: Module, inputs: tuple[Any, ...], output: Any) -> None:
        seen[id(module)] = np.shape(next(leaves(inputs), ())), rebuild(output, np.shape)

    inputs, trace = filled(model, shapes, dtype, make), Trace(model, kind_of)
    with watched(model, look), evaluating(model), np.errstate(all="ignore"):
        return Run(trace, *trace.run(model, inputs), seen, first[0])
