"""Checkpoints in which one entry was replaced, removed or renamed, and what must not change when they are refused."""

from __future__ import annotations

import copy
import math
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any

import numpy as np

import minidl
from minidl import nn, optim
from minidl.data import ArrayDataset, DataLoader
from minidl.training import Callback, ModelCheckpoint, NonFiniteLossError, StopTraining, Trainer
from minidl.training.callbacks import EarlyStopping, EMAWeights, GradientMonitor, LearningRateMonitor
from minidl.training.checkpoint import read_checkpoint, write_checkpoint
from minidl.training.metrics import ROCAUC, ConfusionMatrix, F1Score, TopK

GENERATORS = (np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64)


class Stop(Callback):
    """End the first fit in the middle of its third epoch."""

    def __init__(self, steps: int | None) -> None:
        self.steps = steps

    def on_save(self, trainer: Trainer) -> None:
        """Stop after the checkpoint."""
        if trainer.steps == self.steps:
            raise StopTraining


def made(folder: Path, kind: int, seed: int, stop: int | None = None) -> tuple[Trainer, DataLoader, DataLoader]:
    """Make one of four trainings, with everything that has a state, from a seed that resuming forgets."""
    rng = np.random.default_rng(0)
    data = ArrayDataset(rng.standard_normal((30, 6)).astype(np.float32), np.arange(30) % 3)
    minidl.manual_seed(seed)
    model = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Dropout(0.3), nn.Linear(5, 3))
    model[3].rng = np.random.Generator(GENERATORS[kind](seed))
    groups = [{"params": [*model[0].params()]}, {"params": [*model[1].params(), *model[4].params()], "lr": 0.02}]
    optimizer: Any = [optim.Adam(groups, lr=0.01), optim.SGD(groups, lr=0.01, momentum=0.9)][kind % 2]
    schedules = (
        lambda: optim.lr_scheduler.OneCycleLR(optimizer, 0.05, 24),
        lambda: optim.lr_scheduler.ReduceLROnPlateau(optimizer, monitor="val_loss"),
        lambda: optim.lr_scheduler.SequentialLR(
            optimizer, [optim.lr_scheduler.LinearLR(optimizer), optim.lr_scheduler.ExponentialLR(optimizer, 0.9)], [2]
        ),
        lambda: None,
    )
    trainer = Trainer(
        model,
        nn.CrossEntropyLoss(),
        optimizer,
        scheduler=schedules[kind](),
        metrics=[ConfusionMatrix(), TopK(2), F1Score(), ROCAUC()],
        callbacks=[
            EMAWeights(0.9),
            EarlyStopping(patience=5),
            LearningRateMonitor(),
            GradientMonitor(),
            ModelCheckpoint(folder, every=1),
            Stop(stop),
        ],
        progress="none",
    )
    own = np.random.Generator(GENERATORS[-1 - kind](seed))
    return trainer, DataLoader(data, 5, shuffle=True, rng=own), DataLoader(data, 15, shuffle=True, rng=own)


def checkpoint(folder: Path, kind: int) -> dict[str, Any]:
    """Return the checkpoint of a fit that was stopped in the middle of its third epoch."""
    trainer, loader, val = made(folder / "whole", kind, 1, stop=15)
    trainer.fit(loader, val, epochs=4)
    return read_checkpoint(folder / "whole" / "last.ckpt")


def tampered(state: Any, rng: np.random.Generator) -> tuple[Any, str]:
    """Return a copy of a state with one entry changed, and what was done."""
    state = copy.deepcopy(state)
    spots = list(_spots(state, ()))
    depth = int(rng.integers(1, 8))  # otherwise most would lie deep in the history
    near = [spot for spot in spots if len(spot) <= depth]
    *path, last = near[rng.integers(len(near))]
    holder = state
    for key in path:
        holder = holder[key]
    action = rng.choice(["replace", "delete", "rename", "repeat"], p=[0.7, 0.15, 0.1, 0.05])
    if action == "delete":
        del holder[last]
    elif action == "rename" and isinstance(holder, dict):
        holder[_wrong(last, rng) if rng.random() < 0.3 else f"{last}x"] = holder.pop(last)
    elif action == "repeat" and isinstance(holder, list):
        holder.append(copy.deepcopy(holder[last]))
    else:
        holder[last] = value = _replaced(holder[last], rng)
        action = f"replace by {str(value)[:60]!r}"
    return state, f"{action}: {'/'.join(map(str, [*path, last]))}"


