"""Adadelta."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from .._core import Array, check_number
from .optimizer import Checks, Optimizer, Params

__all__ = ["Adadelta"]


def _check_rho(owner: str, argument: str, value: Any) -> float:
    return check_number(owner, argument, value, maximum=1.0)


class Adadelta(Optimizer):
    """Scales the gradient by the ratio of the running means of squared steps and squared gradients. PyTorch's rule:

        g = grad + weight_decay * p
        v = rho * v + (1 - rho) * g**2
        d = sqrt(u + eps) / sqrt(v + eps) * g
        u = rho * u + (1 - rho) * d**2
        p = p - lr * d

    Args:
        params: Parameters, or parameter groups; see `Optimizer`.
        lr: factor on the step, not negative.
        rho: how much of the running means stays in each step, from 0 to 1.
        eps: added under the roots, not negative.
        weight_decay: L2 factor, not negative.

    Raises:
        ValueError: an option is out of range, there are no parameters, or one appears twice.

    Source: Zeiler 2012; https://docs.pytorch.org/docs/stable/generated/torch.optim.Adadelta.html
    """

    options: ClassVar[Checks] = {
        "lr": check_number,
        "rho": _check_rho,
        "eps": check_number,
        "weight_decay": check_number,
    }

    def __init__(
        self, params: Params, lr: float = 1.0, rho: float = 0.9, eps: float = 1e-6, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay})

    def slots(self, group: dict[str, Any]) -> dict[str, float]:
        """The running means of squared gradients and squared steps."""
        return {"square_avg": 0.0, "acc_delta": 0.0}

    def update(self, data: Array, grad: Array, slots: dict[str, Array], group: dict[str, Any], step: int) -> None:
        """Apply the rule."""
        rho, eps = group["rho"], group["eps"]
        squares, steps = slots["square_avg"], slots["acc_delta"]
        squares *= rho
        squares += (1 - rho) * grad * grad
        delta = np.sqrt(steps + eps) / np.sqrt(squares + eps) * grad
        steps *= rho
        steps += (1 - rho) * delta * delta
        data -= group["lr"] * delta
