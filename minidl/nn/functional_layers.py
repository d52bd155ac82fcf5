"""PyTorch's functions of the layers with weights, and of the normalisations: the families' pairs, with weights given.

Weights are Parameters, values of a recorded forward pass or arrays; each gets its gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .._core import Array, IntPair, check_flag, check_float, check_int, check_number
from .batch_norm import batch_norm_backward, batch_norm_forward, instance_norm_forward, track, unbiased
from .bilinear import bilinear_backward, bilinear_forward
from .conv import conv2d_backward, conv2d_forward
from .conv1d import conv1d_backward, conv1d_forward
from .conv_transpose import conv_transpose2d_backward, conv_transpose2d_forward
from .embedding import embedding_backward, embedding_forward
from .gated import prelu_backward, prelu_forward
from .layer_norm import group_norm_forward, layer_norm_forward, rms_norm_backward, rms_norm_forward
from .linear import linear_backward, linear_forward
from .local_response_norm import LocalResponseNorm
from .norm import machine_eps
from .recording import apply_layer, apply_pair, plain

__all__ = [
    "batch_norm",
    "bilinear",
    "conv1d",
    "conv2d",
    "conv_transpose2d",
    "embedding",
    "group_norm",
    "instance_norm",
    "layer_norm",
    "linear",
    "local_response_norm",
    "prelu",
    "rms_norm",
]


def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """Return input @ weight.T + bias for an input (N, ..., K), a weight (M, K) and a bias (M,) or None.

    Raises ValueError if shapes do not fit, TypeError if dtypes do not. See `nn.Linear`.
    """
    return apply_pair("linear", linear_forward, linear_backward, input, weight, bias, skips=True)


def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Any:
    """Return input1 @ weight[m] @ input2 + bias[m] for each output m, weight (M, K1, K2), bias (M,). See `nn.Bilinear`.

    Raises ValueError if shapes do not fit, TypeError if dtypes do not.
    """
    return apply_pair("bilinear", bilinear_forward, bilinear_backward, input1, input2, weight, bias)


def conv2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: IntPair = 1,
    padding: IntPair | str = 0,
    dilation: IntPair = 1,
    groups: int = 1,
) -> Any:
    """Convolve images ``input`` (N, C, H, W) with filters ``weight`` (F, C/groups, KH, KW), and add ``bias`` (F,).

    stride, padding, dilation and groups, the output's shape and the exceptions are those of `nn.Conv2d`.
    """
    return _convolve(
        "conv2d", conv2d_forward, conv2d_backward, input, weight, bias, (stride, padding, dilation), groups=groups
    )


def conv1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """Convolve sequences ``input`` (N, C, L) with filters ``weight`` (F, C/groups, K) and add ``bias`` (F,) or None.

    stride, padding, dilation and groups, the output's shape and the exceptions are those of `nn.Conv1d`.
    """
    sizes = tuple(
        size[0] if isinstance(size, (tuple, list)) and len(size) == 1 else size for size in (stride, padding, dilation)
    )
    return _convolve("conv1d", conv1d_forward, conv1d_backward, input, weight, bias, sizes, groups=groups)


def conv_transpose2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: IntPair = 1,
    padding: IntPair = 0,
    output_padding: IntPair = 0,
    groups: int = 1,
    dilation: IntPair = 1,
) -> Any:
    """Spread each pixel of ``input`` (N, C, H, W) with ``weight`` (C, F/groups, KH, KW) and add ``bias`` (F,) or None.

    stride, padding, output_padding, groups and dilation, the output's shape and the exceptions are those of
    `nn.ConvTranspose2d`.
    """
    more: dict[str, Any] = {"groups": groups, "output_padding": output_padding}
    pair, sizes = (conv_transpose2d_forward, conv_transpose2d_backward), (stride, padding, dilation)
    return _convolve("conv_transpose2d", *pair, input, weight, bias, sizes, **more)


def _convolve(
    owner: str,
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    input: Any,
    weight: Any,
    bias: Any,
    sizes: tuple[Any, ...],
    **more: Any,
) -> Any:
    options = dict(zip(("stride", "padding", "dilation"), sizes, strict=True), **more)

    def convolve(x: Array, w: Array, b: Array | None) -> Any:
        return forward(x, w, b, **options)

    return apply_pair(owner, convolve, backward, input, weight, bias, skips=True, options=options)


def embedding(
    input: Any,
    weight: Any,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Any:
    """Return weight[input] for integers ``input`` of any shape and a table ``weight`` (K, D). See `nn.Embedding`.

    Args:
        input: integers from 0 to K - 1.
        weight: the table.
        padding_idx: a row that gets no gradient.
        max_norm, norm_type, scale_grad_by_freq, sparse: not supported, and only accepted at their defaults.

    Raises:
        ValueError: an index is out of range, or an option is not supported.
        TypeError: the indices are not integers.
    """
    if max_norm is not None or scale_grad_by_freq or sparse:
        raise ValueError("embedding: max_norm, scale_grad_by_freq and sparse are not supported; leave them out")
    if padding_idx is not None:
        rows = len(weight)
        padding_idx = check_int("embedding", "padding_idx", padding_idx, minimum=-rows)
        if padding_idx >= rows:
            raise ValueError(f"embedding: padding_idx must be less than {rows}, got {padding_idx}")
        padding_idx %= rows

    def forward(indices: Array, table: Array) -> Any:
        return embedding_forward(indices, table, padding_idx=padding_idx)

    return apply_pair("embedding", forward, lambda g, cache: (None, embedding_backward(g, cache)), input, weight)


def prelu(input: Any, weight: Any) -> Any:
    """Return input where it is positive, else weight * input; weight is (1,), or (C,) for channels. See `nn.PReLU`."""
    return apply_pair("prelu", prelu_forward, prelu_backward, input, weight)


# Normalisations


def batch_norm(
    input: Any,
    running_mean: Array | None,
    running_var: Array | None,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Standardise each channel of ``input`` (N, C, ...) over the batch and all pixels, then scale and shift.

    Args:
        input: (N, C), (N, C, L) or (N, C, H, W).
        running_mean, running_var: arrays (C,), or None. They are used unless ``training``, and changed in place if so.
        weight, bias: scale and shift (C,), or None.
        training: whether to standardise with the batch's own statistics.
        momentum: the weight of these in the running ones.
        eps: added to the variance.

    Raises:
        ValueError: shapes do not fit, running statistics are missing, or a channel has only one value in training.
        TypeError: dtypes do not fit.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.batch_norm.html
    """
    owner = "batch_norm"
    check_flag(owner, "training", training)
    eps, momentum = check_number(owner, "eps", eps), check_number(owner, "momentum", momentum, maximum=1.0)
    running = None if running_mean is None or running_var is None else (plain(running_mean), plain(running_var))
    if running is None and not training:
        raise ValueError(f"{owner}: expected running_mean and running_var when training is False")

    def forward(x: Array, w: Array | None, b: Array | None) -> Any:
        out, cache, (mean, var) = batch_norm_forward(x, w, b, running=None if training else running, eps=eps)
        if training and running is not None and x.size:
            track(running, mean, unbiased(var, x.size // x.shape[1]), momentum)
        return out, cache

    options = {"running": None if training else running, "eps": eps}
    return apply_pair(owner, forward, batch_norm_backward, input, weight, bias, options=options)


def instance_norm(
    input: Any,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Standardise each channel of each sample of ``input`` (N, C, ...) over its pixels, then scale and shift.

    running_mean and running_var are used if ``use_input_stats`` is False, else changed in place with ``momentum``;
    they, weight, bias, eps and the exceptions are those of `batch_norm`.
    """
    owner = "instance_norm"
    if not check_flag(owner, "use_input_stats", use_input_stats):
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    eps, momentum = check_number(owner, "eps", eps), check_number(owner, "momentum", momentum, maximum=1.0)
    running = None if running_mean is None or running_var is None else (plain(running_mean), plain(running_var))

    def forward(x: Array, w: Array | None, b: Array | None) -> Any:
        out, cache, (mean, var) = instance_norm_forward(x, w, b, eps=eps)
        if running is not None and len(x):
            var = unbiased(var, x[0, 0].size)
            track(running, mean.mean(axis=0), var.mean(axis=0), momentum)
        return out, cache

    return apply_pair(owner, forward, batch_norm_backward, input, weight, bias, options={"eps": eps})


def group_norm(input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """Standardise groups of channels of each sample of ``input`` (N, C, ...), then scale and shift. See `nn.GroupNorm`.

    num_groups divides C; weight and bias are (C,) or None; eps is added to the variance. Raises ValueError if shapes
    or options do not fit, TypeError if dtypes do not.
    """
    eps = check_number("group_norm", "eps", eps)

    def forward(x: Array, w: Array | None, b: Array | None) -> Any:
        return group_norm_forward(x, num_groups, w, b, eps=eps)

    options = {"num_groups": num_groups, "eps": eps}
    return apply_pair("group_norm", forward, batch_norm_backward, input, weight, bias, options=options)


def layer_norm(
    input: Any, normalized_shape: Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    """Standardise ``input`` (N, ..., D1, ..., Dk) over its last axes, then scale and shift. See `nn.LayerNorm`.

    normalized_shape is (D1, ..., Dk), the shape of weight and bias, which may be None; eps is added to the variance.
    Raises ValueError if shapes do not fit, TypeError if dtypes do not.
    """
    eps = check_number("layer_norm", "eps", eps)

    def forward(x: Array, w: Array | None, b: Array | None) -> Any:
        return layer_norm_forward(x, _last("layer_norm", x, normalized_shape), w, b, eps=eps)

    options = {"normalized_shape": normalized_shape, "eps": eps}
    return apply_pair("layer_norm", forward, batch_norm_backward, input, weight, bias, options=options)


def rms_norm(input: Any, normalized_shape: Sequence[int], weight: Any = None, eps: float | None = None) -> Any:
    """Divide ``input`` (N, ..., D1, ..., Dk) by its root mean square over the last axes, then scale. See `nn.RMSNorm`.

    normalized_shape is (D1, ..., Dk), the shape of weight, which may be None; eps is added to the mean square, None
    meaning the dtype's machine epsilon. Raises ValueError if shapes do not fit, TypeError if dtypes do not.
    """

    def forward(x: Array, w: Array | None) -> Any:
        ndim = _last("rms_norm", x, normalized_shape)
        return rms_norm_forward(x, ndim, w, eps=machine_eps(x) if eps is None else check_number("rms_norm", "eps", eps))

    options = {"normalized_shape": normalized_shape, "eps": eps}
    return apply_pair("rms_norm", forward, rms_norm_backward, input, weight, options=options)


def _last(owner: str, x: Array, normalized_shape: Sequence[int]) -> int:
    """Check the sizes of the last axes, and return their number."""
    if not isinstance(normalized_shape, (tuple, list)) or not normalized_shape:
        raise TypeError(f"{owner}: normalized_shape must be a tuple of integers, got {normalized_shape!r}")
    shape = tuple(check_int(owner, "normalized_shape", size) for size in normalized_shape)
    if check_float(x).shape[-len(shape) :] != shape:
        raise ValueError(f"expected an input whose last axes are {shape}, got shape {x.shape}")
    return len(shape)


def local_response_norm(input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Any:
    """Divide each channel of input by its neighbours; size, alpha, beta and k are those of `nn.LocalResponseNorm`."""
    return apply_layer(LocalResponseNorm(size, alpha, beta, k), input)
