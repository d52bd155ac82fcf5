"""Recipe: the options of a training run, and what they name: dataset, model, augmentation, optimiser, schedule."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from typing import Any

from .. import models, optim
from .._core import user_path
from ..data import class_weights, transforms
from ..data.fitting import FITS
from ..data.naming import named
from ..data.split import labels_of
from ..engine import ENGINES
from ..nn import CrossEntropyLoss, Module
from ..optim import lr_scheduler
from ..training import Callback
from ..training.callbacks import EarlyStopping, EMAWeights, HealthMonitor
from .datasets import CHANNELS, DATASETS, VAL_FRACTION, Images, load_images
from .options import Option, at_least, between, one_of, option, options_of

__all__ = ["Recipe", "make_model", "parse_shape"]

AUGMENTATIONS: dict[str, Callable[[tuple[int, ...]], transforms.Transform | None]] = {
    "none": lambda size: None,
    "crop": lambda size: transforms.RandomCrop((size[0], size[1]), padding=max(1, size[0] // 12)),
    "crop_flip": lambda size: transforms.Compose(
        transforms.RandomCrop((size[0], size[1]), padding=max(1, size[0] // 8)), transforms.RandomHorizontalFlip()
    ),
    "shift_flip": lambda size: transforms.Compose(
        transforms.RandomCrop((size[0], size[1]), padding=max(1, size[0] // 28)), transforms.RandomHorizontalFlip()
    ),
    "affine": lambda size: transforms.RandomAffine(10, (0.08, 0.08), (0.9, 1.1), 5),
}

OPTIMIZERS: dict[str, Callable[..., optim.Optimizer]] = {
    "sgd": optim.SGD,
    "adam": optim.Adam,
    "adamw": optim.AdamW,
    "rmsprop": optim.RMSprop,
    "adadelta": optim.Adadelta,
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

# The entries that config.toml has held since the first version: a file without one of them is damaged.
_ALWAYS = (
    *("data", "root", "download", "size", "model", "augment", "optimizer", "lr", "momentum", "weight_decay"),
    *("schedule", "epochs", "batch_size", "accumulate", "clip_grad_norm", "seed", "threads"),
)


@dataclass(frozen=True)
class Recipe:
    """All options of a run, as config.toml holds them. A new option is a field here, used in one of the methods."""

    data: str = option("digits", f"what to train on: {', '.join(DATASETS)} (default: digits)", one_of(DATASETS))
    root: str = option("", "folder with the dataset's files", resumable=True)
    download: bool = option(False, "fetch the dataset's files if they are missing", resumable=True)
    size: int = option(0, "side to which the images of --data folder are resized", at_least(0))
    channels: str = option(
        "", f"channels of the images of --data folder: {' or '.join(CHANNELS)} (the default)", one_of(("", *CHANNELS))
    )
    fit: str = option(
        "",
        "how images of --data folder become square: stretch (the default) changes their proportions, pad puts bars "
        "beside them, crop keeps their middle",
        one_of(("", *FITS)),
    )
    skip_broken: bool = option(False, "leave images of --data folder out that cannot be read, and say which")
    split: str = option("", "part of --data emnist: balanced (the default), byclass, bymerge, digits, letters or mnist")
    val_fraction: float = option(
        VAL_FRACTION,
        "share of each class's training images that is set apart for validation, to choose the best epoch; 0: none "
        "(default: 0.1; the folder val of --data folder is used if there is one)",
        between(0, 1, below=True),
        before=0.0,
    )
    model: str = option("digits_cnn", "model: one of minidl.models, or MODULE:FUNCTION")
    init: str = option(
        "",
        "file of weights to begin with, of a run or of minidl.save, .npz, .safetensors or .minidl; tensors of another "
        "shape, such as a head for other classes, are left fresh and named",
    )
    augment: str = option(
        "none", f"augmentation of the training images: one of {', '.join(AUGMENTATIONS)}", one_of(AUGMENTATIONS)
    )
    mixup: float = option(
        0.0,
        "blend each training image, and its label, with another one: alpha of MixUp, as 0.2; 0: do not",
        at_least(0),
    )
    cutmix: float = option(
        0.0, "paste a part of another training image into each: alpha of CutMix, as 1; 0: do not", at_least(0)
    )
    optimizer: str = option("sgd", f"optimiser: one of {', '.join(OPTIMIZERS)}", one_of(OPTIMIZERS))
    lr: float = option(
        0.05,
        "learning rate; with a schedule, the highest one; find: what minidl.training.lr_find suggests",
        word="find",
    )
    momentum: float = option(
        0.9, "momentum of SGD; the schedule onecycle varies it by 0.05 in both directions", between(0, 1, below=True)
    )
    weight_decay: float = option(5e-4, "weight decay of the optimiser")
    label_smoothing: float = option(
        0.0, "share of each target that is spread evenly over all classes, from 0 to 1", between(0, 1)
    )
    class_weights: str = option(
        "none",
        "weights of the classes in the loss: none, or balanced, so that each class counts the same in all",
        one_of(("none", "balanced")),
    )
    schedule: str = option(
        "onecycle", f"schedule of the learning rate: one of {', '.join(SCHEDULES)}", one_of(SCHEDULES)
    )
    epochs: int = option(30, "passes over the training images", at_least(1), resumable=True)
    batch_size: int = option(32, "images per batch", at_least(1))
    accumulate: int = option(
        1, "batches per step, as one large batch would make it but for batch normalisation", at_least(1)
    )
    clip_grad_norm: float = option(0.0, "largest norm of the gradients; 0: no limit")
    patience: int = option(
        0,
        "end the training when the validation accuracy has not improved for more epochs than this; 0: do not (a "
        "schedule made for all epochs is then cut off: --schedule none fits better)",
        at_least(0),
    )
    ema: float = option(
        0.0,
        "judge and keep a moving average of the weights, with this decay, as 0.99; 0: do not",
        between(0, 1, below=True),
    )
    health: bool = option(False, "watch the layers, and say which are dead, vanish, explode or do not learn")
    seed: int = option(0, "seed of the initial weights, the order, augmentation and dropout")
    threads: int = option(0, "number of threads; 0: as many as there are CPUs", at_least(0), resumable=True)
    engine: str = option(
        "",
        f"how layers are computed: {', '.join(ENGINES)} (default: what MINIDL_ENGINE names, else numpy; fast needs the "
        "extra fast)",
        one_of(("", *ENGINES)),
        resumable=True,
    )

    @classmethod
    def options(cls) -> dict[str, Option]:
        """Return the options by name."""
        return options_of(cls)

    @classmethod
    def default(cls, data: str, model: str | None = None) -> Recipe:
        """Return the default recipe for one of `DATASETS`, and for a model if it is not the dataset's usual one."""
        source = DATASETS[data]
        return replace(cls(data=data), **{**source.recipe, **source.nets.get(str(model), {})})

    @classmethod
    def stored(cls, entries: Mapping[str, Any], source: str) -> Recipe:
        """Return the recipe of a run, whichever version wrote it: a missing entry means the behaviour of that time.

        Args:
            entries: what config.toml holds.
            source: the file, for errors.

        Raises:
            ValueError: entries are missing that every version has written, or as for `with_values`.
            TypeError: as for `with_values`.
        """
        if missing := [name for name in _ALWAYS if name not in entries]:
            raise ValueError(f"{source} is damaged: it has no {', '.join(missing)}")
        before = {name: entry.before for name, entry in cls.options().items()}
        return cls(**before).with_values(entries, source)

    def with_values(self, values: Mapping[str, Any], source: str | None = None) -> Recipe:
        """Return a recipe with some entries replaced.

        Args:
            values: the entries by name.
            source: the file they come from, for errors; None means the command line.

        Raises:
            ValueError: an entry does not exist, or has a value that is not allowed.
            TypeError: an entry has another type.
        """
        options = self.options()
        for name in values:
            if name not in options:
                raise ValueError(f"{source}: there is no entry {name!r}; known: {', '.join(options)}")
        return replace(self, **{name: options[name].convert(value, source) for name, value in values.items()})

    def placed(self) -> Recipe:
        """Return a recipe whose paths are found from every directory, once it is stored."""
        found = {}
        for name in ("root", "init"):
            if path := getattr(self, name):
                with named(f"--{name}"):
                    found[name] = os.path.abspath(user_path(path))
        return self.with_values(found)

    def as_dict(self) -> dict[str, Any]:
        """Return the entries by name."""
        return asdict(self)

    def load_images(self) -> Images:
        """Read the dataset, and set images apart for validation."""
        names = ("root", "download", "size", "channels", "fit", "skip_broken", "split")
        options = {name: getattr(self, name) for name in names}
        return load_images(self.data, options).with_validation(self.val_fraction, self.seed)

    def make_transform(self, shape: tuple[int, ...], classes: int) -> transforms.Transform | None:
        """Make the augmentation for images of a shape (C, H, W) of some classes.

        Raises:
            ValueError: MixUp and CutMix are asked for together.
        """
        if self.mixup and self.cutmix:
            raise ValueError("--mixup and --cutmix: give one of them")
        parts = [AUGMENTATIONS[self.augment](shape[1:])]
        parts += [transforms.MixUp(classes, self.mixup)] if self.mixup else []
        parts += [transforms.CutMix(classes, self.cutmix)] if self.cutmix else []
        chosen = [part for part in parts if part is not None]
        return transforms.Compose(*chosen) if len(chosen) > 1 else next(iter(chosen), None)

    def make_loss(self, images: Images) -> CrossEntropyLoss:
        """Make the loss, for the training images."""
        weight = None
        if self.class_weights == "balanced":
            weight = class_weights(labels_of(images.train), len(images.classes))
        return CrossEntropyLoss(weight, label_smoothing=self.label_smoothing)

    def make_callbacks(self, chooses: bool) -> list[Callback]:
        """Make the callbacks that are asked for.

        Args:
            chooses: whether epochs are compared by validation.

        Raises:
            ValueError: there is nothing to be patient about.
        """
        if self.patience and not chooses:
            raise ValueError(f"--patience {self.patience}: there are no images for validation; give --val-fraction")
        stopping = EarlyStopping("val_accuracy", self.patience, restore_best=False)  # the run keeps the best itself
        return [
            *([EMAWeights(self.ema)] if self.ema else []),
            *([HealthMonitor()] if self.health else []),
            *([stopping] if self.patience else []),
        ]

    def make_optimizer(self, model: Module) -> optim.Optimizer:
        """Make the optimiser of a model's parameters."""
        kind = OPTIMIZERS[self.optimizer]
        options: dict[str, Any] = {"lr": self.lr, "weight_decay": self.weight_decay}
        if kind is optim.SGD:
            options.update(momentum=self.momentum, nesterov=self.momentum > 0)
        return kind(model.params(), **options)

    def make_scheduler(self, optimizer: optim.Optimizer, steps: int) -> lr_scheduler.LRScheduler | None:
        """Make the schedule for a fit of ``steps`` steps."""
        return SCHEDULES[self.schedule](optimizer, self, max(2, steps))


