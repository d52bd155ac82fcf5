"""What a training run is made of: the dataset, the model, the optimiser, each by name."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from .. import models, optim
from ..data import (
    Dataset,
    ImageFolder,
    Subset,
    load_cifar10,
    load_cifar100,
    load_digits,
    load_fashion_mnist,
    load_mnist,
    transforms,
)
from ..nn import Module
from ..optim import lr_scheduler

__all__ = [
    "AUGMENTATIONS",
    "DATASETS",
    "OPTIMIZERS",
    "SCHEDULES",
    "Images",
    "Recipe",
    "make_model",
    "parse_shape",
]

Choice = TypeVar("Choice")

DIGITS = [str(digit) for digit in range(10)]
CLOTHES = ["T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]
CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


@dataclass
class Images:
    """A dataset for training and one for testing, and what is known of them."""

    train: Dataset
    test: Dataset
    classes: list[str]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one image, (C, H, W)."""
        return tuple(np.shape(self.train[0][0]))


@dataclass(frozen=True)
class Recipe:
    """All that a run can be told: what config.toml holds."""

    data: str = "digits"
    root: str = ""
    download: bool = False
    size: int = 0
    model: str = "digits_cnn"
    augment: str = "none"
    optimizer: str = "sgd"
    lr: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: str = "onecycle"
    epochs: int = 30
    batch_size: int = 32
    accumulate: int = 1
    clip_grad_norm: float = 0.0
    seed: int = 0
    threads: int = 0

    @classmethod
    def default(cls, data: str) -> Recipe:
        """Return what is done for a dataset unless told otherwise."""
        return replace(cls(data=data), **_choose(DATASETS, "--data", data).recipe)

    @classmethod
    def names(cls) -> dict[str, type]:
        """Return the type of each entry by name."""
        return {entry.name: type(entry.default) for entry in fields(cls)}

    def with_values(self, values: dict[str, Any], source: str) -> Recipe:
        """Return a recipe with some entries replaced; ``source`` is for errors.

        Raises:
            ValueError: an entry does not exist.
            TypeError: an entry is of another type.
        """
        names = self.names()
        for name, value in values.items():
            if name not in names:
                raise ValueError(f"{source}: there is no entry {name!r}; known: {', '.join(names)}")
            expected = (int, float) if names[name] is float else (names[name],)
            if not isinstance(value, expected) or (isinstance(value, bool) and names[name] is not bool):
                raise TypeError(f"{source}: {name} must be of type {names[name].__name__}, got {value!r}")
        return replace(self, **{name: names[name](value) for name, value in values.items()})

    def as_dict(self) -> dict[str, Any]:
        """Return the entries by name."""
        return asdict(self)

    def load_images(self) -> Images:
        """Read the dataset."""
        dataset = _choose(DATASETS, "--data", self.data)
        if dataset.needs_root and not self.root:
            raise ValueError(f"--data {self.data} needs --root DIR, {dataset.needs_root}")
        if self.root and not dataset.needs_root:
            raise ValueError(f"--root is not for --data {self.data}, which comes with the package")
        if self.size and self.data != "folder":
            raise ValueError("--size is for --data folder")
        return dataset.load(self)

    def make_transform(self, shape: tuple[int, ...]) -> transforms.Transform | None:
        """Make the augmentation of images of a shape."""
        return _choose(AUGMENTATIONS, "--augment", self.augment)(shape[1:])

    def make_optimizer(self, model: Module) -> optim.Optimizer:
        """Make the optimiser of a model's parameters."""
        kind = _choose(OPTIMIZERS, "--optimizer", self.optimizer)
        options: dict[str, Any] = {"lr": self.lr, "weight_decay": self.weight_decay}
        if not 0 <= self.momentum < 1:
            raise ValueError(f"--momentum must be from 0 to less than 1, got {self.momentum}")
        if kind is optim.SGD:
            options.update(momentum=self.momentum, nesterov=self.momentum > 0)
        return kind(model.params(), **options)

    def make_scheduler(self, optimizer: optim.Optimizer, steps: int) -> lr_scheduler.LRScheduler | None:
        """Make the schedule for a fit of so many steps."""
        make = _choose(SCHEDULES, "--schedule", self.schedule)
        return make(optimizer, self, max(2, steps))


@dataclass(frozen=True)
class _Dataset:
    load: Callable[[Recipe], Images]
    recipe: dict[str, Any]
    needs_root: str = ""  # what must be there; empty: nothing


def _files(load: Callable[..., tuple[Dataset, Dataset]], classes: list[str]) -> Callable[[Recipe], Images]:
    return lambda recipe: Images(*load(recipe.root, download=recipe.download), classes)


def _folder(recipe: Recipe) -> Images:
    size = recipe.size or None
    root = Path(recipe.root)
    for name in ("test", "val"):
        if (root / "train").is_dir() and (root / name).is_dir():
            train, test = ImageFolder(root / "train", size), ImageFolder(root / name, size)
            if train.classes != test.classes:
                raise ValueError(f"{root}: train and {name} have other classes: {train.classes} and {test.classes}")
            return Images(train, test, train.classes)
    whole = ImageFolder(root, size)
    in_test = np.zeros(len(whole), bool)
    for label in range(len(whole.classes)):  # every fifth image of each class
        in_test[np.flatnonzero(whole.labels == label)[4::5]] = True
    if small := [whole.classes[n] for n, count in enumerate(np.bincount(whole.labels)) if count < 5]:
        raise ValueError(
            f"{root}: every class needs five images or more, of which every fifth is for testing; too few in "
            f"{', '.join(small)}"
        )
    return Images(Subset(whole, np.flatnonzero(~in_test)), Subset(whole, np.flatnonzero(in_test)), whole.classes)


