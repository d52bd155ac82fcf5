"""Restoring: what a checkpoint says is read, cast and checked as a whole before anything is changed by it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from .._core import printable
from ..data import DataLoader
from ..nn import Module
from ..nn.state import match_state
from ..optim import Optimizer
from ..optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from ..optim.stored import stored_count, stored_dict, stored_list, stored_number
from .callback import Callback
from .optimizers import Optimizers

__all__ = ["Restoring", "check_generator", "check_rows", "entry"]

_KINDS = (Module, Optimizer, Optimizers, LRScheduler, ReduceLROnPlateau, Callback, DataLoader)
_PLACES = {
    "has_uint32": 1,
    "pos": 624,
    "buffer_pos": 4,
}  # in the states of NumPy's generators, with their largest value


@contextmanager
def entry(name: str) -> Iterator[None]:
    """Turn whatever reading an entry of a checkpoint raises inside a with block into a ValueError that names it."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        bare = isinstance(error, (LookupError, AttributeError, ArithmeticError))  # which say little
        text = f"{type(error).__name__} {error}" if bare else str(error)
        raise ValueError(f"Trainer: cannot resume: {printable(text)} (entry {printable(name)})") from error


class Restoring:
    """The restoring of a fit's parts: `add` checks what each is to become, `carry_out` changes them all.

    Classes that have a `load_state_dict` of their own are asked when all the others have been checked. If one refuses,
    those before it get back the state that they had.
    """

    def __init__(self) -> None:
        self._restore: list[Callable[[], object]] = []
        self._foreign: list[tuple[str, Any, Any]] = []

    def add(self, name: str, part: Any, state: Any, model: Module | None = None) -> None:
        """Check the state of a part.

        Args:
            name: the entry of the checkpoint.
            part: what is to be restored.
            state: what the checkpoint has for it.
            model: the fit's, for a callback.

        Raises:
            ValueError: the part cannot have had this state.
        """
        with entry(name):
            if not _is_ours(part):
                self._foreign.append((name, part, state))
            elif isinstance(part, Module):
                values, _ = match_state(type(part).__name__, dict(part._state()), stored_dict("it", state), strict=True)
                self._restore.append(partial(part.load_state_dict, values))
            elif isinstance(part, DataLoader):
                _check_position(part, state)
                self._restore.append(partial(part.load_state_dict, state))
            elif isinstance(part, Callback):
                self._restore.append(part._loading(state, model))
            else:
                self._restore.append(part._loading(state))

    def then(self, restore: Callable[[], object]) -> None:
        """Do something more when everything is restored; it must not fail."""
        self._restore.append(restore)

    def carry_out(self) -> None:
        """Restore everything.

        Raises:
            ValueError: a part with a `load_state_dict` of its own has refused; everything is as it was.
        """
        before: list[tuple[Any, Any]] = []
        try:
            for name, part, state in self._foreign:
                with entry(name):
                    before.append((part, part.state_dict()))
                    part.load_state_dict(state)
        except BaseException:
            for part, state in reversed(before):
                part.load_state_dict(state)
            raise
        try:
            self._do()
        except BaseException:  # Ctrl-C: what has begun is done whole
            self._do()
            raise

    def _do(self) -> None:
        for restore in self._restore:
            restore()


def _is_ours(part: Any) -> bool:
    """Return whether a part, and what it consists of, is restored by minidl's own code."""
    inner: Any = part if isinstance(part, Optimizers) else ()
    if isinstance(part, LRScheduler):
        inner = getattr(part, "schedulers", ())
    return any(
        isinstance(part, kind) and type(part).load_state_dict is kind.load_state_dict for kind in _KINDS
    ) and all(_is_ours(one) for one in inner)


def check_generator(where: str, rng: np.random.Generator, state: Any) -> None:
    """Raise ValueError unless a state is one that the generator can have: NumPy itself looks at little of it."""
    _check_form(where, rng.bit_generator.state, state)
    trial = copy.deepcopy(rng.bit_generator)
    try:
        trial.state = state
    except (OverflowError, TypeError, KeyError) as error:
        raise ValueError(f"{where}: {error}") from error
    if not _equal(trial.state, state):
        raise ValueError(f"{where}: a number is out of bounds")


def _equal(own: Any, given: Any) -> bool:
    if isinstance(own, Mapping):
        return all(_equal(value, given[name]) for name, value in own.items())
    return bool(np.array_equal(own, given)) if isinstance(own, np.ndarray) else bool(own == given)


def _check_form(where: str, own: Any, given: Any) -> None:
    if isinstance(own, Mapping):
        if set(stored_dict(where, given)) != set(own):
            raise ValueError(f"{where}: expected the entries {', '.join(own)}")
        for name, value in own.items():
            _check_form(f"{where}: {name}", value, given[name])
            if name in _PLACES:
                stored_count(f"{where}: {name}", given[name], maximum=_PLACES[name])
    elif isinstance(own, np.ndarray):
        if not isinstance(given, np.ndarray) or (given.dtype, given.shape) != (own.dtype, own.shape):
            raise ValueError(f"{where}: expected an array of {own.dtype}, of shape {own.shape}")
    elif isinstance(own, str):
        if given != own:
            raise ValueError(f"{where}: expected {own!r}, got another kind")
    elif isinstance(given, bool) or not isinstance(given, int):
        raise ValueError(f"{where}: expected a whole number")


def _check_position(loader: DataLoader, state: Any) -> None:
    """Raise ValueError unless a state is one of a loader."""
    stored_dict("it", state, "seed", "batch", "rng")
    stored_count("seed", state["seed"])
    stored_count("batch", state["batch"], maximum=len(loader))
    if (state["rng"] is None) != (loader.rng is None):
        raise ValueError("it belongs to a loader with another generator")
    if loader.rng is not None:
        check_generator("rng", loader.rng, state["rng"])


def check_rows(rows: Any, epoch: int, finished: bool) -> list[dict[str, float]]:
    """Return the rows of a history, or raise ValueError: one for each epoch, perhaps for the current one too."""
    checked = [dict(stored_dict("a row", row, "epoch")) for row in stored_list("it", rows)]
    for number, row in enumerate(checked, 1):
        for name, value in row.items():
            if str(name).startswith(("train_", "val_")) or name in ("lr", "seconds", "skipped"):
                stored_number(str(name), value)
        if stored_count("epoch", row["epoch"]) != number or not all(isinstance(name, str) for name in row):
            raise ValueError(f"row {number} is not that of epoch {number}")
    if len(checked) not in ((epoch,) if finished else (epoch - 1, epoch)):
        raise ValueError(f"it has {len(checked)} rows, but the fit is in epoch {epoch}")
    return checked if finished else checked[: epoch - 1]  # a validation that was interrupted is repeated
