"""Activation layers. Most are a name, two functions of `minidl.functional` and their options."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from .._core import Array, check_choice, check_flag, check_int, check_number
from ..functional import activation as f
from ._pair import Pair
from .module import Module
from .parameter import filled

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "SELU",
    "Activation",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "PReLU",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softmax2d",
    "Softmin",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Tanh",
    "Tanhshrink",
    "Threshold",
]

INF = float("inf")


class Activation(Pair):
    """Base of the activations: a pair of functions, and the options that they are called with.

    Shape:
        input and output: any, the same; float32 or float64.
    """

    def number(self, name: str, value: float, minimum: float = -INF) -> float:
        """Return ``value`` as it is if it is a number of at least ``minimum``, or raise in this layer's name."""
        check_number(type(self).__name__, name, value, minimum=minimum)
        return value


class _Plain(Activation):
    """An activation without options. ``inplace`` is accepted, as PyTorch has it; the output is always a new array."""

    def __init__(self, inplace: bool = False) -> None:
        check_flag(type(self).__name__, "inplace", inplace)
        super().__init__()


class ReLU(_Plain):
    """Rectified linear unit: y = max(x, 0). Its gradient at x == 0 is 0.

    Args:
        inplace: accepted, as PyTorch has it; the output is always a new array.

    Shape:
        input and output: any, the same.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.ReLU.html
    """

    functions = f.relu_forward, f.relu_backward


class ReLU6(_Plain):
    """ReLU that stops at six: y = min(max(x, 0), 6). ``inplace`` is accepted and ignored."""

    functions = f.relu6_forward, f.relu6_backward


class SELU(_Plain):
    """Scaled ELU: y = 1.0507 * (x where x > 0, else 1.6733 * (exp(x) - 1)). ``inplace`` is accepted and ignored.

    Source: Klambauer et al., "Self-normalizing neural networks", 2017, arXiv:1706.02515.
    """

    functions = f.selu_forward, f.selu_backward


class SiLU(_Plain):
    """Sigmoid linear unit, or swish: y = x / (1 + exp(-x)). ``inplace`` is accepted and ignored."""

    functions = f.silu_forward, f.silu_backward


class Mish(_Plain):
    """Mish: y = x * tanh(log(1 + exp(x))). ``inplace`` is accepted and ignored."""

    functions = f.mish_forward, f.mish_backward


class Hardswish(_Plain):
    """Hard swish: y = x * min(max(x + 3, 0), 6) / 6. ``inplace`` is accepted and ignored."""

    functions = f.hardswish_forward, f.hardswish_backward


class Hardsigmoid(_Plain):
    """Piecewise linear sigmoid: y = min(max(x + 3, 0), 6) / 6. ``inplace`` is accepted and ignored."""

    functions = f.hardsigmoid_forward, f.hardsigmoid_backward


class Sigmoid(Activation):
    """Logistic function: y = 1 / (1 + exp(-x))."""

    functions = f.sigmoid_forward, f.sigmoid_backward


class LogSigmoid(Activation):
    """Logarithm of the logistic function: y = -log(1 + exp(-x))."""

    functions = f.logsigmoid_forward, f.logsigmoid_backward


class Tanh(Activation):
    """Hyperbolic tangent."""

    functions = f.tanh_forward, f.tanh_backward


class Softsign(Activation):
    """Softsign: y = x / (1 + |x|)."""

    functions = f.softsign_forward, f.softsign_backward


class Tanhshrink(Activation):
    """Tanhshrink: y = x - tanh(x)."""

    functions = f.tanhshrink_forward, f.tanhshrink_backward


class LeakyReLU(Activation):
    """Leaky ReLU: y = x where x > 0, else negative_slope * x.

    Args:
        negative_slope: slope below zero.
        inplace: accepted, as PyTorch has it; the output is always a new array.
    """

    functions = f.leaky_relu_forward, f.leaky_relu_backward

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        check_flag("LeakyReLU", "inplace", inplace)
        super().__init__(negative_slope=self.number("negative_slope", negative_slope))


class ELU(Activation):
    """Exponential linear unit: y = x where x > 0, else alpha * (exp(x) - 1).

    Args:
        alpha: minus the limit at minus infinity.
        inplace: accepted, as PyTorch has it; the output is always a new array.
    """

    functions = f.elu_forward, f.elu_backward

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        check_flag("ELU", "inplace", inplace)
        super().__init__(alpha=self.number("alpha", alpha))


class CELU(Activation):
    """Continuously differentiable ELU: y = x where x > 0, else alpha * (exp(x/alpha) - 1).

    Args:
        alpha: minus the limit at minus infinity; not 0.
        inplace: accepted, as PyTorch has it; the output is always a new array.
    """

    functions = f.celu_forward, f.celu_backward

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        check_flag("CELU", "inplace", inplace)
        if self.number("alpha", alpha) == 0:
            raise ValueError("CELU: alpha must not be 0")
        super().__init__(alpha=alpha)


class GELU(Activation):
    """Gaussian error linear unit: y = x * Phi(x), Phi the distribution function of the standard normal.

    Args:
        approximate: 'none', or 'tanh' for 0.5 * x * (1 + tanh(sqrt(2/pi) * (x + 0.044715 * x**3))).

    Source: Hendrycks & Gimpel 2016, arXiv:1606.08415.
    """

    functions = f.gelu_forward, f.gelu_backward

    def __init__(self, approximate: str = "none") -> None:
        super().__init__(approximate=check_choice("GELU", "approximate", approximate, ("none", "tanh")))


