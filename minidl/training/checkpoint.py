"""Checkpoints: the whole state of a fit in a file, from which it goes on bit for bit as if it had never stopped."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._core import check_int
from ..interop.files import npz_of, save, write_atomically
from .best import Best
from .callbacks import Callback

if TYPE_CHECKING:
    from .trainer import Trainer

__all__ = ["ModelCheckpoint", "latest_checkpoint", "read_checkpoint", "write_checkpoint"]

_FORMAT = 1
_LAST, _BEFORE, _BEST = "last.ckpt", "previous.ckpt", "best.npz"


class ModelCheckpoint(Callback):
    """Save the fit's state in a folder, after each epoch and if wanted every some steps, and the best weights.

    In the folder: last.ckpt, the state as it is; previous.ckpt, that before it; best.npz, the weights of the best
    epoch, for `minidl.load`. ``trainer.fit(..., resume=folder)`` goes on from there. Files are written under another
    name and renamed, so that there is a whole one at any moment.

    Args:
        folder: is made if it does not exist.
        every: also after every so many steps of the optimiser; None: at epoch ends only.
        monitor: column of the history that tells the best epoch; None: "val_loss", or "train_loss" without validation.
        mode: 'min', 'max', or 'auto': the smaller if "loss" is in the name.

    Attributes:
        best: the best value so far.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        every: int | None = None,
        monitor: str | None = None,
        mode: str = "auto",
    ) -> None:
        self.folder = Path(folder)
        self.every = every if every is None else check_int("ModelCheckpoint", "every", every)
        self.monitor, self.mode = monitor, mode
        self._best = Best("ModelCheckpoint", monitor or "val_loss", mode)

    @property
    def best(self) -> float:
        """The best value so far."""
        return self._best.value

    def on_fit_start(self, trainer: Trainer) -> None:
        """Make the folder, begin anew.

        Raises:
            ValueError: it holds another fit's checkpoints, and this one does not go on from there.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if not trainer.resumed and (self.folder / _LAST).exists():
            raise ValueError(
                f"ModelCheckpoint: {self.folder} holds the checkpoints of another fit; go on with it by "
                "fit(..., resume=folder), or take another folder"
            )
        for rest in self.folder.glob(".*.partial"):  # of a process that was killed while it wrote
            rest.unlink()
        self._best = Best("ModelCheckpoint", self.monitor or "val_loss", self.mode)

    def on_batch_end(self, trainer: Trainer) -> None:
        """Save, if it is time."""
        if self.every is not None and trainer.steps % self.every == 0:
            self.save(trainer)

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Save the weights if they are the best, and the state."""
        if self.monitor is None and "val_loss" not in trainer.history.rows[-1]:
            self._best.monitor = "train_loss"
        if self._best.improved(trainer):
            save(trainer.model, self.folder / _BEST)
        others = [callback for callback in trainer.callbacks if isinstance(callback, ModelCheckpoint)]
        if self is others[-1]:  # now that all of them know their best
            for callback in others:
                callback.save(trainer)

    def save(self, trainer: Trainer) -> None:
        """Save the state now."""
        last, before = self.folder / _LAST, self.folder / _BEFORE
        write_checkpoint(last.with_suffix(".new"), trainer.state_dict())
        if last.exists():
            last.replace(before)
        last.with_suffix(".new").replace(last)

    def state_dict(self) -> dict[str, Any]:
        """The best value."""
        return {"best": self._best.value}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take it over."""
        self._best.value = state["best"]


def latest_checkpoint(path: str | os.PathLike[str]) -> tuple[dict[str, Any] | None, list[str]]:
    """Read the newest whole checkpoint of a folder, or a file.

    Args:
        path: a folder that `ModelCheckpoint` wrote to, or one of its files. A damaged one is set aside, its name ending
            in .damaged, when the one before it is used.

    Returns:
        The state, None if there is none yet; and what there is to tell: which files were damaged.

    Raises:
        ValueError: there are files, but all of them are damaged.
    """
    path = Path(path)
    if path.is_file() or path.suffix in (".ckpt", ".npz"):
        return read_checkpoint(path), []
    notes: list[str] = []
    for name in (f"{Path(_LAST).stem}.new", _LAST, _BEFORE):
        file = path / name
        if not file.is_file():
            continue
        try:
            state = read_checkpoint(file)
        except ValueError as error:
            if name != f"{Path(_LAST).stem}.new":  # that one was being written when the process ended
                notes.append(f"{error}; the checkpoint before it is used")
        else:
            if notes:  # last.ckpt is damaged: it must not take the place of the good one
                (path / _LAST).replace(path / f"{_LAST}.damaged")
            return state, notes
    if notes:
        raise ValueError(f"no checkpoint in {path} is whole: " + "; ".join(notes))
    return None, []


def write_checkpoint(path: str | os.PathLike[str], state: Mapping[str, Any]) -> None:
    """Write a state, made of dicts, lists, numbers, text, None and arrays, to a file; atomically.

    Args:
        path: file name.
        state: what `Trainer.state_dict` returns.

    Raises:
        TypeError: something else is in the state.
        OSError: the file cannot be written.
    """
    arrays: list[Any] = []
    head = json.dumps({"format": _FORMAT, "state": _encode(state, arrays)})
    numbered = {str(number): array for number, array in enumerate(arrays)}
    write_atomically(Path(path), npz_of(numbered, {"state.json": head}))


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what `write_checkpoint` wrote. Nothing in the file is executed (no pickle).

    Args:
        path: file name.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or of another version.
    """
    path = Path(path)
    content = path.read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            head = json.loads(archive.read("state.json"))
            if head["format"] != _FORMAT:
                raise ValueError(f"its format is {head['format']}, this version reads {_FORMAT}")
            arrays = []
            for number in range(len(archive.namelist()) - 1):  # read whole, which checks each part's sum
                part = io.BytesIO(archive.read(f"{number}.npy"))
                arrays.append(np.lib.format.read_array(part, allow_pickle=False))
            return _decode(head["state"], arrays)  # type: ignore[no-any-return]
    except Exception as error:  # zipfile, zlib, json, struct and NumPy each have their own
        raise ValueError(f"{path} is not a whole checkpoint: {error}") from error


def _encode(value: Any, arrays: list[Any]) -> Any:
    """Return ``value`` as JSON can hold it; arrays are appended and stand as their number."""
    if isinstance(value, (bool, int, float, str)) or value is None:
        return value
    if isinstance(value, np.generic) and not value.dtype.hasobject:
        return _encode(value.item(), arrays)
    if isinstance(value, np.ndarray):
        arrays.append(value)
        return {"array": len(arrays) - 1}
    if isinstance(value, Mapping):  # pairs, since JSON's keys are text
        return {"dict": [[_encode(key, arrays), _encode(item, arrays)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return [_encode(item, arrays) for item in value]
    raise TypeError(f"a checkpoint cannot hold a {type(value).__name__}: {value!r}")


def _decode(value: Any, arrays: list[Any]) -> Any:
    if isinstance(value, list):
        return [_decode(item, arrays) for item in value]
    if isinstance(value, dict):
        if "array" in value:
            return arrays[value["array"]]
        return {_decode(key, arrays): _decode(item, arrays) for key, item in value["dict"]}
    return value
