"""Elementwise losses: each is its value, and its slope with respect to the prediction.

A new one is a class with these two; `ElementwiseLoss` does the rest.
"""

# mypy: disable-error-code="no-any-return"
# (what NumPy computes from arrays of either dtype is Any)
from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .._core import Array, check_choice, check_flag, check_number
from .loss import REDUCTIONS, Loss, check_factors, check_loss_grad, check_prediction, factors, reduce_loss, times

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "ElementwiseLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "MSELoss",
    "SmoothL1Loss",
    "bce_loss_backward",
    "bce_loss_forward",
    "bce_with_logits_loss_backward",
    "bce_with_logits_loss_forward",
    "huber_loss_backward",
    "huber_loss_forward",
    "kl_div_loss_backward",
    "kl_div_loss_forward",
    "l1_loss_backward",
    "l1_loss_forward",
    "mse_loss_backward",
    "mse_loss_forward",
    "smooth_l1_loss_backward",
    "smooth_l1_loss_forward",
]


class ElementwiseCache(NamedTuple):
    """Prediction and target; the weights of the elements; how they were reduced, and the divisor of a mean, else 1.

    ``shares`` is what each element adds to the divisor.
    """

    prediction: Array
    target: Array
    weight: Array | None
    reduction: str
    divisor: float
    shares: float = 1.0


class ElementwiseLoss(Loss):
    """Base of the elementwise losses: a subclass defines the ``value`` at x for a target t, and its ``slope``.

    Args:
        reduction: 'mean', 'sum' or 'none'.

    Shape:
        prediction and target: any, the same; nothing is broadcast. The loss is a float; with 'none' an array in the
        prediction's shape.

    Raises:
        ValueError, TypeError: when called: the shapes differ, or the values are not numbers.
    """

    weight: Array | None = None

    def __init__(self, *, reduction: str = "mean") -> None:  # in PyTorch, other arguments come first
        super().__init__(reduction)

    def value(self, x: Array, t: Array) -> Array:
        """Return the loss of predictions x."""
        raise NotImplementedError(f"{type(self).__name__} does not define value()")

    def slope(self, x: Array, t: Array) -> Array:
        """Return the derivative of the loss with respect to x."""
        raise NotImplementedError(f"{type(self).__name__} does not define slope()")

    def forward(self, prediction: Array, target: ArrayLike) -> Any:
        """Return the loss of a prediction against a target of the same shape."""
        return self.finish(*self._compute(prediction, target, self.weight))

    def backward(self, grad_output: Any = 1.0) -> Array:
        """Return the gradient with respect to the prediction; see `Loss.backward`."""
        return self._differentiate(grad_output, self.take_saved())

    def _compute(self, prediction: Array, target: ArrayLike, weight: Array | None) -> tuple[Any, ElementwiseCache]:
        x, t = check_prediction(prediction, target), np.asarray(target)
        if t.shape != x.shape:
            raise ValueError(f"expected a target of the prediction's shape {x.shape}, got {t.shape}")
        if t.dtype.kind not in "fiub":
            raise TypeError(f"expected a target of numbers, got {t.dtype}")
        t = t.astype(x.dtype, copy=False)
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            each = self.value(x, t)
        if weight is not None:
            each = times(check_factors("weight", weight), each)
        divisor = float(each.size) if self.reduction == "mean" else 1.0
        return reduce_loss(each, self.reduction, divisor), ElementwiseCache(x, t, weight, self.reduction, divisor)

    def _differentiate(self, grad_output: Any, cache: ElementwiseCache) -> Array:
        x, t, weight, reduction, divisor, _ = cache
        grad = check_loss_grad(grad_output, x.shape, reduction, x.dtype)
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            slope, scale = self.slope(x, t), (grad / max(divisor, 1.0)).astype(x.dtype)
            dx = times(scale, slope) if reduction == "none" else np.asarray(slope * scale)
        return dx if weight is None else times(weight, dx)


