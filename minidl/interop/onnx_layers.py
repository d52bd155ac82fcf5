"""Which ONNX nodes each of minidl's layers becomes, in evaluation mode: the table `EXPORTERS`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import nn
from ..nn.naming import layer_at
from ..nn.record import has_backward
from . import onnx_windows as windows
from .onnx_pooling import Pool
from .onnx_trace import NoFormError

if TYPE_CHECKING:
    from .onnx_export import OnnxGraph

__all__ = ["EXPORTERS", "Exporter", "kind_of"]

Exporter = Callable[..., str]  # (graph, layer, names of its inputs) -> name of its output


# Layers that are one node, or none


def _one(operator: str, **attributes: str | float) -> Exporter:
    """Return an exporter that adds one node; an attribute given as a string is read from the layer."""

    def export(graph: OnnxGraph, layer: Any, x: str) -> str:
        values = {k: getattr(layer, v) if isinstance(v, str) else v for k, v in attributes.items()}
        return graph.node(operator, x, **values)

    return export


def _nothing(graph: OnnxGraph, layer: nn.Module, x: str) -> str:
    return x


# Activations that take several nodes


def _silu(graph: OnnxGraph, layer: nn.SiLU, x: str) -> str:
    return graph.node("Mul", x, graph.node("Sigmoid", x))


def _celu(graph: OnnxGraph, layer: Any, x: str) -> str:
    if graph.dtype == np.float32 or layer.alpha < 0:
        return graph.node("Celu", x, alpha=layer.alpha)
    alpha = graph.number(layer.alpha)  # ONNX has Celu for float32 only
    return graph.node("Mul", graph.node("Elu", graph.node("Div", x, alpha), alpha=1.0), alpha)


def _logsigmoid(graph: OnnxGraph, layer: nn.LogSigmoid, x: str) -> str:
    return graph.node("Neg", graph.node("Softplus", graph.node("Neg", x)))


def _tanhshrink(graph: OnnxGraph, layer: nn.Tanhshrink, x: str) -> str:
    return graph.node("Sub", x, graph.node("Tanh", x))


def _relu6(graph: OnnxGraph, layer: nn.ReLU6, x: str) -> str:
    return graph.node("Clip", x, graph.number(0), graph.number(6))


def _hardtanh(graph: OnnxGraph, layer: Any, x: str) -> str:
    return graph.node("Clip", x, graph.number(layer.min_val), graph.number(layer.max_val))


def _threshold(graph: OnnxGraph, layer: Any, x: str) -> str:
    above = graph.node("Greater", x, graph.number(layer.threshold))
    return graph.node("Where", above, x, graph.number(layer.value))


def _softplus(graph: OnnxGraph, layer: Any, x: str) -> str:
    beta = graph.number(layer.beta)
    scaled = graph.node("Mul", x, beta)
    linear = graph.node("Greater", scaled, graph.number(layer.threshold))
    return graph.node("Where", linear, x, graph.node("Div", graph.node("Softplus", scaled), beta))


def _glu(graph: OnnxGraph, layer: Any, x: str) -> str:
    shape = graph.input_shape(layer)
    if layer.dim % len(shape) == 0:
        raise ValueError("GLU over the batch axis cannot be exported: the batch size is free in ONNX")
    size = shape[layer.dim]
    axis = np.array([layer.dim])
    values, gates = (
        graph.node("Slice", x, np.array([begin]), np.array([begin + size // 2]), axis) for begin in (0, size // 2)
    )
    return graph.node("Mul", values, graph.node("Sigmoid", gates))


def _softmax(graph: OnnxGraph, layer: Any, x: str) -> str:
    implied = 0 if len(graph.input_shape(layer)) in (1, 3) else 1
    x = graph.node("Neg", x) if isinstance(layer, nn.Softmin) else x
    operator = "LogSoftmax" if isinstance(layer, nn.LogSoftmax) else "Softmax"
    return graph.node(operator, x, axis=implied if layer.dim is None else layer.dim)


def _prelu(graph: OnnxGraph, layer: nn.PReLU, x: str) -> str:
    slope = layer.weight.data
    axes = len(graph.input_shape(layer)) - 2
    return graph.node("PRelu", x, graph.parameter("weight", slope.reshape(-1, *(1,) * axes) if axes > 0 else slope))


# Linear


def _linear(graph: OnnxGraph, layer: nn.Linear, x: str) -> str:
    weight = graph.parameter("weight", layer.weight.data)
    bias = [] if layer.bias is None else [graph.parameter("bias", layer.bias.data)]
    if len(graph.input_shape(layer)) == 2:
        return graph.node("Gemm", x, weight, *bias, transB=1)
    x = graph.node("MatMul", x, graph.node("Transpose", weight, perm=[1, 0]))
    return graph.node("Add", x, *bias) if bias else x


def _embedding(graph: OnnxGraph, layer: nn.Embedding, x: str) -> str:
    return graph.node("Gather", graph.parameter("weight", layer.weight.data), x, axis=0)


# Normalization


def _tracked_norm(graph: OnnxGraph, layer: Any, x: str) -> str:
    scale, shift = _scale_and_shift(graph, layer, layer.num_features)
    if layer.running_mean is not None:
        mean, var = (graph.parameter(name, getattr(layer, name)) for name in ("running_mean", "running_var"))
        return graph.node("BatchNormalization", x, scale, shift, mean, var, epsilon=layer.eps)
    if isinstance(layer, nn.InstanceNorm2d):
        return graph.node("InstanceNormalization", x, scale, shift, epsilon=layer.eps)
    # The statistics are the batch's own: normalize each channel as one long row of a single sample.
    axes = len(graph.input_shape(layer))
    swap = [1, 0, *range(2, axes)]
    swapped = graph.node("Transpose", x, perm=swap)
    rows = graph.node("Reshape", swapped, np.array([1, layer.num_features, -1]))
    rows = graph.node("InstanceNormalization", rows, scale, shift, epsilon=layer.eps)
    back = graph.node("Reshape", rows, np.array([layer.num_features, -1, *graph.input_shape(layer)[2:]]))
    return graph.node("Transpose", back, perm=swap)


def _group_norm(graph: OnnxGraph, layer: nn.GroupNorm, x: str) -> str:
    shape = graph.input_shape(layer)
    groups = graph.node("Reshape", x, np.array([0, layer.num_groups, -1]))
    ones, zeros = np.ones(layer.num_groups, graph.dtype), np.zeros(layer.num_groups, graph.dtype)
    x = graph.node("InstanceNormalization", groups, ones, zeros, epsilon=layer.eps)
    x = graph.node("Reshape", x, np.array([0, *shape[1:]]))
    along = (-1, *(1,) * (len(shape) - 2))
    if layer.weight is not None:
        x = graph.node("Mul", x, graph.parameter("weight", layer.weight.data.reshape(along)))
    if layer.bias is not None:
        x = graph.node("Add", x, graph.parameter("bias", layer.bias.data.reshape(along)))
    return x


def _layer_norm(graph: OnnxGraph, layer: nn.LayerNorm, x: str) -> str:
    scale, shift = _scale_and_shift(graph, layer, layer.normalized_shape)
    return graph.node("LayerNormalization", x, scale, shift, axis=-len(layer.normalized_shape), epsilon=layer.eps)


def _rms_norm(graph: OnnxGraph, layer: nn.RMSNorm, x: str) -> str:
    axes = np.arange(-len(layer.normalized_shape), 0)
    square = graph.node("ReduceMean", graph.node("Mul", x, x), axes, keepdims=1)
    eps = float(np.finfo(graph.dtype).eps) if layer.eps is None else layer.eps
    x = graph.node("Div", x, graph.node("Sqrt", graph.node("Add", square, graph.number(eps))))
    return x if layer.weight is None else graph.node("Mul", x, graph.parameter("weight", layer.weight.data))


def _local_response_norm(graph: OnnxGraph, layer: nn.LocalResponseNorm, x: str) -> str:
    if layer.size % 2 and len(graph.input_shape(layer)) == 4:  # ONNX Runtime supports images only
        return graph.node("LRN", x, size=layer.size, alpha=layer.alpha, beta=layer.beta, bias=layer.k)
    # Otherwise the sum over the neighbours is a 1x1 convolution with a band matrix. ONNX has no operator for an even
    # size: there the extra neighbour is the channel after, in minidl (and PyTorch) the channel before.
    shape = graph.input_shape(layer)
    apart = np.arange(shape[1])[None, :] - np.arange(shape[1])[:, None]
    band = (apart >= -(layer.size // 2)) & (apart <= (layer.size - 1) // 2)
    weight = (band * (layer.alpha / layer.size)).astype(graph.dtype).reshape(*band.shape, *(1,) * (len(shape) - 2))
    sums = graph.node("Conv", graph.node("Mul", x, x), weight, np.full(shape[1], layer.k, graph.dtype))
    return graph.node("Div", x, graph.node("Pow", sums, graph.number(layer.beta)))


def _scale_and_shift(graph: OnnxGraph, layer: Any, shape: int | tuple[int, ...]) -> tuple[Any, Any]:
    scale = np.ones(shape, graph.dtype) if layer.weight is None else graph.parameter("weight", layer.weight.data)
    shift = np.zeros(shape, graph.dtype) if layer.bias is None else graph.parameter("bias", layer.bias.data)
    return scale, shift


# Shape


def _reshape(graph: OnnxGraph, layer: Any, x: str) -> str:
    before, after = graph.input_shape(layer), graph.output_shape(layer)
    if isinstance(layer, nn.Unflatten) and layer.dim % len(before) == 0:
        raise ValueError("Unflatten of the batch axis cannot be exported: the batch size is free in ONNX")
    if before[:1] == after[:1] and len(after) == 2 and isinstance(layer, nn.Flatten):
        return graph.node("Flatten", x, axis=1)
    # The batch is the first axis or part of it: the one size that stays open.
    return graph.node("Reshape", x, np.array([0 if before[:1] == after[:1] else -1, *after[1:]]))


def _pixel_shuffle(graph: OnnxGraph, layer: nn.PixelShuffle, x: str) -> str:
    return graph.node("DepthToSpace", x, blocksize=layer.upscale_factor, mode="CRD")


def _upsample(graph: OnnxGraph, layer: Any, x: str) -> str:
    sizes, cells = graph.input_shape(layer)[2:], graph.output_shape(layer)[2:]
    where = "align_corners" if layer.align_corners else "half_pixel"
    options = {"mode": "linear", "coordinate_transformation_mode": where}
    if layer.mode == "nearest":
        options = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    if layer.scale_factor is None or layer.align_corners:
        return graph.node("Resize", x, "", "", np.array(cells), axes=[2, 3], **options)
    several = isinstance(layer.scale_factor, tuple)
    factors = layer.scale_factor if several else (layer.scale_factor, layer.scale_factor)
    factors = [_factor(f, n, out) for f, n, out in zip(factors, sizes, cells, strict=True)]
    return graph.node("Resize", x, "", np.array(factors, np.float32), axes=[2, 3], **options)


def _factor(factor: float, size: int, out: int) -> np.float32:
    """Return a scale factor as float32, rounded up where rounding down would make the output smaller."""
    rounded = np.float32(factor if size != out else 1.0)
    return np.nextafter(rounded, np.float32(np.inf)) if int(float(rounded) * size) < out else rounded


EXPORTERS: dict[type[nn.Module], Exporter] = {
    **dict.fromkeys((nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d), windows.adaptive_pool),
    nn.AvgPool2d: windows.avg_pool,
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d, nn.InstanceNorm2d), _tracked_norm),
    nn.CELU: _celu,
    **dict.fromkeys((nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d), windows.conv),
    **dict.fromkeys((nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout, nn.Identity), _nothing),
    nn.ELU: _one("Elu", alpha="alpha"),
    nn.Embedding: _embedding,
    **dict.fromkeys((nn.Flatten, nn.Unflatten), _reshape),
    nn.Fold: windows.fold,
    nn.GELU: _one("Gelu", approximate="approximate"),
    nn.GLU: _glu,
    nn.GroupNorm: _group_norm,
    nn.Hardshrink: _one("Shrink", bias=0.0, lambd="lambd"),
    nn.Hardsigmoid: _one("HardSigmoid", alpha=1 / 6, beta=0.5),
    nn.Hardswish: _one("HardSwish"),
    nn.Hardtanh: _hardtanh,
    nn.LPPool2d: windows.lp_pool,
    nn.LayerNorm: _layer_norm,
    nn.LeakyReLU: _one("LeakyRelu", alpha="negative_slope"),
    nn.Linear: _linear,
    nn.LocalResponseNorm: _local_response_norm,
    nn.LogSigmoid: _logsigmoid,
    **dict.fromkeys((nn.MaxPool1d, nn.MaxPool2d), windows.max_pool),
    nn.Mish: _one("Mish"),
    nn.PReLU: _prelu,
    nn.PixelShuffle: _pixel_shuffle,
    Pool: windows.pool,
    nn.RMSNorm: _rms_norm,
    nn.ReLU: _one("Relu"),
    nn.ReLU6: _relu6,
    nn.SELU: _one("Selu"),
    nn.SiLU: _silu,
    nn.Sigmoid: _one("Sigmoid"),
    **dict.fromkeys((nn.Softmax, nn.LogSoftmax, nn.Softmin), _softmax),
    nn.Softmax2d: _one("Softmax", axis=1),
    nn.Softplus: _softplus,
    nn.Softshrink: _one("Shrink", bias="lambd", lambd="lambd"),
    nn.Softsign: _one("Softsign"),
    nn.Tanh: _one("Tanh"),
    nn.Tanhshrink: _tanhshrink,
    nn.Threshold: _threshold,
    nn.Unfold: windows.unfold,
    nn.Upsample: _upsample,
    **dict.fromkeys(
        (nn.CircularPad2d, nn.ConstantPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d, nn.ZeroPad2d), windows.pad2d
    ),
}


def kind_of(paths: dict[int, str]) -> Callable[[nn.Module, Any], type[nn.Module] | None]:
    """Return what finds the class whose ONNX form a layer has, given its forward (None: its own).

    A subclass with a forward of its own computes something other than its base. A layer whose forward is derived and
    that has no form gives None: its own calls are looked at.

    Args:
        paths: of the modules by their ids, for errors.
    """

    def find(layer: nn.Module, forward: Any) -> type[nn.Module] | None:
        kind = type(layer)
        wanted = getattr(kind.forward, "plain", kind.forward) if forward is None else forward
        for base in kind.__mro__:
            if base in EXPORTERS and getattr(base.forward, "plain", base.forward) is wanted:
                return base
        if forward is None and not has_backward(layer):
            return None
        owner = layer_at(kind.__name__, paths.get(id(layer), ""))
        raise NoFormError(f"{owner} has no ONNX form; give it one with @minidl.interop.onnx_nodes({kind.__name__})")

    return find
