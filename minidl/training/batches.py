"""What a Trainer takes as batches: anything that can be iterated over and gives (input, target)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..data import ArrayDataset, DataLoader, Dataset
from ..data.collate import is_dataset
from ..nn import Module
from ..nn.label_loss import LabelLoss

__all__ = [
    "Batch",
    "Batches",
    "batch_parts",
    "check_batches",
    "check_classes",
    "check_parts",
    "count_batches",
    "input_of",
]

Batch = tuple[Any, ...]
Batches = Iterable[Batch]


def check_batches(method: str, data: Any) -> None:
    """Raise TypeError, naming the Trainer's ``method``, if ``data`` is a dataset or arrays, not batches of them."""
    if is_dataset(data):
        kind = "Dataset" if isinstance(data, Dataset) else f"dataset, {type(data).__name__}"
        raise TypeError(f"Trainer.{method}: expected batches, got a {kind}; use DataLoader(dataset, batch_size=32)")
    bare = isinstance(data, (tuple, str, Mapping)) or hasattr(data, "__array__")
    if bare or isinstance(data, type) or not isinstance(data, Iterable):
        raise TypeError(
            f"Trainer.{method}: expected batches, got {type(data).__name__}; use "
            "DataLoader(ArrayDataset(images, labels), batch_size=32)"
        )


def check_classes(loss: Module, data: Any) -> None:
    """Raise ValueError if a loss over classes is to be trained on a dataset of one: it is 0 whatever the model does."""
    classes = getattr(getattr(data, "dataset", None), "classes", ())
    if isinstance(loss, LabelLoss) and isinstance(classes, (list, tuple)) and len(classes) == 1:
        raise ValueError(f"Trainer.fit: the dataset has one class, {classes[0]}: there is nothing to tell apart")


def batch_parts(batch: Any, sample_weights: bool) -> Batch:
    """Return a batch as a tuple (input, target), with ``sample_weights`` (input, target, weights).

    Raises:
        ValueError: it is something else. What a third part means is never guessed.
    """
    if isinstance(batch, (tuple, list)) and len(batch) == 2 + sample_weights:
        return tuple(batch)
    if sample_weights:
        wanted, hint = "(input, target, weights), since sample_weights=True,", ""
    else:
        wanted, hint = "(input, target),", ""
        if isinstance(batch, (tuple, list)) and len(batch) == 3:
            hint = "; if the third is a weight for each sample, create Trainer(..., sample_weights=True)"
    raise ValueError(f"Trainer: expected batches {wanted} got {_described(batch)}{hint}")


def check_parts(data: Any, sample_weights: bool) -> None:
    """Raise ValueError before the first step if it is known that batches will not have the parts that are expected."""
    if isinstance(data, list) and data:
        batch_parts(data[0], sample_weights)
    elif isinstance(data, DataLoader) and isinstance(data.dataset, ArrayDataset) and data.transform is None:
        batch_parts(data.dataset.arrays, sample_weights)


def _described(batch: Any) -> str:
    """Say what a batch is if it is not (input, target)."""
    if isinstance(batch, Mapping):
        return f"a dict of {_names(batch)}, which does not say what is the target: let the samples be tuples"
    if not isinstance(batch, (tuple, list)):
        return type(batch).__name__
    return f"{len(batch)} parts" if len(batch) != 1 else "the input alone: a target is lacking"


def _names(batch: Mapping[Any, Any]) -> str:
    return ", ".join(map(repr, batch))


def input_of(batch: Any) -> Any:
    """Return the input of a batch (input, ...), or of a batch that is the input alone; raise TypeError for a dict."""
    if isinstance(batch, Mapping):
        raise TypeError(
            f"Trainer.predict: expected batches (input, ...), got a dict of {_names(batch)}, which does not say what "
            "is the input: let the samples be tuples"
        )
    return batch[0] if isinstance(batch, (tuple, list)) else batch


def count_batches(batches: Any) -> int | None:
    """Return how many batches there are, or None if ``batches`` cannot tell."""
    try:
        return len(batches)
    except TypeError:
        return None
