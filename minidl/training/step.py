"""One training step: forward, loss, backward for one or more batches, then clipping and the optimiser."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .._core import Array
from ..nn import Module, Parameter
from ..nn.buffers import BufferSnapshot
from ..optim import Optimizer, clip_grad_norm_
from .batches import Batch
from .diagnosis import NonFinite, first_non_finite

__all__ = ["Step", "grad_norms", "loss_of"]


class Step:
    """One step of the optimiser from one or more batches: several small ones give what one large one would.

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

    def __call__(self, batches: Sequence[Batch]) -> list[tuple[float, float, Array, Any]]:
        """Make one step from all the batches; return (mean loss, its weight, output, target) of each.

        If the step fails, for whatever reason, parameters, buffers and optimiser are as they were before it.

        Raises:
            NonFinite: a loss or a gradient is not finite.
        """
        self._buffers.take()
        self.optimizer.zero_grad()
        for parameter in self._parameters:  # including those that the optimiser does not have
            parameter.grad = None
        try:
            done = [self._backward(batch, share_out=len(batches) > 1) for batch in batches]
            if len(batches) > 1 and getattr(self.loss, "is_mean", True):
                whole = sum(weight for _, weight, _, _ in done)
                for parameter in self._trained():
                    if parameter.grad is not None and whole:
                        parameter.grad *= 1 / whole
            self.grad_norm = self._check_gradients()
        except BaseException:  # also Ctrl-C: running statistics and parameters belong together
            self._buffers.restore()
            raise
        if self.clip_grad_norm is not None:
            clip_grad_norm_(self._trained(), self.clip_grad_norm)
        self.optimizer.step()
        return done

    def _backward(self, batch: Batch, share_out: bool) -> tuple[float, float, Array, Any]:
        x, target, *weights = batch
        output = self.model(x)
        mean, weight, gradient = loss_of(self.loss, output, target, *weights)
        if not math.isfinite(mean):
            raise NonFinite(f"the loss is {mean}", first_non_finite(self.model, x))
        if share_out and getattr(self.loss, "is_mean", True):
            # of the sum, to be divided once all batches are done
            gradient = gradient * np.asarray(weight, np.asarray(gradient).dtype)
        grad_output = self.loss.backward(gradient)
        if grad_output.dtype != output.dtype:
            name = type(self.loss).__name__
            raise TypeError(f"Trainer: {name}.backward() gives {grad_output.dtype} for {output.dtype} predictions")
        self.model.backward(grad_output)
        return mean, weight, output, target

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


def loss_of(loss: Any, output: Array, target: Any, weights: Any = None) -> tuple[float, float, Any]:
    """Return the mean loss of a batch, what the mean was divided by, and the argument for ``loss.backward``.

    Args:
        loss: a loss; it saves what its backward pass needs.
        output, target: the model's output, and what it should be.
        weights: a number for each sample (N,), for the mean sum(w * l) / sum(w); or None.

    Raises:
        ValueError: the loss is not a number, or the weights do not fit.
    """
    if weights is not None:
        return _weighted(loss, output, target, np.asarray(weights, output.dtype))
    value = loss(output, target)
    if np.ndim(value):
        raise ValueError(
            f"Trainer: the loss must be a number, {type(loss).__name__} gave an array of shape {np.shape(value)}; "
            "use reduction='mean' or 'sum'"
        )
    if not getattr(loss, "is_mean", True):
        return float(value) / max(1, len(output)), float(len(output)), 1.0
    # a loss with a divisor counts class weights, and leaves out what it ignores
    return float(value), float(getattr(loss, "divisor", len(output))), 1.0


def _weighted(loss: Any, output: Array, target: Any, weights: Array) -> tuple[float, float, Any]:
    """Do what `loss_of` does, with a weight for each sample."""
    if weights.shape != (len(output),):
        raise ValueError(f"Trainer: expected sample weights of shape ({len(output)},), got {weights.shape}")
    if not hasattr(loss, "reduction"):
        raise ValueError(f"Trainer: sample weights need a loss with a reduction, {type(loss).__name__} has none")
    mean, reduction = loss.is_mean, loss.reduction
    loss.reduction = "none"
    try:
        each = loss(output, target)
    finally:
        loss.reduction = reduction
    spread = np.broadcast_to(weights.reshape(-1, *(1,) * (each.ndim - 1)), each.shape)
    counted = spread
    labels = np.asarray(target)
    if hasattr(loss, "ignore_index") and labels.dtype.kind in "iu":
        # its mean leaves out what it ignores, and weights by class
        kept = labels != loss.ignore_index
        factors = 1 if loss.weight is None else loss.weight[np.where(kept, labels, 0)]
        counted = spread * (kept * factors).astype(spread.dtype)
    whole = float(counted.sum())
    gradient = spread if not mean else spread / spread.dtype.type(whole or 1.0)
    return float((each * spread).sum()) / (whole or 1.0), whole, gradient
