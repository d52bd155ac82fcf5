"""What counts as a dataset; and from its samples to a batch: arrays stacked along a new first axis."""

from __future__ import annotations

import os
from array import array
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from .._core import Array

__all__ = ["DatasetLike", "check_dataset", "collate", "is_dataset"]

_NUMBERS = "biufc"  # the kinds of NumPy's dtypes that are numbers
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
        fix = "a dict of arrays goes into ArrayDataset(arrays)"
    elif isinstance(dataset, (list, tuple)):
        fix += ", a list of samples into ArrayDataset(*zip(*samples))"
    elif not isinstance(dataset, _BARE) and not hasattr(dataset, "__array__"):
        fix = f"it has no {' and no '.join(n for n in ('__len__', '__getitem__') if not hasattr(dataset, n))}"
        if hasattr(dataset, "dataset"):
            fix += "; give the dataset that it loads"
        elif hasattr(dataset, "__iter__"):
            fix += "; an iterable of batches goes to the Trainer as it is"
    raise TypeError(f"{owner}: dataset must be a Dataset, got {got}; {fix}")


def collate(owner: str, samples: Sequence[Any], indices: Sequence[int]) -> tuple[Any, ...] | dict[Any, Any]:
    """Return a batch: each part of the samples as an array, stacked along a new first axis.

    A tuple or list holds the parts of a sample; a dict, its parts by name; anything else is the only part. A part may
    be a tuple, list or dict of arrays itself; one of plain numbers is an array.

    Args:
        owner: the dataset's class, for errors.
        samples: N samples.
        indices: the index of each, for errors.

    Returns:
        A tuple of arrays (N, ...), or a dict of them if the samples are dicts; parts in the structure of the samples'.

    Raises:
        TypeError: a part is not made of numbers, or differs in its dtype among the samples.
        ValueError: the samples differ in their parts, or in the shape of a part.
    """
    if not samples:
        return ()
    batch: tuple[Any, ...] | dict[Any, Any] = _structure(owner, "", samples, indices)
    return batch


def _structure(owner: str, name: str, samples: Sequence[Any], indices: Sequence[int]) -> Any:
    """Return a batch of samples; or a part of all samples, if it is a tuple, list or dict."""
    first, table = samples[0], _table(samples[0])
    of = f"{name} of " if name else ""
    for index, sample in zip(indices, samples, strict=True):
        if _table(sample) != table:
            raise ValueError(
                f"{owner}: {of}one sample has {_described(first)}, {of}another one {_described(sample)}: samples "
                f"{indices[0]} and {index}"
            )
    if isinstance(first, Mapping):
        return {
            key: _part(owner, f"{name}.{key}" if name else str(key), [sample[key] for sample in samples], indices)
            for key in first
        }
    if not isinstance(first, (tuple, list)):
        return (_stack(owner, "the only part", samples, indices),)
    columns = zip(*samples, strict=True)
    return tuple(
        _part(owner, f"{name}.{number}" if name else f"part {number}", column, indices)
        for number, column in enumerate(columns)
    )


def _part(owner: str, name: str, parts: Sequence[Any], indices: Sequence[int]) -> Any:
    """Return one part of all samples: an array, or a structure of arrays."""
    return (_structure if _holds_arrays(parts[0]) else _stack)(owner, name, parts, indices)


def _holds_arrays(part: Any) -> bool:
    """Return whether a part is a dict, or a tuple or list of arrays rather than of numbers."""
    if isinstance(part, Mapping):
        return True
    return isinstance(part, (tuple, list)) and any(
        (hasattr(item, "__array__") and not isinstance(item, np.generic)) or _holds_arrays(item) for item in part
    )


def _table(sample: Any) -> Any:
    """Return what must be the same in all samples of a batch: the names of their parts, or how many there are."""
    if isinstance(sample, (tuple, list)):
        return len(sample)
    return set(sample) if isinstance(sample, Mapping) else None


def _described(sample: Any) -> str:
    if isinstance(sample, Mapping):
        return f"the keys {', '.join(map(str, sample))}"
    if isinstance(sample, (tuple, list)):
        return f"{len(sample)} part{'s' * (len(sample) != 1)}"
    return f"1 part, a {type(sample).__name__}"


def _stack(owner: str, name: str, parts: Sequence[Any], indices: Sequence[int]) -> Array:
    """Return one part of all samples as one array."""
    arrays: list[Array] = []
    for index, part in zip(indices, parts, strict=True):
        try:
            arrays.append(_as_numbers(part))
        except (TypeError, ValueError) as error:
            raise type(error)(f"{owner}: {name} of sample {index} {error}") from error
    shape, dtype = arrays[0].shape, arrays[0].dtype
    for index, one in zip(indices, arrays, strict=True):
        if one.shape != shape or one.dtype != dtype:
            what, kind = ("shape", ValueError) if one.shape != shape else ("dtype", TypeError)
            raise kind(
                f"{owner}: samples of one batch must have the same {what}, got {getattr(arrays[0], what)} and "
                f"{getattr(one, what)}: {name} of samples {indices[0]} and {index}"
            )
    return np.stack(arrays)


def _as_numbers(value: Any) -> Array:
    """Return ``value`` as an array of numbers, or raise a TypeError or ValueError that says why it is none."""
    if isinstance(value, np.ndarray) and value.dtype.kind in _NUMBERS:
        return value
    if type(value).__module__.startswith("PIL."):  # np.asarray takes it, as bytes with the channels last
        axes = "[None]" if len(value.getbands()) == 1 else ".transpose(2, 0, 1)"
        raise TypeError(f"is an image of Pillow, mode {value.mode}; return np.asarray(image, np.float32){axes} / 255")
    try:
        found = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"cannot be made an array of numbers: {error}") from error
    except MemoryError:
        raise
    except Exception as error:  # PyTorch has its own: a tensor that requires a gradient, or is on another device
        raise TypeError(f"cannot be made an array of numbers: {error}") from error
    if found.dtype.kind in _NUMBERS:
        return found
    if found.dtype.kind in "US":
        raise TypeError(f"is text, {value!r:.40}; give classes as numbers, such as classes.index(name)")
    kind = "None" if value is None else f"a {type(value).__name__} ({found.dtype})"
    raise TypeError(f"is not a number or an array of numbers, but {kind}")
