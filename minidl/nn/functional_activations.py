"""PyTorch's functions of the activations, softmax and dropout: each calls the layer of the same name once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .activation import ReLU, Sigmoid, Tanh
from .dropout import AlphaDropout, Dropout, Dropout1d, Dropout2d
from .gated import GLU
from .operations import astype
from .piecewise import Hardshrink, Hardsigmoid, Hardswish, Hardtanh, LeakyReLU, ReLU6, Softshrink, Threshold
from .recording import apply, apply_layer, plain
from .smooth_activation import CELU, ELU, GELU, SELU, LogSigmoid, Mish, SiLU, Softplus, Softsign, Tanhshrink
from .softmax import LogSoftmax, Softmax, Softmin

__all__ = [
    "alpha_dropout",
    "celu",
    "dropout",
    "dropout1d",
    "dropout2d",
    "elu",
    "gelu",
    "glu",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "leaky_relu",
    "log_softmax",
    "logsigmoid",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "tanh",
    "tanhshrink",
    "threshold",
]


def relu(input: Any, inplace: bool = False) -> Any:
    """Return max(input, 0); ``inplace`` is accepted, and the result is always new. See `nn.ReLU`."""
    return apply_layer(ReLU(inplace), input)


def relu6(input: Any, inplace: bool = False) -> Any:
    """Return min(max(input, 0), 6); ``inplace`` is accepted, and the result is always new. See `nn.ReLU6`."""
    return apply_layer(ReLU6(inplace), input)


def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    """Return input where it is positive, else negative_slope * input. ``inplace`` as for `relu`; see `nn.LeakyReLU`."""
    return apply_layer(LeakyReLU(negative_slope, inplace), input)


def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """Return input where it is positive, else alpha * (exp(input) - 1). ``inplace`` as for `relu`; see `nn.ELU`."""
    return apply_layer(ELU(alpha, inplace), input)


def selu(input: Any, inplace: bool = False) -> Any:
    """Return the scaled ELU of input. ``inplace`` as for `relu`; see `nn.SELU`."""
    return apply_layer(SELU(inplace), input)


def celu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """Return input where positive, else alpha * (exp(input/alpha) - 1). ``inplace`` as for `relu`; see `nn.CELU`."""
    return apply_layer(CELU(alpha, inplace), input)


def gelu(input: Any, approximate: str = "none") -> Any:
    """Return input * Phi(input); ``approximate`` is 'none' or 'tanh'. See `nn.GELU`."""
    return apply_layer(GELU(approximate), input)


def silu(input: Any, inplace: bool = False) -> Any:
    """Return input * sigmoid(input). ``inplace`` as for `relu`; see `nn.SiLU`."""
    return apply_layer(SiLU(inplace), input)


def mish(input: Any, inplace: bool = False) -> Any:
    """Return input * tanh(softplus(input)). ``inplace`` as for `relu`; see `nn.Mish`."""
    return apply_layer(Mish(inplace), input)


def sigmoid(input: Any) -> Any:
    """Return 1 / (1 + exp(-input)). See `nn.Sigmoid`."""
    return apply_layer(Sigmoid(), input)


def tanh(input: Any) -> Any:
    """Return the hyperbolic tangent of input. See `nn.Tanh`."""
    return apply_layer(Tanh(), input)


def tanhshrink(input: Any) -> Any:
    """Return input - tanh(input). See `nn.Tanhshrink`."""
    return apply_layer(Tanhshrink(), input)


def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """Return log(1 + exp(beta*input)) / beta, and input where beta*input exceeds ``threshold``. See `nn.Softplus`."""
    return apply_layer(Softplus(beta, threshold), input)


def softsign(input: Any) -> Any:
    """Return input / (1 + |input|). See `nn.Softsign`."""
    return apply_layer(Softsign(), input)


def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    """Return min(max(input, min_val), max_val). ``inplace`` as for `relu`; see `nn.Hardtanh`."""
    return apply_layer(Hardtanh(min_val, max_val, inplace), input)


def hardswish(input: Any, inplace: bool = False) -> Any:
    """Return input * min(max(input + 3, 0), 6) / 6. ``inplace`` as for `relu`; see `nn.Hardswish`."""
    return apply_layer(Hardswish(inplace), input)


def hardsigmoid(input: Any, inplace: bool = False) -> Any:
    """Return min(max(input + 3, 0), 6) / 6. ``inplace`` as for `relu`; see `nn.Hardsigmoid`."""
    return apply_layer(Hardsigmoid(inplace), input)


def hardshrink(input: Any, lambd: float = 0.5) -> Any:
    """Return input where |input| exceeds lambd, else 0. See `nn.Hardshrink`."""
    return apply_layer(Hardshrink(lambd), input)


def softshrink(input: Any, lambd: float = 0.5) -> Any:
    """Return input moved towards 0 by lambd. See `nn.Softshrink`."""
    return apply_layer(Softshrink(lambd), input)


def logsigmoid(input: Any) -> Any:
    """Return the logarithm of sigmoid(input). See `nn.LogSigmoid`."""
    return apply_layer(LogSigmoid(), input)


def threshold(input: Any, threshold: float, value: float, inplace: bool = False) -> Any:
    """Return input where it exceeds ``threshold``, else ``value``. ``inplace`` as for `relu`; see `nn.Threshold`."""
    return apply_layer(Threshold(threshold, value, inplace), input)


def glu(input: Any, dim: int = -1) -> Any:
    """Return a * sigmoid(b) for the halves a and b of input along the axis ``dim``. See `nn.GLU`."""
    return apply_layer(GLU(dim), input)


def _cast(input: Any, dtype: DTypeLike | None) -> Any:
    if dtype is None or np.dtype(dtype) == plain(input).dtype:
        return input
    return apply(astype, input, dtype=np.dtype(dtype))


def softmax(input: Any, dim: int | None = None, *, dtype: DTypeLike | None = None) -> Any:
    """Return exp(input) / sum exp(input) along the axis ``dim``, of input as ``dtype``. See `nn.Softmax`."""
    return apply_layer(Softmax(dim), _cast(input, dtype))


def log_softmax(input: Any, dim: int | None = None, *, dtype: DTypeLike | None = None) -> Any:
    """Return the logarithm of `softmax` along the axis ``dim``, of input as ``dtype``. See `nn.LogSoftmax`."""
    return apply_layer(LogSoftmax(dim), _cast(input, dtype))


def softmin(input: Any, dim: int | None = None, *, dtype: DTypeLike | None = None) -> Any:
    """Return the `softmax` of -input along the axis ``dim``, of input as ``dtype``. See `nn.Softmin`."""
    return apply_layer(Softmin(dim), _cast(input, dtype))


def _dropout(layer: Any, input: Any, training: bool) -> Any:
    layer.training = training
    return apply_layer(layer, input)


def dropout(
    input: Any, p: float = 0.5, training: bool = True, inplace: bool = False, *, rng: np.random.Generator | None = None
) -> Any:
    """Zero each element of input with probability p and scale the others by 1/(1-p), if ``training``. See `nn.Dropout`.

    Give it ``training=self.training`` inside a Module. ``inplace`` is accepted, and the result is always new; ``rng``
    draws the mask, None meaning minidl's own.
    """
    return _dropout(Dropout(p, rng=rng), input, training)


def dropout1d(
    input: Any, p: float = 0.5, training: bool = True, inplace: bool = False, *, rng: np.random.Generator | None = None
) -> Any:
    """Drop whole channels of sequences (N, C, L): input, p, training, inplace and rng as for `dropout`."""
    return _dropout(Dropout1d(p, rng=rng), input, training)


def dropout2d(
    input: Any, p: float = 0.5, training: bool = True, inplace: bool = False, *, rng: np.random.Generator | None = None
) -> Any:
    """Drop whole channels of images (N, C, H, W): input, p, training, inplace and rng as for `dropout`."""
    return _dropout(Dropout2d(p, rng=rng), input, training)


def alpha_dropout(
    input: Any, p: float = 0.5, training: bool = False, inplace: bool = False, *, rng: np.random.Generator | None = None
) -> Any:
    """Set elements to SELU's lowest value: see `nn.AlphaDropout`; input, p, inplace and rng as for `dropout`.

    As in PyTorch ``training`` is False unless it is given.
    """
    return _dropout(AlphaDropout(p, rng=rng), input, training)