class Softplus(Activation):
    """Smooth ReLU: y = log(1 + exp(beta*x)) / beta, and x itself where beta*x > threshold.

    Args:
        beta: sharpness; not 0.
        threshold: from here on linear.
    """

    functions = f.softplus_forward, f.softplus_backward

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        if self.number("beta", beta) == 0:
            raise ValueError("Softplus: beta must not be 0")
        super().__init__(beta=beta, threshold=self.number("threshold", threshold))


class Hardtanh(Activation):
    """Clip: y = min(max(x, min_val), max_val).

    Args:
        min_val: least value.
        max_val: greatest value, above min_val.
        inplace: accepted, as PyTorch has it; the output is always a new array.
    """

    functions = f.hardtanh_forward, f.hardtanh_backward

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        check_flag("Hardtanh", "inplace", inplace)
        self.number("min_val", min_val)
        self.number("max_val", max_val)
        if min_val >= max_val:
            raise ValueError(f"Hardtanh: max_val must be above min_val, got {min_val} and {max_val}")
        super().__init__(min_val=min_val, max_val=max_val)


class _Shrink(Activation):
    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__(lambd=self.number("lambd", lambd, minimum=0))

    def extra_repr(self) -> str:
        """Options in PyTorch's form."""
        return str(self.lambd)


class Hardshrink(_Shrink):
    """Hard shrinkage: y = x where |x| > lambd (not negative), else 0."""

    functions = f.hardshrink_forward, f.hardshrink_backward


class Softshrink(_Shrink):
    """Soft shrinkage: y = x moved towards 0 by lambd (not negative), and 0 where |x| <= lambd."""

    functions = f.softshrink_forward, f.softshrink_backward


class Threshold(Activation):
    """Threshold: y = x where x > threshold, else value.

    Args:
        threshold: what x must exceed.
        value: what takes its place.
        inplace: accepted, as PyTorch has it; the output is always a new array.
    """

    functions = f.threshold_forward, f.threshold_backward

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        check_flag("Threshold", "inplace", inplace)
        super().__init__(threshold=self.number("threshold", threshold), value=self.number("value", value))


class GLU(Activation):
    """Gated linear unit: y = a * sigmoid(b), a and b being the halves of x along an axis.

    Args:
        dim: the axis.

    Shape:
        input: any, of even size along ``dim``; output: half as large there.
    """

    functions = f.glu_forward, f.glu_backward

    def __init__(self, dim: int = -1) -> None:
        super().__init__(dim=check_int("GLU", "dim", dim, minimum=-64))


class Softmax(Activation):
    """Normalised exponentials along an axis: y = exp(x) / sum exp(x).

    Args:
        dim: the axis; None means axis 1, as PyTorch chooses it (axis 0 for one or three axes).

    Before CrossEntropyLoss, which takes logits, there must be none.
    """

    functions = f.softmax_forward, f.softmax_backward

    def __init__(self, dim: int | None = None) -> None:
        super().__init__(dim=dim if dim is None else check_int(type(self).__name__, "dim", dim, minimum=-64))

    def forward(self, x: Array) -> Array:
        """Apply the function along the axis."""
        dim = self.dim
        axis = dim if dim is not None else 0 if np.ndim(x) in (1, 3) else 1
        out, cache = self.functions[0](x, axis=axis)
        self.save_for_backward(cache)
        return out


class LogSoftmax(Softmax):
    """Logarithm of the softmax along an axis: y = x - log sum exp(x). ``dim`` as for Softmax."""

    functions = f.log_softmax_forward, f.log_softmax_backward


class Softmin(Softmax):
    """Softmax of -x along an axis. ``dim`` as for Softmax."""

    def forward(self, x: Array) -> Array:
        """Apply the function along the axis."""
        return super().forward(np.asarray(-x) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x)

    def backward(self, grad_output: Array) -> Array:
        """Return the gradient of the input."""
        return -super().backward(grad_output)


class Softmax2d(Activation):
    """Softmax over the channels at each pixel: axis 1 of (N, C, H, W)."""

    functions = f.softmax_forward, f.softmax_backward

    def forward(self, x: Array) -> Array:
        """Apply the function over the channels."""
        if np.ndim(x) != 4:
            raise ValueError(f"expected an input of shape (N, C, H, W), got {np.shape(x)}")
        return super().forward(x)


class PReLU(Module):
    """ReLU with a slope that is learnt: y = x where x > 0, else weight * x.

    Args:
        num_parameters: 1, or the number of channels.
        init: first value of the slopes.
        dtype: float32 (default) or float64.

    Shape:
        input and output: (N, C, ...), the same.

    Attributes:
        weight: Parameter (num_parameters,).

    Source: He et al. 2015, arXiv:1502.01852.
    """

    def __init__(self, num_parameters: int = 1, init: float = 0.25, *, dtype: DTypeLike | None = None) -> None:
        super().__init__()
        self.num_parameters = check_int("PReLU", "num_parameters", num_parameters)
        check_number("PReLU", "init", init, minimum=-INF)
        self.weight = filled(num_parameters, init, dtype)

    def forward(self, x: Array) -> Array:
        """Apply the function."""
        out, cache = f.prelu_forward(x, self.weight.data)
        self.save_for_backward(cache)
        return out

    def backward(self, grad_output: Array) -> Array:
        """Add the gradient of the slopes; return that of the input."""
        dx, dw = f.prelu_backward(grad_output, self.take_saved())
        self.weight.add_grad(dw)
        return dx

    def extra_repr(self) -> str:
        """Options in PyTorch's form."""
        return f"num_parameters={self.num_parameters}"
