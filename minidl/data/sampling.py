"""Samplers: in which order, and how often, a DataLoader visits the samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .._core import Array, check_int

__all__ = ["Sampler", "StratifiedSampler", "WeightedSampler"]


class Sampler:
    """Base class: write `indices`, and `__len__`."""

    def __len__(self) -> int:
        """Return the number of samples in a pass."""
        raise NotImplementedError(f"{type(self).__name__} does not define __len__()")

    def indices(self, rng: np.random.Generator) -> Array:
        """Return the order of one pass.

        Args:
            rng: where random numbers come from.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define indices()")


class WeightedSampler(Sampler):
    """Draw samples with replacement, each as often as its weight says: rare classes as often as common ones.

        weights = 1 / np.bincount(labels)[labels]

    Args:
        weights: one for each sample, not negative, not all 0; they need not add up to 1.
        num_samples: how many to draw in a pass; None means as many as there are.

    Raises:
        ValueError: the weights cannot be probabilities.
    """

    def __init__(self, weights: Sequence[float] | Array, num_samples: int | None = None) -> None:
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
    """Visit every sample once, so that each batch holds the classes in nearly the shares of the whole set.

    Args:
        labels: the class of each sample, integers (N,).
    """

    def __init__(self, labels: Sequence[int] | Array) -> None:
        self.labels = np.asarray(labels)
        if self.labels.ndim != 1 or self.labels.dtype.kind not in "iu" or not len(self.labels):
            raise ValueError("StratifiedSampler: labels must be integers (N,), at least one")

    def __len__(self) -> int:
        return len(self.labels)

    def indices(self, rng: np.random.Generator) -> Array:
        """Spread each class evenly over the pass, at random places of its own."""
        place = np.empty(len(self.labels))
        for label in np.unique(self.labels):
            own = rng.permutation(np.flatnonzero(self.labels == label))
            place[own] = (np.arange(len(own)) + rng.random()) / len(own)
        return np.lexsort((rng.random(len(place)), place))
