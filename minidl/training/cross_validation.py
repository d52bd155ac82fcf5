"""cross_validate: train on all folds but one, measure on that one, for each fold; the mean and the spread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .._core import check_kind, printable
from ..data import DataLoader, stratified_folds
from ..data.transforms import Transform
from .given import classes_in, dataset_of
from .trainer import Trainer

__all__ = ["CrossValidation", "cross_validate"]


class CrossValidation:
    """What `cross_validate` has measured.

    Attributes:
        folds: what `Trainer.evaluate` gave for each fold.
        mean, std: of each measure that is a number, over the folds; the standard deviation is that of a sample, with
            the divisor folds - 1.
    """

    def __init__(self, folds: list[dict[str, Any]]) -> None:
        self.folds = folds
        names = [name for name, value in folds[0].items() if np.ndim(value) == 0 and all(name in f for f in folds)]
        values = {name: np.array([fold[name] for fold in folds], np.float64) for name in names}
        self.mean = {name: float(column.mean()) for name, column in values.items()}
        self.std = {name: float(column.std(ddof=1)) for name, column in values.items()}

    def __str__(self) -> str:
        lines = [f"{printable(name)} {self.mean[name]:.4f} ± {self.std[name]:.4f}" for name in self.mean]
        return "\n".join([f"{len(self.folds)} folds, mean ± standard deviation", *lines])

    def __repr__(self) -> str:
        return f"CrossValidation({len(self.folds)} folds; mean: {self.mean}; std: {self.std})"


def cross_validate(
    make_trainer: Callable[[], Trainer],
    data: Any,
    folds: int = 5,
    *,
    epochs: int = 1,
    batch_size: int = 32,
    transform: Transform | None = None,
    rng: np.random.Generator | None = None,
) -> CrossValidation:
    """Estimate how well a way of training does, by training it once for each fold of the data.

        result = cross_validate(make_trainer, (x, y), folds=5, epochs=10)
        print(result.mean["accuracy"], result.std["accuracy"])

    Each fold is looked at once, when its training has ended: there is no validation, by which an epoch could be chosen.
    The folds have the classes in nearly the same proportions if the loss judges classes. The spread is over folds and
    initial weights; as the trainings share most of their data, it is no standard error of the mean.

    Args:
        make_trainer: makes a new model, a new optimiser and a Trainer for them, each time it is called.
        data: arrays (x, y) in a tuple, or a dataset.
        folds: how many, 2 or more.
        epochs: of each training.
        batch_size: of each training.
        transform: augmentation of the training images, as `DataLoader` takes it.
        rng: generator for the folds and the order of samples; None means minidl's own.

    Raises:
        TypeError: ``make_trainer`` makes something else, or the data are neither arrays nor a dataset.
        ValueError: ``make_trainer`` gives a model again; or as for `Trainer.fit` and `stratified_folds`.
        KeyboardInterrupt: Ctrl-C: what a part of the folds gives is no result.
    """
    dataset = dataset_of("cross_validate", data)
    if dataset is None:
        raise TypeError(
            f"cross_validate: data must be arrays (x, y) in a tuple, or a dataset, got {type(data).__name__}"
        )
    trainers = [_made(make_trainer, [])]
    labels = classes_in(dataset, trainers[0].form, trainers[0].loss)
    parts = stratified_folds(dataset, np.zeros(len(dataset), int) if labels is None else labels, folds, rng=rng)
    measured = []
    for number, (train, apart) in enumerate(parts):
        if number:
            trainers.append(_made(make_trainer, trainers))
        trainer = trainers[-1]
        history = trainer.fit(DataLoader(train, batch_size, shuffle=True, transform=transform, rng=rng), epochs=epochs)
        if history.interrupted:
            raise KeyboardInterrupt
        measured.append(trainer.evaluate(DataLoader(apart, 256)))
    return CrossValidation(measured)


def _made(make_trainer: Callable[[], Trainer], before: list[Trainer]) -> Trainer:
    """Return a new Trainer of a model that was not there before."""
    trainer = check_kind("cross_validate", "what make_trainer() returns", make_trainer(), Trainer)
    if any(trainer.model is other.model for other in before):
        raise ValueError(
            "cross_validate: make_trainer() must make a new model each time, or folds learn from each other"
        )
    return trainer
