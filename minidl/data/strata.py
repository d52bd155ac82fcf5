"""Strata: samples are dealt to parts so that each part has nearly the classes' proportions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .._core import Array
from .naming import named

__all__ = ["check_labels", "dealt"]


def check_labels(owner: str, labels: Sequence[int] | Array, count: int | None = None) -> Array:
    """Return the classes of samples as an array.

    Args:
        owner: who asks, for errors.
        labels: integers (N,).
        count: N; None: not checked, as is the shape.

    Raises:
        ValueError: there is not one label for each of ``count`` samples.
        TypeError: the labels are not integers.
    """
    with named(owner):
        label = np.asarray(labels)
    if label.dtype.kind not in "iu":
        raise TypeError(f"{owner}: labels must be integers, got {label.dtype}")
    if count is not None and label.shape != (count,):
        raise ValueError(f"{owner}: expected one label for each of {count} samples, got shape {label.shape}")
    return label


def dealt(owner: str, labels: Sequence[int] | Array, sizes: Sequence[int], rng: np.random.Generator) -> list[Array]:
    """Deal samples to parts of given sizes: class by class, each class in a random order, to the parts in turn.

    In turn means evenly: a part that is twice as large is served twice as often. Parts of one size differ in a class
    by one sample at most.

    Args:
        owner: who asks, for errors.
        labels: the class of each sample, integers (N,).
        sizes: of the parts, which add up to N.
        rng: source of random numbers.

    Returns:
        The indices of each part, in their order.

    Raises:
        ValueError: there is not one label for each sample.
        TypeError: the labels are not integers.
    """
    label = check_labels(owner, labels, sum(sizes))
    order = np.lexsort((rng.permutation(len(label)), label))
    places = np.concatenate([(np.arange(size) + 0.5) / max(1, size) for size in sizes])
    parts = np.empty(len(label), np.int64)
    parts[order] = np.repeat(np.arange(len(sizes)), sizes)[np.argsort(places, kind="stable")]
    return [np.flatnonzero(parts == part) for part in range(len(sizes))]
