"""Adagrad."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from .._core import Array, check_number
from .optimizer import Checks, Optimizer, Params

__all__ = ["Adagrad"]


class Adagrad(Optimizer):
    """Divides the gradient by the root of the sum of all its squares. PyTorch's rule:

        g = grad + weight_decay * p
        v = v + g**2
        p = p - lr / (1 + (t - 1) * lr_decay) * g / (sqrt(v) + eps)                 t = 1, 2, ...

    Args:
        params: Parameters, or parameter groups; see `Optimizer`.
        lr: learning rate, not negative.
        lr_decay: how fast the learning rate shrinks, see above; not negative.
        weight_decay: L2 factor, not negative.
        initial_accumulator_value: v before the first step, not negative.
        eps: added to the root, not negative.

    Raises:
        ValueError: an option is out of range, there are no parameters, or one appears twice.

    Source: Duchi et al. 2011; https://docs.pytorch.org/docs/stable/generated/torch.optim.Adagrad.html
    """

    options: ClassVar[Checks] = {
        "lr": check_number,
        "lr_decay": check_number,
        "weight_decay": check_number,
        "initial_accumulator_value": check_number,
        "eps": check_number,
    }

    def __init__(
        self,
        params: Params,
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
        return {"sum": group["initial_accumulator_value"]}

    def update(self, data: Array, grad: Array, slots: dict[str, Array], group: dict[str, Any], step: int) -> None:
        """Apply the rule."""
        lr = group["lr"] / (1 + (step - 1) * group["lr_decay"])
        total = slots["sum"]
        total += grad * grad
        data -= lr * (grad / (np.sqrt(total) + group["eps"]))
