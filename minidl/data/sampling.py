"""Samplers: in which order, and how often, a DataLoader visits the samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .._core import Array, check_int
from .naming import named

__all__ = ["Sampler", "StratifiedSampler", "WeightedSampler"]


class Sampler:
    """Base class: implement `indices` and `__len__`."""

    def __len__(self) -> int:
        """Return the number of samples in a pass."""
        raise NotImplementedError(f"{type(self).__name__} does not define __len__()")

    def indices(self, rng: np.random.Generator) -> Array:
        """Return the order of one pass.

        Args:
            rng: source of random numbers.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define indices()")


class WeightedSampler(Sampler):
    """Draw samples with replacement, in proportion to their weights: for example rare classes as often as common ones.

        weights = 1 / np.bincount(labels)[labels]

    Args:
        weights: one for each sample, not negative, not all 0; they need not add up to 1.
        num_samples: number of samples drawn in a pass; None means as many as there are weights.

    Raises:
        ValueError: the weights cannot be probabilities.
        TypeError: num_samples is not an integer.
    """

    def __init__(self, weights: Sequence[float] | Array, num_samples: int | None = None) -> None:
        with named("WeightedSampler"):
            self.weights = np.asarray(weights, np.float64)
        if self.weights.ndim != 1 or not np.all(np.isfinite(self.weights)) or np.any(self.weights < 0):
            raise ValueError("WeightedSampler: weights must be one finite number, not negative, for each sample")
        if not self.weights.sum() > 0:
            raise ValueError("WeightedSampler: the weights must not all be 0")
        count = len(self.weights) if num_samples is None else num_samples
        self.num_samples = check_int("WeightedSampler", "num_samples", count)

    def __len__(self) -> int:
        return self.num_samples

    def indices(self, rng: np.random.Generator) -> Array:
        """Draw the samples."""
        return rng.choice(len(self.weights), self.num_samples, p=self.weights / self.weights.sum())


class StratifiedSampler(Sampler):
    """Visit every sample once, with the classes in each batch in nearly the same proportions as in the whole dataset.

    Args:
        labels: the class of each sample, integers (N,).

    Raises:
        ValueError: the labels are not integers (N,), or there are none.
    """

    def __init__(self, labels: Sequence[int] | Array) -> None:
        with named("StratifiedSampler"):
            self.labels = np.asarray(labels)
        if self.labels.ndim != 1 or self.labels.dtype.kind not in "iu" or not len(self.labels):
            raise ValueError("StratifiedSampler: labels must be integers (N,), at least one")

    def __len__(self) -> int:
        return len(self.labels)

    def indices(self, rng: np.random.Generator) -> Array:
        """Spread each class evenly over the pass, starting at a random place."""
        place = np.empty(len(self.labels))
        for label in np.unique(self.labels):
            own = rng.permutation(np.flatnonzero(self.labels == label))
            place[own] = (np.arange(len(own)) + rng.random()) / len(own)
        return np.lexsort((rng.random(len(place)), place))
