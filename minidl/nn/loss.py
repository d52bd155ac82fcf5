"""Losses: called with (prediction, target) they return a number; backward() returns the prediction's gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from .._core import Array, check_choice, check_flag, check_int, check_number
from ..functional import loss as f
from ..functional.loss import REDUCTIONS
from .module import Module

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "Loss",
    "MSELoss",
    "MultiMarginLoss",
    "NLLLoss",
    "SmoothL1Loss",
]


class Loss(Module):
    """Base of the losses.

    Args:
        reduction: 'mean' or 'sum' for a number, 'none' for an array with the loss of each sample.

    Attributes:
        divisor: what the last mean was divided by (1 for the other reductions), so that means can be put together.
    """

    divisor: float = 1.0

    @property
    def is_mean(self) -> bool:
        """Whether the loss is a mean, over ``divisor`` samples or weights, rather than a sum."""
        return self.reduction != "sum"

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = check_choice(type(self).__name__, "reduction", reduction, REDUCTIONS)

    def finish(self, loss: Any, cache: Any) -> Any:
        """Keep the cache; return a reduced loss as a float, an unreduced one as the array it is."""
        self.save_for_backward(cache)
        self.divisor = cache.divisor
        return loss if self.reduction == "none" else float(loss)

    def backward(self, grad_output: Any = 1.0) -> Array:
        """Return the gradient with respect to the prediction.

        Args:
            grad_output: gradient of the loss, 1 by default; with reduction 'none' an array in the loss's shape.

        Raises:
            RuntimeError: there was no forward pass, or it was used up already.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define backward()")


class CrossEntropyLoss(Loss):
    """Cross-entropy between softmax(logits) and labels: -sum_c w[c] * t[c] * log softmax(logits)[c].

    The prediction is logits: scores as the last Linear gives them, with no softmax before.

    Args:
        weight: one factor per class, (C,); the mean divides by the sum of the labels' weights.
        ignore_index: labels with this value count for nothing.
        reduction: 'mean', 'sum' or 'none'.
        label_smoothing: this share of each target is spread evenly over the classes, in [0, 1].

    Shape:
        logits (N, C) or (N, C, d1, ...); target labels (N,) or (N, d1, ...), integers from 0 to C-1, or
        probabilities in the logits' shape. The loss is a float; with 'none' an array in the labels' shape.

    Raises:
        ValueError, TypeError: when called: shapes or dtypes do not fit, or a label is out of range.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html
    """

    weight: Array | None

    def __init__(
        self,
        weight: ArrayLike | None = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", None if weight is None else self._check_weight(np.array(weight)))
        self.ignore_index = ignore_index
        self.label_smoothing = check_number("CrossEntropyLoss", "label_smoothing", label_smoothing, maximum=1.0)

    @staticmethod
    def _check_weight(weight: Array) -> Array:
        if weight.ndim != 1 or weight.dtype.kind not in "fiu":
            raise ValueError(f"CrossEntropyLoss: weight must be one number per class, got {weight!r}")
        return weight.astype(np.float64 if weight.dtype == np.float64 else np.float32)

    def forward(self, prediction: Array, target: ArrayLike) -> Any:
        """Return the loss of logits (N, C, ...) against labels or probabilities."""
        loss, cache = f.cross_entropy_forward(
            prediction,
            np.asarray(target),
            weight=self.weight,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            reduction=self.reduction,
        )
        return self.finish(loss, cache)

    def backward(self, grad_output: Any = 1.0) -> Array:
        """Return the gradient with respect to the logits; see `Loss.backward`."""
        return f.cross_entropy_backward(grad_output, self.take_saved())


class _PairLoss(Loss):
    """Base of the losses that are a pair of functions of (prediction, target); the options become attributes."""

    functions: ClassVar[tuple[Callable[..., Any], Callable[..., Array]]]

    def __init__(self, reduction: str = "mean", **options: Any) -> None:
        super().__init__(reduction)
        self._options = tuple(options)
        for name, value in options.items():
            setattr(self, name, value)

    def forward(self, prediction: Array, target: ArrayLike) -> Any:
        """Return the loss of a prediction against a target."""
        options = {name: getattr(self, name) for name in self._options}
        loss, cache = self.functions[0](prediction, np.asarray(target), reduction=self.reduction, **options)
        return self.finish(loss, cache)

    def backward(self, grad_output: Any = 1.0) -> Array:
        """Return the gradient with respect to the prediction; see `Loss.backward`."""
        return self.functions[1](grad_output, self.take_saved())


class MSELoss(_PairLoss):
    """Mean squared error: the mean of (prediction - target)**2 over all elements.

    Args:
        reduction: 'mean', 'sum' or 'none'.

    Shape:
        prediction and target: any, the same; nothing is broadcast. The loss is a float; with 'none' an array in the
        prediction's shape.

    Raises:
        ValueError: when called: the shapes differ.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.MSELoss.html
    """

    functions = f.mse_loss_forward, f.mse_loss_backward

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction)


