"""What counts as a dataset; and from its samples to a batch: arrays stacked along a new first axis."""

from __future__ import annotations

import os
from array import array
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from .._core import Array

__all__ = ["DatasetLike", "as_numbers", "check_dataset", "collate", "is_dataset"]

_BARE = (list, tuple, Mapping, str, bytes, bytearray, range, deque, array, memoryview)


class DatasetLike(Protocol):
    """Anything with a length that gives a sample for an index: a `Dataset`, or one of PyTorch's or of your own."""

    def __len__(self) -> int:
        """Return the number of samples."""

    def __getitem__(self, index: int, /) -> Any:
        """Return one sample."""


def is_dataset(data: Any) -> bool:
    """Return whether ``data`` has a length and gives samples by index, without being a bare list, dict or array."""
    bare = isinstance(data, (type, *_BARE)) or hasattr(data, "__array__")
    return not bare and hasattr(data, "__len__") and hasattr(data, "__getitem__")


def check_dataset(owner: str, dataset: Any) -> Any:
    """Return ``dataset`` if it is one, or raise a TypeError that says what to do instead."""
    if is_dataset(dataset):
        return dataset
    got, fix = type(dataset).__name__, "arrays go into ArrayDataset(images, labels)"
    if isinstance(dataset, type):
        got, fix = f"the class {dataset.__name__}", f"did you mean {dataset.__name__}(...)?"
    elif isinstance(dataset, (str, os.PathLike)):
        fix = "a folder of images is read by ImageFolder(path)"
    elif isinstance(dataset, Mapping):
        fix = "the arrays in it go into ArrayDataset(*arrays.values())"
    elif isinstance(dataset, (list, tuple)):
        fix += ", a list of samples into ArrayDataset(*zip(*samples))"
    elif not isinstance(dataset, _BARE) and not hasattr(dataset, "__array__"):
        fix = f"it has no {' and no '.join(n for n in ('__len__', '__getitem__') if not hasattr(dataset, n))}"
        fix += "; an iterable of batches goes to the Trainer as it is" if hasattr(dataset, "__iter__") else ""
    raise TypeError(f"{owner}: dataset must be a Dataset, got {got}; {fix}")


def collate(owner: str, samples: Sequence[Any], indices: Sequence[int]) -> tuple[Array, ...] | dict[Any, Array]:
    """Return a batch: each part of the samples as an array, stacked along a new first axis.

    A tuple or list holds the parts of a sample; a dict, its parts by name; anything else is the only part.

    Args:
        owner: the dataset's class, for errors.
        samples: N samples.
        indices: the index of each, for errors.

    Returns:
        A tuple of arrays (N, ...), or a dict of them if the samples are dicts.

    Raises:
        TypeError: a part is not made of numbers, or differs in its dtype among the samples.
        ValueError: the samples differ in their parts, or in the shape of a part.
    """
    if not samples:
        return ()
    tables = [_table(sample) for sample in samples]
    for index, sample, table in zip(indices, samples, tables, strict=True):
        if table.keys() != tables[0].keys():
            raise ValueError(
                f"{owner}: one sample has {_described(samples[0], tables[0])}, another one "
                f"{_described(sample, table)}: samples {indices[0]} and {index}"
            )
    batch = {name: _stack(owner, name, [table[name] for table in tables], indices) for name in tables[0]}
    return batch if isinstance(samples[0], Mapping) else tuple(batch.values())


def _table(sample: Any) -> Mapping[Any, Any]:
    """Return the parts of a sample by what errors call them, or by a dict's own names."""
    if isinstance(sample, Mapping):
        return sample
    if isinstance(sample, (tuple, list)):
        return {f"part {number}": part for number, part in enumerate(sample)}
    return {"the only part": sample}


def _described(sample: Any, table: Mapping[Any, Any]) -> str:
    if isinstance(sample, Mapping):
        return f"the keys {', '.join(map(str, table))}"
    if isinstance(sample, (tuple, list)):
        return f"{len(table)} part{'s' * (len(table) != 1)}"
    return f"1 part, a {type(sample).__name__}"


def _stack(owner: str, name: Any, parts: list[Any], indices: Sequence[int]) -> Array:
    """Return one part of all samples as one array."""
    arrays = [
        as_numbers(f"{owner}: {name} of sample {index}", part) for index, part in zip(indices, parts, strict=True)
    ]
    for index, one in zip(indices, arrays, strict=True):
        if (one.shape, one.dtype) == (arrays[0].shape, arrays[0].dtype):
            continue
        what, error = ("shape", ValueError) if one.shape != arrays[0].shape else ("dtype", TypeError)
        raise error(
            f"{owner}: samples of one batch must have the same {what}, got {getattr(arrays[0], what)} and "
            f"{getattr(one, what)}: {name} of samples {indices[0]} and {index}"
        )
    return np.stack(arrays)


def as_numbers(what: str, value: Any) -> Array:
    """Return ``value`` as an array of numbers, or raise a TypeError or ValueError that says why ``what`` is none."""
    if value is None:
        raise TypeError(f"{what} is None, not a number or an array of numbers")
    if type(value).__module__.partition(".")[0] == "PIL":  # np.asarray takes it, as bytes with the channels last
        axes = "[None]" if len(value.getbands()) == 1 else ".transpose(2, 0, 1)"
        raise TypeError(
            f"{what} is an image of Pillow, mode {value.mode}; return np.asarray(image, np.float32){axes} / 255"
        )
    try:
        found = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{what} cannot be made an array of numbers: {error}") from error
    except Exception as error:  # PyTorch has its own: a tensor that requires a gradient, or is on another device
        raise TypeError(f"{what} cannot be made an array of numbers: {error}") from error
    if found.dtype.kind in "US":
        raise TypeError(f"{what} is text, {value!r:.40}; give classes as numbers, such as classes.index(name)")
    if found.dtype.kind not in "biufc":
        raise TypeError(f"{what} is not a number or an array of numbers, but a {type(value).__name__} ({found.dtype})")
    return found
