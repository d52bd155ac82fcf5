"""Lion."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from .._core import Array, check_number
from .optimizer import Checks, Optimizer, Params, check_betas

__all__ = ["Lion"]


class Lion(Optimizer):
    """Lion: every entry moves by lr, in the direction given by momentum and gradient together:

        p = p * (1 - lr * weight_decay)
        p = p - lr * sign(beta1 * m + (1 - beta1) * grad)
        m = beta2 * m + (1 - beta2) * grad                     m = 0 before the first step

    It stores half as much state as Adam. The paper recommends a learning rate 3 to 10 times smaller than AdamW's, and
    a weight_decay that is larger by the same factor.

    Args:
        params: Parameters, or parameter groups; see `Optimizer`.
        lr: learning rate, not negative.
        betas: the momentum's weight in the direction, and its decay rate, in [0, 1).
        weight_decay: times lr, the fraction of a parameter that each step removes; not negative.

    Raises:
        ValueError: an option is out of range, there are no parameters, or one appears twice.

    Source: Chen et al. 2023, arXiv:2302.06675.
    """

    decoupled_weight_decay = True
    options: ClassVar[Checks] = {"lr": check_number, "betas": check_betas, "weight_decay": check_number}

    def __init__(
        self,
        params: Params,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    def slots(self, group: dict[str, Any]) -> dict[str, float]:
        """The momentum."""
        return {"exp_avg": 0.0}

    def update(self, data: Array, grad: Array, slots: dict[str, Array], group: dict[str, Any], step: int) -> None:
        """Apply the rule."""
        mean, (beta1, beta2) = slots["exp_avg"], group["betas"]
        data -= group["lr"] * np.sign(beta1 * mean + (1 - beta1) * grad)
        mean *= beta2
        mean += (1 - beta2) * grad
