"""Datasets: one sample by its index, or a batch of samples by several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .._core import Array, check_number, default_rng
from ..nn.structure import leaves, rebuild
from .collate import DatasetLike, check_dataset, collate
from .naming import named
from .strata import dealt

__all__ = [
    "TEST_EVERY",
    "ArrayDataset",
    "Batch",
    "Dataset",
    "Subset",
    "batch_of",
    "is_for_testing",
    "random_split",
    "whole_of",
]

TEST_EVERY = 5
Batch = Any  # a tuple of arrays, or a dict of them if the samples are dicts


class Dataset:
    """Base class: implement `__len__` and `__getitem__`, and `batch` if it can be faster than one sample at a time.

    Any other object that has the two, such as a dataset of PyTorch or torchvision, is a dataset as well.

    A sample is a tuple or list of parts, usually (image, label); a dict of parts, of which a batch is a dict of arrays;
    or one array, which is the only part. Parts are numbers or arrays of numbers, PyTorch's tensors included, or tuples
    and dicts of them, as a model with several inputs takes them. They keep their dtype, which must be the same in all
    samples, as must the shape; a Python float is float64.

    Attributes:
        classes: the classes' names, in the order of their labels; empty if they have none.
    """

    classes: Sequence[str] = ()

    def __len__(self) -> int:
        """Return the number of samples."""
        raise NotImplementedError(f"{type(self).__name__} does not define __len__()")

    def __getitem__(self, index: int) -> Any:
        """Return one sample, usually the tuple (image, label)."""
        raise NotImplementedError(f"{type(self).__name__} does not define __getitem__()")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self):,} samples)"

    def batch(self, indices: Array) -> Batch:
        """Return several samples at once, each part stacked along a new first axis.

        Args:
            indices: int64 array (N,).

        Raises:
            TypeError: a part is not made of numbers, or differs in its dtype among the samples.
            ValueError: the samples differ in their parts, or in the shape of a part.
        """
        return _collated(self, indices)


def _collated(dataset: DatasetLike, indices: Array) -> Batch:
    chosen = [int(index) for index in indices]
    return collate(type(dataset).__name__, [dataset[index] for index in chosen], chosen)


def batch_of(dataset: DatasetLike, indices: Array) -> Batch:
    """Return several samples of any dataset at once; one that is not a `Dataset` has no `batch` of its own."""
    return dataset.batch(indices) if isinstance(dataset, Dataset) else _collated(dataset, indices)


class ArrayDataset(Dataset):
    """Arrays of equal length, usually images and labels: sample i holds element i of each.

    Several inputs or targets stand in tuples or dicts: ``ArrayDataset((left, right), same)``,
    ``ArrayDataset(images, {"digit": digits, "angle": angles})``.

    Args:
        *arrays: anything that ``np.asarray`` takes, with the sample axis first, not copied; or a tuple or dict of such.
            A single dict makes samples that are dicts.
        classes: the classes' names, in the order of their labels.

    Attributes:
        arrays: the arrays, a tuple, or the single dict.
        classes: the names, a list.

    Raises:
        ValueError: there are no arrays, or their lengths differ; or a tuple of arrays may be samples as well as inputs.
        TypeError: a name is not a string, or an array holds objects instead of numbers.
    """

    def __init__(self, *arrays: Any, classes: Sequence[str] = ()) -> None:
        with named("ArrayDataset"):
            parts = [_arrays_of(a, [b for b in arrays if b is not a]) for a in arrays]
        self.arrays: Any = parts[0] if len(parts) == 1 and isinstance(parts[0], dict) else tuple(parts)
        self._plain = all(isinstance(a, np.ndarray) for a in parts)
        every = list(leaves(self.arrays))
        if not every or any(a.ndim == 0 for a in every):
            raise ValueError("ArrayDataset: expected at least one array with a sample axis")
        for number, a in enumerate(every):
            if a.dtype.hasobject:
                raise TypeError(f"ArrayDataset: array {number} holds objects ({a.dtype}), not numbers")
        lengths = [len(a) for a in every]
        if len(set(lengths)) > 1:
            raise ValueError(f"ArrayDataset: the arrays must have the same length, got {lengths}")
        if isinstance(classes, str) or not all(isinstance(name, str) for name in classes):
            raise TypeError(f"ArrayDataset: classes must be a list of names, got {classes!r}")
        self.classes = list(classes)
        self._length = lengths[0]

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Any:
        return tuple(a[index] for a in self.arrays) if self._plain else rebuild(self.arrays, lambda a: a[index])

    def batch(self, indices: Array) -> Any:
        """Return the samples with these indices, using one indexing operation per array."""
        return tuple(a[indices] for a in self.arrays) if self._plain else rebuild(self.arrays, lambda a: a[indices])

    def __repr__(self) -> str:
        parts = ", ".join(f"{a.shape} {a.dtype}" for a in leaves(self.arrays))
        return f"ArrayDataset({parts})"


def _arrays_of(value: Any, others: Sequence[Any]) -> Any:
    """Return an argument of ArrayDataset as an array, or as a tuple or dict of arrays."""
    if isinstance(value, Mapping):
        return {name: _arrays_of(item, others) for name, item in value.items()}
    if isinstance(value, tuple) and any(isinstance(item, Mapping) for item in value):
        return tuple(_arrays_of(item, others) for item in value)
    if not _is_arrays(value):
        return np.asarray(value)
    plain = [other for other in others if not isinstance(other, Mapping)]
    lengths = {len(a) for other in plain for a in (other if _is_arrays(other) else (other,))}
    inputs = len({len(a) for a in value} | lengths) == 1
    samples = len({a.shape for a in value}) == 1 and all(len(other) == len(value) for other in plain)
    if inputs and samples:
        raise ValueError(
            f"{len(value)} arrays of shape {value[0].shape} in a tuple may be several inputs, or samples: "
            "give a dict of inputs, or np.stack(samples)"
        )
    return value if inputs else np.asarray(value)


def _is_arrays(value: Any) -> bool:
    """Return whether a value is a tuple of arrays: several inputs, or samples."""
    return isinstance(value, tuple) and bool(value) and all(isinstance(a, np.ndarray) and a.ndim for a in value)


class Subset(Dataset):
    """Some samples of another dataset.

    Args:
        dataset: the dataset they come from; any object with ``__len__`` and ``__getitem__``.
        indices: which samples, in which order.

    Raises:
        IndexError: an index is outside the dataset.
        TypeError: the indices are not integers; a mask becomes indices with ``np.flatnonzero(mask)``.
    """

    def __init__(self, dataset: DatasetLike, indices: Sequence[int] | Array) -> None:
        self.dataset = check_dataset("Subset", dataset)
        self.classes = getattr(dataset, "classes", ())
        with named("Subset"):
            self.indices = np.asarray(indices)
        if self.indices.ndim != 1 or (self.indices.size and self.indices.dtype.kind not in "iu"):
            raise TypeError(
                f"Subset: indices must be a list of integers, got {self.indices.dtype} of shape {self.indices.shape}; "
                "a mask becomes indices with np.flatnonzero(mask)"
            )
        if self.indices.size and not (self.indices.min() >= 0 and self.indices.max() < len(dataset)):
            raise IndexError(
                f"Subset: indices must be from 0 to {len(dataset) - 1}, got {self.indices.min()} to "
                f"{self.indices.max()}"
            )
        self.indices = self.indices.astype(np.int64)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[int(self.indices[index])]

    def batch(self, indices: Array) -> Batch:
        """Return the samples with these indices, which count within the subset."""
        return batch_of(self.dataset, self.indices[indices])

    def __repr__(self) -> str:
        return f"Subset({len(self):,} of {self.dataset!r})"


def whole_of(dataset: DatasetLike) -> tuple[DatasetLike, Array | slice]:
    """Return the dataset of which this is a part, or a part of a part, and which of its samples these are."""
    chosen: Array | slice = slice(None)
    while isinstance(dataset, Subset):
        chosen, dataset = dataset.indices[chosen], dataset.dataset
    return dataset, chosen


def random_split(
    dataset: DatasetLike,
    lengths: Sequence[int] | Sequence[float],
    *,
    stratify: Sequence[int] | Array | None = None,
    rng: np.random.Generator | None = None,
) -> list[Subset]:
    """Split a dataset at random into parts that do not overlap.

    Args:
        dataset: the dataset.
        lengths: sizes of the parts, which add up to the dataset's; or fractions that add up to 1. Samples left over
            from rounding the fractions down go to the parts in turn, as in PyTorch.
        stratify: the class of each sample, integers (N,): each part has nearly the same proportions of the classes, and
            its samples in the order of the dataset; None: the classes do not matter.
        rng: generator; None means minidl's own.

    Returns:
        One `Subset` for each length.

    Raises:
        ValueError: the lengths do not add up, one is negative, or there is not one label for each sample.
        TypeError: the dataset is none, a length is not a number, or the labels are not integers.
    """
    check_dataset("random_split", dataset)
    if isinstance(lengths, str) or not np.iterable(lengths):
        raise TypeError(f"random_split: lengths must be a list of numbers, got {lengths!r}")
    for length in lengths:
        check_number("random_split", "each length", length, minimum=-np.inf)
    values = [int(n) if n == int(n) else float(str(n)) for n in lengths]  # str: np.float32(0.2) means 0.2
    if any(n < 0 for n in values):
        raise ValueError(f"random_split: lengths must not be negative, got {values}")
    if values and abs(sum(values) - 1) < 1e-9 and len(dataset) != 1:
        sizes = [int(len(dataset) * n) for n in values]
        for part in range(len(dataset) - sum(sizes)):
            sizes[part % len(sizes)] += 1
    elif sum(values) == len(dataset) and all(isinstance(n, int) for n in values):
        sizes = [int(n) for n in values]
    else:
        raise ValueError(
            f"random_split: lengths must add up to the dataset's {len(dataset)}, or fractions to 1, got {values}"
        )
    if stratify is not None:
        return [Subset(dataset, part) for part in dealt("random_split", stratify, sizes, default_rng(rng))]
    with named("random_split"):
        order = default_rng(rng).permutation(len(dataset))
    ends = np.cumsum(sizes)
    return [Subset(dataset, order[end - size : end]) for size, end in zip(sizes, ends, strict=True)]


def is_for_testing(labels: Array) -> Array:
    """Return which samples a fixed, stratified split gives to the test set: every fifth of each class, in order.

    Args:
        labels: the class of each sample, integers (N,).

    Returns:
        bool (N,).
    """
    chosen = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        chosen[np.flatnonzero(labels == label)[TEST_EVERY - 1 :: TEST_EVERY]] = True
    return chosen
