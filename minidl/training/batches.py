"""What a Trainer takes as batches: anything that can be iterated over and gives (input, target)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..data import Dataset

__all__ = ["Batch", "Batches", "batch_parts", "check_batches", "count_batches"]

Batch = tuple[Any, ...]
Batches = Iterable[Batch]


def check_batches(method: str, data: Any) -> None:
    """Raise TypeError, naming the Trainer's ``method``, if ``data`` is a dataset or arrays, not batches of them."""
    if isinstance(data, Dataset):
        raise TypeError(f"Trainer.{method}: expected batches, got a Dataset; use DataLoader(dataset, batch_size=32)")
    if isinstance(data, (np.ndarray, tuple)) or not isinstance(data, Iterable):
        raise TypeError(
            f"Trainer.{method}: expected batches, got {type(data).__name__}; use "
            "DataLoader(ArrayDataset(images, labels), batch_size=32)"
        )


def batch_parts(batch: Any) -> Batch:
    """Return a batch as a tuple (input, target) or (input, target, sample weights); raise ValueError if it is not."""
    if not isinstance(batch, (tuple, list)) or len(batch) not in (2, 3):
        size = f"{len(batch)} parts" if isinstance(batch, (tuple, list)) else type(batch).__name__
        raise ValueError(f"Trainer: expected batches (input, target), got {size}; a third part is sample weights")
    return tuple(batch)


def count_batches(batches: Any) -> int | None:
    """Return how many batches there are, or None if ``batches`` cannot tell."""
    try:
        return len(batches)
    except TypeError:
        return None
