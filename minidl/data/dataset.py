"""Datasets: samples by index, and batches of samples by many indices at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._core import Array, default_rng

__all__ = ["ArrayDataset", "Dataset", "Subset", "random_split"]


class Dataset:
    """Base class: write `__len__` and `__getitem__`; `batch` too if there is a faster way than one by one."""

    def __len__(self) -> int:
        """Return the number of samples."""
        raise NotImplementedError(f"{type(self).__name__} does not define __len__()")

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        """Return one sample: a tuple, usually (image, label)."""
        raise NotImplementedError(f"{type(self).__name__} does not define __getitem__()")

    def batch(self, indices: Array) -> tuple[Array, ...]:
        """Return several samples at once, each part stacked along a new first axis.

        Args:
            indices: int64 array (N,).
        """
        samples = [self[int(i)] for i in indices]
        return tuple(np.stack([np.asarray(part) for part in parts]) for parts in zip(*samples, strict=True))


class ArrayDataset(Dataset):
    """Arrays of equal length, sample i being the i-th element of each: usually images and labels.

    Args:
        *arrays: anything that ``np.asarray`` takes, with the sample axis first; not copied.

    Attributes:
        arrays: the arrays, a tuple.

    Raises:
        ValueError: there are no arrays, or their lengths differ.
    """

    def __init__(self, *arrays: Any) -> None:
        self.arrays = tuple(np.asarray(a) for a in arrays)
        if not self.arrays or any(a.ndim == 0 for a in self.arrays):
            raise ValueError("ArrayDataset: expected at least one array with a sample axis")
        lengths = [len(a) for a in self.arrays]
        if len(set(lengths)) > 1:
            raise ValueError(f"ArrayDataset: the arrays must have the same length, got {lengths}")

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        return tuple(a[index] for a in self.arrays)

    def batch(self, indices: Array) -> tuple[Array, ...]:
        """Return the samples of ``indices``, by one indexing operation an array."""
        return tuple(a[indices] for a in self.arrays)

    def __repr__(self) -> str:
        parts = ", ".join(f"{a.shape} {a.dtype}" for a in self.arrays)
        return f"ArrayDataset({parts})"


class Subset(Dataset):
    """Some samples of another dataset.

    Args:
        dataset: where they come from.
        indices: which ones, in which order.

    Raises:
        IndexError: an index is outside the dataset.
        TypeError: the indices are not integers; a mask becomes indices with ``np.flatnonzero(mask)``.
    """

    def __init__(self, dataset: Dataset, indices: Sequence[int] | Array) -> None:
        self.dataset = dataset
        self.indices = np.asarray(indices)
        if self.indices.ndim != 1 or (self.indices.size and self.indices.dtype.kind not in "iu"):
            raise TypeError(
                f"Subset: indices must be a list of integers, got {self.indices.dtype} of shape {self.indices.shape}; "
                "a mask becomes indices with np.flatnonzero(mask)"
            )
        self.indices = self.indices.astype(np.int64)
        if self.indices.size and not (self.indices.min() >= 0 and self.indices.max() < len(dataset)):
            raise IndexError(f"Subset: indices must be from 0 to {len(dataset) - 1}")

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        return self.dataset[int(self.indices[index])]

    def batch(self, indices: Array) -> tuple[Array, ...]:
        """Return the samples of ``indices``, counted within the subset."""
        return self.dataset.batch(self.indices[indices])


def random_split(
    dataset: Dataset, lengths: Sequence[int] | Sequence[float], *, rng: np.random.Generator | None = None
) -> list[Subset]:
    """Split a dataset at random into parts that do not overlap.

    Args:
        dataset: the dataset.
        lengths: sizes of the parts, adding up to the dataset's; or fractions adding up to 1, whose rounding
            remainder goes to the parts in turn, as in PyTorch.
        rng: generator; None means minidl's own.

    Returns:
        One `Subset` for each length.

    Raises:
        ValueError: the lengths do not add up.
    """
    lengths = list(lengths)
    if any(n < 0 for n in lengths):
        raise ValueError(f"random_split: lengths must not be negative, got {lengths}")
    if lengths and abs(sum(lengths) - 1) < 1e-9 and len(dataset) != 1:
        sizes = [int(len(dataset) * n) for n in lengths]
        for part in range(len(dataset) - sum(sizes)):
            sizes[part % len(sizes)] += 1
    elif sum(lengths) == len(dataset) and all(n == int(n) for n in lengths):
        sizes = [int(n) for n in lengths]
    else:
        raise ValueError(
            f"random_split: lengths must add up to the dataset's {len(dataset)}, or fractions to 1, got {lengths}"
        )
    order = default_rng(rng).permutation(len(dataset))
    ends = np.cumsum(sizes)
    return [Subset(dataset, order[end - size : end]) for size, end in zip(sizes, ends, strict=True)]