_LARGE = {"batch_size": 128, "lr": 0.1}
DATASETS = {
    "digits": _Dataset(lambda _: Images(*load_digits(), DIGITS), {}),
    "mnist": _Dataset(
        _files(load_mnist, DIGITS),
        {**_LARGE, "model": "lenet5", "augment": "affine", "epochs": 15},
        "the folder with MNIST's four files",
    ),
    "fashion_mnist": _Dataset(
        _files(load_fashion_mnist, CLOTHES),
        {**_LARGE, "model": "mnist_cnn", "augment": "crop_flip", "epochs": 12},
        "the folder with Fashion-MNIST's four files",
    ),
    "cifar10": _Dataset(
        _files(load_cifar10, CIFAR10),
        {**_LARGE, "model": "resnet20", "augment": "crop_flip", "epochs": 30},
        "the folder with CIFAR-10's files",
    ),
    "cifar100": _Dataset(
        _files(load_cifar100, [str(number) for number in range(100)]),
        {**_LARGE, "model": "resnet20", "augment": "crop_flip", "epochs": 30},
        "the folder with CIFAR-100's files",
    ),
    "folder": _Dataset(
        _folder,
        {"model": "resnet20", "augment": "crop_flip", "epochs": 30},
        "a folder with a folder of images for each class",
    ),
}

AUGMENTATIONS: dict[str, Callable[[tuple[int, ...]], transforms.Transform | None]] = {
    "none": lambda size: None,
    "crop": lambda size: transforms.RandomCrop((size[0], size[1]), padding=max(1, size[0] // 12)),
    "crop_flip": lambda size: transforms.Compose(
        transforms.RandomCrop((size[0], size[1]), padding=max(1, size[0] // 8)), transforms.RandomHorizontalFlip()
    ),
    "affine": lambda size: transforms.RandomAffine(10, (0.08, 0.08), (0.9, 1.1), 5),
}

OPTIMIZERS: dict[str, Callable[..., optim.Optimizer]] = {
    "sgd": optim.SGD,
    "adam": optim.Adam,
    "adamw": optim.AdamW,
    "rmsprop": optim.RMSprop,
    "adagrad": optim.Adagrad,
}


def _cosine(optimizer: optim.Optimizer, recipe: Recipe, steps: int) -> lr_scheduler.LRScheduler:
    return lr_scheduler.CosineAnnealingLR(optimizer, recipe.epochs)


SCHEDULES: dict[str, Callable[[optim.Optimizer, Recipe, int], lr_scheduler.LRScheduler | None]] = {
    "none": lambda optimizer, recipe, steps: None,
    "onecycle": lambda optimizer, recipe, steps: lr_scheduler.OneCycleLR(
        optimizer,
        recipe.lr,
        steps,
        pct_start=0.2,
        cycle_momentum=recipe.optimizer == "sgd" and recipe.momentum > 0,
        base_momentum=max(0.0, recipe.momentum - 0.05),
        max_momentum=min(0.99, recipe.momentum + 0.05),
    ),
    "cosine": _cosine,
    "step": lambda optimizer, recipe, steps: lr_scheduler.StepLR(optimizer, max(1, recipe.epochs // 3), 0.1),
}


def _choose(table: dict[str, Choice], flag: str, name: str) -> Choice:
    if name not in table:
        raise ValueError(f"{flag} must be one of {', '.join(table)}, got {name!r}")
    return table[name]


def make_model(name: str, classes: int | None = None) -> Module:
    """Make the model that an option names: one of `minidl.models`, or the result of MODULE:FUNCTION.

    Args:
        name: the option.
        classes: number of classes, for networks that can have another number than ten; None: as they are.

    Raises:
        ValueError: there is no such model, or making it failed.
        TypeError: what was made is no Module.
    """
    if name in models.__all__:
        make = getattr(models, name)
        several = "num_classes" in make.__annotations__
        return make(num_classes=classes) if several and classes is not None else make()  # type: ignore[no-any-return]
    module_name, separator, function = name.partition(":")
    if not module_name or not separator:
        raise ValueError(f"--model: there is no {name!r}; known: {', '.join(models.__all__)}, or MODULE:FUNCTION")
    sys.path.insert(0, os.getcwd())
    try:
        module = import_module(module_name)
        make = getattr(module, function, None)
        if not callable(make) or isinstance(make, Module):
            raise ValueError(f"{module_name} has no function {function!r} that makes the model")
        model = make()
    except ImportError as error:
        raise ValueError(f"--model {name}: cannot import {module_name}: {error}") from error
    except Exception as error:  # of the user's own code
        raise ValueError(f"--model {name}: {error}") from error
    finally:
        sys.path.pop(0)
    if not isinstance(model, Module):
        raise TypeError(f"--model {name}: expected a Module, got {type(model).__name__}")
    return model


def parse_shape(text: str | None, name: str) -> tuple[int, ...]:
    """Return the shape that --input-shape gives, or that the model of a name was made for."""
    if text is None:
        if name not in models.INPUT_SHAPES:
            raise ValueError(f"--input-shape C,H,W is needed for --model {name}")
        return models.INPUT_SHAPES[name]
    try:
        return tuple(int(size) for size in text.split(","))
    except ValueError as error:
        raise ValueError(f"--input-shape must be numbers such as 1,28,28, got {text!r}") from error
