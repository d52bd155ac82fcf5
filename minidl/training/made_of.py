"""What a fit is made of, as plain data: every option of its parts, and a fingerprint of its data.

A checkpoint holds the description that its fit began with, so that one made otherwise does not continue it unnoticed.
An option is an argument of a constructor that the object keeps as an attribute of the same name.
"""

from __future__ import annotations

import inspect
import math
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from types import FunctionType
from typing import TYPE_CHECKING, Any

import numpy as np

from .._core import Array
from ..data import ArrayDataset, DataLoader, ImageFolder, Subset
from ..data.collate import is_dataset
from ..data.folder import relative_names
from ..engine import get_engine
from ..nn import BatchNorm2d, Module, Parameter, SyncBatchNorm2d
from ..optim import Optimizer
from .callback import Callback
from .optimizers import Optimizers
from .sharing import uncut

if TYPE_CHECKING:
    from .state import FitState

__all__ = ["PARTS", "describe", "describe_fit", "differences"]

PARTS = ("model", "loss", "optimizer", "scheduler", "metrics", "callbacks")

_ROWS = 256
# arguments that say where something is, or that are described elsewhere
_LEFT_OUT = frozenset({"optimizer", "rng", "root", "path", "folder", "dir", "directory", "file", "filename"})


def describe_fit(state: FitState, epochs: int, **options: Any) -> dict[str, Any]:
    """Describe everything that a fit begins with.

    Args:
        state: of the fit.
        epochs: how many it is to have.
        **options: of the Trainer, besides those in ``state``.
    """
    return {
        "epochs": epochs,
        "engine": get_engine(),
        **describe(options),
        "model": describe(state.model),
        "loss": describe(state.loss),
        "optimizer": describe(state.optimizer),
        "scheduler": describe(state.scheduler),
        "metrics": describe(state.metrics),
        "callbacks": _of_callbacks(state.callbacks),
        "data": describe(uncut(state.loader)),
        "validation": _of_validation(state.val),
    }


def describe(value: Any, depth: int = 8) -> Any:
    """Describe a part of a fit as numbers, text, None, lists and dicts of them.

    What has no description (a generator of random numbers, a path) is named by its kind, a function by its name.

    Args:
        value: the part.
        depth: how many objects inside each other are described by their options: one may hold one that holds it.
    """
    if type(value) in (list, tuple):  # one of a subclass may do anything when it is iterated over
        return [describe(item, depth) for item in value]
    if isinstance(value, Mapping):
        return {str(key): describe(item, depth) for key, item in value.items()}
    for kinds, describe_kind in _KINDS:
        if isinstance(value, kinds):
            return describe_kind(value)
    if is_dataset(value):
        return _of_dataset(value, depth)
    return {"kind": type(value).__name__, **(_options(value, depth - 1) if depth else {})}


def _kind(value: Any) -> str:
    """Return the name of an object's class; whether one process or several ranks normalise a batch is no difference."""
    return BatchNorm2d.__name__ if type(value) is SyncBatchNorm2d else type(value).__name__


def _of_callbacks(callbacks: list[Callback]) -> dict[str, Any]:
    """By name and number among those of the same name: on resuming they may be given in another order."""
    described: dict[str, Any] = {}
    for callback in callbacks:
        name = kind = type(callback).__name__
        number = 1
        while name in described:
            number += 1
            name = f"{kind} {number}"
        described[name] = describe(callback)
    return described


def _of_float(number: float) -> float | str:
    return number if math.isfinite(number) else str(number)


def _options(value: Any, depth: int = 8) -> dict[str, Any]:
    """Return the options of an object; of a Callback those that it says are compared.

    Nothing of the object is run: only what lies in its ``__dict__`` is looked at.
    """
    try:
        names = value.compared if isinstance(value, Callback) else inspect.signature(type(value)).parameters
        own = vars(value)
    except (TypeError, ValueError):  # a class without a signature, an object without attributes
        return {}
    return {
        name: describe(own[name], depth)
        for name in names
        if name in own and name not in _LEFT_OUT and not _holds_modules(own[name])
    }


def _holds_modules(value: Any) -> bool:
    """Return whether a value is a Module, or begins with one: they are described by their paths."""
    if isinstance(value, (list, tuple, dict)) and value:
        return _holds_modules(next(iter(value.values() if isinstance(value, dict) else value)))
    return isinstance(value, Module)