class L1Loss(_PairLoss):
    """Mean absolute error: the mean of |prediction - target| over all elements.

    Args:
        reduction: 'mean', 'sum' or 'none'.

    Shape:
        as for MSELoss.
    """

    functions = f.l1_loss_forward, f.l1_loss_backward

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction)


class SmoothL1Loss(_PairLoss):
    """d**2 / (2*beta) where d = |prediction - target| is less than beta, else d - beta/2.

    Args:
        reduction: 'mean', 'sum' or 'none'.
        beta: where the parabola becomes a line; not negative.

    Shape:
        as for MSELoss.
    """

    functions = f.smooth_l1_loss_forward, f.smooth_l1_loss_backward

    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction, beta=check_number("SmoothL1Loss", "beta", beta))


class HuberLoss(_PairLoss):
    """d**2 / 2 where d = |prediction - target| is less than delta, else delta * (d - delta/2).

    Args:
        reduction: 'mean', 'sum' or 'none'.
        delta: where the parabola becomes a line; positive.

    Shape:
        as for MSELoss.
    """

    functions = f.huber_loss_forward, f.huber_loss_backward

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        if check_number("HuberLoss", "delta", delta) == 0:
            raise ValueError("HuberLoss: delta must not be 0")
        super().__init__(reduction, delta=float(delta))


class BCELoss(_PairLoss):
    """Binary cross-entropy of probabilities: -(t*log(p) + (1-t)*log(1-p)), the logarithms not below -100.

    Args:
        weight: a factor for each element, broadcast to the shape.
        reduction: 'mean', 'sum' or 'none'.

    Shape:
        prediction p and target t: any, the same, both in [0, 1]. With logits use BCEWithLogitsLoss.

    Raises:
        ValueError: when called: the shapes differ, or a prediction is outside [0, 1].
    """

    functions = f.bce_loss_forward, f.bce_loss_backward
    weight: Array | None

    def __init__(self, weight: ArrayLike | None = None, reduction: str = "mean") -> None:
        super().__init__(reduction, weight=None)
        self.register_buffer("weight", _factors("BCELoss", "weight", weight))

    def forward(self, prediction: Array, target: ArrayLike) -> Any:
        """Return the loss of probabilities against a target of the same shape."""
        if isinstance(prediction, np.ndarray) and prediction.dtype.kind == "f":
            outside = (prediction < 0) | (prediction > 1)
            if outside.any():
                raise ValueError(
                    f"expected probabilities between 0 and 1, got {prediction[outside][0]}; for logits use "
                    "BCEWithLogitsLoss"
                )
        return super().forward(prediction, target)


class BCEWithLogitsLoss(_PairLoss):
    """Binary cross-entropy of logits: -(pos_weight*t*log(s) + (1-t)*log(1-s)), s = sigmoid(prediction).

    Args:
        weight: a factor for each element, broadcast to the shape.
        reduction: 'mean', 'sum' or 'none'.
        pos_weight: a factor for the positive class, broadcast to the shape.

    Shape:
        prediction and target t: any, the same.
    """

    functions = f.bce_with_logits_loss_forward, f.bce_with_logits_loss_backward
    weight: Array | None
    pos_weight: Array | None

    def __init__(
        self, weight: ArrayLike | None = None, reduction: str = "mean", pos_weight: ArrayLike | None = None
    ) -> None:
        super().__init__(reduction, weight=None, pos_weight=None)
        self.register_buffer("weight", _factors("BCEWithLogitsLoss", "weight", weight))
        self.register_buffer("pos_weight", _factors("BCEWithLogitsLoss", "pos_weight", pos_weight))


