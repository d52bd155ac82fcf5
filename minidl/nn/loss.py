"""Loss: the base of the losses. Called with (prediction, target) they return a number; backward() its gradient."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from .._core import Array, check_choice, check_float
from .module import Module
from .tensor import Operand

__all__ = [
    "REDUCTIONS",
    "TASKS",
    "Loss",
    "check_factors",
    "check_loss_grad",
    "check_prediction",
    "factors",
    "reduce_loss",
    "times",
]

REDUCTIONS = ("mean", "sum", "none")
TASKS = ("multiclass", "binary", "regression")


class Loss(Module):
    """Base of the losses: define `forward`, from (prediction, target) to a number, and `backward`.

    The Trainer combines the means of several batches, of an epoch or of a step with ``accumulate``. A mean over
    something else than the samples of the batch says in `forward` what it was divided by: ``self.divisor = ...``.

    Args:
        reduction: 'mean' or 'sum' for a number, 'none' for an array with the loss of each sample.

    Attributes:
        task: what the loss judges, for metrics: "multiclass", one of C classes, scores (N, C, ...); "binary", a
            decision of yes or no by each element; "regression", numbers; or None, not known. A subclass sets it.
        threshold: with "binary", the output above which the decision is yes: 0 for logits, 0.5 for probabilities.
        divisor: what the last mean was divided by, if `forward` has set it; None: the number of samples.
        shares: with reduction 'none', what each sample (or element) adds to the divisor: 1 if `forward` has not set it,
            0 for one that does not count; a number, or an array in the loss's shape. Needed for sample weights.
        whole_batch: True for a loss that is neither a mean nor a sum of its samples' losses, such as a root of a mean,
            or a Dice loss over the batch. The Trainer weights such batches by their samples, but what several of them
            give is not what one large batch would give.
    """

    task: str | None = None
    threshold: float = 0.0
    divisor: float | None = None
    shares: Array | float | None = None
    whole_batch: ClassVar[bool] = False
    for_lack_of_one: ClassVar[str] = (
        "the prediction comes first, then the target, as in loss_fn(model(x), y); of a target that is computed, give "
        "x.detach()"
    )

    @property
    def is_mean(self) -> bool:
        """Whether the loss is a mean, over ``divisor`` samples or weights, rather than a sum."""
        return self.reduction != "sum"

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = check_choice(type(self).__name__, "reduction", reduction, REDUCTIONS)

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Run `forward`, as `Module.__call__` does, without what an earlier call has set."""
        for name in ("divisor", "shares"):
            self.__dict__.pop(name, None)
        return super().__call__(*inputs, **options)

    def finish(self, loss: Any, cache: Any) -> Any:
        """Save the cache, whose ``divisor`` and ``shares`` are the loss's; return a reduced loss as a float."""
        self.save_for_backward(cache)
        self.divisor, self.shares = cache.divisor, getattr(cache, "shares", None)
        return loss if self.reduction == "none" or isinstance(loss, Operand) else float(loss)


def check_prediction(prediction: Array, target: Any) -> Array:
    """Return the prediction, or raise TypeError if it has no floats; the message knows if the target has them."""
    kinds = [getattr(getattr(x, "dtype", None), "kind", "") for x in (prediction, target)]
    if kinds[0] in ("i", "u", "b") and kinds[1] == "f":
        raise TypeError(
            f"expected a float prediction, got {prediction.dtype}, and {target.dtype} as target: the prediction comes "
            "first, then the target, as in loss_fn(model(x), y)"
        )
    return check_float(prediction, "prediction")


def factors(owner: str, name: str, value: ArrayLike | None) -> Array | None:
    """Check weights, of classes or elements: return them as a float array, or None."""
    if value is None:
        return None
    array = np.array(value)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{owner}: {name} must be numbers, got {value!r}")
    return check_factors(f"{owner}: {name}", array.astype(np.float64 if array.dtype == np.float64 else np.float32))


def check_factors(name: str, weights: Array) -> Array:
    """Return weights as they are; raise ValueError if one is negative or NaN. Infinity is for a class that is absent.

    Cheap enough for each forward pass, by which they may have been changed or loaded.
    """
    if not weights.min(initial=0) >= 0:
        index = tuple(int(i) for i in np.argwhere(~(weights >= 0))[0])
        raise ValueError(f"{name} must not be negative or NaN, got {weights[index]} at index {list(index)}")
    return weights


def times(factor: Any, value: Array) -> Array:
    """Return factor * value in the value's dtype; 0 where one of them is 0, even if the other is infinite or NaN."""
    with np.errstate(over="ignore", invalid="ignore"):
        product: Array = np.asarray(np.multiply(factor, value, dtype=value.dtype))
        finite = math.isfinite(np.add.reduce(product, axis=None))  # a NaN in the product would be in the sum
    if not finite:
        product[np.equal(factor, 0) | (value == 0)] = 0
    return product


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