def mse_loss_forward(
    prediction: Array, target: ArrayLike, *, reduction: str = "mean", weight: Array | None = None
) -> tuple[Any, tuple[ElementwiseLoss, ElementwiseCache]]:
    """Squared error of each element: (x - t)**2.

    Args:
        prediction: x, any shape, float32 or float64.
        target: t, the same shape; converted to the prediction's dtype.
        reduction: 'mean', 'sum' or 'none'.
        weight: a factor for each element, broadcast to the shape, not negative; or None.

    Returns:
        The loss: a scalar, or with 'none' an array in the prediction's shape; and the cache for `mse_loss_backward`.

    Raises:
        ValueError: the shapes differ (nothing is broadcast).
        TypeError: the dtypes do not fit.
    """
    return _pure(MSELoss(reduction=reduction), prediction, target, weight)


def mse_loss_backward(grad_output: Any, cache: tuple[ElementwiseLoss, ElementwiseCache]) -> Array:
    """Return the gradient of an elementwise loss with respect to the prediction.

    The cache determines the loss, so this is also `l1_loss_backward`, `huber_loss_backward` and the others.

    Returns the gradient in the prediction's shape and dtype. ``grad_output`` is a number, or for reduction 'none' an
    array in the loss's shape (ValueError); ``cache`` is from the forward function.
    """
    loss, inner = cache
    return loss._differentiate(grad_output, inner)


def _pure(
    loss: ElementwiseLoss, prediction: Array, target: ArrayLike, weight: Array | None
) -> tuple[Any, tuple[ElementwiseLoss, ElementwiseCache]]:
    out, cache = loss._compute(prediction, target, weight)
    return out, (loss, cache)


class MSELoss(ElementwiseLoss):
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

    task = "regression"
    of_difference = True

    def value(self, x: Array, t: Array) -> Array:
        """Return the loss of predictions x."""
        return (x - t) ** 2

    def slope(self, x: Array, t: Array) -> Array:
        """Return the derivative with respect to x."""
        return 2 * (x - t)


def l1_loss_forward(
    prediction: Array, target: ArrayLike, *, reduction: str = "mean", weight: Array | None = None
) -> tuple[Any, tuple[ElementwiseLoss, ElementwiseCache]]:
    """Absolute error of each element: abs(x - t); its gradient is 0 where x == t.

    Takes prediction, target, reduction and weight, returns and raises as `mse_loss_forward` does.
    """
    return _pure(L1Loss(reduction=reduction), prediction, target, weight)


class L1Loss(ElementwiseLoss):
    """Mean absolute error: the mean of |prediction - target| over all elements.

    Args:
        reduction: 'mean', 'sum' or 'none'.

    Shape:
        as for MSELoss.
    """

    task = "regression"
    of_difference = True

    def value(self, x: Array, t: Array) -> Array:
        """Return the loss of predictions x."""
        return abs(x - t)

    def slope(self, x: Array, t: Array) -> Array:
        """Return the derivative with respect to x."""
        return np.sign(x - t)


def smooth_l1_loss_forward(
    prediction: Array, target: ArrayLike, *, beta: float = 1.0, reduction: str = "mean", weight: Array | None = None
) -> tuple[Any, tuple[ElementwiseLoss, ElementwiseCache]]:
    """Smooth absolute error of each element, a parabola up to ``beta``; see `SmoothL1Loss`.

    Takes prediction, target, reduction and weight, returns and raises as `mse_loss_forward` does.
    """
    return _pure(SmoothL1Loss(reduction=reduction, beta=beta), prediction, target, weight)


