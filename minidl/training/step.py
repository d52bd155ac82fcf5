"""One training step: forward, loss, backward for one or more batches, then clipping and the optimiser."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .._core import Array
from ..nn import Module, Parameter
from ..nn.batch_loss import BatchLoss, batch_loss
from ..nn.buffers import BufferSnapshot
from ..nn.modes import without_input_grad
from ..optim import Optimizer, clip_grad_norm_
from .batches import Batch
from .diagnosis import NonFinite, first_non_finite

__all__ = ["Step", "grad_norms"]


class Step:
    """One step of the optimiser from one or more batches: several small ones give what one large one would.

    Except with batch normalisation, which takes its statistics from each batch by itself.

    Args:
        model, loss, optimizer: what is trained, and by what.
        clip_grad_norm: upper limit for the norm of all gradients together; None for no limit.

    Attributes:
        grad_norm: norm of all gradients together in the last step, before clipping.
    """

    def __init__(self, model: Module, loss: Module, optimizer: Optimizer, clip_grad_norm: float | None) -> None:
        self.model, self.loss, self.optimizer, self.clip_grad_norm = model, loss, optimizer, clip_grad_norm
        self.grad_norm = math.nan
        # found once: searching the model takes as long as a small layer
        self._buffers, self._parameters = BufferSnapshot(model), list(model.params())

    def __call__(self, batches: Sequence[Batch]) -> list[tuple[BatchLoss, Array, Any]]:
        """Make one step from all the batches; return (loss, output, target) of each.

        The gradient of the training data is not computed, and an overflow is reported with the loss, not as a warning;
        both for the duration of the step only, so that callbacks and loaders see nothing of it.

        Batches of which nothing counts add nothing. If there are no others there is no step, and running statistics
        stay as they were. If the step fails, for whatever reason, parameters, buffers and optimiser are as they were
        before it.

        Raises:
            NonFinite: a loss or a gradient is not finite.
        """
        self._buffers.take()
        self.optimizer.zero_grad()
        for parameter in self._parameters:  # including those that the optimiser does not have
            parameter.grad = None
        with without_input_grad(self.model), np.errstate(over="ignore", invalid="ignore"):
            return self._run(batches)

    def _run(self, batches: Sequence[Batch]) -> list[tuple[BatchLoss, Array, Any]]:
        try:
            done = [self._backward(batch, share_out=len(batches) > 1) for batch in batches]
            whole = sum(loss.weight for loss, _, _ in done)
            if not whole:
                self._buffers.restore()
                return done
            if len(batches) > 1 and done[0][0].is_mean:
                for parameter in self._trained():
                    if parameter.grad is not None:
                        parameter.grad *= 1 / whole
            self.grad_norm = self._check_gradients()
        except BaseException:  # also Ctrl-C: running statistics and parameters belong together
            self._buffers.restore()
            raise
        if self.clip_grad_norm is not None:
            clip_grad_norm_(self._trained(), self.clip_grad_norm)
        self.optimizer.step()
        return done

    def _backward(self, batch: Batch, share_out: bool) -> tuple[BatchLoss, Array, Any]:
        x, target, *weights = batch
        output = self.model(x)
        loss = batch_loss(self.loss, output, target, *weights)
        if not loss.weight:
            return loss, output, target
        if not math.isfinite(loss.mean):
            raise NonFinite(f"the loss is {loss.mean}", first_non_finite(self.model, x))
        gradient = loss.gradient
        if share_out and loss.is_mean:
            # of the sum, to be divided once all batches are done
            gradient = gradient * np.asarray(loss.weight, np.asarray(gradient).dtype)
        grad_output = self.loss.backward(gradient)
        if grad_output.dtype != output.dtype:
            name = type(self.loss).__name__
            raise TypeError(f"Trainer: {name}.backward() gives {grad_output.dtype} for {output.dtype} predictions")
        self.model.backward(grad_output)
        return loss, output, target

    def _trained(self) -> list[Parameter]:
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]

    def _check_gradients(self) -> float:
        """Return the norm of all gradients together; raise NonFinite if one is not finite."""
        grads = [p.grad.reshape(-1) for p in self._trained() if p.grad is not None]
        total = sum(float(np.vdot(grad, grad)) for grad in grads)
        if not math.isfinite(total):  # perhaps only the squares overflow
            broken = [name for name, p in self.model.named_params() if p.grad is not None and not _finite(p.grad)]
            if broken:
                raise NonFinite(
                    "a gradient is not finite",
                    f'the first in the backward pass is that of "{broken[-1]}"; norms by parameter: '
                    + ", ".join(f"{name} {norm:.3g}" for name, norm in grad_norms(self.model).items()),
                )
            return math.sqrt(sum(float(np.vdot(g, g)) for g in (grad.astype(np.float64) for grad in grads)))
        return math.sqrt(total)


def _finite(array: Array) -> bool:
    return bool(np.isfinite(array).all())


def grad_norms(model: Module) -> dict[str, float]:
    """Return the Euclidean norm of each parameter's gradient by name, without those that have none."""
    return {
        name: float(np.linalg.norm(p.grad.astype(np.float64))) for name, p in model.named_params() if p.grad is not None
    }
