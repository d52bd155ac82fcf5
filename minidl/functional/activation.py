"""Activations and softmax in forward and backward pairs.

An elementwise activation is two formulas: its value, and its slope given x and the value. `_pair` makes the forward
and backward functions of them; what is common to all of them stands there, once.
"""

# mypy: disable-error-code="no-any-return"
# (what NumPy computes from arrays of either dtype is Any)
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .._core import Array, check_float, check_grad, check_same_dtype
from .._core.threads import run
from . import _layout
from ._erf import erf
from ._explain import explain, explain_pair, options_of
from ._mask import kept_unless, select

__all__ = [
    "celu_backward",
    "celu_forward",
    "elu_backward",
    "elu_forward",
    "gelu_backward",
    "gelu_forward",
    "glu_backward",
    "glu_forward",
    "hardshrink_backward",
    "hardshrink_forward",
    "hardsigmoid_backward",
    "hardsigmoid_forward",
    "hardswish_backward",
    "hardswish_forward",
    "hardtanh_backward",
    "hardtanh_forward",
    "leaky_relu_backward",
    "leaky_relu_forward",
    "log_softmax_backward",
    "log_softmax_forward",
    "logsigmoid_backward",
    "logsigmoid_forward",
    "mish_backward",
    "mish_forward",
    "prelu_backward",
    "prelu_forward",
    "relu6_backward",
    "relu6_forward",
    "relu_backward",
    "relu_forward",
    "selu_backward",
    "selu_forward",
    "sigmoid_backward",
    "sigmoid_forward",
    "silu_backward",
    "silu_forward",
    "softmax_backward",
    "softmax_forward",
    "softplus_backward",
    "softplus_forward",
    "softshrink_backward",
    "softshrink_forward",
    "softsign_backward",
    "softsign_forward",
    "tanh_backward",
    "tanh_forward",
    "tanhshrink_backward",
    "tanhshrink_forward",
    "threshold_backward",
    "threshold_forward",
]

Forward = Callable[..., tuple[Array, Any]]
Backward = Callable[[Array, Any], Array]


_FORWARD = """
    Args:
        x: any shape, float32 or float64.{options}

    Returns:
        out of x's shape and dtype, and the cache for `{name}_backward`.

    Raises:
        TypeError: the dtype is not a float.
    """
_BACKWARD = """
    Gradient of `{name}_forward`: grad_output times the slope at x.

    Returns:
        dx of grad_output's shape and dtype.
    """


def _pair(value: Callable[..., Array], slope: Callable[..., Array]) -> tuple[Forward, Backward]:
    """Make (forward, backward) of an activation's ``value(x, **options)`` and ``slope(x, y, **options)``."""
    defaults = options_of(value, 1)

    def forward(x: Array, /, **options: Any) -> tuple[Array, Any]:
        check_float(x)
        options = {**defaults, **options}
        out = _layout.empty_like(x)

        def work(piece: tuple[Array, ...]) -> None:
            with np.errstate(over="ignore", under="ignore", invalid="ignore"):
                piece[1][...] = value(piece[0], **options)

        run(work, _layout.pieces(x, out))
        return out, (x, out, options)

    def backward(grad_output: Array, cache: Any) -> Array:
        x, out, options = cache
        check_grad(grad_output, out.shape, out.dtype)
        dx = _layout.empty_like(grad_output)

        def work(piece: tuple[Array, ...]) -> None:
            grad, before, after, result = piece
            with np.errstate(over="ignore", under="ignore", invalid="ignore"):
                np.multiply(grad, slope(before, after, **options), out=result)

        run(work, _layout.pieces(grad_output, x, out, dx))
        return dx

    explain_pair(value, forward, backward, defaults, _FORWARD, _BACKWARD)
    return forward, backward


