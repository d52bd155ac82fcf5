"""What is not finite, and where it comes from: the errors, and the search through a model's layers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..nn import Module, no_grad
from ..nn.naming import layer_at
from ..nn.structure import leaves
from .objective import call

__all__ = ["NonFinite", "NonFiniteLossError", "first_non_finite", "first_non_finite_parameter"]


class NonFinite(Exception):
    """A step found that ``what`` is not finite, and ``where`` it comes from. The parameters are as before the step."""

    def __init__(self, what: str, where: str) -> None:
        super().__init__(what)
        self.what, self.where = what, where


class NonFiniteLossError(RuntimeError):
    """A loss or a gradient became NaN or infinite. The parameters are as the last step left them.

    Attributes:
        what: what is not finite.
        epoch, batch: when it happened, counted from 1.
        lr: learning rate of the first parameter group.
        grad_norm: norm of all gradients together in the last finite step; NaN before the first.
        where: the first layer, parameter or input that is not finite.
    """

    def __init__(self, what: str, epoch: int, batch: int, lr: float, grad_norm: float, where: str) -> None:
        norm = "" if math.isnan(grad_norm) else f" (gradient norm of the step before: {grad_norm:.3g})"
        super().__init__(
            f"{what} in epoch {epoch}, batch {batch}, at learning rate {lr:g}{norm}: {where}. The parameters are as "
            "the last step left them; try a lower learning rate, clip_grad_norm, or look at the data"
        )
        self.what, self.epoch, self.batch, self.lr = what, epoch, batch, lr
        self.grad_norm, self.where = grad_norm, where


def first_non_finite_parameter(model: Module) -> str:
    """Return 'parameter "PATH" is not finite' for the first parameter of which this is true, else ""."""
    broken = (name for name, p in model.named_params() if not np.isfinite(p.data).all())
    return next((f'parameter "{name}" is not finite' for name in broken), "")


def first_non_finite(model: Module, x: Any) -> str:
    """Describe where the first NaN or infinity of a forward pass appears: input, parameter, layer or loss.

    Runs the model once more on the batch, saving nothing. Random layers draw new numbers, and buffers may change.

    Args:
        model: the model, in the mode in which it failed.
        x: the batch that failed.
    """
    for array in leaves(x):
        if np.asarray(array).dtype.kind == "f" and not np.isfinite(array).all():
            index = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
            return f"the input batch is not finite itself: {array[index]} at index {index}"
    found: list[str] = []

    def look(name: str, module: Module, output: Any) -> None:
        if found or all(np.isfinite(array).all() for array in leaves(output)):
            return
        broken = first_non_finite_parameter(module)
        because = f"; its {broken}" if broken else ""
        layer = layer_at(type(module).__name__, name)
        found.append(f"the first layer whose output is not finite is {layer}{because}")

    handles = [
        module.register_forward_hook(lambda m, _, output, name=name: look(name, m, output))  # type: ignore[misc]
        for name, module in model.named_modules()  # children finish before their parents
    ]
    try:
        with no_grad(), np.errstate(all="ignore"):
            call(model, x)
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else "every layer's output is finite, only the loss is not; look at the targets"