def make_model(name: str, classes: int | None = None, channels: int | None = None) -> Module:
    """Make the model that an option names: one of `minidl.models`, or the result of MODULE:FUNCTION.

    A function is given ``num_classes`` and ``channels`` if it has parameters of these names.

    The module is imported, and may do anything: a name that comes from a file must have passed `check_trusted`.

    Args:
        name: the option.
        classes: number of classes; None: the model's default.
        channels: number of channels of the images; None: likewise.

    Raises:
        ValueError: there is no such model, or it cannot be made.
        TypeError: the result is not a Module.
    """
    if name in models.__all__:
        return _called(getattr(models, name), classes, channels)  # type: ignore[no-any-return]
    module_name, separator, function = name.partition(":")
    if not module_name or not separator:
        raise ValueError(f"--model: there is no {name!r}; known: {', '.join(models.__all__)}, or MODULE:FUNCTION")
    try:
        with _importing_from_here():
            module = import_module(module_name)
            make = getattr(module, function, None)
            if not callable(make) or isinstance(make, Module):
                raise ValueError(f"{module_name} has no function {function!r} that makes the model")
            model = _called(make, classes, channels)
    except ImportError as error:
        raise ValueError(f"--model {name}: cannot import {module_name}: {error}") from error
    except MemoryError:
        raise
    except Exception as error:  # from the user's own code
        raise ValueError(f"--model {name}: {error}") from error
    if not isinstance(model, Module):
        raise TypeError(f"--model {name}: expected a Module, got {type(model).__name__}")
    return model


def _called(make: Callable[..., Any], classes: int | None, channels: int | None) -> Any:
    """Call a function that makes a model, with those of the two numbers that are known and that it has names for."""
    try:
        names = inspect.signature(make).parameters
    except (TypeError, ValueError):  # of a function written in C
        names = {}  # type: ignore[assignment]
    numbers = {"num_classes": classes, "channels": channels}
    return make(**{name: number for name, number in numbers.items() if number is not None and name in names})


@contextmanager
def _importing_from_here() -> Iterator[None]:
    """Let modules be found in the current directory inside a with block: those of the models that are named only."""
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        yield
    finally:
        if here in sys.path:
            sys.path.remove(here)


def parse_shape(text: str | None, name: str) -> tuple[int, ...]:
    """Return the shape given by --input-shape, or the one that the named model is made for."""
    if text is None:
        if name not in models.INPUT_SHAPES:
            raise ValueError(f"--input-shape C,H,W is needed for --model {name}")
        return models.INPUT_SHAPES[name]
    try:
        return tuple(int(size) for size in text.split(","))
    except ValueError as error:
        raise ValueError(f"--input-shape must be numbers such as 1,28,28, got {text!r}") from error
