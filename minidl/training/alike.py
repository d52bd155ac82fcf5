"""Alike: before the first step of a fit on several ranks, each must have the same model, data and options."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from .._core import Array, printable
from .._version import __version__
from ..data import ArrayDataset, ImageFolder
from ..data.dataset import batch_of, whole_of
from ..distributed import Group
from ..nn import Module
from ..nn.structure import leaves
from .losses import parts_of
from .made_of import differences
from .progress import Progress
from .state import FitState

__all__ = ["check_alike", "checksum_of"]

_PIECE = 2**26  # bytes of an array that are read at a time
_SAMPLES = 1000  # of a dataset that is not in memory


def check_alike(group: Group, state: FitState, progress: Progress) -> None:
    """Raise on every rank if one of them has something else than rank 0; let all begin with rank 0's weights.

    Raises:
        ValueError: they have other versions of minidl, models, data or options; the message lists them. Or the model
            has layers without a size, whose first values each rank would draw for itself.
    """
    parameters = dict(state.model.named_params())
    if unsized := [name for name, p in parameters.items() if p.data.shape == (0,)]:
        raise ValueError(
            f"Trainer.fit: with several ranks the layers must have their sizes before the fit, {unsized[0]!r} has "
            "none: call the model or summary(input_shape) once before, or give the layer its size"
        )
    facts = {
        "minidl": __version__,
        **state.options,
        "classes of the modules": [type(module).__name__ for module in state.model.modules()],
        "parameters": [f"{name} {p.data.shape} {p.data.dtype}" for name, p in parameters.items()],
        "frozen": [name for name, p in parameters.items() if not p.requires_grad],
        "accumulate": state.accumulate,
        "sample_weights": state.sample_weights,
        "batches": len(state.loader) if hasattr(state.loader, "__len__") else None,
        "callback classes": [type(callback).__name__ for callback in state.callbacks],
    }
    facts["checksum of the data"] = _checksum_of_data(getattr(state.loader, "dataset", None))
    found = group.collect((facts, checksum_of(state)), "the beginning of a fit")
    for rank, (theirs, _) in enumerate(found):
        if wrong := list(differences(found[0][0], theirs)):
            listed = "; ".join(f"{name} is {_short(b)}, on rank 0 {_short(a)}" for name, a, b in wrong[:8])
            more = f"; and {len(wrong) - 8} more" if len(wrong) > 8 else ""
            raise ValueError(f"Trainer.fit: rank {rank} is not like rank 0: {printable(listed)}{more}")
    others = [rank for rank, (_, checksum) in enumerate(found) if checksum != found[0][1]]
    if others:
        progress.line(f"rank {others[0]} has begun with other weights: those of rank 0 are taken")
        _take_first(group, state)
    if group.rank == 0 and any(getattr(part.loss, "whole_batch", False) for part in parts_of(state.loss)):
        warnings.warn(
            "Trainer.fit: a loss judges whole batches; with several ranks each judges its share by itself, which gives "
            "other numbers than one process",
            UserWarning,
            stacklevel=3,
        )


def checksum_of(state: FitState) -> int:
    """Return a checksum of everything that a step changes: parameters, buffers, the state of the optimizers."""
    checksum = 0
    for array in _arrays(state):
        checksum = _added(array, checksum)
    return checksum


def _arrays(state: FitState) -> Iterator[Array]:
    for module in (state.model, state.loss):
        yield from (array for _, array in module._state())
    if state.optimizer is not None:
        yield from _within(state.optimizer.state_dict())


def _within(value: Any) -> Iterator[Array]:
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _within(item)
    elif isinstance(value, list):
        for item in value:
            yield from _within(item)


def _take_first(group: Group, state: FitState) -> None:
    """Load what rank 0 has."""
    parts: list[Module | Any] = [state.model, state.loss]
    parts += [] if state.optimizer is None else [state.optimizer]
    for part, own in zip(parts, group.from_first([part.state_dict() for part in parts]), strict=True):
        if group.rank:
            part.load_state_dict(own)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:70]} ..."


def _checksum_of_data(dataset: Any) -> int | None:
    """Return a checksum of all samples of arrays, or of some of another dataset; None if they are random."""
    if dataset is None:
        return None
    whole, chosen = whole_of(dataset)
    if isinstance(whole, ArrayDataset):
        checksum = 0 if isinstance(chosen, slice) else _added(chosen, 0)
        for array in leaves(whole.arrays):
            parts = max(1, array.nbytes // _PIECE)  # of a file that is mapped, one at a time
            for part in np.array_split(array, parts):
                checksum = _added(part, checksum)
        return checksum
    if isinstance(whole, ImageFolder):  # the names of its files are among the options
        return None
    count = min(len(dataset), _SAMPLES)
    indices = np.linspace(0, len(dataset) - 1, count).astype(np.int64)
    first, again = (leaves(batch_of(dataset, indices[:1])) for _ in range(2))
    if any(_added(a, 0) != _added(b, 0) for a, b in zip(first, again, strict=True)):
        return None
    checksum = 0
    for start in range(0, count, 100):
        for array in leaves(batch_of(dataset, indices[start : start + 100])):
            checksum = _added(array, checksum)
    return checksum


def _added(array: Any, checksum: int) -> int:
    """Return a checksum with that of one more array."""
    return zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, checksum)
