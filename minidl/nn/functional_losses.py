"""PyTorch's functions of the losses: each calls the loss of `nn` once.

Within a recorded forward pass the result is a value of it. Of a model's output it is a float with a ``backward()``.
"""

from __future__ import annotations

from typing import Any

from .elementwise_loss import BCELoss, BCEWithLogitsLoss, HuberLoss, KLDivLoss, L1Loss, MSELoss, SmoothL1Loss
from .label_loss import CrossEntropyLoss, MultiMarginLoss, NLLLoss
from .recording import plain

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "mse_loss",
    "multi_margin_loss",
    "nll_loss",
    "smooth_l1_loss",
]


def _weights(owner: str, value: Any) -> Any:
    """Return weights as an array: their gradient is not known."""
    if getattr(value, "requires_grad", False):
        raise TypeError(f"{owner}: the gradient of weights is not known; give them as weight.detach()")
    return plain(value)


def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """Return the cross-entropy of logits ``input`` against labels or probabilities ``target``.

    weight, ignore_index, reduction and label_smoothing, shapes and exceptions are those of `nn.CrossEntropyLoss`.
    """
    loss = CrossEntropyLoss(
        _weights("cross_entropy", weight),
        ignore_index=ignore_index,
        reduction=reduction,
        label_smoothing=label_smoothing,
    )
    return loss(input, target)


def nll_loss(input: Any, target: Any, weight: Any = None, *, ignore_index: int = -100, reduction: str = "mean") -> Any:
    """Return the negative log-likelihood of log-probabilities ``input`` against labels ``target``.

    weight, ignore_index and reduction, shapes and exceptions are those of `nn.NLLLoss`.
    """
    return NLLLoss(_weights("nll_loss", weight), ignore_index=ignore_index, reduction=reduction)(input, target)


def multi_margin_loss(
    input: Any, target: Any, p: int = 1, margin: float = 1.0, weight: Any = None, *, reduction: str = "mean"
) -> Any:
    """Return the multi-class hinge loss of scores ``input`` against labels ``target``.

    p, margin, weight and reduction, shapes and exceptions are those of `nn.MultiMarginLoss`.
    """
    return MultiMarginLoss(p, margin, _weights("multi_margin_loss", weight), reduction=reduction)(input, target)


def mse_loss(input: Any, target: Any, *, reduction: str = "mean") -> Any:
    """Return the mean of (input - target)**2; ``reduction`` and exceptions are those of `nn.MSELoss`."""
    return MSELoss(reduction=reduction)(input, target)


def l1_loss(input: Any, target: Any, *, reduction: str = "mean") -> Any:
    """Return the mean of |input - target|; ``reduction`` and exceptions are those of `nn.L1Loss`."""
    return L1Loss(reduction=reduction)(input, target)


def smooth_l1_loss(input: Any, target: Any, *, reduction: str = "mean", beta: float = 1.0) -> Any:
    """Return the smooth absolute error of input and target; ``reduction`` and ``beta`` are `nn.SmoothL1Loss`'s."""
    return SmoothL1Loss(reduction=reduction, beta=beta)(input, target)


def huber_loss(input: Any, target: Any, reduction: str = "mean", delta: float = 1.0) -> Any:
    """Return Huber's loss of input and target; ``reduction`` and ``delta`` are those of `nn.HuberLoss`."""
    return HuberLoss(reduction, delta)(input, target)


def binary_cross_entropy(input: Any, target: Any, weight: Any = None, *, reduction: str = "mean") -> Any:
    """Return the binary cross-entropy of probabilities ``input`` against ``target``.

    weight and reduction, shapes and exceptions are those of `nn.BCELoss`.
    """
    return BCELoss(_weights("binary_cross_entropy", weight), reduction=reduction)(input, target)


def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, *, reduction: str = "mean", pos_weight: Any = None
) -> Any:
    """Return the binary cross-entropy of logits ``input`` against ``target``.

    weight, reduction and pos_weight, shapes and exceptions are those of `nn.BCEWithLogitsLoss`.
    """
    owner = "binary_cross_entropy_with_logits"
    weights = {"weight": _weights(owner, weight), "pos_weight": _weights(owner, pos_weight)}
    return BCEWithLogitsLoss(reduction=reduction, **weights)(input, target)


def kl_div(input: Any, target: Any, *, reduction: str = "mean", log_target: bool = False) -> Any:
    """Return the Kullback-Leibler divergence of log-probabilities ``input`` from probabilities ``target``.

    reduction and log_target, shapes and exceptions are those of `nn.KLDivLoss`.
    """
    return KLDivLoss(reduction=reduction, log_target=log_target)(input, target)