class SmoothL1Loss(ElementwiseLoss):
    """d**2 / (2*beta) where d = |prediction - target| is less than beta, else d - beta/2.

    Args:
        reduction: 'mean', 'sum' or 'none'.
        beta: where the parabola becomes a line; not negative.

    Shape:
        as for MSELoss.
    """

    task = "regression"
    of_difference = True

    def __init__(self, *, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        self.beta = check_number("SmoothL1Loss", "beta", beta)

    def value(self, x: Array, t: Array) -> Array:
        """Return the loss of predictions x."""
        d = abs(x - t)
        return np.where(d < self.beta, 0.5 * d * d / self.beta if self.beta else d, d - 0.5 * self.beta)

    def slope(self, x: Array, t: Array) -> Array:
        """Return the derivative with respect to x."""
        d = x - t
        return np.where(abs(d) < self.beta, d / self.beta if self.beta else d, np.sign(d))


def huber_loss_forward(
    prediction: Array, target: ArrayLike, *, delta: float = 1.0, reduction: str = "mean", weight: Array | None = None
) -> tuple[Any, tuple[ElementwiseLoss, ElementwiseCache]]:
    """Huber's loss of each element, a parabola up to ``delta``; see `HuberLoss`.

    Takes prediction, target, reduction and weight, returns and raises as `mse_loss_forward` does.
    """
    return _pure(HuberLoss(reduction, delta), prediction, target, weight)


class HuberLoss(ElementwiseLoss):
    """d**2 / 2 where d = |prediction - target| is less than delta, else delta * (d - delta/2).

    Args:
        reduction: 'mean', 'sum' or 'none'.
        delta: where the parabola becomes a line; positive.

    Shape:
        as for MSELoss.
    """

    task = "regression"
    of_difference = True

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        self.delta = float(check_number("HuberLoss", "delta", delta))
        if delta == 0:
            raise ValueError("HuberLoss: delta must not be 0")

    def value(self, x: Array, t: Array) -> Array:
        """Return the loss of predictions x."""
        d = abs(x - t)
        return np.where(d < self.delta, 0.5 * d * d, self.delta * (d - 0.5 * self.delta))

    def slope(self, x: Array, t: Array) -> Array:
        """Return the derivative with respect to x."""
        return np.clip(x - t, -self.delta, self.delta)


def bce_loss_forward(
    prediction: Array, target: ArrayLike, *, reduction: str = "mean", weight: Array | None = None
) -> tuple[Any, tuple[ElementwiseLoss, ElementwiseCache]]:
    """Binary cross-entropy of probabilities: -(t*log(x) + (1-t)*log(1-x)), with logarithms clamped at -100.

    Takes prediction, target, reduction and weight, returns and raises as `mse_loss_forward` does.
    """
    return _pure(BCELoss(reduction=reduction), prediction, target, weight)


class BCELoss(ElementwiseLoss):
    """Binary cross-entropy of probabilities: -(t*log(p) + (1-t)*log(1-p)), with logarithms clamped at -100.

    Args:
        weight: a factor for each element, broadcast to the shape, not negative.
        reduction: 'mean', 'sum' or 'none'.

    Shape:
        prediction p and target t: any, the same, both in [0, 1]. With logits use BCEWithLogitsLoss.

    Raises:
        ValueError: when called: the shapes differ, or a prediction is outside [0, 1].
    """

    task = "binary"
    threshold = 0.5

    def __init__(self, weight: ArrayLike | None = None, *, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.register_buffer("weight", factors("BCELoss", "weight", weight))

    def _compute(self, prediction: Array, target: ArrayLike, weight: Array | None) -> tuple[Any, ElementwiseCache]:
        outside = (check_prediction(prediction, target) < 0) | (prediction > 1)
        if outside.any():
            raise ValueError(
                f"expected probabilities between 0 and 1, got {prediction[outside][0]}; for logits use "
                "BCEWithLogitsLoss"
            )
        return super()._compute(prediction, target, weight)

    def value(self, x: Array, t: Array) -> Array:
        """Return the loss of predictions x."""
        return -(t * np.maximum(np.log(x), -100) + (1 - t) * np.maximum(np.log1p(-x), -100))

    def slope(self, x: Array, t: Array) -> Array:
        """Return the derivative with respect to x."""
        return (x - t) / np.maximum((1 - x) * x, 1e-12)


def bce_with_logits_loss_forward(
    prediction: Array,
    target: ArrayLike,
    *,
    pos_weight: Array | None = None,
    reduction: str = "mean",
    weight: Array | None = None,
) -> tuple[Any, tuple[ElementwiseLoss, ElementwiseCache]]:
    """Binary cross-entropy of logits, with a factor ``pos_weight`` for the positive class; see `BCEWithLogitsLoss`.

    Takes prediction, target, reduction and weight, returns and raises as `mse_loss_forward` does.
    """
    return _pure(BCEWithLogitsLoss(reduction=reduction, pos_weight=pos_weight), prediction, target, weight)


class BCEWithLogitsLoss(ElementwiseLoss):
    """Binary cross-entropy of logits: -(pos_weight*t*log(s) + (1-t)*log(1-s)), s = sigmoid(prediction).

    Args:
        weight: a factor for each element, broadcast to the shape, not negative.
        reduction: 'mean', 'sum' or 'none'.
        pos_weight: a factor for the positive class, broadcast to the shape, not negative.

    Shape:
        prediction and target t: any, the same.
    """

    task = "binary"
    pos_weight: Array | None

    def __init__(
        self, weight: ArrayLike | None = None, *, reduction: str = "mean", pos_weight: ArrayLike | None = None
    ) -> None:
        super().__init__(reduction=reduction)
        self.register_buffer("weight", factors("BCEWithLogitsLoss", "weight", weight))
        self.register_buffer("pos_weight", factors("BCEWithLogitsLoss", "pos_weight", pos_weight))

    def value(self, x: Array, t: Array) -> Array:
        """Return the loss of predictions x."""
        rest = np.log1p(np.exp(-abs(x)))
        positive = t if self.pos_weight is None else times(check_factors("pos_weight", self.pos_weight), t)
        return times(1 - t, np.maximum(x, 0) + rest) + times(positive, np.maximum(-x, 0) + rest)

    def slope(self, x: Array, t: Array) -> Array:
        """Return the derivative with respect to x."""
        share = 1 if self.pos_weight is None else 1 + times(self.pos_weight - 1, t)
        return (1 - t) - share / (1 + np.exp(x))


def kl_div_loss_forward(
    prediction: Array,
    target: ArrayLike,
    *,
    log_target: bool = False,
    reduction: str = "mean",
    weight: Array | None = None,
) -> tuple[Any, tuple[ElementwiseLoss, ElementwiseCache]]:
    """Kullback-Leibler divergence from t, given as probabilities, or with ``log_target`` as their logarithms.

    Takes prediction, target, reduction and weight, returns and raises as `mse_loss_forward` does.
    """
    return _pure(KLDivLoss(reduction=reduction, log_target=log_target), prediction, target, weight)


class KLDivLoss(ElementwiseLoss):
    """Kullback-Leibler divergence of log-probabilities from probabilities t: t * (log(t) - prediction), 0 where t is 0.

    Args:
        reduction: 'mean' over all elements, 'batchmean' over the samples (the usual definition), 'sum' or 'none'.
        log_target: whether the target is given as log-probabilities too.

    Shape:
        prediction and target: any, the same.
    """

    def __init__(self, *, reduction: str = "mean", log_target: bool = False) -> None:
        check_choice("KLDivLoss", "reduction", reduction, (*REDUCTIONS, "batchmean"))
        super().__init__(reduction="sum" if reduction == "batchmean" else reduction)
        self._by_sample = reduction == "batchmean"
        self.log_target = check_flag("KLDivLoss", "log_target", log_target)

    @property
    def is_mean(self) -> bool:
        """Whether the loss is a mean; a mean over the samples counts as one."""
        return self._by_sample or super().is_mean

    def _compute(self, prediction: Array, target: ArrayLike, weight: Array | None) -> tuple[Any, ElementwiseCache]:
        loss, cache = super()._compute(prediction, target, weight)
        if not self._by_sample:
            return loss, cache
        samples = float(max(1, prediction.shape[0])) if prediction.ndim else 1.0
        cache = cache._replace(shares=samples / max(1, prediction.size))
        return (loss, cache) if self.reduction == "none" else (loss / samples, cache._replace(divisor=samples))

    def value(self, x: Array, t: Array) -> Array:
        """Return the loss of predictions x."""
        if self.log_target:
            return times(np.exp(t), t - x)
        return times(t, np.log(np.where(t == 0, 1, t))) - times(t, x)

    def slope(self, x: Array, t: Array) -> Array:
        """Return the derivative with respect to x."""
        return -np.exp(t) if self.log_target else -t


l1_loss_backward = smooth_l1_loss_backward = huber_loss_backward = mse_loss_backward
bce_loss_backward = bce_with_logits_loss_backward = kl_div_loss_backward = mse_loss_backward
