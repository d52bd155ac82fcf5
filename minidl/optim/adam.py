"""Adam and AdamW."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .._core import Array, check_number
from ..nn.parameter import Parameter
from .optimizer import Optimizer

__all__ = ["Adam", "AdamW"]


class Adam(Optimizer):
    """Adam: steps along the mean gradient, scaled by the root of its mean square. PyTorch's rule:

        g = grad + weight_decay * p
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        p = p - lr / (1 - beta1**t) * m / (sqrt(v / (1 - beta2**t)) + eps)          t = 1, 2, ...

    with amsgrad the largest v so far takes v's place in the last line.

    Args:
        params: Parameters, or parameter groups; see `Optimizer`.
        lr: learning rate, not negative.
        betas: how much of the two means is kept, in [0, 1).
        eps: added to the root.
        weight_decay: L2 factor, not negative.
        amsgrad: see above.

    Raises:
        ValueError: an option is out of range, there are no parameters, or one comes twice.

    Source: Kingma & Ba 2015, arXiv:1412.6980; https://docs.pytorch.org/docs/stable/generated/torch.optim.Adam.html
    """

    def __init__(
        self,
        params: Iterable[Parameter] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
    ) -> None:
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad}
        super().__init__(params, options)

    def check_group(self, group: dict[str, Any]) -> None:
        """Raise if an option of a group is wrong."""
        super().check_group(group)
        owner, betas = type(self).__name__, group["betas"]
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise TypeError(f"{owner}: betas must be a pair of numbers, got {betas!r}")
        for beta in betas:
            if check_number(owner, "betas", beta) >= 1:
                raise ValueError(f"{owner}: betas must be less than 1, got {betas}")

    def slots(self, group: dict[str, Any]) -> dict[str, float]:
        """The two means, and with amsgrad the largest of the second."""
        names = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq") if group["amsgrad"] else ("exp_avg", "exp_avg_sq")
        return dict.fromkeys(names, 0.0)

    def update(self, data: Array, grad: Array, slots: dict[str, Array], group: dict[str, Any], step: int) -> None:
        """Apply the rule."""
        lr, eps, (beta1, beta2) = float(group["lr"]), float(group["eps"]), map(float, group["betas"])
        mean, square = slots["exp_avg"], slots["exp_avg_sq"]
        mean += (1 - beta1) * (grad - mean)
        square *= beta2
        square += (1 - beta2) * grad * grad
        if group["amsgrad"]:
            square = np.maximum(slots["max_exp_avg_sq"], square, out=slots["max_exp_avg_sq"])
        root = np.sqrt(square) / float((1 - beta2**step) ** 0.5) + eps
        data -= lr / (1 - beta1**step) * (mean / root)


class AdamW(Adam):
    """Adam with decoupled weight decay: p = p * (1 - lr * weight_decay) first, then Adam's step without it.

    Args:
        params: Parameters, or parameter groups; see `Optimizer`.
        lr: learning rate, not negative.
        betas: how much of the two means is kept, in [0, 1).
        eps: added to the root.
        weight_decay: share of a parameter that goes in each step, times lr; not negative.
        amsgrad: as in `Adam`.

    Raises:
        ValueError: an option is out of range, there are no parameters, or one comes twice.

    Source: Loshchilov & Hutter 2019, arXiv:1711.05101.
    """

    def __init__(
        self,
        params: Iterable[Parameter] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad)

    def decay(self, data: Array, grad: Array, group: dict[str, Any]) -> Array:
        """Shrink the numbers; return the gradient as it is."""
        data *= 1 - float(group["lr"]) * float(group["weight_decay"])
        return grad
