"""Place: how far a fit has come, as callbacks read it from the Trainer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..distributed import Communicator
from ..nn.structure import rebuild
from .history import History
from .state import FitState
from .step import Step, samples_of

__all__ = ["Place", "SeenBatch"]


class SeenBatch(NamedTuple):
    """A batch of the current step, as callbacks see it: its arrays are the fit's own, read-only.

    Attributes:
        inputs, target: as the loader gave them.
        output: what the model returned; None before it was called.
        loss: of the batch; NaN before it was measured, or if nothing in the batch counts.
    """

    inputs: Any
    target: Any
    output: Any = None
    loss: float = math.nan


class Place:
    """The part of a Trainer that tells how far the fit has come: ``trainer.epoch`` is ``trainer.state.epoch``, etc.

    Attributes:
        state: of the current or last fit.
    """

    state: FitState
    comm: Communicator | None = None
    _step: Step | None
    _given: Sequence[Any] = ()  # the batches of the current step, and what they gave
    _done: Sequence[Any] = ()

    @property
    def batches(self) -> tuple[SeenBatch, ...]:
        """The batches of the current step, one unless ``accumulate`` is larger; none outside of a step's hooks.

        Nothing is copied, and nothing is kept after `Callback.on_batch_end`: copy what you need for longer. Of a
        `training_step` of your own only the inputs are known: the whole batch, as the loader gave it. Of several ranks
        each has its part of the batches, none if it has no samples.
        """
        given = [batch for batch in self._given if self.state.group is None or samples_of(batch)]
        if self.state.own_step:
            return tuple(SeenBatch(rebuild(batch, _read_only), None) for batch in given)
        seen = [SeenBatch(*rebuild(tuple(batch[:2]), _read_only)) for batch in given]
        for number, done in enumerate(self._done):
            loss, _ = self._mean_of([done])
            seen[number] = seen[number]._replace(output=rebuild(done.output, _read_only), loss=loss)
        return tuple(seen)

    def _mean_of(self, done: Sequence[Any]) -> tuple[float, bool]:
        """Return the loss of several batches together, and whether anything counted in them."""
        assert self._step is not None
        return self._step.mean(done)

    @property
    def rank(self) -> int:
        """The number of this process among those that train together; 0 is the first, or the only one."""
        return 0 if self.comm is None else self.comm.rank

    @property
    def epoch(self) -> int:
        """The current epoch, counted from 1."""
        return self.state.epoch

    @property
    def batch(self) -> int:
        """The current batch of the loader, counted from 1."""
        return self.state.batch

    @property
    def steps(self) -> int:
        """The optimiser's steps in this fit."""
        return self.state.steps

    @property
    def batch_loss(self) -> float:
        """Loss of the last step."""
        return self.state.batch_loss

    @property
    def lr(self) -> float:
        """Learning rate of the first parameter group in the last step."""
        return self.state.lr

    @property
    def history(self) -> History:
        """The history of the current or last fit."""
        return self.state.history

    @property
    def stop(self) -> bool:
        """Whether the fit ends after the current epoch; a callback may set it."""
        return self.state.stop

    @stop.setter
    def stop(self, value: bool) -> None:
        self.state.stop = value


def _read_only(leaf: Any) -> Any:
    """Return a view of an array that cannot be written to; anything else as it is."""
    if not isinstance(leaf, np.ndarray):
        return leaf
    view = leaf.view()
    view.setflags(write=False)
    return view