def _factors(owner: str, name: str, value: ArrayLike | None) -> Array | None:
    if value is None:
        return None
    array = np.array(value)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{owner}: {name} must be numbers, got {value!r}")
    return array.astype(np.float64 if array.dtype == np.float64 else np.float32)


class KLDivLoss(_PairLoss):
    """Kullback-Leibler divergence of log-probabilities from probabilities t: t * (log(t) - prediction), 0 where t is 0.

    Args:
        reduction: 'mean' over all elements, 'batchmean' over the samples (what mathematics means), 'sum' or 'none'.
        log_target: whether the target is given as log-probabilities too.

    Shape:
        prediction and target: any, the same.
    """

    functions = f.kl_div_loss_forward, f.kl_div_loss_backward

    def __init__(self, reduction: str = "mean", log_target: bool = False) -> None:
        check_choice("KLDivLoss", "reduction", reduction, (*REDUCTIONS, "batchmean"))
        self_reduction = "sum" if reduction == "batchmean" else reduction
        super().__init__(self_reduction, log_target=check_flag("KLDivLoss", "log_target", log_target))
        self._by_sample = reduction == "batchmean"

    @property
    def is_mean(self) -> bool:
        """Whether the loss is a mean; that over the samples is one."""
        return self._by_sample or super().is_mean

    def forward(self, prediction: Array, target: ArrayLike) -> Any:
        """Return the loss of log-probabilities against a target of the same shape."""
        loss = super().forward(prediction, target)
        if not self._by_sample:
            return loss
        self.divisor = float(max(1, prediction.shape[0])) if prediction.ndim else 1.0
        return loss / self.divisor

    def backward(self, grad_output: Any = 1.0) -> Array:
        """Return the gradient with respect to the prediction; see `Loss.backward`."""
        grad = super().backward(grad_output)
        return grad / grad.dtype.type(self.divisor) if self._by_sample else grad


class _LabelLoss(_PairLoss):
    """Base of the losses against integer labels, with a weight for each class."""

    weight: Array | None

    def __init__(self, weight: ArrayLike | None, reduction: str, **options: Any) -> None:
        super().__init__(reduction, weight=None, **options)
        factors = _factors(type(self).__name__, "weight", weight)
        if factors is not None and factors.ndim != 1:
            raise ValueError(f"{type(self).__name__}: weight must be one number per class, got {weight!r}")
        self.register_buffer("weight", factors)


class NLLLoss(_LabelLoss):
    """Negative log-likelihood of log-probabilities, as LogSoftmax gives them: -weight[y] * prediction[y].

    Args:
        weight: one factor per class, (C,); the mean divides by the sum of the labels' weights.
        ignore_index: labels with this value count for nothing.
        reduction: 'mean', 'sum' or 'none'.

    Shape:
        prediction (N, C) or (N, C, d1, ...); labels (N,) or (N, d1, ...).
    """

    functions = f.nll_loss_forward, f.nll_loss_backward

    def __init__(self, weight: ArrayLike | None = None, *, ignore_index: int = -100, reduction: str = "mean") -> None:
        super().__init__(
            weight, reduction, ignore_index=check_int("NLLLoss", "ignore_index", ignore_index, minimum=-(2**62))
        )


class MultiMarginLoss(_LabelLoss):
    """Hinge loss of several classes: weight[y]/C * sum over j != y of max(0, margin - x[y] + x[j])**p.

    Args:
        p: 1 or 2.
        margin: by how much the label's score should exceed the others.
        weight: one factor per class, (C,).
        reduction: 'mean', 'sum' or 'none'.

    Shape:
        prediction x (N, C); labels y (N,).
    """

    functions = f.multi_margin_loss_forward, f.multi_margin_loss_backward

    def __init__(
        self, p: int = 1, margin: float = 1.0, weight: ArrayLike | None = None, reduction: str = "mean"
    ) -> None:
        if p not in (1, 2):
            raise ValueError(f"MultiMarginLoss: p must be 1 or 2, got {p!r}")
        check_number("MultiMarginLoss", "margin", margin, minimum=-float("inf"))
        super().__init__(weight, reduction, p=p, margin=margin)
