"""Losses: called with (prediction, target) they return a number; backward() returns the prediction's gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..functional._checks import Array, check_choice, check_number
from ..functional.loss import (
    REDUCTIONS,
    cross_entropy_backward,
    cross_entropy_forward,
    mse_loss_backward,
    mse_loss_forward,
)
from .module import Module

__all__ = ["CrossEntropyLoss", "Loss", "MSELoss"]


class Loss(Module):
    """Base of the losses.

    Args:
        reduction: 'mean' or 'sum' for a number, 'none' for an array with the loss of each sample.

    Attributes:
        divisor: what the last mean was divided by (1 for the other reductions), so that means can be put together.
    """

    divisor: float = 1.0

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
        loss, cache = cross_entropy_forward(
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
        return cross_entropy_backward(grad_output, self.take_saved())


class MSELoss(Loss):
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

    def forward(self, prediction: Array, target: ArrayLike) -> Any:
        """Return the loss of a prediction against a target of the same shape."""
        loss, cache = mse_loss_forward(prediction, np.asarray(target), reduction=self.reduction)
        return self.finish(loss, cache)

    def backward(self, grad_output: Any = 1.0) -> Array:
        """Return the gradient with respect to the prediction; see `Loss.backward`."""
        return mse_loss_backward(grad_output, self.take_saved())
