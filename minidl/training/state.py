"""What a fit consists of, and how it is put back: `Trainer.state_dict` and `Trainer.load_state_dict`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .._core import default_rng
from .meter import Meter

if TYPE_CHECKING:
    from .trainer import Trainer

__all__ = ["restore", "state_of"]

# The Trainer's own numbers.
_PLACE = ("epoch", "batch", "steps", "batch_loss", "lr", "stop", "_finished", "_passed", "_skipped", "_first_lr")


def state_of(trainer: Trainer) -> dict[str, Any]:
    """Return all that a fit needs to go on from here."""
    position = _position(trainer)
    return {
        "made_of": _made_of(trainer),
        "model": trainer.model.state_dict(),
        "loss": trainer.loss.state_dict(),
        "optimizer": None if trainer.optimizer is None else trainer.optimizer.state_dict(),
        "scheduler": None if trainer.scheduler is None else trainer.scheduler.state_dict(),
        "rngs": [rng.bit_generator.state for rng in _rngs(trainer)],
        # the Trainer's own pass, whatever callbacks do with the loader
        "loader": None if position is None else {**position, **trainer._at},
        "callbacks": [callback.state_dict() for callback in trainer.callbacks],
        "history": trainer.history.rows,
        "meter": trainer._meter.state_dict(),
        **{name: getattr(trainer, name) for name in _PLACE},
    }


def restore(trainer: Trainer, state: Mapping[str, Any]) -> None:
    """Put back what `state_of` returned.

    Raises:
        ValueError: it is the state of something else; the model, the loss, optimiser and schedule are as they were.
    """
    _check(trainer, state)
    parts: list[tuple[Any, str]] = [
        *((trainer.model, "model"), (trainer.loss, "loss")),
        *((trainer.optimizer, "optimizer"), (trainer.scheduler, "scheduler")),
    ]
    before = [None if part is None else part.state_dict() for part, _ in parts]
    meter = Meter(trainer.loss, trainer.metrics)
    try:
        for part, name in parts:
            if part is not None:
                part.load_state_dict(state[name])
        meter.load_state_dict(state["meter"])
        if _position(trainer) is not None and state["loader"] is not None:
            trainer._loader.load_state_dict(state["loader"])
        for rng, saved in zip(_rngs(trainer), state["rngs"], strict=True):
            rng.bit_generator.state = saved
        for callback, saved in zip(trainer.callbacks, state["callbacks"], strict=True):
            callback.load_state_dict(saved)
    except (ValueError, TypeError, KeyError) as error:
        for (part, _), saved in zip(parts, before, strict=True):
            if part is not None:
                part.load_state_dict(saved)
        raise ValueError(f"Trainer: cannot resume: {error}") from error
    trainer._meter = meter
    for name in _PLACE:
        setattr(trainer, name, state[name])
    trainer._at = {name: state["loader"][name] for name in trainer._at if state["loader"] is not None}
    rows = [dict(row) for row in state["history"]]
    if rows and not trainer._finished and rows[-1]["epoch"] == trainer.epoch:
        rows.pop()  # its validation was broken off, and is done again
    trainer.history.rows = rows


def _check(trainer: Trainer, state: Mapping[str, Any]) -> None:
    """Raise if it is the state of something else."""
    if not {"made_of", "model", "rngs", "callbacks", *_PLACE} <= set(state):
        raise ValueError("Trainer: cannot resume: this is not the state of a fit")
    for name, value in _made_of(trainer).items():
        if (theirs := state["made_of"].get(name)) != value:
            raise ValueError(f"Trainer: cannot resume: {name} of the checkpoint: {theirs}, of this Trainer: {value}")


def _made_of(trainer: Trainer) -> dict[str, Any]:
    """Return what must be the same in the Trainer that goes on."""
    loader = trainer._loader
    names = ("batch_size", "shuffle", "drop_last")
    return {
        "optimizer": type(trainer.optimizer).__name__,
        "scheduler": type(trainer.scheduler).__name__,
        "metrics": [metric.name for metric in trainer.metrics],
        "callbacks": [type(callback).__name__ for callback in trainer.callbacks],
        "accumulate": trainer.accumulate,
        "loader": [getattr(loader, name) for name in names if hasattr(loader, name)],
        "batches": len(loader) if hasattr(loader, "__len__") else None,
        "random generators": len(_rngs(trainer)),
    }


def _position(trainer: Trainer) -> dict[str, Any] | None:
    method = getattr(trainer._loader, "state_dict", None)
    return None if method is None else method()


def _rngs(trainer: Trainer) -> list[np.random.Generator]:
    """Return minidl's own random generator, those of the layers and the loss, and the validation loader's."""
    found = [default_rng()]
    for root in (trainer.model, trainer.loss):
        for module in root.modules():
            found += [value for value in vars(module).values() if isinstance(value, np.random.Generator)]
    own = getattr(trainer._val, "rng", None)
    return [*found, own] if isinstance(own, np.random.Generator) else found
