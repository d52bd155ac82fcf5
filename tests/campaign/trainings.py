"""Small trainings with options drawn at random, and what remains of them, to be compared bit for bit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import minidl
from minidl import nn, optim
from minidl.data import ArrayDataset, DataLoader, transforms
from minidl.training import ModelCheckpoint, Trainer
from minidl.training.callbacks import CSVLogger, EarlyStopping, EMAWeights, LearningRateMonitor

OPTIMIZERS = ("SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta", "Lion")
SCHEDULES = ("none", "OneCycleLR", "CosineAnnealingLR", "ReduceLROnPlateau", "ExponentialLR")


@dataclass(frozen=True)
class Plan:
    """The options of a training."""

    seed: int
    samples: int
    net: str
    width: int
    optimizer: str
    schedule: str
    batch_size: int
    accumulate: int
    epochs: int
    every: int | None
    dropout: bool
    augmented: bool
    prefetch: int
    threads: int
    callbacks: tuple[str, ...]

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Plan:
        """Draw the options."""
        callbacks = [name for name in ("ema", "early", "lr", "csv") if rng.random() < 0.4]
        return cls(
            seed=int(rng.integers(1000)),
            samples=int(rng.integers(20, 90)),
            net=str(rng.choice(["linear", "conv"])),
            width=int(rng.choice([4, 16, 300])),
            optimizer=str(rng.choice(OPTIMIZERS)),
            schedule=str(rng.choice(SCHEDULES)),
            batch_size=int(rng.integers(3, 20)),
            accumulate=int(rng.choice([1, 1, 2])),
            epochs=int(rng.integers(2, 5)),
            every=[None, 1, 2, 5][rng.integers(4)],
            dropout=bool(rng.random() < 0.5),
            augmented=bool(rng.random() < 0.5),
            prefetch=int(rng.choice([0, 0, 2])),
            threads=int(rng.integers(1, 4)),
            callbacks=tuple(callbacks),
        )

    def model(self) -> nn.Sequential:
        """Make the model, for images (N, 1, 6, 6) of three classes."""
        drop = [nn.Dropout(0.2)] if self.dropout else []
        if self.net == "linear":
            head = [nn.Flatten(), nn.Linear(36, self.width), nn.BatchNorm1d(self.width), nn.ReLU(), *drop]
            return nn.Sequential(*head, nn.Linear(self.width, 3))
        channels = min(self.width, 16)
        head = [nn.Conv2d(1, channels, 3), nn.BatchNorm2d(channels), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), *drop]
        return nn.Sequential(*head, nn.Linear(4 * channels, 3))

    def scheduler(self, optimizer: optim.Optimizer, steps: int) -> Any:
        """Make the schedule, for a fit of so many steps."""
        options: dict[str, Any] = {
            "OneCycleLR": {"max_lr": 0.05, "total_steps": steps, "cycle_momentum": self.optimizer == "SGD"},
            "CosineAnnealingLR": {"T_max": self.epochs},
            "ReduceLROnPlateau": {"patience": 0},
            "ExponentialLR": {"gamma": 0.9},
        }
        if self.schedule == "none":
            return None
        return getattr(optim.lr_scheduler, self.schedule)(optimizer, **options[self.schedule])

    def trainer(self, folder: Path | None) -> tuple[Trainer, DataLoader, DataLoader]:
        """Make the Trainer and its loaders anew, with checkpoints in a folder if there is one."""
        minidl.manual_seed(self.seed)
        minidl.set_num_threads(self.threads)
        rng = np.random.default_rng(self.seed)
        x = rng.standard_normal((self.samples, 1, 6, 6)).astype(np.float32)
        data = ArrayDataset(x, (x[:, 0, 0, 0] > 0).astype(np.int64) + (x[:, 0, 1, 1] > 0))
        crop = transforms.RandomCrop(6, padding=1) if self.augmented else None
        # the last batch may be of one sample, of which batch normalisation takes no statistics
        options = {"drop_last": True, "transform": crop, "prefetch": self.prefetch}
        loader = DataLoader(data, self.batch_size, shuffle=True, **options)
        model = self.model()
        more = {"momentum": 0.9} if self.optimizer == "SGD" else {}
        optimizer = getattr(optim, self.optimizer)(model.params(), lr=0.01, **more)
        steps = self.epochs * -(-len(loader) // self.accumulate)
        callbacks: list[Any] = []
        if folder is not None:
            csv = [CSVLogger(folder / "log.csv")] if "csv" in self.callbacks else []
            callbacks = [*csv, ModelCheckpoint(folder, every=self.every)]
        known = {"ema": lambda: EMAWeights(0.9), "early": lambda: EarlyStopping(patience=1), "lr": LearningRateMonitor}
        callbacks += [known[name]() for name in self.callbacks if name in known]
        trainer = Trainer(
            model,
            nn.CrossEntropyLoss(),
            optimizer,
            scheduler=self.scheduler(optimizer, steps),
            accumulate=self.accumulate,
            callbacks=callbacks,
            progress="none",
        )
        return trainer, loader, DataLoader(data, 32)

    def fit(self, folder: Path, remains: Path) -> None:
        """Train with checkpoints in a folder, from where they are; write what remains into a file."""
        folder.mkdir(exist_ok=True)
        trainer, loader, val = self.trainer(folder)
        trainer.fit(loader, val, epochs=self.epochs, resume=folder)
        remains.write_text(json.dumps(digests(trainer)))


def digests(trainer: Trainer) -> dict[str, str]:
    """Return what is the same, bit for bit, after a fit that was never stopped: a digest of each part."""
    state = trainer.state_dict()
    parts = {name: part for name, part in state.items() if name != "history"}
    parts["weights"] = trainer.model.state_dict()
    parts["history"] = [{key: value for key, value in row.items() if key != "seconds"} for row in trainer.history.rows]
    return {name: hashlib.sha256("\n".join(_lines(part)).encode()).hexdigest() for name, part in parts.items()}


def _lines(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield f"{key}:"
            yield from _lines(part)
    elif isinstance(value, (list, tuple)):
        yield f"{len(value)} of"
        for part in value:
            yield from _lines(part)
    elif isinstance(value, (np.ndarray, nn.Parameter)):
        array = np.ascontiguousarray(np.asarray(value.data if isinstance(value, nn.Parameter) else value))
        yield f"{array.dtype}{array.shape}{hashlib.sha256(array.tobytes()).hexdigest()}"
    else:
        yield repr(value)
