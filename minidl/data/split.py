"""By classes: stratified_split and stratified_folds keep their proportions, class_weights evens them out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .._core import Array, check_int, check_number, default_rng
from .collate import DatasetLike, check_dataset
from .dataset import ArrayDataset, Dataset, Subset, whole_of
from .folder import ImageFolder
from .strata import check_labels, dealt

__all__ = ["class_weights", "labels_of", "stratified_folds", "stratified_split"]


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
    label = check_labels(owner, labels, len(dataset))
    generator = default_rng() if rng is None else rng
    apart = np.zeros(len(dataset), bool)
    for own in np.unique(label):
        members = np.flatnonzero(label == own)
        count = min(max(1, round(share * len(members))), len(members) - 1)
        apart[generator.permutation(members)[:count]] = True
    if not apart.any():
        raise ValueError(f"{owner}: there is no class with two samples or more, one of which could be set apart")
    return Subset(dataset, np.flatnonzero(~apart)), Subset(dataset, np.flatnonzero(apart))


def stratified_folds(
    dataset: DatasetLike, labels: Sequence[int] | Array, folds: int = 5, *, rng: np.random.Generator | None = None
) -> list[tuple[Subset, Subset]]:
    """Split a dataset at random into folds, for cross-validation: each is set apart once, the others are for training.

        for train, val in stratified_folds(data, labels, 5): ...

    Folds differ by one sample of a class at most, and by one in size.

    Args:
        dataset: any dataset that `DataLoader` takes.
        labels: the class of each sample, integers (N,).
        folds: how many, 2 or more.
        rng: generator; None means minidl's own.

    Returns:
        For each fold the rest and the samples set apart, each in the order of the dataset.

    Raises:
        ValueError: there are more folds than samples, or there is not one label for each sample.
        TypeError: it is not a dataset, or the labels are not integers.
    """
    owner = "stratified_folds"
    check_dataset(owner, dataset)
    folds, count = check_int(owner, "folds", folds, minimum=2), len(dataset)
    if folds > count:
        raise ValueError(f"{owner}: {folds} folds need as many samples, got {count}")
    sizes = [len(range(fold, count, folds)) for fold in range(folds)]
    parts = dealt(owner, labels, sizes, default_rng() if rng is None else rng)
    whole = np.arange(count)
    return [(Subset(dataset, np.setdiff1d(whole, part)), Subset(dataset, part)) for part in parts]


def class_weights(labels: Sequence[int] | Array, num_classes: int | None = None) -> Array:
    """Return a weight for each class, with which all classes count the same: N / (K * n).

    N is the number of samples, K of classes that have any, n of the class's own.

        loss = nn.CrossEntropyLoss(class_weights(labels))

    Args:
        labels: the class of each sample, integers (N,) from 0.
        num_classes: C; None: the largest label + 1.

    Returns:
        (C,), float32; their mean over the samples is 1. A class without samples has 0.

    Raises:
        ValueError: a label is out of range, or there are none.
        TypeError: the labels are not integers.

    Source: ``class_weight="balanced"`` of scikit-learn.
    """
    owner = "class_weights"
    label = check_labels(owner, labels)
    if label.ndim != 1 or not label.size:
        raise ValueError(f"{owner}: labels must be (N,), at least one, got shape {label.shape}")
    classes = int(label.max()) + 1 if num_classes is None else check_int(owner, "num_classes", num_classes)
    if label.min() < 0 or label.max() >= classes:
        raise ValueError(f"{owner}: labels must be from 0 to {classes - 1}, got {label.min()} to {label.max()}")
    counts = np.bincount(label, minlength=classes)
    whole = len(label) / np.count_nonzero(counts)
    return np.where(counts > 0, whole / np.maximum(counts, 1), 0).astype(np.float32)


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
