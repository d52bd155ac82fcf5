"""Losses in forward and backward pairs. A loss is a scalar of the prediction's dtype, or an array ('none')."""

# mypy: disable-error-code="no-any-return"
# (what NumPy computes from arrays of either dtype is Any)
from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .._core import Array, check_choice, check_float, check_number
from ._explain import explain_pair, options_of
from .activation import log_softmax_forward

__all__ = [
    "REDUCTIONS",
    "bce_loss_backward",
    "bce_loss_forward",
    "bce_with_logits_loss_backward",
    "bce_with_logits_loss_forward",
    "cross_entropy_backward",
    "cross_entropy_forward",
    "huber_loss_backward",
    "huber_loss_forward",
    "kl_div_loss_backward",
    "kl_div_loss_forward",
    "l1_loss_backward",
    "l1_loss_forward",
    "mse_loss_backward",
    "mse_loss_forward",
    "multi_margin_loss_backward",
    "multi_margin_loss_forward",
    "nll_loss_backward",
    "nll_loss_forward",
    "smooth_l1_loss_backward",
    "smooth_l1_loss_forward",
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
    return (np.exp(log_p) * q.sum(axis=1, keepdims=True) - q) * scale


class ElementwiseCache(NamedTuple):
    """Prediction, target and options; the weights of the elements; the divisor of a mean, else 1."""

    prediction: Array
    target: Array
    options: dict[str, Any]
    weight: Array | None
    divisor: float
    reduction: str


_FORWARD = """
    Args:
        prediction: x, any shape, float32 or float64.
        target: t, the same shape; converted to the prediction's dtype.
        reduction: 'mean', 'sum' or 'none'.
        weight: a factor for each element, broadcast to it; or None.{options}

    Returns:
        The loss: a scalar, or with 'none' an array in the prediction's shape; and the cache for `{name}_backward`.

    Raises:
        ValueError: the shapes differ (nothing is broadcast).
        TypeError: the dtypes do not fit.
    """
_BACKWARD = """
    Gradient of `{name}_forward` with respect to the prediction.

    Returns:
        The gradient, of the prediction's shape and dtype.
    """


def _pair(value: Callable[..., Array], slope: Callable[..., Array]) -> tuple[Callable[..., Any], Callable[..., Array]]:
    """Make (forward, backward) of the loss ``value(x, t, **options)`` of each element; ``slope`` is its derivative."""
    name = value.__name__.strip("_")
    defaults = options_of(value, 2)

    def forward(
        prediction: Array, target: Array, *, reduction: str = "mean", weight: Array | None = None, **options: Any
    ) -> tuple[Any, ElementwiseCache]:
        check_float(prediction, "prediction")
        check_choice(name, "reduction", reduction, REDUCTIONS)
        target = np.asarray(target)
        if target.shape != prediction.shape:
            raise ValueError(f"expected a target of the prediction's shape {prediction.shape}, got {target.shape}")
        if target.dtype.kind not in "fiub":
            raise TypeError(f"expected a target of numbers, got {target.dtype}")
        target = target.astype(prediction.dtype, copy=False)
        options = {**defaults, **options}
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            each = value(prediction, target, **options)
        if weight is not None:
            each = each * weight.astype(each.dtype, copy=False)
        divisor = float(each.size) if reduction == "mean" else 1.0
        cache = ElementwiseCache(prediction, target, options, weight, divisor, reduction)
        return _reduce(each, reduction, divisor), cache

    def backward(grad_output: Any, cache: ElementwiseCache) -> Array:
        x, t, options, weight, divisor, reduction = cache
        grad = _check_loss_grad(grad_output, x.shape, reduction, x.dtype)
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            dx = slope(x, t, **options) * (grad / max(divisor, 1.0)).astype(x.dtype)
        return dx if weight is None else dx * weight.astype(x.dtype, copy=False)

    explain_pair(value, forward, backward, defaults, _FORWARD, _BACKWARD)
    return forward, backward


def _mse_loss(x: Array, t: Array) -> Array:
    """Squared error: (x - t)**2."""
    return (x - t) ** 2


def _l1_loss(x: Array, t: Array) -> Array:
    """Absolute error: abs(x - t); its gradient is 0 where x == t."""
    return abs(x - t)


def _huber_loss(x: Array, t: Array, delta: float = 1.0) -> Array:
    """Huber's loss: d**2 / 2 where d = abs(x - t) is less than delta, else delta * (d - delta/2).

    delta: where the parabola becomes a line.
    """
    d = abs(x - t)
    return np.where(d < delta, 0.5 * d * d, delta * (d - 0.5 * delta))


def _smooth_l1_loss(x: Array, t: Array, beta: float = 1.0) -> Array:
    """Smooth absolute error: d**2 / (2*beta) where d = abs(x - t) is less than beta, else d - beta/2.

    beta: where the parabola becomes a line; 0 is the absolute error.
    """
    d = abs(x - t)
    return np.where(d < beta, 0.5 * d * d / beta if beta else d, d - 0.5 * beta)


def _smooth_l1_slope(x: Array, t: Array, beta: float) -> Array:
    d = x - t
    return np.where(abs(d) < beta, d / beta if beta else d, np.sign(d))


def _bce_loss(x: Array, t: Array) -> Array:
    """Binary cross-entropy of probabilities: -(t*log(x) + (1-t)*log(1-x)), the logarithms not below -100."""
    return -(t * np.maximum(np.log(x), -100) + (1 - t) * np.maximum(np.log1p(-x), -100))


def _bce_with_logits_loss(x: Array, t: Array, pos_weight: Array | None = None) -> Array:
    """Binary cross-entropy of logits: -(p*t*log(s) + (1-t)*log(1-s)), s = sigmoid(x), p = pos_weight.

    pos_weight: a factor for the positive class, broadcast to the shape; or None.
    """
    share = 1.0 if pos_weight is None else 1 + (pos_weight.astype(x.dtype, copy=False) - 1) * t
    return (1 - t) * x + share * (np.log1p(np.exp(-abs(x))) + np.maximum(-x, 0))


def _bce_with_logits_slope(x: Array, t: Array, pos_weight: Array | None) -> Array:
    share = 1.0 if pos_weight is None else 1 + (pos_weight.astype(x.dtype, copy=False) - 1) * t
    return (1 - t) - share / (1 + np.exp(x))


def _kl_div_loss(x: Array, t: Array, log_target: bool = False) -> Array:
    """Kullback-Leibler divergence of log-probabilities x from probabilities t: t * (log(t) - x), 0 where t is 0.

    log_target: whether the target is given as log-probabilities too.
    """
    if log_target:
        return np.exp(t) * (t - x)
    return np.where(t == 0, 0, t * np.log(np.where(t == 0, 1, t))) - t * x


mse_loss_forward, mse_loss_backward = _pair(_mse_loss, lambda x, t: 2 * (x - t))
l1_loss_forward, l1_loss_backward = _pair(_l1_loss, lambda x, t: np.sign(x - t))
huber_loss_forward, huber_loss_backward = _pair(_huber_loss, lambda x, t, delta: np.clip(x - t, -delta, delta))
smooth_l1_loss_forward, smooth_l1_loss_backward = _pair(_smooth_l1_loss, _smooth_l1_slope)
bce_loss_forward, bce_loss_backward = _pair(_bce_loss, lambda x, t: (x - t) / np.maximum((1 - x) * x, 1e-12))
bce_with_logits_loss_forward, bce_with_logits_loss_backward = _pair(_bce_with_logits_loss, _bce_with_logits_slope)
kl_div_loss_forward, kl_div_loss_backward = _pair(
    _kl_div_loss, lambda x, t, log_target: -np.exp(t) if log_target else -t
)


class LabelCache(NamedTuple):
    """The gradient of each sample's loss, and how they are put together."""

    slope: Array
    divisor: float
    reduction: str
    shape: tuple[int, ...]


def nll_loss_forward(
    log_p: Array,
    target: Array,
    *,
    weight: Array | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> tuple[Any, LabelCache]:
    """Negative log-likelihood: loss_i = -w[y_i] * log_p[i, y_i]; the mean divides by the sum of the w[y_i].

    Args:
        log_p: log-probabilities (N, C), or (N, C, d1, ...), float32 or float64.
        target: labels (N,), or (N, d1, ...), integers in [0, C) or ignore_index.
        weight: w above, one per class (C,); None means ones.
        ignore_index: labels with this value add nothing.
        reduction: 'mean', 'sum' or 'none'.

    Returns:
        The loss: a scalar, or with 'none' an array in the labels' shape; and the cache for `nll_loss_backward`.

    Raises:
        ValueError: shapes do not fit, or a label is out of range.
        TypeError: dtypes do not fit.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.NLLLoss.html
    """
    check_float(log_p, "prediction")
    check_choice("nll_loss", "reduction", reduction, REDUCTIONS)
    if log_p.ndim < 2:
        raise ValueError(f"expected predictions of shape (N, C) or (N, C, d1, ...), got {log_p.shape}")
    labels, kept = _check_labels(np.asarray(target), log_p.shape, ignore_index)
    factors = _class_weights(weight, log_p).reshape(-1)[labels] * kept
    chosen = np.take_along_axis(log_p, np.expand_dims(labels, 1), axis=1)[:, 0]
    slope = np.zeros_like(log_p)
    np.put_along_axis(slope, np.expand_dims(labels, 1), np.expand_dims(-factors, 1), axis=1)
    divisor = float(factors.sum()) if reduction == "mean" else 1.0
    loss = _reduce(np.where(kept, -factors * chosen, 0).astype(log_p.dtype, copy=False), reduction, divisor)
    return loss, LabelCache(slope, divisor, reduction, labels.shape)


def nll_loss_backward(grad_output: Any, cache: LabelCache) -> Array:
    """Gradient of `nll_loss_forward`: -w[y_i] at the label, divided as the loss was, and 0 elsewhere.

    Args:
        grad_output: gradient of the loss: a number, or an array in its shape for reduction 'none'.
        cache: from `nll_loss_forward`.

    Returns:
        The gradient, of the predictions' shape and dtype.

    Raises:
        ValueError: grad_output has not the loss's shape.
    """
    slope, divisor, reduction, shape = cache
    grad = _check_loss_grad(grad_output, shape, reduction, slope.dtype)
    if reduction == "none":
        grad = np.expand_dims(grad, 1)
    return slope * grad if divisor == 0 else slope * (grad / divisor).astype(slope.dtype)


def multi_margin_loss_forward(
    scores: Array,
    target: Array,
    *,
    p: int = 1,
    margin: float = 1.0,
    weight: Array | None = None,
    reduction: str = "mean",
) -> tuple[Any, LabelCache]:
    """Hinge loss of several classes: loss_i = w[y_i]/C * sum over j != y_i of max(0, margin - x[i, y_i] + x[i, j])**p.

    Args:
        scores: x, (N, C), float32 or float64.
        target: labels y (N,), integers in [0, C).
        p: 1 or 2.
        margin: by how much the label's score should exceed the others.
        weight: w above, one per class (C,); None means ones.
        reduction: 'mean', 'sum' or 'none'.

    Returns:
        The loss: a scalar, or with 'none' an array (N,); and the cache for `multi_margin_loss_backward`.

    Raises:
        ValueError: shapes do not fit, or a label is out of range.
        TypeError: dtypes do not fit.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.MultiMarginLoss.html
    """
    check_float(scores, "prediction")
    check_choice("multi_margin_loss", "reduction", reduction, REDUCTIONS)
    if scores.ndim != 2:
        raise ValueError(f"expected predictions of shape (N, C), got {scores.shape}")
    labels, _ = _check_labels(np.asarray(target), scores.shape, ignore_index=-(2**62))
    own = labels[:, None]
    excess = np.maximum(margin - np.take_along_axis(scores, own, axis=1) + scores, 0)
    np.put_along_axis(excess, own, 0, axis=1)
    factors = (_class_weights(weight, scores).reshape(-1)[labels] / scores.shape[1])[:, None]
    slope = factors * p * excess ** (p - 1) * (excess > 0)
    np.put_along_axis(slope, own, -slope.sum(axis=1, keepdims=True), axis=1)
    divisor = float(len(scores)) if reduction == "mean" else 1.0
    loss = _reduce((factors * excess**p).sum(axis=1), reduction, divisor)
    return loss, LabelCache(slope.astype(scores.dtype, copy=False), divisor, reduction, labels.shape)


multi_margin_loss_backward = nll_loss_backward


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
