"""RMSprop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .._core import Array
from ..nn.parameter import Parameter
from .optimizer import Optimizer

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
        alpha: how much of the means is kept.
        eps: added to the root.
        weight_decay: L2 factor, not negative.
        momentum: share of the last step that is kept.
        centered: see above.

    Raises:
        ValueError: an option is out of range, there are no parameters, or one comes twice.

    Source: Hinton's lecture 6e; https://docs.pytorch.org/docs/stable/generated/torch.optim.RMSprop.html
    """

    def __init__(
        self,
        params: Iterable[Parameter] | Iterable[dict[str, Any]],
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
        lr, alpha, momentum = float(group["lr"]), float(group["alpha"]), float(group["momentum"])
        square = slots["square_avg"]
        square *= alpha
        square += (1 - alpha) * grad * grad
        if group["centered"]:
            mean = slots["grad_avg"]
            mean += (1 - alpha) * (grad - mean)
            square = square - mean * mean
        scaled = grad / (np.sqrt(square) + float(group["eps"]))
        if momentum:
            last = slots["momentum_buffer"]
            last *= momentum
            last += scaled
            scaled = last
        data -= lr * scaled
