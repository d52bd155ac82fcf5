"""RMSprop."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from .._core import Array, check_flag, check_number
from .optimizer import Checks, Optimizer, Params

__all__ = ["RMSprop"]


class RMSprop(Optimizer):
    """Divides the gradient by the root of its mean square. PyTorch's rule:

        g = grad + weight_decay * p
        v = alpha * v + (1 - alpha) * g**2
        s = g / (sqrt(v) + eps)                        centered: g / (sqrt(v - a**2) + eps), a the mean of g
        b = momentum * b + s                           without momentum b is s
        p = p - lr * b

    Args:
        params: Parameters, or parameter groups; see `Optimizer`.
        lr: learning rate, not negative.
        alpha: decay rate of the means, not negative.
        eps: added to the root, not negative.
        weight_decay: L2 factor, not negative.
        momentum: fraction of the last step that is kept, not negative.
        centered: divide by an estimate of the standard deviation, see above.

    Raises:
        ValueError: an option is out of range, there are no parameters, or one appears twice.

    Source: Hinton's lecture 6e; https://docs.pytorch.org/docs/stable/generated/torch.optim.RMSprop.html
    """

    options: ClassVar[Checks] = {
        "lr": check_number,
        "alpha": check_number,
        "eps": check_number,
        "weight_decay": check_number,
        "momentum": check_number,
        "centered": check_flag,
    }

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ) -> None:
        options = {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**options, "momentum": momentum, "centered": centered})

    def slots(self, group: dict[str, Any]) -> dict[str, float]:
        """The mean square, and the mean and the last step where they are used."""
        used = {"square_avg": True, "grad_avg": group["centered"], "momentum_buffer": group["momentum"]}
        return {name: 0.0 for name, use in used.items() if use}

    def update(self, data: Array, grad: Array, slots: dict[str, Array], group: dict[str, Any], step: int) -> None:
        """Apply the rule."""
        lr, alpha, momentum = group["lr"], group["alpha"], group["momentum"]
        square = slots["square_avg"]
        square *= alpha
        square += (1 - alpha) * grad * grad
        if group["centered"]:
            mean = slots["grad_avg"]
            mean += (1 - alpha) * (grad - mean)
            square = square - mean * mean
        scaled = grad / (np.sqrt(square) + group["eps"])
        if momentum:
            last = slots["momentum_buffer"]
            last *= momentum
            last += scaled
            scaled = last
        data -= lr * scaled