def _sigmoid(x: Array) -> Array:
    """Logistic function: out = 1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-x))  # exp may overflow to infinity; the quotient is 0 then, as it should be


def _logsigmoid(x: Array) -> Array:
    """Logarithm of the logistic function: out = -log(1 + exp(-x))."""
    return np.minimum(x, 0) - np.log1p(np.exp(-abs(x)))


def _softplus(x: Array, beta: float = 1.0, threshold: float = 20.0) -> Array:
    """Smooth ReLU: out = log(1 + exp(beta*x)) / beta, and x itself where beta*x > threshold.

    beta: sharpness.
    threshold: from here on linear.
    """
    return np.where(beta * x > threshold, x, (np.maximum(beta * x, 0) + np.log1p(np.exp(-abs(beta * x)))) / beta)


def _softsign(x: Array) -> Array:
    """Softsign: out = x / (1 + |x|)."""
    return x / (1 + abs(x))


def _tanh(x: Array) -> Array:
    """Hyperbolic tangent: out = tanh(x)."""
    return np.tanh(x)


def _tanhshrink(x: Array) -> Array:
    """Tanhshrink: out = x - tanh(x)."""
    return x - np.tanh(x)


def _relu6(x: Array) -> Array:
    """ReLU that stops at six: out = min(max(x, 0), 6)."""
    return np.clip(x, 0, 6)


def _hardtanh(x: Array, min_val: float = -1.0, max_val: float = 1.0) -> Array:
    """Clip: out = min(max(x, min_val), max_val).

    min_val: least value.
    max_val: greatest value.
    """
    return np.clip(x, min_val, max_val)


def _hardsigmoid(x: Array) -> Array:
    """Piecewise linear sigmoid: out = min(max(x + 3, 0), 6) / 6."""
    return np.clip(x + 3, 0, 6) / 6


def _hardswish(x: Array) -> Array:
    """Hard swish: out = x * min(max(x + 3, 0), 6) / 6."""
    return x * np.clip(x + 3, 0, 6) / 6


def _leaky_relu(x: Array, negative_slope: float = 0.01) -> Array:
    """Leaky ReLU: out = x where x > 0, else negative_slope * x.

    negative_slope: slope below zero.
    """
    return np.where(x > 0, x, negative_slope * x)


def _elu(x: Array, alpha: float = 1.0) -> Array:
    """Exponential linear unit: out = x where x > 0, else alpha * (exp(x) - 1).

    alpha: minus the limit at minus infinity.
    """
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def _celu(x: Array, alpha: float = 1.0) -> Array:
    """Continuously differentiable ELU: out = x where x > 0, else alpha * (exp(x/alpha) - 1).

    alpha: minus the limit at minus infinity; not 0.
    """
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x / alpha, 0) if alpha > 0 else x / alpha))


_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def _selu(x: Array) -> Array:
    """Scaled ELU: out = 1.0507 * (x where x > 0, else 1.6733 * (exp(x) - 1)); Klambauer et al. 2017."""
    return _SELU_SCALE * np.where(x > 0, x, _SELU_ALPHA * np.expm1(np.minimum(x, 0)))


_TANH_SCALE = float(np.sqrt(2 / np.pi))


def _gelu(x: Array, approximate: str = "none") -> Array:
    """Gaussian error linear unit: out = x * Phi(x), Phi the distribution function of the standard normal.

    approximate: 'none', or 'tanh' for 0.5 * x * (1 + tanh(sqrt(2/pi) * (x + 0.044715 * x**3))).
    """
    if approximate == "tanh":
        return 0.5 * x * (1 + np.tanh(_TANH_SCALE * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + erf(x * float(np.sqrt(0.5))))


def _gelu_slope(x: Array, y: Array, approximate: str) -> Array:
    if approximate == "tanh":
        tanh = np.tanh(_TANH_SCALE * (x + 0.044715 * x**3))
        inner = _TANH_SCALE * (1 + 3 * 0.044715 * x**2)
        return 0.5 * (1 + tanh) + 0.5 * x * (1 - tanh**2) * inner
    density = np.exp(-0.5 * x**2) * float(1 / np.sqrt(2 * np.pi))
    return 0.5 * (1 + erf(x * float(np.sqrt(0.5)))) + x * density


def _silu(x: Array) -> Array:
    """Sigmoid linear unit, or swish: out = x / (1 + exp(-x))."""
    return x * _sigmoid(x)


def _silu_slope(x: Array, y: Array) -> Array:
    sigmoid = _sigmoid(x)
    return sigmoid * (1 + x * (1 - sigmoid))


def _mish(x: Array) -> Array:
    """Mish: out = x * tanh(log(1 + exp(x)))."""
    return x * np.tanh(_softplus(x))


def _mish_slope(x: Array, y: Array) -> Array:
    tanh = np.tanh(_softplus(x))
    slope: Array = tanh + x * _sigmoid(x) * (1 - tanh**2)
    return slope


def _hardshrink(x: Array, lambd: float = 0.5) -> Array:
    """Hard shrinkage: out = x where |x| > lambd, else 0.

    lambd: half the width of the gap.
    """
    return np.where((x >= -lambd) & (x <= lambd), 0, x)


def _softshrink(x: Array, lambd: float = 0.5) -> Array:
    """Soft shrinkage: out = x moved towards 0 by lambd, and 0 where |x| <= lambd.

    lambd: half the width of the gap, not negative.
    """
    return x - np.clip(x, -lambd, lambd)


def _threshold(x: Array, threshold: float, value: float) -> Array:
    """Threshold: out = x where x > threshold, else value.

    threshold: what x must exceed.
    value: what takes its place.
    """
    return np.where(x <= threshold, x.dtype.type(value), x)


def _ones(condition: Array, x: Array) -> Array:
    return condition.astype(x.dtype)


sigmoid_forward, sigmoid_backward = _pair(_sigmoid, lambda x, y: y * (1 - y))
logsigmoid_forward, logsigmoid_backward = _pair(_logsigmoid, lambda x, y: _sigmoid(-x))
softplus_forward, softplus_backward = _pair(
    _softplus, lambda x, y, beta, threshold: np.where(beta * x > threshold, 1, _sigmoid(beta * x))
)
softsign_forward, softsign_backward = _pair(_softsign, lambda x, y: (1 + abs(x)) ** -2)
tanh_forward, tanh_backward = _pair(_tanh, lambda x, y: 1 - y * y)
tanhshrink_forward, tanhshrink_backward = _pair(_tanhshrink, lambda x, y: np.tanh(x) ** 2)
relu6_forward, relu6_backward = _pair(_relu6, lambda x, y: _ones((x > 0) & (x < 6), x))
hardtanh_forward, hardtanh_backward = _pair(
    _hardtanh, lambda x, y, min_val, max_val: _ones((x > min_val) & (x < max_val), x)
)
hardsigmoid_forward, hardsigmoid_backward = _pair(_hardsigmoid, lambda x, y: _ones((x > -3) & (x < 3), x) / 6)
hardswish_forward, hardswish_backward = _pair(
    _hardswish, lambda x, y: np.where(x <= -3, 0, np.where(x >= 3, 1, x / 3 + x.dtype.type(0.5)))
)
leaky_relu_forward, leaky_relu_backward = _pair(
    _leaky_relu, lambda x, y, negative_slope: np.where(x > 0, 1, x.dtype.type(negative_slope))
)
elu_forward, elu_backward = _pair(_elu, lambda x, y, alpha: np.where(x > 0, 1, alpha * np.exp(np.minimum(x, 0))))
celu_forward, celu_backward = _pair(_celu, lambda x, y, alpha: np.where(x > 0, 1, np.exp(x / alpha)))
selu_forward, selu_backward = _pair(
    _selu, lambda x, y: _SELU_SCALE * np.where(x > 0, 1, _SELU_ALPHA * np.exp(np.minimum(x, 0)))
)
gelu_forward, gelu_backward = _pair(_gelu, _gelu_slope)
silu_forward, silu_backward = _pair(_silu, _silu_slope)
mish_forward, mish_backward = _pair(_mish, _mish_slope)
hardshrink_forward, hardshrink_backward = _pair(_hardshrink, lambda x, y, lambd: _ones((x < -lambd) | (x > lambd), x))
softshrink_forward, softshrink_backward = _pair(_softshrink, lambda x, y, lambd: _ones((x < -lambd) | (x > lambd), x))
threshold_forward, threshold_backward = _pair(_threshold, lambda x, y, threshold, value: _ones(~(x <= threshold), x))


def relu_forward(x: Array) -> tuple[Array, Array]:
    """Rectify: out = max(x, 0), elementwise.

    Args:
        x: any shape, float32 or float64; -inf gives 0, NaN stays NaN.

    Returns:
        out of x's shape and dtype, and the cache for `relu_backward`.

    Raises:
        TypeError: the dtype is not a float.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.ReLU.html
    """
    check_float(x)
    out = _layout.empty_like(x)
    run(lambda piece: np.maximum(piece[0], 0, out=piece[1]), _layout.pieces(x, out))
    return out, out


def relu_backward(grad_output: Array, cache: Array) -> Array:
    """Gradient of `relu_forward`: grad_output where x > 0, zero elsewhere (at x == 0 too, as in PyTorch).

    Args:
        grad_output: gradient of the output, any shape.
        cache: from `relu_forward`.

    Returns:
        dx of grad_output's shape and dtype.

    Raises:
        ValueError, TypeError: grad_output has not the output's shape, or is not a float.
    """
    check_float(grad_output, "grad_output")
    check_grad(grad_output, cache.shape, grad_output.dtype)
    dx = _layout.empty_like(grad_output)

    def work(piece: tuple[Array, ...]) -> None:
        grad, out, result = piece
        dropped = np.less_equal(out, 0, out=_layout.empty_like(out, np.dtype(bool)))
        select(grad, kept_unless(dropped), result)

    run(work, _layout.pieces(grad_output, cache, dx))
    return dx


def prelu_forward(x: Array, weight: Array) -> tuple[Array, tuple[Array, Array]]:
    """ReLU with a slope that is learnt: out = x where x > 0, else weight * x, weight being one number or one a channel.

    Args:
        x: (N, ...) or (N, C, ...), float32 or float64.
        weight: (1,), or (C,) of the same dtype.

    Returns:
        out of x's shape and dtype, and the cache for `prelu_backward`.

    Raises:
        ValueError, TypeError: the shapes or dtypes do not fit.

    Source: He et al. 2015, arXiv:1502.01852; https://docs.pytorch.org/docs/stable/generated/torch.nn.PReLU.html
    """
    check_float(x)
    check_same_dtype(x, weight)
    channels = x.shape[1] if x.ndim > 1 else 1
    if weight.ndim != 1 or len(weight) not in (1, channels):
        raise ValueError(
            f"expected a weight of shape (1,) or ({channels},) for {channels} channels, got {weight.shape}"
        )
    return np.where(x > 0, x, _along_channels(weight, x) * x), (x, weight)


@explain
def prelu_backward(grad_output: Array, cache: tuple[Array, Array]) -> tuple[Array, Array]:
    """Gradients of `prelu_forward`.

    Returns:
        (dx, dweight) in the shapes of x and weight.
    """
    x, weight = cache
    check_grad(grad_output, x.shape, x.dtype)
    positive = x > 0
    axes = tuple(axis for axis in range(x.ndim) if axis != 1 or len(weight) == 1)
    with np.errstate(invalid="ignore"):
        dx = grad_output * np.where(positive, 1, _along_channels(weight, x))
        each = np.where(positive, 0, grad_output * x)
        return dx, each.sum(axis=axes).reshape(weight.shape)


def _along_channels(weight: Array, x: Array) -> Array:
    return weight.reshape(-1, *(1,) * (x.ndim - 2)) if x.ndim > 1 else weight.reshape((1,) * x.ndim)


def glu_forward(x: Array, dim: int = -1) -> tuple[Array, Any]:
    """Gated linear unit: out = a * sigmoid(b), a and b being the halves of x along an axis.

    Args:
        x: any shape, float32 or float64, of even size along ``dim``.
        dim: the axis.

    Returns:
        out of x's dtype, half as large along ``dim``; and the cache for `glu_backward`.

    Raises:
        ValueError: there is no such axis, or its size is odd.
        TypeError: the dtype is not a float.
    """
    check_float(x)
    if not -x.ndim <= dim < x.ndim:
        raise ValueError(f"expected an input with axis {dim}, got shape {x.shape}")
    if x.shape[dim] % 2:
        raise ValueError(f"expected an even size along axis {dim}, got shape {x.shape}")
    linear, gate = np.split(x, 2, axis=dim)
    with np.errstate(over="ignore"):
        opened = _sigmoid(gate)
    return linear * opened, (linear, opened, dim)


@explain
def glu_backward(grad_output: Array, cache: Any) -> Array:
    """Gradient of `glu_forward`: (grad * sigmoid(b), grad * a * sigmoid'(b)) along the axis.

    Returns:
        dx in x's shape.
    """
    linear, opened, dim = cache
    check_grad(grad_output, linear.shape, linear.dtype)
    gate = grad_output * linear * opened * (1 - opened)
    return np.concatenate([grad_output * opened, gate], axis=dim)


def softmax_forward(x: Array, axis: int = 1) -> tuple[Array, tuple[Array, int]]:
    """Exponentiate and normalise along one axis: out = exp(x - max x) / sum exp(x - max x).

    Args:
        x: scores (logits), any shape, float32 or float64.
        axis: the class axis.

    Returns:
        Probabilities of x's shape and dtype, and the cache for `softmax_backward`.

    Raises:
        TypeError: the dtype is not a float.
    """
    check_float(x)
    with np.errstate(invalid="ignore"):  # an infinite logit gives NaN, as in PyTorch, without a warning
        out = np.exp(x - x.max(axis=axis, keepdims=True, initial=-np.inf))
        out /= out.sum(axis=axis, keepdims=True)
    return out, (out, axis)


@explain
def softmax_backward(grad_output: Array, cache: tuple[Array, int]) -> Array:
    """Gradient of `softmax_forward`: dx = out * (grad - sum(grad * out)).

    Returns:
        dx of the output's shape and dtype.
    """
    out, axis = cache
    check_grad(grad_output, out.shape, out.dtype)
    return out * (grad_output - (grad_output * out).sum(axis=axis, keepdims=True))


def log_softmax_forward(x: Array, axis: int = 1) -> tuple[Array, tuple[Array, int]]:
    """Logarithm of the softmax, without forming it: out = x - max x - log sum exp(x - max x).

    Args:
        x: scores (logits), any shape, float32 or float64; logits of +-1e4 are no trouble.
        axis: the class axis.

    Returns:
        Log-probabilities of x's shape and dtype, and the cache for `log_softmax_backward`.

    Raises:
        TypeError: the dtype is not a float.
    """
    check_float(x)
    with np.errstate(invalid="ignore"):
        out = x - x.max(axis=axis, keepdims=True, initial=-np.inf)
        out -= np.log(np.exp(out).sum(axis=axis, keepdims=True))
    return out, (out, axis)


@explain
def log_softmax_backward(grad_output: Array, cache: tuple[Array, int]) -> Array:
    """Gradient of `log_softmax_forward`: dx = grad - softmax(x) * sum(grad).

    Returns:
        dx of the output's shape and dtype.
    """
    out, axis = cache
    check_grad(grad_output, out.shape, out.dtype)
    return grad_output - np.exp(out) * grad_output.sum(axis=axis, keepdims=True)
