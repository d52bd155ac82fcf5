"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..functional._checks import Array, check_flag, check_number
from ..functional._memory import empty
from ..nn.parameter import Parameter
from .optimizer import Optimizer

__all__ = ["SGD"]


class SGD(Optimizer):
    """Stochastic gradient descent with momentum and weight decay. PyTorch's rule, which books write differently:

        g = grad + weight_decay * p                     (L2: the gradient of weight_decay/2 * p**2)
        v = g                                           at the first step
        v = momentum * v + (1 - dampening) * g          later
        p = p - lr * v                                  with nesterov: p - lr * (g + momentum * v)

    The learning rate multiplies the velocity v when it is used, so changing it acts at once. Without momentum v is g.

    Args:
        params: Parameters, or parameter groups; see `Optimizer`.
        lr: learning rate, not negative.
        momentum: share of the velocity that is kept, not negative.
        dampening: share of the gradient that is not added to the velocity.
        weight_decay: L2 factor, not negative.
        nesterov: look ahead along the velocity; needs momentum > 0 and dampening 0.

    Raises:
        ValueError: an option is out of range, there are no parameters, or one comes twice.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.SGD.html
    """

    def __init__(
        self,
        params: Iterable[Parameter] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
    ) -> None:
        options = {"lr": lr, "momentum": momentum, "dampening": dampening}
        super().__init__(params, {**options, "weight_decay": weight_decay, "nesterov": nesterov})

    def check_group(self, group: dict[str, Any]) -> None:
        """Raise if an option of a group is wrong."""
        for name in ("lr", "momentum", "weight_decay"):
            check_number("SGD", name, group[name])
        check_number("SGD", "dampening", group["dampening"], minimum=float("-inf"))
        if check_flag("SGD", "nesterov", group["nesterov"]) and (group["momentum"] == 0 or group["dampening"] != 0):
            raise ValueError(
                f"SGD: nesterov needs momentum > 0 and dampening 0, got momentum {group['momentum']} and dampening "
                f"{group['dampening']}"
            )

    def update(self, parameter: Parameter, grad: Array, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Apply the rule to one parameter."""
        # Python floats: a NumPy float64 scalar would turn float32 arrays into float64.
        lr, momentum, decay = float(group["lr"]), float(group["momentum"]), float(group["weight_decay"])
        step = grad
        if decay:
            step = _scaled(parameter.data, decay)
            step += grad
        if momentum:
            velocity = state.get("momentum_buffer")
            if velocity is None:
                velocity = step.copy()
            else:
                velocity = velocity.astype(step.dtype, copy=False)  # the model may have been converted in between
                velocity *= momentum
                velocity += _scaled(step, 1 - float(group["dampening"])) if group["dampening"] else step
            state["momentum_buffer"] = velocity
            if group["nesterov"]:
                ahead = _scaled(velocity, momentum)
                ahead += step
                step = ahead
            else:
                step = velocity
        parameter.data -= _scaled(step, lr)


def _scaled(array: Array, factor: float) -> Array:
    """Return factor * array, in recycled memory."""
    return np.multiply(array, factor, out=empty(array.shape, array.dtype))
