"""The datasets that --data names, each with its own defaults for the other options."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..data import (
    Dataset,
    load_cifar10,
    load_cifar100,
    load_digits,
    load_emnist,
    load_fashion_mnist,
    load_image_folder,
    load_kmnist,
    load_mnist,
)

__all__ = ["DATASETS", "Images", "load_images"]


@dataclass
class Images:
    """A dataset for training and one for testing."""

    train: Dataset
    test: Dataset

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
    load: Callable[..., tuple[Dataset, Dataset]]  # called with those options that are among its parameters
    root: str = ""  # what --root must be; empty: no folder is needed
    recipe: Mapping[str, Any] = field(default_factory=dict)

    def takes(self, option: str) -> bool:
        """Return whether an option is for this dataset."""
        return option in inspect.signature(self.load).parameters


def _source(load: Callable[..., tuple[Dataset, Dataset]], root: str, **recipe: Any) -> _Source:
    """Declare a dataset whose files are in a folder."""
    return _Source(load, root, {"batch_size": 128, "lr": 0.1, **recipe})


DATASETS = {
    "digits": _Source(load_digits),
    "mnist": _source(load_mnist, "the folder with MNIST's four files", model="lenet5", augment="affine", epochs=15),
    "fashion_mnist": _source(
        load_fashion_mnist,
        "the folder with Fashion-MNIST's four files",
        model="mnist_cnn",
        augment="crop_flip",
        epochs=12,
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
        load_image_folder,
        "a folder with a folder of images for each class",
        {"model": "resnet20", "augment": "crop_flip", "epochs": 30},
    ),
}


def load_images(name: str, options: Mapping[str, Any]) -> Images:
    """Read a dataset.

    Args:
        name: one of `DATASETS`.
        options: a recipe's root, download, size and split; empty values count as not given.

    Raises:
        ValueError: an option is missing, or is not for this dataset.
    """
    source = DATASETS[name]
    if source.root and not options["root"]:
        raise ValueError(f"--data {name} needs --root DIR, {source.root}")
    if options["root"] and not source.root:
        raise ValueError(f"--root is not for --data {name}, which comes with the package")
    for option in ("size", "split"):
        if options[option] and not source.takes(option):
            users = [user for user, other in DATASETS.items() if other.takes(option)]
            raise ValueError(f"--{option} is for --data {', '.join(users)}")
    return Images(*source.load(**{key: value for key, value in options.items() if value and source.takes(key)}))