def _spots(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from _spots(item, (*path, key))


def _wrong(key: Any, rng: np.random.Generator) -> Any:
    return [None, 10**30, -1, 1.5, True, ""][rng.integers(6)]


def _replaced(value: Any, rng: np.random.Generator) -> Any:
    if isinstance(value, np.ndarray) and rng.random() < 0.7:
        changed = [
            lambda: value.ravel()[:-1],
            lambda: value[None],
            lambda: value.astype(np.float64) * 1e300 + 1e300,
            lambda: np.full(value.shape, np.nan),
            lambda: value.astype(str),
            lambda: value.astype(complex),
            value.tolist,
            lambda: np.zeros(0, value.dtype),
            lambda: value.astype(np.int8),
            lambda: np.full(value.shape, -1),
        ]
        return changed[rng.integers(len(changed))]()
    anything = [
        *(None, True, False, "text", "", 0, 1, -1, 7, 2**31, 2**63, 2**64, 10**30, 10**400, -(10**400)),
        *(1.5, -2.5, math.nan, math.inf, -math.inf, 1e308, [], {}, [1], {"a": 1}, [[]], {1: 2}, [None] * 3),
        *(np.zeros(3), np.zeros((2, 2), np.int64), np.array("x"), np.array(5)),
    ]
    if isinstance(value, int) and not isinstance(value, bool) and rng.random() < 0.3:
        return [value + 1, value - 1, -value, float(value), value * 1000][rng.integers(5)]
    if isinstance(value, dict) and rng.random() < 0.3:
        return list(value.items())
    if isinstance(value, list) and rng.random() < 0.3:
        return dict(enumerate(value))
    return anything[rng.integers(len(anything))]


def frozen(value: Any, seen: dict[int, Any] | None = None) -> Any:  # noqa: PLR0911
    """Return everything that objects hold, to the bit, so that it can be compared later."""
    seen = {} if seen is None else seen
    if value is None or isinstance(value, (bool, int, str, bytes, type, FunctionType, MethodType, Path)):
        return value if not isinstance(value, MethodType) else "method"
    if isinstance(value, float):
        return value.hex()
    if isinstance(value, np.ndarray):
        return (str(value.dtype), value.shape, value.tobytes() if not value.dtype.hasobject else repr(value))
    if isinstance(value, np.generic):
        return (str(value.dtype), value.tobytes())
    if isinstance(value, np.random.Generator):
        return frozen(value.bit_generator.state, seen)
    if isinstance(value, tuple):
        return [frozen(item, seen) for item in value]
    if id(value) in seen:
        return "again"
    seen[id(value)] = value  # which keeps its id
    if isinstance(value, dict):
        kind = "defaultdict" if isinstance(value, defaultdict) else "dict"
        return (kind, [(key if isinstance(key, (str, int)) else id(key), frozen(v, seen)) for key, v in value.items()])
    if isinstance(value, (list, set, frozenset)):
        return [frozen(item, seen) for item in value]
    return (type(value).__name__, frozen(vars(value), seen)) if hasattr(value, "__dict__") else type(value).__name__


def held(trainer: Trainer, *loaders: DataLoader) -> Any:
    """Return the bits of everything that a refused resume must leave alone."""
    parts = (trainer.model.state_dict(), trainer.optimizer, trainer.scheduler, trainer.callbacks, trainer.history)
    rngs = [minidl._core.default_rng(), trainer.model[3].rng]
    return frozen([*parts, *rngs, *[vars(loader) for loader in loaders], trainer.state.epoch])


def attempt(state: Any, folder: Path, kind: int, seed: int) -> str:
    """Resume a tampered checkpoint; return what became of it.

    Raises:
        AssertionError: something has changed though the checkpoint was refused, or the error does not name the file.
    """
    file = folder / "tampered.ckpt"
    write_checkpoint(file, state)
    trainer, loader, val = made(folder / "again", kind, seed)
    before = held(trainer, loader, val)
    try:
        with np.errstate(all="ignore"):
            trainer.fit(loader, val, epochs=4, resume=file)
    except NonFiniteLossError:
        return "resumed, and not finite"  # with NaN among the weights, say
    except ValueError as error:
        if "expected counts of shape" in str(error):  # those of other classes, which the next batch finds out
            return "counts of other classes"
        assert held(trainer, loader, val) == before, f"refused, but something has changed: {error}"
        assert str(error).startswith(f"{file}: Trainer: cannot resume: "), error
        return "refused"
    return "resumed"
