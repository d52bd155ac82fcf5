"""Loss: the base of the losses. Called with (prediction, target) they return a number; backward() its gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._core import Array, check_choice
from .module import Module

__all__ = ["REDUCTIONS", "Loss", "check_loss_grad", "factors", "reduce_loss"]

REDUCTIONS = ("mean", "sum", "none")


class Loss(Module):
    """Base of the losses.

    Args:
        reduction: 'mean' or 'sum' for a number, 'none' for an array with the loss of each sample.

    Attributes:
        divisor: what the last mean was divided by (1 for the other reductions), so that means can be combined.
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
        """Save the cache, which has a ``divisor``; return a reduced loss as a float, an unreduced one as an array."""
        self.save_for_backward(cache)
        self.divisor = cache.divisor
        return loss if self.reduction == "none" else float(loss)

    def backward(self, grad_output: Any = 1.0) -> Array:
        """Return the gradient with respect to the prediction.

        Args:
            grad_output: gradient of the loss, 1 by default; with reduction 'none' an array in the loss's shape.

        Raises:
            RuntimeError: there was no forward pass, or backward was already called for it.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define backward()")


def factors(owner: str, name: str, value: ArrayLike | None) -> Array | None:
    """Check weights, of classes or elements: return them as a float array, or None."""
    if value is None:
        return None
    array = np.array(value)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{owner}: {name} must be numbers, got {value!r}")
    return array.astype(np.float64 if array.dtype == np.float64 else np.float32)


def reduce_loss(each: Array, reduction: str, divisor: float) -> Any:
    """Return the losses of the samples as they are, or their sum divided by ``divisor``, in their dtype."""
    if reduction == "none":
        return each
    with np.errstate(divide="ignore", invalid="ignore"):
        return (each.sum() / np.asarray(divisor)).astype(each.dtype)[()]


def check_loss_grad(grad_output: Any, shape: tuple[int, ...], reduction: str, dtype: np.dtype[Any]) -> Array:
    """Return the gradient of a loss as an array of ``dtype``: a number, or of ``shape`` for reduction 'none'."""
    grad = np.asarray(grad_output, dtype=dtype)
    expected = shape if reduction == "none" else ()
    if grad.shape != expected:
        raise ValueError(f"expected grad_output of the loss's shape {expected}, got {grad.shape}")
    return grad
