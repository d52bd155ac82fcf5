"""What a Trainer takes as batches: anything that can be iterated over and gives (input, target)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .._core import check_flag, described
from ..data import ArrayDataset, DataLoader
from ..nn import Module
from ..nn.label_loss import LabelLoss
from .losses import Losses

__all__ = [
    "Batch",
    "BatchForm",
    "Batches",
    "check_classes",
    "check_parts",
    "count_batches",
]

Batch = tuple[Any, ...]
Batches = Iterable[Batch]


def check_classes(loss: Module, data: Any) -> None:
    """Raise ValueError if a loss over classes is to be trained on a dataset of one: it is 0 whatever the model does."""
    classes = getattr(getattr(data, "dataset", None), "classes", ())
    if isinstance(loss, LabelLoss) and isinstance(classes, (list, tuple)) and len(classes) == 1:
        raise ValueError(f"Trainer.fit: the dataset has one class, {classes[0]}: there is nothing to tell apart")


class BatchForm:
    """What is the input of a batch, what its target, and what the weights of its samples.

    A batch is a tuple (input, target) or (input, target, weights), each of which may be a structure; or a dict, of
    which the named entries are the targets, and all others the inputs.

    Args:
        loss: of the Trainer; several losses want several targets.
        targets: the name of the target in a dict, or several names; None: batches are tuples.
        sample_weights: whether batches have weights; in a dict, under which name.

    Raises:
        TypeError, ValueError: the names are not such.
    """

    def __init__(self, loss: Module, targets: Any = None, sample_weights: bool | str = False) -> None:
        names = (targets,) if isinstance(targets, str) else targets
        if names is not None and not (
            isinstance(names, (tuple, list)) and names and all(isinstance(name, str) for name in names)
        ):
            raise TypeError(f"Trainer: targets must be the names of entries, such as ('label',), got {targets!r}")
        if isinstance(sample_weights, str) and names is None:
            raise ValueError("Trainer: sample_weights by name are for batches that are dicts; give targets=... too")
        if not isinstance(sample_weights, str):
            check_flag("Trainer", "sample_weights", sample_weights)
        elif sample_weights in (names or ()):
            raise ValueError(f"Trainer: {sample_weights!r} cannot be a target and the sample weights")
        if names is not None and sample_weights is True:
            raise ValueError("Trainer: with targets=... give sample_weights the name of its entry")
        self.targets: tuple[str, ...] | None = None if names is None else tuple(names)
        self.weights = sample_weights
        several = loss.losses if isinstance(loss, Losses) else None
        self._kind: Any = dict if isinstance(several, dict) or (several is None and len(names or ()) > 1) else tuple
        self._single = several is None and len(names or ()) == 1
        if isinstance(several, list) and names is not None and len(names) != len(several):
            raise ValueError(f"Trainer: there are {len(several)} losses, but {len(names)} targets")

    def split(self, batch: Any) -> Batch:
        """Return a batch as a tuple (input, target), with sample weights (input, target, weights).

        Raises:
            ValueError: it is something else. What a third part means is never guessed.
        """
        if self.targets is not None:
            return self._split_dict(batch)
        if isinstance(batch, (tuple, list)) and len(batch) == 2 + bool(self.weights):
            return tuple(batch)
        if self.weights:
            wanted, hint = "(input, target, weights), since sample_weights=True,", ""
        else:
            wanted, hint = "(input, target),", ""
            if isinstance(batch, (tuple, list)) and len(batch) == 3:
                hint = "; if the third is a weight for each sample, create Trainer(..., sample_weights=True)"
        raise ValueError(f"Trainer: expected batches {wanted} got {_described(batch)}{hint}")

    def _split_dict(self, batch: Any) -> Batch:
        named = (*(self.targets or ()), *((self.weights,) if isinstance(self.weights, str) else ()))
        if not isinstance(batch, Mapping):
            got = f"a {type(batch).__name__}"
            raise ValueError(
                f"Trainer: expected batches that are dicts, since targets={self.targets} names entries, got {got}"
            )
        if missing := [name for name in named if name not in batch]:
            raise ValueError(f"Trainer: a batch has no {', '.join(map(repr, missing))}, only {_names(batch)}")
        targets: Any = {name: batch[name] for name in self.targets or ()}
        if self._kind is tuple:
            targets = tuple(targets.values())
        x = self.input_of(batch)
        return (x, targets[0] if self._single else targets, *((batch[self.weights],) if self.weights else ()))

    def input_of(self, batch: Any) -> Any:
        """Return the input of a batch (input, ...), of a dict, or of a batch that is the input alone.

        Raises:
            TypeError: it is a dict, and nothing tells what in it is a target.
            ValueError: it is a dict of targets alone.
        """
        if not isinstance(batch, Mapping):
            return batch[0] if isinstance(batch, (tuple, list)) else batch
        if self.targets is None:
            raise TypeError(
                f"Trainer.predict: expected batches (input, ...), got a dict of {_names(batch)}, which does not say "
                "what is the input: let the samples be tuples, or create Trainer(..., targets=('NAME',))"
            )
        inputs = {name: x for name, x in batch.items() if name not in self.targets and name != self.weights}
        if not inputs:
            raise ValueError(f"Trainer: a batch has no input, only the targets {_names(batch)}")
        return inputs if len(inputs) > 1 else next(iter(inputs.values()))


def check_parts(data: Any, form: BatchForm, loss: Module) -> None:
    """Raise ValueError before the first step if it is known that batches will not have the parts that are expected."""
    if isinstance(data, list) and data:
        batch = data[0]
    elif isinstance(data, DataLoader) and isinstance(data.dataset, ArrayDataset) and data.transform is None:
        batch = data.dataset.arrays
    else:
        return
    _, target, *_ = form.split(batch)
    if isinstance(loss, Losses):
        loss.check("target", target)


def _described(batch: Any) -> str:
    """Say what a batch is if it is not (input, target)."""
    if isinstance(batch, Mapping):
        return (
            f"a dict of {_names(batch)}, which does not say what is the target: create Trainer(..., "
            "targets=('NAME',)), or let the samples be tuples"
        )
    if hasattr(batch, "__array__"):
        return f"{described(batch)}: a list is one of batches; arrays are given in a tuple, (x, y)"
    if not isinstance(batch, (tuple, list)):
        return type(batch).__name__
    return f"{len(batch)} parts" if len(batch) != 1 else "the input alone: a target is lacking"


def _names(batch: Mapping[Any, Any]) -> str:
    return ", ".join(map(repr, batch))


def count_batches(batches: Any) -> int | None:
    """Return how many batches there are, or None if ``batches`` cannot tell."""
    try:
        return len(batches)
    except TypeError:
        return None
