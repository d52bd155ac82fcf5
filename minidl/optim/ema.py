"""EMA: an exponential moving average of a model's weights, which often predicts better than the latest weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np

from .._core import Array, check_flag, check_number
from ..nn.module import Module
from ..nn.state import match_state
from ..nn.unsized import check_sized
from .stored import stored_count, stored_dict

__all__ = ["EMA", "applied"]


# In the state, beside the weights' paths, none of which can look like this.
_UPDATES = "(updates)"


class EMA:
    """A moving average of a model's weights. Each `update` computes average = decay * average + (1 - decay) * weights.

        ema = EMA(model, decay=0.999)
        ...                                 # in the loop, after optimizer.step()
        ema.update()
        with ema.applied():                 # here the model has the averaged weights
            trainer.evaluate(loader)

    Args:
        model: the model whose weights are averaged; the average starts with its current weights.
        decay: fraction of the average that is kept, in [0, 1].
        warmup: whether update t, counted from 0, uses min(decay, (1 + t) / (10 + t)), as TensorFlow does. Otherwise the
            average of a short training consists of its first, random weights: after 100 updates with 0.999 it holds
            90 % of them.

    Attributes:
        average: the averaged weights, by path.
        updates: how many updates there have been.

    Buffers (running statistics) belong to the average: they are averaged too if they are floats, and copied otherwise.

    Raises:
        ValueError: decay is outside [0, 1].
        TypeError: warmup is neither True nor False.
        RuntimeError: a layer was made without an input size, and has seen no input.
    """

    def __init__(self, model: Module, decay: float = 0.999, warmup: bool = False) -> None:
        self.decay = check_number("EMA", "decay", decay, maximum=1.0)
        self.warmup = check_flag("EMA", "warmup", warmup)
        self.model = model
        check_sized("EMA", *model.params())
        self.average: dict[str, Array] = model.state_dict()
        self.updates = 0

    def update(self) -> None:
        """Move the average towards the model's weights."""
        decay = self.decay
        if self.warmup:
            decay = min(decay, (1 + self.updates) / (10 + self.updates))
        for name, value in self.model.state_dict().items():
            kept = self.average[name]
            if kept.dtype.kind == "f":
                kept += (1 - decay) * (value - kept)
            else:
                self.average[name] = value
        self.updates += 1

    def applied(self) -> AbstractContextManager[Module]:
        """Give the model the averaged weights inside a with block; its own are restored however the block ends."""
        return applied(self.model, self.average)

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the average; with ``warmup`` also the number of updates."""
        state: dict[str, Any] = {name: value.copy() for name, value in self.average.items()}
        return {**state, _UPDATES: self.updates} if self.warmup else state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned, for the same model.

        If the number of updates is lacking the warm-up is over: earlier versions had none.

        Raises:
            ValueError: names, shapes or numbers do not fit; nothing has changed then.
            TypeError: an entry is not an array of numbers; nothing has changed then.
        """
        own, updates = self.average, 1
        stored_dict("EMA: cannot load state: it", state)
        given = {name: value for name, value in state.items() if name != _UPDATES or not self.warmup}
        wrong = sorted(map(str, set(given) ^ set(own)))
        wrong += [n for n, v in own.items() if n in given and np.shape(given[n]) != v.shape]
        if wrong:
            raise ValueError(f"EMA: cannot load state: names or shapes do not match: {wrong}")
        if _UPDATES in state:
            updates = stored_count(f"EMA: cannot load state: {_UPDATES}", state[_UPDATES])
        average = match_state("EMA", own, given, strict=True)[0]
        self.average = {name: np.array(average[name]) for name in own}
        self.warmup = self.warmup and _UPDATES in state
        self.updates = updates


@contextmanager
def applied(model: Module, weights: Mapping[str, Array]) -> Iterator[Module]:
    """Give a model other weights inside a with block; its own are restored, to the bit, however the block ends.

    Args:
        model: what gets the weights.
        weights: a state dict of the model.
    """
    own = model.state_dict()
    try:
        model.load_state_dict(weights)
        yield model
    finally:
        model.load_state_dict(own)
