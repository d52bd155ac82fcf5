"""Losses for classification: scores, log-probabilities or margins against integer labels."""

# mypy: disable-error-code="no-any-return"
# (what NumPy computes from arrays of either dtype is Any)
from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .._core import Array, check_choice, check_int, check_number
from ..engine import Engine, current_engine
from .loss import REDUCTIONS, Loss, check_factors, check_loss_grad, check_prediction, factors, reduce_loss, times
from .softmax import log_softmax_forward

__all__ = [
    "CrossEntropyLoss",
    "MultiMarginLoss",
    "NLLLoss",
    "cross_entropy_backward",
    "cross_entropy_forward",
    "multi_margin_loss_backward",
    "multi_margin_loss_forward",
    "nll_loss_backward",
    "nll_loss_forward",
]


def _class_axis(logits: Array) -> tuple[int, ...]:
    return (1, logits.shape[1], *(1,) * (logits.ndim - 2))


def _class_weights(weight: Array | None, logits: Array) -> Array:
    if weight is None:
        return np.ones(_class_axis(logits), logits.dtype)
    check_factors("weight", weight)
    if weight.shape != (logits.shape[1],):
        raise ValueError(f"expected one weight for each of {logits.shape[1]} classes, got shape {weight.shape}")
    return weight.astype(logits.dtype, copy=False).reshape(_class_axis(logits))


def _check_labels(target: Array, shape: tuple[int, ...], ignore_index: int) -> tuple[Array, Array]:
    """Return the labels, with 0 in place of ignored ones, and a mask of those that are not ignored."""
    if (kind := target.dtype.kind) not in "iu":
        hint = "; of names give numbers: names, y = np.unique(y, return_inverse=True)" if kind in "USTO" else ""
        hint = "; give y.astype(int)" if kind == "b" else hint
        raise TypeError(f"expected integer labels or float class probabilities, got {target.dtype}{hint}")
    expected = (shape[0], *shape[2:])
    if target.shape != expected:
        hint = "; of one-hot labels give their numbers, y.argmax(axis=1)" if target.shape == shape else ""
        raise ValueError(
            f"expected labels of shape {expected} for predictions of shape {shape}, got {target.shape}{hint}"
        )
    kept = target != ignore_index
    wrong = kept & ((target < 0) | (target >= shape[1]))
    if wrong.any():
        where = np.unravel_index(int(wrong.argmax()), wrong.shape)
        at = ", ".join(str(int(i)) for i in where)
        found = target[kept]
        hint = "; labels start at 0: subtract 1" if found.min() >= 1 and found.max() == shape[1] else ""
        raise ValueError(f"expected labels from 0 to {shape[1] - 1}, got {target[where]} at index {at}{hint}")
    return np.where(kept, target, 0), kept


def _warn(message: str) -> None:
    """Warn of what is given to a loss, where it is called."""
    warnings.warn(message, UserWarning, stacklevel=9)  # of _look_at, forward, three that call it, and __call__


class LabelLoss(Loss):
    """Base of the losses against integer labels, with a weight per class; a subclass names its pair and options.

    ``_options`` are attributes that the first function of the pair takes as arguments of the same names.
    """

    task = "multiclass"
    _pair: ClassVar[tuple[Callable[..., Any], Callable[..., Any]]]
    _options: ClassVar[tuple[str, ...]]
    weight: Array | None
    _looked = False

    def __init__(self, weight: ArrayLike | None, reduction: str) -> None:
        super().__init__(reduction)
        owner = type(self).__name__
        if weight is not None and (np.ndim(weight) != 1 or np.asarray(weight).dtype.kind not in "fiu"):
            raise ValueError(f"{owner}: weight must be one number per class, got {weight!r}")
        self.register_buffer("weight", factors(owner, "weight", weight))

    def _ignore(self, ignore_index: int) -> int:
        return check_int(type(self).__name__, "ignore_index", ignore_index, minimum=-(2**62))

    def forward(self, prediction: Array, target: ArrayLike) -> Any:
        """Return the loss of a prediction (N, C, ...) against labels (N, ...), or whatever else the loss accepts."""
        options = {name: getattr(self, name) for name in self._options}
        done = self._pair[0](prediction, target, **options)
        if not self._looked:  # once: what is wrong with a model is so from its first batch
            self._looked = True
            self._look_at(prediction)
        return self.finish(*done)

    def _look_at(self, prediction: Array) -> None:
        """Warn if the predictions do not look like what the loss takes."""

    def backward(self, grad_output: Any = 1.0) -> Array:
        """Return the gradient with respect to the prediction; see `Loss.backward`."""
        return self._pair[1](grad_output, self.take_saved())


