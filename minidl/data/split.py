"""stratified_split: set samples apart, for validation, with the proportions of the classes kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .._core import Array, check_number, default_rng
from .collate import DatasetLike, check_dataset
from .dataset import ArrayDataset, Dataset, Subset, whole_of
from .folder import ImageFolder
from .naming import named

__all__ = ["labels_of", "stratified_split"]


def stratified_split(
    dataset: DatasetLike, labels: Sequence[int] | Array, fraction: float, *, rng: np.random.Generator | None = None
) -> tuple[Subset, Subset]:
    """Set a share of each class apart: samples drawn at random, for validation.

        train, val = stratified_split(train, labels, 0.1)

    Args:
        dataset: any dataset that `DataLoader` takes.
        labels: the class of each sample, integers (N,).
        fraction: the share, greater than 0 and less than 1. Of n samples of a class, round(fraction * n) are set apart,
            but at least one, and never all of them.
        rng: generator; None means minidl's own.

    Returns:
        The rest and the samples set apart, each in the order of the dataset.

    Raises:
        ValueError: the fraction is out of range, there is not one label for each sample, or no class has two samples.
        TypeError: it is not a dataset, or the labels are not integers.
    """
    owner = "stratified_split"
    check_dataset(owner, dataset)
    share = check_number(owner, "fraction", fraction, maximum=1.0)
    if not 0 < share < 1:
        raise ValueError(f"{owner}: fraction must be greater than 0 and less than 1, got {fraction}")
    with named(owner):
        label = np.asarray(labels)
    if label.dtype.kind not in "iu":
        raise TypeError(f"{owner}: labels must be integers, got {label.dtype}")
    if label.shape != (len(dataset),):
        raise ValueError(f"{owner}: expected one label for each of {len(dataset)} samples, got shape {label.shape}")
    generator = default_rng() if rng is None else rng
    apart = np.zeros(len(dataset), bool)
    for own in np.unique(label):
        members = np.flatnonzero(label == own)
        count = min(max(1, round(share * len(members))), len(members) - 1)
        apart[generator.permutation(members)[:count]] = True
    if not apart.any():
        raise ValueError(f"{owner}: there is no class with two samples or more, one of which could be set apart")
    return Subset(dataset, np.flatnonzero(~apart)), Subset(dataset, np.flatnonzero(apart))


def labels_of(dataset: Dataset) -> Array:
    """Return the labels (N,) of a dataset of arrays (images, labels), of an `ImageFolder`, or of a `Subset` of one.

    Raises:
        TypeError: it is another dataset.
    """
    whole, chosen = whole_of(dataset)
    if isinstance(whole, ImageFolder):
        return np.asarray(whole.labels[chosen])
    arrays = whole.arrays if isinstance(whole, ArrayDataset) else ()
    if len(arrays) == 2 and isinstance(arrays, tuple) and isinstance(arrays[1], np.ndarray):
        return np.asarray(arrays[1][chosen])
    raise TypeError(f"the labels of a {type(whole).__name__} are not known")