def _of_module(model: Module) -> dict[str, Any]:
    parts: dict[str, Any] = {
        path or "self": {"kind": _kind(part), **_options(part), **({"frozen": True} if part._frozen else {})}
        for path, part in model.named_modules()
    }
    frozen = [name for name, parameter in model.named_params() if not parameter.requires_grad]
    return {**parts, "without gradient": frozen} if frozen else parts


def _of_optimizer(optimizer: Optimizer) -> dict[str, Any]:
    """What the groups were made with, not what a schedule or a callback has set since."""
    described: dict[str, Any] = {"kind": type(optimizer).__name__}
    for number, (options, group) in enumerate(zip(optimizer.made_with, optimizer.param_groups, strict=True)):
        described[str(number)] = {"parameters": len(group["params"]), **describe(options)}
    return described


def _of_loader(loader: DataLoader) -> dict[str, Any]:
    names = ("batch_size", "shuffle", "drop_last", "sampler", "transform", "dataset")
    return {name: describe(getattr(loader, name)) for name in names}


def _of_validation(data: Any) -> Any:
    """The size of the batches does not matter here."""
    described = describe(data)
    if isinstance(data, DataLoader):
        del described["batch_size"], described["shuffle"]
    return described


def _of_dataset(dataset: Any, depth: int) -> dict[str, Any]:
    described: dict[str, Any] = {"kind": type(dataset).__name__, "samples": len(dataset)}
    if isinstance(dataset, ArrayDataset):
        described["arrays"] = describe(list(dataset.arrays) if isinstance(dataset.arrays, tuple) else dataset.arrays)
    elif isinstance(dataset, Subset):
        described.update(indices=_fingerprint(dataset.indices), dataset=_of_dataset(dataset.dataset, depth))
    elif isinstance(dataset, ImageFolder):
        files = zip(relative_names(dataset), dataset.files, strict=True)
        names = "\n".join(f"{name} {path.stat().st_size}" for name, path in files)
        described.update(size=describe(dataset.size), channels=dataset.channels, classes=describe(dataset.classes))
        described.update(background=describe(dataset.background), files=zlib.crc32(names.encode(errors="replace")))
    elif depth:
        described.update(_options(dataset, depth - 1))
    return described


def _fingerprint(array: Array) -> str:
    """Return dtype, shape and a checksum over at most 256 rows, evenly spread: over all it could take long."""
    rows = array if array.ndim == 0 else array[:: max(1, -(-len(array) // _ROWS))]
    content = repr(rows.tolist()).encode() if rows.dtype.hasobject else np.ascontiguousarray(rows).tobytes()
    return f"{array.dtype} {array.shape} {zlib.crc32(content):08x}"


_KINDS: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    ((bool, int, str, type(None)), lambda value: value),
    (float, _of_float),
    (np.generic, lambda value: describe(value.item())),
    ((list, tuple), lambda value: type(value).__name__),
    (np.ndarray, _fingerprint),
    (Parameter, lambda value: "Parameter"),  # its shape is compared when the state is loaded
    (Module, _of_module),
    (Optimizer, _of_optimizer),
    (Optimizers, lambda value: describe(value.members)),
    (DataLoader, _of_loader),
    (os.PathLike, lambda value: "path"),
    (FunctionType, lambda value: value.__qualname__),
    (np.random.Generator, lambda value: "Generator"),
)


def differences(theirs: Any, ours: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield (path, theirs, ours) for each entry that differs between two descriptions; None stands for a missing one.

    Entries of the outermost level that are missing in ``theirs`` are left out: an earlier version wrote it.
    """
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for name in [*theirs, *(name for name in ours if name not in theirs)]:
            if path or name in theirs:
                yield from differences(theirs.get(name), ours.get(name), f"{path}.{name}" if path else name)
    elif _is_list_of_parts(theirs) and _is_list_of_parts(ours) and len(theirs) == len(ours):
        for number, (one, other) in enumerate(zip(theirs, ours, strict=True)):
            yield from differences(one, other, f"{path}.{number}")
    elif theirs != ours:
        yield path, theirs, ours


def _is_list_of_parts(value: Any) -> bool:
    """Return whether a description is a list of descriptions; one of numbers is shown whole."""
    return isinstance(value, list) and any(isinstance(item, (dict, str, list)) for item in value)
