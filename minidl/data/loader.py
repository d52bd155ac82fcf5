"""DataLoader: batches of a dataset, in order or shuffled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .._random import default_rng
from ..functional._checks import Array, check_flag, check_int
from .dataset import Dataset

__all__ = ["DataLoader"]


class DataLoader:
    """Batches of a dataset. It can be gone through as often as you like; shuffled anew each time.

    Args:
        dataset: where the samples come from.
        batch_size: samples in a batch; the last one holds what is left.
        shuffle: draw a new order for each pass.
        drop_last: leave out a last batch that is not full.
        rng: generator for the order; None means minidl's own, see `minidl.manual_seed`.
        transform: called with the first array of each batch (the images) and returning what takes its place.

    Yields:
        Tuples of arrays, as the dataset's `batch` gives them: usually (images (N, C, H, W), labels (N,)).

    Raises:
        ValueError: the dataset is empty, or batch_size is less than 1.
        TypeError: the dataset is not a Dataset.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int = 1,
        shuffle: bool = False,
        drop_last: bool = False,
        *,
        rng: np.random.Generator | None = None,
        transform: Callable[[Array], Array] | None = None,
    ) -> None:
        if not isinstance(dataset, Dataset):
            raise TypeError(
                f"DataLoader: dataset must be a Dataset, got {type(dataset).__name__}; arrays go into "
                "ArrayDataset(images, labels)"
            )
        if len(dataset) == 0:
            raise ValueError("DataLoader: the dataset is empty")
        if transform is not None and not callable(transform):
            raise TypeError(f"DataLoader: transform must be a function of a batch of images, got {transform!r}")
        self.dataset = dataset
        self.batch_size = check_int("DataLoader", "batch_size", batch_size)
        self.shuffle = check_flag("DataLoader", "shuffle", shuffle)
        self.drop_last = check_flag("DataLoader", "drop_last", drop_last)
        if rng is not None:
            default_rng(rng)
        self.rng = rng
        self.transform = transform

    def __len__(self) -> int:
        """Return the number of batches in a pass."""
        samples = len(self.dataset)
        return samples // self.batch_size if self.drop_last else -(-samples // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        samples = len(self.dataset)
        order = default_rng(self.rng).permutation(samples) if self.shuffle else np.arange(samples)
        for number in range(len(self)):
            batch = self.dataset.batch(order[number * self.batch_size : (number + 1) * self.batch_size])
            if self.transform is not None:
                images = self.transform(batch[0])
                if np.shape(images)[:1] != np.shape(batch[0])[:1]:
                    raise ValueError(
                        f"DataLoader: transform must return {len(batch[0])} images, got shape {np.shape(images)}"
                    )
                batch = (images, *batch[1:])
            yield batch
