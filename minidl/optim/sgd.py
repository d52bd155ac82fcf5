"""Stochastic gradient descent."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, ClassVar

from .._core import Array, check_flag, check_number
from .optimizer import Checks, Optimizer, Params

__all__ = ["SGD"]


class SGD(Optimizer):
    """Stochastic gradient descent with momentum and weight decay. PyTorch's rule, which textbooks write differently:

        g = grad + weight_decay * p                     (L2: the gradient of weight_decay/2 * p**2)
        v = g                                           in the first step
        v = momentum * v + (1 - dampening) * g          in later steps
        p = p - lr * v                                  with nesterov: p - lr * (g + momentum * v)

    The learning rate multiplies the velocity v when it is used, so changing it acts at once. Without momentum v is g.

    Args:
        params: Parameters, or parameter groups; see `Optimizer`.
        lr: learning rate, not negative.
        momentum: fraction of the velocity that is kept, not negative.
        dampening: fraction of the gradient that is not added to the velocity.
        weight_decay: L2 factor, not negative.
        nesterov: look ahead along the velocity; needs momentum > 0 and dampening 0.

    Raises:
        ValueError: an option is out of range, there are no parameters, or one appears twice.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.SGD.html
    """

    options: ClassVar[Checks] = {
        "lr": check_number,
        "momentum": check_number,
        "dampening": partial(check_number, minimum=-math.inf),
        "weight_decay": check_number,
        "nesterov": check_flag,
    }

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
    ) -> None:
        options = {"lr": lr, "momentum": momentum, "dampening": dampening}
        super().__init__(params, {**options, "weight_decay": weight_decay, "nesterov": nesterov})

    def check_group(self, group: dict[str, Any]) -> None:
        """Raise ValueError for Nesterov's rule without momentum, or with dampening."""
        if group["nesterov"] and (group["momentum"] == 0 or group["dampening"] != 0):
            raise ValueError(
                f"SGD: nesterov needs momentum > 0 and dampening 0, got momentum {group['momentum']} and dampening "
                f"{group['dampening']}"
            )

    def slots(self, group: dict[str, Any]) -> dict[str, float]:
        """The velocity, if there is momentum."""
        return {"momentum_buffer": 0.0} if group["momentum"] else {}

    def formula(self, group: dict[str, Any], step: int) -> tuple[str, tuple[float, ...]] | None:
        """Return the name by which engines know it, and its numbers."""
        share = 1 - group["dampening"] if step > 1 else 1
        return "sgd", (group["lr"], group["weight_decay"], group["momentum"], share, group["nesterov"])

    def update(self, data: Array, grad: Array, slots: dict[str, Array], group: dict[str, Any], step: int) -> None:
        """Apply the rule."""
        lr, momentum, dampening = group["lr"], group["momentum"], group["dampening"]
        if momentum:
            velocity = slots["momentum_buffer"]
            velocity *= momentum
            velocity += (1 - dampening) * grad if dampening and step > 1 else grad
            grad = grad + momentum * velocity if group["nesterov"] else velocity
        data -= lr * grad
