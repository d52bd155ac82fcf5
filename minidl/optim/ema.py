"""EMA: an exponential moving average of a model's weights, which often predicts better than the latest weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from .._core import Array, check_number
from ..nn.module import Module
from ..nn.parameter import check_sized

__all__ = ["EMA"]


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

    Buffers (running statistics) are averaged too if they are floats, and copied otherwise.

    Raises:
        ValueError: decay is outside [0, 1].
        RuntimeError: a layer was made without an input size, and has seen no input.
    """

    def __init__(self, model: Module, decay: float = 0.999) -> None:
        self.decay = check_number("EMA", "decay", decay, maximum=1.0)
        self.model = model
        check_sized("EMA", *model.params())
        self.average: dict[str, Array] = model.state_dict()

    def update(self) -> None:
        """Move the average towards the model's weights."""
        for name, value in self.model.state_dict().items():
            kept = self.average[name]
            if kept.dtype.kind == "f":
                kept += (1 - self.decay) * (value - kept)
            else:
                self.average[name] = value

    @contextmanager
    def applied(self) -> Iterator[Module]:
        """Give the model the averaged weights inside a with block; its own are restored however the block ends."""
        own = self.model.state_dict()
        self.model.load_state_dict(self.average)
        try:
            yield self.model
        finally:
            self.model.load_state_dict(own)

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the average."""
        return {name: value.copy() for name, value in self.average.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned, for the same model.

        Raises:
            ValueError: names or shapes do not match; nothing has changed then.
        """
        wrong = sorted(set(state) ^ set(self.average))
        wrong += [n for n, v in self.average.items() if n in state and np.shape(state[n]) != v.shape]
        if wrong:
            raise ValueError(f"EMA: cannot load state: names or shapes do not match: {wrong}")
        self.average = {n: np.array(state[n]).astype(v.dtype) for n, v in self.average.items()}
