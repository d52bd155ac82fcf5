"""What a user gives as data becomes batches: a loader, a dataset or plain arrays; which of them it is, is decided here.

A tuple is data, such as (x, y), as is a dict of arrays; a list, like any other iterable, is batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from .._core import Array, check_int, check_number
from ..data import ArrayDataset, DataLoader, Subset, random_split, stratified_split
from ..data.collate import is_dataset
from ..data.dataset import whole_of
from ..data.split import labels_of
from ..nn import Module
from .batches import Batches, BatchForm
from .judging import task_of

__all__ = ["as_batches", "batches_of_fit", "classes_in", "dataset_of", "size_of"]


def as_batches(method: str, data: Any, batch_size: int | None) -> Batches:
    """Return batches as they are, to be evaluated; of a dataset, or of arrays in a tuple or dict, a DataLoader.

    Args:
        method: the Trainer's, for errors.
        data: what was given.
        batch_size: of the loader; None: 256.

    Raises:
        TypeError: it is neither.
        ValueError: it is batches, but there is a ``batch_size``.
    """
    dataset = dataset_of(f"Trainer.{method}", data)
    if dataset is not None:
        return DataLoader(dataset, size_of(method, batch_size))
    _check_batches(method, data, batch_size=batch_size)
    return data  # type: ignore[no-any-return]


def size_of(method: str, batch_size: int | None) -> int:
    """Return the size of batches from which nothing is learned, for which a large one is faster."""
    return 256 if batch_size is None else check_int(f"Trainer.{method}", "batch_size", batch_size)


def batches_of_fit(
    train: Any,
    val: Any,
    form: BatchForm,
    loss: Module,
    batch_size: int | None,
    validation_split: float | None,
    rng: np.random.Generator | None,
) -> tuple[Batches, Batches | None]:
    """Return the training and the validation batches of a fit; `Trainer.fit` describes the arguments.

    Raises:
        TypeError: something is neither batches nor data.
        ValueError: an option is for data, but batches were given; or the data cannot be split.
    """
    dataset = dataset_of("Trainer.fit", train)
    if dataset is None:
        if hasattr(train, "__array__") and hasattr(val, "__array__"):
            raise TypeError(
                f"Trainer.fit: inputs and targets are one argument, a tuple: fit((x, y)), got {_kind(train)} and "
                f"{_kind(val)} as train and val"
            )
        _check_batches("fit", train, batch_size=batch_size, validation_split=validation_split, rng=rng)
    size = 32 if batch_size is None else check_int("Trainer.fit", "batch_size", batch_size)
    if validation_split is not None:
        if val is not None:
            raise ValueError("Trainer.fit: give validation data or validation_split, not both")
        dataset, val = _split(dataset, validation_split, form, loss)
    if dataset is not None:
        train = DataLoader(dataset, size, shuffle=True, rng=rng)
    if val is not None:
        val = as_batches("fit", val, None if dataset_of("Trainer.fit", val) is None else size)
    return train, val


def dataset_of(owner: str, data: Any) -> Any:
    """Return a dataset as it is, and arrays as one; None of anything else. Errors begin with the ``owner``."""
    if is_dataset(data):
        return data
    if not isinstance(data, (tuple, Mapping)):
        return None
    try:
        return ArrayDataset(data) if isinstance(data, Mapping) else ArrayDataset(*data)
    except (TypeError, ValueError) as error:
        reason = str(error).removeprefix("ArrayDataset: ")
        raise type(error)(f"{owner}: {_kind(data)} is taken for arrays such as (x, y): {reason}") from error


def _check_batches(method: str, data: Any, **options: Any) -> None:
    """Raise TypeError unless ``data`` can be iterated over as batches; ValueError if there are options for data."""
    bare = isinstance(data, (str, type)) or hasattr(data, "__array__")
    if bare or not isinstance(data, Iterable):
        arrays = "an array" if method == "predict" else "arrays in a tuple, (x, y)"
        raise TypeError(
            f"Trainer.{method}: expected {arrays}, a dataset, or batches, such as DataLoader(dataset, batch_size=32); "
            f"got {_kind(data)}"
        )
    if named := [name for name, value in options.items() if value is not None]:
        raise ValueError(
            f"Trainer.{method}: {' and '.join(named)} are for arrays and datasets, but these are batches "
            f"({_kind(data)}), made already: give their DataLoader what it is to do, or give the dataset itself"
        )


def _split(dataset: Any, fraction: float, form: BatchForm, loss: Module) -> tuple[Subset, Subset]:
    """Set a share of the samples apart, of each class if there are any.

    The choice depends on nothing but the data. So a second fit does not train on what the first was judged by, and a
    fit that is resumed has the same samples.
    """
    share = check_number("Trainer.fit", "validation_split", fraction, maximum=1.0)
    if not 0 < share < 1:
        raise ValueError(f"Trainer.fit: validation_split must be greater than 0 and less than 1, got {fraction}")
    rng, labels = np.random.default_rng(0), classes_in(dataset, form, loss)
    if labels is not None and len(labels) == len(dataset) and np.bincount(labels).max() > 1:
        return stratified_split(dataset, labels, share, rng=rng)
    count = len(dataset)
    if count < 2:
        raise ValueError(f"Trainer.fit: validation_split={fraction} needs two samples or more, got {count}")
    apart = min(max(1, round(share * count)), count - 1)
    train, val = random_split(dataset, [count - apart, apart], rng=rng)
    return train, val


def classes_in(dataset: Any, form: BatchForm, loss: Module) -> Array | None:
    """Return each sample's class, integers (N,) from 0 on; None if the loss judges no classes, or none are known."""
    if task_of(loss)[0] not in ("multiclass", "binary"):
        return None
    whole, chosen = whole_of(dataset)
    try:
        labels = form.split(whole.arrays)[1][chosen] if isinstance(whole, ArrayDataset) else labels_of(dataset)
    except (TypeError, ValueError, KeyError):  # not (input, target), or without arrays: chosen at random
        return None
    labels = labels.reshape(len(labels)) if labels.shape[1:] == (1,) else labels
    if labels.ndim != 1 or not len(labels) or not np.equal(labels, np.floor(labels)).all():
        return None
    return np.unique(labels, return_inverse=True)[1].reshape(-1)


def _kind(data: Any) -> str:
    """Return what was given, for errors: its type, of a tuple or dict that of its entries."""
    if isinstance(data, tuple):
        return f"({', '.join(map(_kind, data))})"
    if isinstance(data, Mapping):
        return f"{{{', '.join(f'{name!r}: {_kind(value)}' for name, value in data.items())}}}"
    if isinstance(data, type):
        return f"the class {data.__name__}"
    shape = getattr(data, "shape", None)
    return type(data).__name__ + (f" {shape}" if isinstance(shape, tuple) else "")
