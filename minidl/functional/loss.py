"""Losses in forward and backward pairs. A loss is a scalar of the prediction's dtype, or an array ('none')."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ._checks import Array, check_choice, check_float, check_number
from .activation import log_softmax_forward

__all__ = [
    "REDUCTIONS",
    "cross_entropy_backward",
    "cross_entropy_forward",
    "mse_loss_backward",
    "mse_loss_forward",
]

REDUCTIONS = ("mean", "sum", "none")


class CrossEntropyCache(NamedTuple):
    """Log-probabilities and the coefficient of each of them in the loss; the divisor of a mean, else 1."""

    log_p: Array
    coefficients: Array
    divisor: float
    reduction: str


def cross_entropy_forward(
    logits: Array,
    target: Array,
    *,
    weight: Array | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> tuple[Any, CrossEntropyCache]:
    """Cross-entropy between softmax(logits) and integer labels or class probabilities.

    loss_i = -sum_c w[c] * ((1-e) * t_i[c] + e/C) * log p_i[c],   p_i = softmax(logits_i)

    t_i being the given probabilities, or one-hot of the label y_i. 'mean' divides the sum by sum_i w[y_i] over the
    labels that are not ignored, with probabilities by the number of samples (and positions).

    Args:
        logits: scores (N, C), or (N, C, d1, ...), float32 or float64; not softmax outputs.
        target: labels (N,), or (N, d1, ...), integers in [0, C) or ignore_index; or probabilities in logits' shape.
        weight: w above, one per class (C,); None means ones.
        ignore_index: labels with this value add nothing, to the loss or the gradient.
        label_smoothing: e above, in [0, 1].
        reduction: 'mean', 'sum' or 'none'.

    Returns:
        The loss: a scalar, or with 'none' an array (N, d1, ...); and the cache for `cross_entropy_backward`.

    Raises:
        ValueError: shapes do not fit, or a label is out of range.
        TypeError: dtypes do not fit.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html
    """
    check_float(logits, "prediction")
    check_choice("cross_entropy", "reduction", reduction, REDUCTIONS)
    smoothing = check_number("cross_entropy", "label_smoothing", label_smoothing, maximum=1.0)
    if logits.ndim < 2:
        raise ValueError(f"expected predictions of shape (N, C) or (N, C, d1, ...), got {logits.shape}")
    classes = logits.shape[1]
    per_class = _class_weights(weight, logits)
    target = np.asarray(target)
    if target.dtype.kind == "f":
        if target.shape != logits.shape:
            raise ValueError(
                f"expected class probabilities of the predictions' shape {logits.shape}, got {target.shape}; "
                "class labels must be integers"
            )
        probabilities: Array = target.astype(logits.dtype, copy=False)
        kept: Any = True
        divisor = float(logits.size // classes)
    else:
        labels, kept = _check_labels(target, logits.shape, ignore_index)
        one_hot = np.arange(classes).reshape(_class_axis(logits)) == np.expand_dims(labels, 1)
        probabilities = one_hot.astype(logits.dtype)
        divisor = float(per_class.reshape(-1)[labels[kept]].sum())
        kept = np.expand_dims(kept, 1)
    coefficients = per_class * ((1 - smoothing) * probabilities + smoothing / classes) * kept
    log_p, _ = log_softmax_forward(logits, axis=1)
    # where a coefficient is zero the term is zero, even if the logarithm is -inf
    terms = np.multiply(coefficients, log_p, out=np.zeros_like(log_p), where=coefficients != 0)
    per_sample = -terms.sum(axis=1)
    divisor = divisor if reduction == "mean" else 1.0
    return _reduce(per_sample, reduction, divisor), CrossEntropyCache(log_p, coefficients, divisor, reduction)


def cross_entropy_backward(grad_output: Any, cache: CrossEntropyCache) -> Array:
    """Gradient of `cross_entropy_forward` with respect to the logits.

    dlogits = grad * (softmax(logits) * sum_c q[c] - q) / divisor, q the coefficients of the log-probabilities:
    (p - one_hot(y)) / N for plain labels.

    Args:
        grad_output: gradient of the loss: a number, or an array in its shape for reduction 'none'.
        cache: from `cross_entropy_forward`.

    Returns:
        dlogits of the logits' shape and dtype.

    Raises:
        ValueError: grad_output has not the loss's shape.
    """
    log_p, q, divisor, reduction = cache
    grad = _check_loss_grad(grad_output, (log_p.shape[0], *log_p.shape[2:]), reduction, log_p.dtype)
    if reduction == "none":
        grad = np.expand_dims(grad, 1)
    if divisor == 0:  # every label ignored: the loss is NaN, the gradient zero, as in PyTorch
        return np.zeros_like(log_p)
    scale = (grad / divisor).astype(log_p.dtype)
    return (np.exp(log_p) * q.sum(axis=1, keepdims=True) - q) * scale  # type: ignore[no-any-return]


class MSECache(NamedTuple):
    """Prediction minus target; the divisor of a mean, else 1."""

    difference: Array
    divisor: float
    reduction: str


def mse_loss_forward(prediction: Array, target: Array, *, reduction: str = "mean") -> tuple[Any, MSECache]:
    """Squared error: (prediction - target)**2, its mean over all elements, or its sum.

    Args:
        prediction: any shape, float32 or float64.
        target: the same shape; converted to the prediction's dtype.
        reduction: 'mean', 'sum' or 'none'.

    Returns:
        The loss: a scalar, or with 'none' an array in the prediction's shape; and the cache for the backward pass.

    Raises:
        ValueError: the shapes differ (nothing is broadcast).
        TypeError: the prediction's dtype is not a float.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.MSELoss.html
    """
    check_float(prediction, "prediction")
    check_choice("mse_loss", "reduction", reduction, REDUCTIONS)
    target = np.asarray(target)
    if target.shape != prediction.shape:
        raise ValueError(f"expected a target of the prediction's shape {prediction.shape}, got {target.shape}")
    difference = prediction - target.astype(prediction.dtype, copy=False)
    divisor = float(difference.size) if reduction == "mean" else 1.0
    return _reduce(difference * difference, reduction, divisor), MSECache(difference, divisor, reduction)


def mse_loss_backward(grad_output: Any, cache: MSECache) -> Array:
    """Gradient of `mse_loss_forward` with respect to the prediction: grad * 2 * (prediction - target) / divisor.

    Args:
        grad_output: gradient of the loss: a number, or an array in its shape for reduction 'none'.
        cache: from `mse_loss_forward`.

    Returns:
        The gradient, of the prediction's shape and dtype.

    Raises:
        ValueError: grad_output has not the loss's shape.
    """
    difference, divisor, reduction = cache
    grad = _check_loss_grad(grad_output, difference.shape, reduction, difference.dtype)
    return difference * (2 * grad / max(divisor, 1.0)).astype(difference.dtype)  # type: ignore[no-any-return]


def _class_axis(logits: Array) -> tuple[int, ...]:
    return (1, logits.shape[1], *(1,) * (logits.ndim - 2))


def _class_weights(weight: Array | None, logits: Array) -> Array:
    if weight is None:
        return np.ones(_class_axis(logits), logits.dtype)
    if weight.shape != (logits.shape[1],):
        raise ValueError(f"expected one weight for each of {logits.shape[1]} classes, got shape {weight.shape}")
    return weight.astype(logits.dtype, copy=False).reshape(_class_axis(logits))


def _check_labels(target: Array, shape: tuple[int, ...], ignore_index: int) -> tuple[Array, Array]:
    """Return the labels, with 0 in the ignored places, and where they are kept."""
    if target.dtype.kind not in "iu":
        raise TypeError(f"expected integer labels or float class probabilities, got {target.dtype}")
    expected = (shape[0], *shape[2:])
    if target.shape != expected:
        raise ValueError(f"expected labels of shape {expected} for predictions of shape {shape}, got {target.shape}")
    kept = target != ignore_index
    wrong = kept & ((target < 0) | (target >= shape[1]))
    if wrong.any():
        where = np.unravel_index(int(wrong.argmax()), wrong.shape)
        at = ", ".join(str(int(i)) for i in where)
        raise ValueError(f"expected labels from 0 to {shape[1] - 1}, got {target[where]} at index {at}")
    return np.where(kept, target, 0), kept


def _reduce(per_sample: Array, reduction: str, divisor: float) -> Any:
    if reduction == "none":
        return per_sample
    with np.errstate(divide="ignore", invalid="ignore"):
        return (per_sample.sum() / np.asarray(divisor)).astype(per_sample.dtype)[()]


def _check_loss_grad(grad_output: Any, shape: tuple[int, ...], reduction: str, dtype: np.dtype[Any]) -> Array:
    grad = np.asarray(grad_output, dtype=dtype)
    expected = shape if reduction == "none" else ()
    if grad.shape != expected:
        raise ValueError(f"expected grad_output of the loss's shape {expected}, got {grad.shape}")
    return grad
