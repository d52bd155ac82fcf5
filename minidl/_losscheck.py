"""What check_module asks of a loss: that several batches give what it says they give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ._core import Array
from .nn import Module
from .nn.batch_loss import BatchLoss, batch_loss

__all__ = ["loss_fault"]


def loss_fault(make: Callable[[], Module], prediction: Array, target: Any) -> str | None:
    """Say what is wrong with a loss as the Trainer uses it; None if nothing is.

    The loss of a batch, and its gradient, must be what two unequal parts of it give, each counted by its divisor;
    backward() must multiply by its argument; sample weights of 1, if it can take them, must change nothing.

    Args:
        make: gives the loss, each time in the same state, in evaluation mode.
        prediction, target: what it is called with.
    """
    samples = len(prediction)
    batched = np.shape(target)[:1] == (samples,)
    prediction = np.concatenate([prediction, prediction[::-1]])
    target = np.concatenate([target, target[::-1]]) if batched else target
    if fault := _factor_fault(make(), make(), prediction, target):
        return fault
    if getattr(make(), "whole_batch", False):
        return None
    whole, gradient = _counted(make(), prediction, target)
    one, first = _counted(make(), prediction[:1], target[:1] if batched else target)
    other, second = _counted(make(), prediction[1:], target[1:] if batched else target)
    weight = one.weight + other.weight
    total = sum(part.mean * part.weight for part in (one, other) if part.weight)
    if not (
        _close(whole.weight, weight)
        and _close(whole.mean * whole.weight if weight else 0.0, total)
        and _close(gradient, np.concatenate([first, second]))
    ):
        return (
            f"batches of {len(first)} and {len(second)} samples, each counted by its divisor, do not give the loss and "
            f"the gradient of both together: the losses {one.mean:.6g} and {other.mean:.6g}, counted {one.weight:g} "
            f"and {other.weight:g}, give {total / (weight or 1):.6g}, not {whole.mean:.6g}. If the loss is a mean over "
            "something else than the samples, set self.divisor in forward(); if it is a sum, call "
            "super().__init__('sum'); if it is neither (a root of a mean, a Dice loss over the batch), set the class "
            "attribute whole_batch = True: then the Trainer counts each batch by its samples, and accumulate=2 is not "
            "one large batch"
        )
    try:
        again, weighted = _counted(make(), prediction, target, np.ones(len(prediction)))
    except ValueError:  # it does not give the losses of its samples
        return None
    if _close(whole.mean, again.mean) and _close(gradient, weighted):
        return None
    return (
        f"with a weight of 1 for each sample the loss is {again.mean:.6g} instead of {whole.mean:.6g}, or its gradient "
        "is another: with reduction 'none', forward() must return the losses of the samples and set self.shares to "
        "what each of them adds to the divisor, if that is not 1"
    )


def _factor_fault(loss: Any, same: Any, prediction: Array, target: Any) -> str | None:
    loss(prediction, target)
    same(prediction, target)
    try:
        if _close(2 * _first(loss.backward()), _first(same.backward(2.0))):
            return None
    except TypeError as error:
        return f"backward() must take the gradient of the loss, backward(self, grad_output=1.0): {error}"
    return "backward(2.0) must be twice backward(): multiply by grad_output, which accumulated batches need"


def _counted(loss: Any, prediction: Array, target: Any, *weights: Array) -> tuple[BatchLoss, Array]:
    """Return the loss of a batch, and its gradient, multiplied by how much a mean counts."""
    done = batch_loss(loss, prediction, target, *weights)
    if not done.weight:
        return done, np.zeros_like(prediction)
    return done, _first(loss.backward(done.gradient)) * (done.weight if done.is_mean else 1.0)


def _first(gradients: Any) -> Array:
    """Return the gradient of the prediction; a derived backward returns the target's too."""
    gradient: Array = gradients[0] if isinstance(gradients, tuple) else gradients
    return gradient


def _close(a: Any, b: Any) -> bool:
    return np.shape(a) == np.shape(b) and np.allclose(a, b, rtol=1e-6, atol=1e-9, equal_nan=True)
