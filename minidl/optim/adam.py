"""Adam and AdamW."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from .._core import Array, check_flag, check_number
from .optimizer import Checks, Optimizer, Params, check_betas

__all__ = ["Adam", "AdamW"]


class Adam(Optimizer):
    """Adam: steps along the mean gradient, scaled by the root of its mean square. PyTorch's rule:

        g = grad + weight_decay * p
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        p = p - lr / (1 - beta1**t) * m / (sqrt(v / (1 - beta2**t)) + eps)          t = 1, 2, ...

    With amsgrad the last line has the largest v so far instead of v.

    Args:
        params: Parameters, or parameter groups; see `Optimizer`.
        lr: learning rate, not negative.
        betas: decay rates of the two means, in [0, 1).
        eps: added to the root, not negative.
        weight_decay: L2 factor, not negative.
        amsgrad: see above.

    Raises:
        ValueError: an option is out of range, there are no parameters, or one appears twice.

    Source: Kingma & Ba 2015, arXiv:1412.6980; https://docs.pytorch.org/docs/stable/generated/torch.optim.Adam.html
    """

    options: ClassVar[Checks] = {
        "lr": check_number,
        "betas": check_betas,
        "eps": check_number,
        "weight_decay": check_number,
        "amsgrad": check_flag,
    }

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
    ) -> None:
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad}
        super().__init__(params, options)

    def slots(self, group: dict[str, Any]) -> dict[str, float]:
        """The two means, and with amsgrad the largest value of the second."""
        names = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq") if group["amsgrad"] else ("exp_avg", "exp_avg_sq")
        return dict.fromkeys(names, 0.0)

    def formula(self, group: dict[str, Any], step: int) -> tuple[str, tuple[float, ...]] | None:
        """Return the name by which engines know it, and its numbers."""
        if group["amsgrad"]:
            return None
        lr, decay, (beta1, beta2) = group["lr"], group["weight_decay"], group["betas"]
        added, kept = (0.0, 1 - lr * decay) if self.decoupled_weight_decay else (decay, 1.0)
        means = 1 - beta1, beta2, 1 - beta2
        return "adam", (lr / (1 - beta1**step), added, kept, *means, group["eps"], (1 - beta2**step) ** 0.5)

    def update(self, data: Array, grad: Array, slots: dict[str, Array], group: dict[str, Any], step: int) -> None:
        """Apply the rule."""
        lr, eps, (beta1, beta2) = group["lr"], group["eps"], group["betas"]
        mean, square = slots["exp_avg"], slots["exp_avg_sq"]
        mean += (1 - beta1) * (grad - mean)
        square *= beta2
        square += (1 - beta2) * grad * grad
        if group["amsgrad"]:
            square = np.maximum(slots["max_exp_avg_sq"], square, out=slots["max_exp_avg_sq"])
        root = np.sqrt(square) / (1 - beta2**step) ** 0.5 + eps
        data -= lr / (1 - beta1**step) * (mean / root)


class AdamW(Adam):
    """Adam with decoupled weight decay: p = p * (1 - lr * weight_decay) first, then Adam's step without it.

    Args:
        params: Parameters, or parameter groups; see `Optimizer`.
        lr: learning rate, not negative.
        betas: decay rates of the two means, in [0, 1).
        eps: added to the root, not negative.
        weight_decay: times lr, the fraction of a parameter that each step removes; not negative.
        amsgrad: as in `Adam`.

    Raises:
        ValueError: an option is out of range, there are no parameters, or one appears twice.

    Source: Loshchilov & Hutter 2019, arXiv:1711.05101.
    """

    decoupled_weight_decay = True

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad)