class CrossEntropyCache(NamedTuple):
    """Log-probabilities and the coefficient of each of them in the loss; the divisor of a mean, else 1.

    ``shares`` are what each label adds to the divisor.
    """

    log_p: Array
    coefficients: Array
    divisor: float
    reduction: str
    shares: Array | float
    engine: Engine


def cross_entropy_forward(
    logits: Array,
    target: ArrayLike,
    *,
    weight: Array | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> tuple[Any, CrossEntropyCache]:
    """Cross-entropy between softmax(logits) and integer labels or class probabilities.

    loss_i = -sum_c w[c] * ((1-e) * t_i[c] + e/C) * log p_i[c],   p_i = softmax(logits_i)

    where t_i are the given probabilities, or one-hot of the label y_i. 'mean' divides the sum by sum_i w[y_i] over the
    labels that are not ignored; with probabilities, by the number of samples (and positions).

    Args:
        logits: scores (N, C), or (N, C, d1, ...), float32 or float64; not softmax outputs.
        target: labels (N,), or (N, d1, ...), integers in [0, C) or ignore_index; or probabilities in logits' shape.
        weight: w above, one per class (C,), not negative; infinity for a class that does not occur; None means ones.
        ignore_index: labels with this value contribute nothing to the loss or the gradient.
        label_smoothing: e above, in [0, 1].
        reduction: 'mean', 'sum' or 'none'.

    Returns:
        The loss: a scalar, or with 'none' an array (N, d1, ...); and the cache for `cross_entropy_backward`.

    Raises:
        ValueError: shapes do not fit, or a label is out of range.
        TypeError: dtypes do not fit.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html
    """
    check_prediction(logits, target)
    check_choice("cross_entropy", "reduction", reduction, REDUCTIONS)
    smoothing = check_number("cross_entropy", "label_smoothing", label_smoothing, maximum=1.0)
    if logits.ndim < 2:
        raise ValueError(f"expected predictions of shape (N, C) or (N, C, d1, ...), got {logits.shape}")
    engine, target = current_engine(), np.asarray(target)
    per_class = None if weight is None else _class_weights(weight, logits)
    done = None
    if engine.cross_entropy is not None and target.dtype.kind in "iu":
        factors = None if per_class is None else np.ascontiguousarray(per_class.reshape(-1))
        done = engine.cross_entropy(logits, target, factors, ignore_index, smoothing)
    if done is not None:
        log_p, coefficients, per_sample, count = done
        kept = target != ignore_index
        shares, divisor = _shares(target, kept, per_class) if per_class is not None else (kept, float(count))
    else:
        log_p, _ = log_softmax_forward(logits, axis=1)
        coefficients, shares, divisor = _coefficients(logits, target, per_class, ignore_index, smoothing)
        per_sample = -times(coefficients, log_p).sum(axis=1)
    divisor = divisor if reduction == "mean" else 1.0
    cache = CrossEntropyCache(log_p, coefficients, divisor, reduction, shares, engine)
    return reduce_loss(per_sample, reduction, divisor), cache


def _coefficients(
    logits: Array, target: Array, per_class: Array | None, ignore_index: int, smoothing: float
) -> tuple[Array, Any, float]:
    """Return the log-probabilities' coefficients, what each label adds to a mean's divisor, and the divisor."""
    classes = logits.shape[1]
    if target.dtype.kind == "f":
        if target.shape != logits.shape:
            raise ValueError(
                f"expected class probabilities of the predictions' shape {logits.shape}, got {target.shape}; "
                "class labels must be integers"
            )
        probabilities: Array = target.astype(logits.dtype, copy=False)
        kept: Any = True
        shares: Any = 1.0
        divisor = float(logits.size // classes)
    else:
        labels, kept = _check_labels(target, logits.shape, ignore_index)
        one_hot = np.arange(classes).reshape(_class_axis(logits)) == np.expand_dims(labels, 1)
        probabilities = one_hot.astype(logits.dtype)
        shares, divisor = _shares(labels, kept, per_class)
        kept = np.expand_dims(kept, 1)
    coefficients = ((1 - smoothing) * probabilities + smoothing / classes) * kept
    return coefficients if per_class is None else times(coefficients, per_class), shares, divisor


def _shares(labels: Array, kept: Array, per_class: Array | None) -> tuple[Array, float]:
    """Return what each label adds to the divisor of a mean, and the divisor."""
    if per_class is None:
        return kept, float(np.count_nonzero(kept))
    shares = np.where(kept, per_class.reshape(-1)[np.where(kept, labels, 0)], 0)
    return shares, float(shares[kept].sum())


def cross_entropy_backward(grad_output: Any, cache: CrossEntropyCache) -> Array:
    """Return the gradient of `cross_entropy_forward` with respect to the logits.

    dlogits = grad * (softmax(logits) * sum_c q[c] - q) / divisor, q the coefficients of the log-probabilities:
    (p - one_hot(y)) / N for plain labels.

    Returns dlogits of the logits' shape and dtype. ``grad_output`` is a number, or for reduction 'none' an array in
    the loss's shape (ValueError); ``cache`` is from `cross_entropy_forward`.
    """
    log_p, q, divisor, reduction, _, engine = cache
    grad = check_loss_grad(grad_output, (log_p.shape[0], *log_p.shape[2:]), reduction, log_p.dtype)
    if reduction == "none":
        grad = np.expand_dims(grad, 1)
    if divisor == 0:  # every label ignored: the loss is NaN, the gradient zero, as in PyTorch
        return np.zeros_like(log_p)
    scale = (grad / divisor).astype(log_p.dtype)
    if engine.cross_entropy_grad is not None and log_p.ndim == 2 and log_p.strides == q.strides:
        return engine.cross_entropy_grad(log_p, q, scale)
    with np.errstate(invalid="ignore"):  # inf - inf, in a sample that may not count
        dlogits = times(q.sum(axis=1, keepdims=True), np.exp(log_p)) - q
        return times(scale, dlogits) if reduction == "none" else dlogits * scale


class CrossEntropyLoss(LabelLoss):
    """Cross-entropy between softmax(logits) and labels: -sum_c w[c] * t[c] * log softmax(logits)[c].

    The prediction is logits: the raw scores of the last Linear, without softmax.

    Args:
        weight: one factor per class, (C,), not negative; the mean divides by the sum of the labels' weights.
        ignore_index: labels with this value are ignored.
        reduction: 'mean', 'sum' or 'none'.
        label_smoothing: this share of each target is spread evenly over the classes, in [0, 1].

    Shape:
        logits (N, C) or (N, C, d1, ...); target labels (N,) or (N, d1, ...), integers from 0 to C-1, or
        probabilities in the logits' shape. The loss is a float; with 'none' an array in the labels' shape.

    Raises:
        ValueError, TypeError: when called: shapes or dtypes do not fit, or a label is out of range.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html
    """

    _pair = cross_entropy_forward, cross_entropy_backward
    _options = "weight", "ignore_index", "label_smoothing", "reduction"

    def __init__(
        self,
        weight: ArrayLike | None = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, reduction)
        self.ignore_index = self._ignore(ignore_index)
        self.label_smoothing = check_number("CrossEntropyLoss", "label_smoothing", label_smoothing, maximum=1.0)

    def _look_at(self, prediction: Array) -> None:
        """Warn if the predictions are probabilities."""
        between = prediction.size and prediction.min() >= 0 and ((prediction > 0) & (prediction < 1)).any()
        if between and (abs(prediction.sum(axis=1) - 1) < 1e-4).all():  # zeros and ones alone may be scores
            _warn(
                "CrossEntropyLoss: the predictions look like probabilities, and it takes scores (logits): leave the "
                "Softmax away, or train on the logarithms with LogSoftmax and NLLLoss"
            )


class LabelCache(NamedTuple):
    """The gradient of each sample's loss, how they are reduced, and what each adds to the divisor of their mean."""

    slope: Array
    divisor: float
    reduction: str
    shape: tuple[int, ...]
    shares: Array | float


def nll_loss_forward(
    log_p: Array,
    target: ArrayLike,
    *,
    weight: Array | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> tuple[Any, LabelCache]:
    """Negative log-likelihood: loss_i = -w[y_i] * log_p[i, y_i]; the mean divides by the sum of the w[y_i].

    log_p is (N, C) or (N, C, d1, ...), target has labels (N,) or (N, d1, ...); weight w (C,) or None, ignore_index and
    reduction are those of `NLLLoss`. Returns the loss and the cache for `nll_loss_backward`. Raises ValueError if
    shapes do not fit or a label is out of range, TypeError if dtypes do not fit.
    """
    check_prediction(log_p, target)
    check_choice("nll_loss", "reduction", reduction, REDUCTIONS)
    if log_p.ndim < 2:
        raise ValueError(f"expected predictions of shape (N, C) or (N, C, d1, ...), got {log_p.shape}")
    labels, kept = _check_labels(np.asarray(target), log_p.shape, ignore_index)
    shares = np.where(kept, _class_weights(weight, log_p).reshape(-1)[labels], 0)
    chosen = np.take_along_axis(log_p, np.expand_dims(labels, 1), axis=1)[:, 0]
    slope = np.zeros_like(log_p)
    np.put_along_axis(slope, np.expand_dims(labels, 1), np.expand_dims(-shares, 1), axis=1)
    divisor = float(shares.sum()) if reduction == "mean" else 1.0
    loss = reduce_loss(times(-shares, chosen), reduction, divisor)
    return loss, LabelCache(slope, divisor, reduction, labels.shape, shares)


def nll_loss_backward(grad_output: Any, cache: LabelCache) -> Array:
    """Return the gradient of `nll_loss_forward`: -w[y_i] at the label, divided as the loss was, and 0 elsewhere.

    Returns the gradient in the prediction's shape and dtype. ``grad_output`` is a number, or for reduction 'none' an
    array in the loss's shape (ValueError); ``cache`` is from `nll_loss_forward`.
    """
    slope, divisor, reduction, shape, _ = cache
    grad = check_loss_grad(grad_output, shape, reduction, slope.dtype)
    if reduction == "none":
        return times(np.expand_dims(grad, 1), slope)
    return slope * grad if divisor == 0 else slope * (grad / divisor).astype(slope.dtype)


class NLLLoss(LabelLoss):
    """Negative log-likelihood of log-probabilities, as LogSoftmax gives them: -weight[y] * prediction[y].

    Args:
        weight: one factor per class, (C,), not negative; the mean divides by the sum of the labels' weights.
        ignore_index: labels with this value are ignored.
        reduction: 'mean', 'sum' or 'none'.

    Shape:
        prediction (N, C) or (N, C, d1, ...); labels (N,) or (N, d1, ...).
    """

    _pair = nll_loss_forward, nll_loss_backward
    _options = "weight", "ignore_index", "reduction"

    def __init__(self, weight: ArrayLike | None = None, *, ignore_index: int = -100, reduction: str = "mean") -> None:
        super().__init__(weight, reduction)
        self.ignore_index = self._ignore(ignore_index)

    def _look_at(self, prediction: Array) -> None:
        """Warn if the predictions are no logarithms of probabilities."""
        if prediction.size and 1e-4 < prediction.max() < np.inf:
            _warn(
                "NLLLoss: it takes logarithms of probabilities, which are not above 0 as these are: put LogSoftmax at "
                "the end of the model, or give scores to CrossEntropyLoss"
            )


def multi_margin_loss_forward(
    scores: Array,
    target: ArrayLike,
    *,
    p: int = 1,
    margin: float = 1.0,
    weight: Array | None = None,
    reduction: str = "mean",
) -> tuple[Any, LabelCache]:
    """Multi-class hinge loss: loss_i = w[y_i]/C * sum over j != y_i of max(0, margin - x[i, y_i] + x[i, j])**p.

    scores x is (N, C), target has labels y (N,); p, margin, weight w and reduction are those of `MultiMarginLoss`.
    Returns the loss and the cache for `multi_margin_loss_backward`; raises as `nll_loss_forward` does.
    """
    check_prediction(scores, target)
    check_choice("multi_margin_loss", "reduction", reduction, REDUCTIONS)
    if scores.ndim != 2:
        raise ValueError(f"expected predictions of shape (N, C), got {scores.shape}")
    labels, _ = _check_labels(np.asarray(target), scores.shape, ignore_index=-(2**62))
    own = labels[:, None]
    with np.errstate(invalid="ignore"):
        excess = np.maximum(margin - np.take_along_axis(scores, own, axis=1) + scores, 0)
    np.put_along_axis(excess, own, 0, axis=1)
    factors = (_class_weights(weight, scores).reshape(-1)[labels] / scores.shape[1])[:, None]
    slope = times(factors, p * excess ** (p - 1) * (excess > 0))
    np.put_along_axis(slope, own, -slope.sum(axis=1, keepdims=True), axis=1)
    divisor = float(len(scores)) if reduction == "mean" else 1.0
    loss = reduce_loss(times(factors, excess**p).sum(axis=1), reduction, divisor)
    return loss, LabelCache(slope.astype(scores.dtype, copy=False), divisor, reduction, labels.shape, 1.0)


multi_margin_loss_backward = nll_loss_backward


class MultiMarginLoss(LabelLoss):
    """Multi-class hinge loss: weight[y]/C * sum over j != y of max(0, margin - x[y] + x[j])**p.

    Args:
        p: 1 or 2.
        margin: how much the label's score should exceed the others.
        weight: one factor per class, (C,), not negative.
        reduction: 'mean', 'sum' or 'none'.

    Shape:
        prediction x (N, C); labels y (N,).
    """

    _pair = multi_margin_loss_forward, multi_margin_loss_backward
    _options = "p", "margin", "weight", "reduction"

    def __init__(
        self, p: int = 1, margin: float = 1.0, weight: ArrayLike | None = None, *, reduction: str = "mean"
    ) -> None:
        super().__init__(weight, reduction)
        if p not in (1, 2):
            raise ValueError(f"MultiMarginLoss: p must be 1 or 2, got {p!r}")
        self.p = int(p)
        self.margin = check_number("MultiMarginLoss", "margin", margin, minimum=-float("inf"))
