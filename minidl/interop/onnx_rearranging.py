"""Which ONNX nodes each operation of `nn.rearranging` becomes: the table `REARRANGING`."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from ..nn import rearranging as shapes
from ..nn.rearranging import axes_of
from .onnx_step import Emitter, Step

__all__ = ["REARRANGING"]

_END = np.iinfo(np.int64).max


def _reshape(s: Step) -> str:
    before, wanted = s.shapes(), []
    for axis, sizes in enumerate(s.sizes()):
        if len(set(sizes)) == 1:
            wanted.append(sizes[0])
        elif all(axis < len(b) and b[axis] == n for b, n in zip(before, sizes, strict=True)):
            wanted.append(0)  # as it was
        elif -1 not in wanted:
            wanted.append(-1)
        else:
            raise s.refuse("several axes depend on the batch size")
    return s.node("Reshape", s.input(0), np.array(wanted, np.int64))


def _broadcast(s: Step) -> str:
    before = [(1,) * (len(s.sizes()) - s.ndim) + shape for shape in s.shapes()]
    wanted: list[Any] = []
    for axis, sizes in enumerate(s.sizes()):
        grows = len(set(sizes)) > 1 and [b[axis] for b in before] != sizes
        if grows and (axis or not s.graph.is_batch(sizes)):
            raise s.refuse("an axis becomes as long as the batch")
        wanted.append(sizes[0] if len(set(sizes)) == 1 else None if grows else 1)
    if wanted[:1] == [None]:
        return s.graph.repeated(s.input(0), wanted[1:])
    return s.node("Expand", s.input(0), np.array(wanted, np.int64))


def _permute(order: Callable[[Any, dict[str, Any]], Any]) -> Emitter:
    """Return an emitter of an operation that puts the axes in another order, which it shows on numbered axes."""

    def emit(s: Step) -> str:
        numbered = np.empty(tuple(range(2, 2 + s.ndim)), np.int8)
        perm = [n - 2 for n in order(numbered, s.options)[0].shape]
        return s.node("Transpose", s.input(0), perm=perm)

    return emit


def _unsqueeze(s: Step) -> str:
    axis = s.options["axis"]
    axes = axes_of(axis, s.ndim + (len(axis) if isinstance(axis, (tuple, list)) else 1))
    return s.node("Unsqueeze", s.input(0), np.array(axes, np.int64))


def _squeeze(s: Step) -> str:
    axis = s.options.get("axis")
    ones = [i for i in range(s.ndim) if all(shape[i] == 1 for shape in s.shapes())]
    axes = ones if axis is None else axes_of(axis, s.ndim)
    return s.node("Squeeze", s.input(0), np.array(axes, np.int64)) if len(axes) else s.node("Identity", s.input(0))


def _slice(s: Step, x: Any, slices: dict[int, slice]) -> Any:
    """Cut axes; bounds that are open stay open, so that the batch may have any size."""
    if not slices:
        return x
    steps = [part.step or 1 for part in slices.values()]
    starts = [
        part.start if part.start is not None else 0 if step > 0 else _END
        for part, step in zip(slices.values(), steps, strict=True)
    ]
    ends = [
        part.stop if part.stop is not None else _END if step > 0 else -_END
        for part, step in zip(slices.values(), steps, strict=True)
    ]
    return s.node("Slice", x, *(np.array(v, np.int64) for v in (starts, ends, list(slices), steps)))


def _getitem(s: Step) -> Any:
    key = s.options["key"]
    parts = list(key) if isinstance(key, tuple) else [key]
    taken = sum(1 for part in parts if part is not None and part is not ...)
    if not any(part is ... for part in parts):
        parts.append(...)
    at = next(i for i, part in enumerate(parts) if part is ...)
    parts[at : at + 1] = [slice(None)] * (s.ndim - taken)
    new, picks, slices, axis, place = [], {}, {}, 0, 0
    for part in parts:
        if part is None:
            new.append(place)
            place += 1
            continue
        if isinstance(part, slice):
            if part != slice(None):
                slices[axis] = part
            place += 1
        elif isinstance(part, (int, np.integer)):
            picks[axis] = np.asarray(int(part), np.int64)
        else:
            picks[axis] = _indices(s, part)
            place += picks[axis].ndim
        axis += 1
    if sum(1 for v in picks.values() if v.ndim) and len(picks) > 1:
        raise s.refuse("it has several indices")
    x = _slice(s, s.input(0), slices)
    for axis in sorted(picks, reverse=True):
        x = s.node("Gather", x, picks[axis], axis=axis)
    x = s.node("Unsqueeze", x, np.array(new, np.int64)) if new else x
    return s.node("Identity", x) if x == s.input(0) else x


def _indices(s: Step, part: Any) -> Any:
    indices = np.asarray(part)
    if indices.dtype == bool and indices.ndim == 1:
        indices = np.flatnonzero(indices)
    if indices.dtype.kind not in "iu":
        raise s.refuse("a mask of several axes picks a number of elements that is not known before")
    return indices.astype(np.int64)


def _flip(s: Step) -> Any:
    axes = axes_of(s.options.get("axis"), s.ndim)
    return (
        _slice(s, s.input(0), {axis: slice(None, None, -1) for axis in axes})
        if axes
        else s.node("Identity", s.input(0))
    )


def _roll(s: Step) -> Any:
    shift, axis, x = s.options["shift"], s.options.get("axis"), s.input(0)
    if axis is None:
        raise s.refuse("it has no axis")
    shifts = shift if isinstance(shift, (tuple, list)) else (shift,)
    for by, at in zip(shifts, axes_of(axis, s.ndim), strict=True):
        sizes = {shape[at] for shape in s.shapes()}
        if len(sizes) > 1:
            raise s.refuse("it goes along the batch")
        cut = -by % sizes.pop()
        parts = [_slice(s, x, {at: slice(cut, None)}), _slice(s, x, {at: slice(0, cut)})]
        x = s.node("Concat", *parts, axis=at)
    return x


def _tile(s: Step) -> str:
    every = [note.options["reps"] for note in s.notes]
    along = isinstance(every[0], tuple) and len(every[0]) == s.ndim > 1 and {b[0] for b in s.shapes()} == {1}
    if along and s.graph.is_batch([reps[0] for reps in every]) and len({reps[1:] for reps in every}) == 1:
        rest = s.node("Tile", s.input(0), np.array((1, *every[0][1:]), np.int64))
        return s.graph.repeated(rest, [sizes[0] for sizes in s.sizes()[1:]])
    reps = s.options["reps"]
    reps = (reps,) if isinstance(reps, (int, np.integer)) else tuple(reps)
    x, extra = s.input(0), len(reps) - s.ndim
    x = s.node("Unsqueeze", x, np.arange(extra)) if extra > 0 else x
    return s.node("Tile", x, np.array((1,) * -extra + reps, np.int64))


def _repeat(s: Step) -> str:
    axis = s.options.get("axis")
    if axis is None or len({shape[axis] for shape in s.shapes()}) > 1:
        raise s.refuse("it repeats all elements, or along the batch")
    source = np.repeat(np.arange(s.shapes()[0][axis]), s.options["repeats"])
    return s.node("Gather", s.input(0), source, axis=axis)


def _pad(s: Step) -> str:
    widths = np.broadcast_to(np.asarray(s.options["pad_width"]), (s.ndim, 2))
    value = s.number(s.options.get("constant_values", 0))
    return s.node("Pad", s.input(0), widths.T.reshape(-1).astype(np.int64), value, mode="constant")


def _concatenate(s: Step) -> str:
    (axis,) = axes_of(s.options.get("axis", 0), len(s.sizes()))
    dtype = s.note.outputs.dtype
    return s.node("Concat", *(s.input(index, dtype) for index in range(len(s.note.inputs))), axis=axis)


def _stack(s: Step) -> str:
    (axis,) = axes_of(s.options.get("axis", 0), len(s.sizes()))
    names = [s.node("Unsqueeze", s.input(index), np.array([axis])) for index in range(len(s.note.inputs))]
    return s.node("Concat", *names, axis=axis)


def _split(s: Step) -> list[Any]:
    (axis,) = axes_of(s.options.get("axis", 0), s.ndim)
    sections = s.options["sections"]
    if isinstance(sections, (int, np.integer)):
        sections = [s.shapes()[0][axis] // sections * i for i in range(1, sections)]
        if len({shape[axis] for shape in s.shapes()}) > 1:
            raise s.refuse("it splits the batch")
    ends = [0, *sections, None]
    return [_slice(s, s.input(0), {axis: slice(a, b)}) for a, b in pairwise(ends)]


REARRANGING: dict[Any, Emitter] = {
    shapes.reshape: _reshape,
    shapes.broadcast_to: _broadcast,
    shapes.transpose: _permute(lambda x, o: shapes.transpose(x, **o)),
    shapes.swapaxes: _permute(lambda x, o: shapes.swapaxes(x, **o)),
    shapes.moveaxis: _permute(lambda x, o: shapes.moveaxis(x, **o)),
    shapes.expand_dims: _unsqueeze,
    shapes.squeeze: _squeeze,
    shapes.getitem: _getitem,
    shapes.flip: _flip,
    shapes.roll: _roll,
    shapes.tile: _tile,
    shapes.repeat: _repeat,
    shapes.tril: lambda s: s.node("Trilu", s.input(0), np.asarray(s.options.get("k", 0), np.int64), upper=0),
    shapes.triu: lambda s: s.node("Trilu", s.input(0), np.asarray(s.options.get("k", 0), np.int64), upper=1),
    shapes.pad: _pad,
    shapes.concatenate: _concatenate,
    shapes.stack: _stack,
    shapes.split: _split,
}
