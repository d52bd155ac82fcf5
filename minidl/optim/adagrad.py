"""Adagrad."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .._core import Array
from ..nn.parameter import Parameter
from .optimizer import Optimizer

__all__ = ["Adagrad"]


class Adagrad(Optimizer):
    """Divides the gradient by the root of the sum of all its squares. PyTorch's rule:

        g = grad + weight_decay * p
        v = v + g**2
        p = p - lr / (1 + (t - 1) * lr_decay) * g / (sqrt(v) + eps)                 t = 1, 2, ...

    Args:
        params: Parameters, or parameter groups; see `Optimizer`.
        lr: learning rate, not negative.
        lr_decay: see above.
        weight_decay: L2 factor, not negative.
        initial_accumulator_value: v at the beginning.
        eps: added to the root.

    Raises:
        ValueError: an option is out of range, there are no parameters, or one comes twice.

    Source: Duchi et al. 2011; https://docs.pytorch.org/docs/stable/generated/torch.optim.Adagrad.html
    """

    def __init__(
        self,
        params: Iterable[Parameter] | Iterable[dict[str, Any]],
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
    ) -> None:
        options = {"lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**options, "initial_accumulator_value": initial_accumulator_value})

    def slots(self, group: dict[str, Any]) -> dict[str, float]:
        """The sum of squares."""
        return {"sum": float(group["initial_accumulator_value"])}

    def update(self, data: Array, grad: Array, slots: dict[str, Array], group: dict[str, Any], step: int) -> None:
        """Apply the rule."""
        lr = float(group["lr"]) / (1 + (step - 1) * float(group["lr_decay"]))
        total = slots["sum"]
        total += grad * grad
        data -= lr * (grad / (np.sqrt(total) + float(group["eps"])))
