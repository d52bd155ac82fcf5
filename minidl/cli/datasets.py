"""The datasets that --data names, each with its own defaults for the other options."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any

import numpy as np

from ..data import (
    Dataset,
    load_cifar10,
    load_cifar100,
    load_digits,
    load_emnist,
    load_fashion_mnist,
    load_kmnist,
    load_mnist,
    stratified_split,
)
from ..data.folder import image_folder_parts
from ..data.split import labels_of

__all__ = ["CHANNELS", "DATASETS", "VAL_FRACTION", "Images", "load_images"]

CHANNELS = {"grey": 1, "rgb": 3}
VAL_FRACTION = 0.1


@dataclass(frozen=True)
class Images:
    """Datasets for training, for choosing the best epoch, and for measuring the result.

    Attributes:
        train: for training.
        test: for testing; None only if there are images for validation instead.
        val: for validation; None for none.
    """

    train: Dataset
    test: Dataset | None = None
    val: Dataset | None = None

    def with_validation(self, fraction: float, seed: int) -> Images:
        """Return the same images, with a share of each class's training images set apart for validation.

        A folder's own images for validation are used instead.

        Args:
            fraction: the share; 0: no validation, unless there are no test images either.
            seed: of the choice.

        Raises:
            ValueError: a class has one image only, or there are images for validation already and the fraction is
                not the default.
        """
        if fraction == 0:
            return self if self.test is None else replace(self, val=None)
        if self.val is not None:
            if fraction != VAL_FRACTION:
                raise ValueError(
                    f"--val-fraction {fraction:g}: there are {len(self.val):,} images for validation in a folder of "
                    "their own; leave the option out to use them, or give 0 for none"
                )
            return self
        rng = np.random.default_rng([seed, 1])  # apart from the run's own stream, which begins at the same seed
        try:
            train, val = stratified_split(self.train, labels_of(self.train), fraction, rng=rng)
        except ValueError as error:
            raise ValueError(f"--val-fraction {fraction:g}: {error}") from error
        return replace(self, train=train, val=val)

    @property
    def parts(self) -> dict[str, Dataset]:
        """The datasets there are, by their purpose."""
        parts = {"training": self.train, "validation": self.val, "test": self.test}
        return {part: dataset for part, dataset in parts.items() if dataset is not None}

    @property
    def measured(self) -> tuple[str, Dataset]:
        """What a result is measured on, and the dataset: the test images; without any, those for validation."""
        if self.test is not None:
            return "test", self.test
        assert self.val is not None
        return "validation", self.val

    @property
    def classes(self) -> list[str]:
        """The classes' names."""
        return list(self.train.classes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one image, (C, H, W)."""
        return tuple(np.shape(self.train[0][0]))


@dataclass(frozen=True)
class _Source:
    load: Callable[..., dict[str, Dataset]]  # called with those options that are among its parameters
    root: str = ""  # what --root must be; empty: no folder is needed
    recipe: Mapping[str, Any] = field(default_factory=dict)
    nets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # what is otherwise for other models

    def takes(self, option: str) -> bool:
        """Return whether an option is for this dataset."""
        return option in inspect.signature(self.load).parameters


def _pair(load: Callable[..., tuple[Dataset, Dataset]]) -> Callable[..., dict[str, Dataset]]:
    """Return a function with the parameters of ``load`` that names its two results."""

    @wraps(load)
    def parts(**options: Any) -> dict[str, Dataset]:
        train, test = load(**options)
        return {"train": train, "test": test}

    return parts


def _source(
    load: Callable[..., tuple[Dataset, Dataset]],
    root: str,
    nets: Mapping[str, Mapping[str, Any]] | None = None,
    **recipe: Any,
) -> _Source:
    """Declare a dataset whose files are in a folder."""
    return _Source(_pair(load), root, {"batch_size": 128, "lr": 0.1, **recipe}, nets or {})


def _folder(
    root: str, size: int | None = None, channels: str = "rgb", fit: str = "stretch", skip_broken: bool = False
) -> dict[str, Dataset]:
    """Read the parts of a folder; ``skip_broken`` is for `checked`, which reads the images."""
    if fit != "stretch" and size is None:
        raise ValueError(f"--fit {fit} needs --size N, to which images are resized")
    return image_folder_parts(root, size, CHANNELS[channels], fit=fit)


DATASETS = {
    "digits": _Source(_pair(load_digits), recipe={"augment": "affine"}),
    "mnist": _source(load_mnist, "the folder with MNIST's four files", model="lenet5", augment="affine", epochs=15),
    "fashion_mnist": _source(
        load_fashion_mnist,
        "the folder with Fashion-MNIST's four files",
        model="fashion_cnn",
        augment="shift_flip",
        epochs=24,
        nets={"lenet5": {"epochs": 25}},
    ),
    "kmnist": _source(
        load_kmnist, "the folder with KMNIST's four files", model="mnist_cnn", augment="affine", epochs=15
    ),
    "emnist": _source(
        load_emnist,
        "the folder with the split's four files or gzip.zip",
        model="mnist_cnn",
        augment="affine",
        epochs=12,
    ),
    "cifar10": _source(
        load_cifar10, "the folder with CIFAR-10's files", model="resnet20", augment="crop_flip", epochs=30
    ),
    "cifar100": _source(
        load_cifar100, "the folder with CIFAR-100's files", model="resnet20", augment="crop_flip", epochs=30
    ),
    "folder": _Source(
        _folder,
        "a folder with a folder of images for each class",
        {"model": "resnet20", "augment": "crop", "epochs": 30},  # no flip: letters, signs and hands have a side
    ),
}


def load_images(name: str, options: Mapping[str, Any]) -> Images:
    """Read a dataset.

    Args:
        name: one of `DATASETS`.
        options: a recipe's root and what else is about the data; empty values count as not given.

    Raises:
        ValueError: an option is missing, or is not for this dataset.
    """
    source = DATASETS[name]
    if source.root and not options["root"]:
        raise ValueError(f"--data {name} needs --root DIR, {source.root}")
    if options["root"] and not source.root:
        raise ValueError(
            f"--root is not for --data {name}, which comes with the package; images of your own are --data folder"
        )
    for option, value in options.items():
        if value and option not in ("root", "download") and not source.takes(option):
            users = [user for user, other in DATASETS.items() if other.takes(option)]
            raise ValueError(f"--{option.replace('_', '-')} is for --data {', '.join(users)}")
    return Images(**source.load(**{key: value for key, value in options.items() if value and source.takes(key)}))
