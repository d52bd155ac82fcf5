"""ModelCheckpoint: the callback that saves a fit's state and its best weights in a folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .._core import check_int, remove_leftovers, user_path
from ..interop.files import write_npz
from ..optim.direction import resolve_mode
from .best import Best
from .callback import Callback
from .checkpoint import BEFORE, BEST, LAST, NEW, has_checkpoint, write_checkpoint
from .folder_lock import FolderLock
from .history import History

if TYPE_CHECKING:
    from .trainer import Trainer

__all__ = ["ModelCheckpoint"]


class ModelCheckpoint(Callback):
    """Save the fit's state in a folder after each epoch, optionally every few steps as well, and the best weights.

    In the folder: last.ckpt, the latest state; previous.ckpt, the one before it; best.npz, the weights of the best
    epoch (of equally good ones, the last), for `minidl.load`. ``trainer.fit(..., resume=folder)`` continues from there.
    Files are written under a temporary name and then renamed, so that there is a complete one at any moment; what a
    process that was killed has left of its own is deleted when a fit begins. A link in place of one is replaced. Only
    one fit at a time can have the folder.

    Args:
        folder: created if it does not exist.
        every: save after every ``every`` steps of the optimiser too; None: only at the end of each epoch.
        monitor: column of the history that decides which epoch is best; None: "val_loss", or "train_loss" without
            validation.
        mode: 'min' if smaller is better, 'max' if larger is; 'auto': what the column's name says, if it is one of
            minidl's own or ends with "loss", "mae" or "accuracy".

    Attributes:
        best: the best value so far.

    Raises:
        TypeError, ValueError: an option is invalid, the mode does not fit the column, or neither says which is better.
    """

    compared = "monitor", "mode"

    def __init__(
        self,
        folder: str | os.PathLike[str],
        every: int | None = None,
        monitor: str | None = None,
        mode: str = "auto",
    ) -> None:
        self.folder = user_path(folder)
        self.every = every if every is None else check_int("ModelCheckpoint", "every", every)
        self.monitor = monitor
        self.mode = resolve_mode("ModelCheckpoint", "val_loss" if monitor is None else monitor, mode)
        self._history = History()
        self._lock: FolderLock | None = None

    @property
    def best(self) -> float:
        """The best value so far."""
        return self._best_of(self._history.rows).value

    def on_fit_start(self, trainer: Trainer) -> None:
        """Create the folder, hold it for this fit, and start over.

        Raises:
            ValueError: it holds the checkpoints of another fit, and this one does not continue it.
            RuntimeError: another fit is writing to it, in this process or another one.
        """
        self._history = trainer.history
        if trainer.rank:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = FolderLock(self.folder)
        try:
            if not trainer.resumed and has_checkpoint(self.folder):
                raise ValueError(
                    f"ModelCheckpoint: {self.folder} holds the checkpoints of another fit; continue it with "
                    "fit(..., resume=folder), or choose another folder"
                )
            for name in (NEW, BEST):
                remove_leftovers(self.folder / name)
        except BaseException:
            self._lock.release()
            raise

    def on_fit_end(self, trainer: Trainer) -> None:
        """Let the folder go."""
        if self._lock is not None:
            self._lock.release()

    def on_save(self, trainer: Trainer) -> None:
        """Save the state if it is time, and the weights if the epoch that has ended is the best one."""
        if trainer.state.finished and trainer.rank == 0:
            *before, last = trainer.history.rows
            best = self._best_of(before)
            # a custom training step need not give a loss
            known = self.monitor is not None or best.monitor in last
            if known and (best.improved(last) or last[best.monitor] == best.value):
                with trainer.judged() as model:
                    write_npz(self.folder / BEST, model.state_dict())
        if trainer.state.finished or (self.every is not None and trainer.steps % self.every == 0):
            self.save(trainer)

    def save(self, trainer: Trainer) -> None:
        """Save the state now; of several ranks each must call this, and the first writes it."""
        state = trainer.state_dict()
        if trainer.rank:
            return
        last, new = self.folder / LAST, self.folder / NEW
        write_checkpoint(new, state)
        if last.exists():
            last.replace(self.folder / BEFORE)
        new.replace(last)

    def state_dict(self) -> dict[str, Any]:
        """Return the best value, for people to read: it follows from the history, which is restored with the fit."""
        return {"best": self.best}

    def _best_of(self, rows: Sequence[Mapping[str, float]]) -> Best:
        """Return the best of some rows of the history.

        It is computed from the history each time, so that the order in which several checkpoints look at an epoch and
        save each other's state does not matter.
        """
        known = self._history.rows
        without_validation = bool(known) and "val_loss" not in known[-1]
        best = Best("ModelCheckpoint", self.monitor or ("train_loss" if without_validation else "val_loss"), self.mode)
        for row in rows:
            if best.monitor in row:
                best.improved(row)
        return best
