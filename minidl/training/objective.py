"""Objective: what a batch adds to the loss, of one output or of several, and the gradients of the whole."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..nn import Module
from ..nn.batch_loss import BatchLoss, batch_loss
from .losses import Losses, Part, parts_of

__all__ = ["Done", "Objective", "call", "total"]


class Done(NamedTuple):
    """What a batch has given: the loss of each part, the model's output, and the target."""

    losses: Sequence[BatchLoss]
    output: Any
    target: Any

    @property
    def counts(self) -> bool:
        """Whether anything in the batch counts."""
        return any(loss.weight for loss in self.losses)


class Objective:
    """The losses of a Trainer, measured batch by batch.

    Args:
        loss: as `losses.as_loss` gives it.
    """

    def __init__(self, loss: Module) -> None:
        self.loss, self.parts = loss, parts_of(loss)
        self._single = not isinstance(loss, Losses)

    def measure(self, output: Any, target: Any, weights: Any = None, *, walked: bool = False) -> Done:
        """Call the losses on a batch.

        Args:
            output, target: of the model, and what it should be; with several losses, a structure of them.
            weights: of the samples (N,), or None.
            walked: whether the way back from each loss is kept, as its ``value``.
        """
        if self._single and type(output) is np.ndarray:  # nearly always
            return Done((batch_loss(self.loss, output, target, weights, walked=walked),), output, target)
        if isinstance(self.loss, Losses):
            self.loss.check("model's output", output)
            self.loss.check("target", target)
        elif isinstance(output, (tuple, list, dict)):
            return Done([self._of_structure(output, target, weights, walked)], output, target)
        return Done(
            [batch_loss(p.loss, p.of(output), p.of(target), weights, walked=walked) for p in self.parts], output, target
        )

    def _of_structure(self, output: Any, target: Any, weights: Any, walked: bool) -> BatchLoss:
        """Call the only loss on several outputs; raise TypeError that says what else there is if it takes one."""
        try:
            return batch_loss(self.loss, output, target, weights, walked=walked)
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"{error}; the model returns {len(output)} outputs, and a single loss gets them all: give a loss for "
                "each, in a tuple or dict like the model's, or a function of (outputs, targets)"
            ) from error

    def mean(self, done: Sequence[Done]) -> tuple[float, bool]:
        """Return the loss of several batches together, and whether anything counted in them."""
        if len(done) == 1 and len(self.parts) == 1 and done[0].losses[0].weight:  # nearly always
            return done[0].losses[0].mean, True
        total, counted = 0.0, False
        for number, part in enumerate(self.parts):
            losses = [one.losses[number] for one in done if one.losses[number].weight]
            whole = sum(loss.weight for loss in losses)
            if whole:
                total += part.weight * (sum(loss.mean * loss.weight for loss in losses) / whole)
                counted = True
        return (total if counted else math.nan), counted

    def mean_of(self, shares: Sequence[Any]) -> tuple[float, bool]:
        """Return the loss of several batches together from the sums of each loss; and whether anything counted."""
        known = [(part, one) for part, one in zip(self.parts, shares, strict=True) if one.weight]
        return (sum(part.weight * one.total / one.weight for part, one in known) if known else math.nan), bool(known)


def total(parts: Sequence[Part], done: Done, *, shared_out: bool = False) -> Any:
    """Return the weighted sum of a batch's losses, with the way back; with ``shared_out``, of sums and not of means."""
    factors = [loss.weight if shared_out and loss.is_mean else 1.0 for loss in done.losses]
    terms = [
        part.weight * factor * loss.value
        for part, factor, loss in zip(parts, factors, done.losses, strict=True)
        if loss.weight
    ]
    return sum(terms[1:], terms[0])


def call(model: Callable[..., Any], x: Any) -> Any:
    """Call a model on a batch's input: a tuple or list of inputs by position, a dict by name."""
    if isinstance(x, np.ndarray):
        return model(x)
    if isinstance(x, Mapping):
        try:
            return model(**x)
        except TypeError as error:
            if "unexpected keyword argument" in str(error):
                raise TypeError(f"{error}; the inputs of a batch are {', '.join(map(repr, x))}") from error
            raise
    return model(*x) if isinstance(x, (tuple, list)) else model(x)
