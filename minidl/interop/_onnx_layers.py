"""What ONNX nodes each of minidl's layers becomes, in evaluation mode."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import nn
from .._core import check_pair
from ..engine import correlation_geometry
from .onnx_export import OnnxGraph, onnx_nodes

__all__: list[str] = []

PAD_MODES = {"zeros": "constant", "constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


# Containers


@onnx_nodes(nn.Sequential)
def _sequential(graph: OnnxGraph, layers: nn.Sequential, x: str) -> str:
    for layer in layers:
        x = graph.layer(layer, x)
    return x


@onnx_nodes(nn.Residual)
def _residual(graph: OnnxGraph, layer: nn.Residual, x: str) -> str:
    around = x if layer.shortcut is None else graph.layer(layer.shortcut, x)
    return graph.node("Add", graph.layer(layer.body, x), around)


@onnx_nodes(nn.Parallel)
def _parallel(graph: OnnxGraph, layer: nn.Parallel, x: str) -> str:
    outputs = [graph.layer(branch, x) for branch in layer.children()]
    return graph.node("Concat", *outputs, axis=1) if layer.merge == "cat" else graph.node("Sum", *outputs)


# Layers that are one operator, with attributes taken from the layer


def _one(operator: str, **attributes: str | float) -> Callable[[OnnxGraph, Any, str], str]:
    """Make an exporter for one node; an attribute given as a string is read from the layer."""

    def export(graph: OnnxGraph, layer: Any, x: str) -> str:
        values = {k: getattr(layer, v) if isinstance(v, str) else v for k, v in attributes.items()}
        return graph.node(operator, x, **values)

    return export


for _kind, _nodes in {
    nn.ReLU: _one("Relu"),
    nn.SELU: _one("Selu"),
    nn.Mish: _one("Mish"),
    nn.Hardswish: _one("HardSwish"),
    nn.Hardsigmoid: _one("HardSigmoid", alpha=1 / 6, beta=0.5),
    nn.Sigmoid: _one("Sigmoid"),
    nn.Tanh: _one("Tanh"),
    nn.Softsign: _one("Softsign"),
    nn.LeakyReLU: _one("LeakyRelu", alpha="negative_slope"),
    nn.ELU: _one("Elu", alpha="alpha"),
    nn.GELU: _one("Gelu", approximate="approximate"),
    nn.Hardshrink: _one("Shrink", bias=0.0, lambd="lambd"),
    nn.Softshrink: _one("Shrink", bias="lambd", lambd="lambd"),
    nn.Softmax2d: _one("Softmax", axis=1),
}.items():
    onnx_nodes(_kind)(_nodes)


@onnx_nodes(nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout)
def _nothing(graph: OnnxGraph, layer: nn.Module, x: str) -> str:
    return x


# Activations of several operators


@onnx_nodes(nn.SiLU)
def _silu(graph: OnnxGraph, layer: nn.SiLU, x: str) -> str:
    return graph.node("Mul", x, graph.node("Sigmoid", x))


@onnx_nodes(nn.CELU)
def _celu(graph: OnnxGraph, layer: Any, x: str) -> str:
    if graph.dtype == np.float32 or layer.alpha < 0:
        return graph.node("Celu", x, alpha=layer.alpha)
    alpha = graph.number(layer.alpha)  # ONNX has Celu for float32 only
    return graph.node("Mul", graph.node("Elu", graph.node("Div", x, alpha), alpha=1.0), alpha)


@onnx_nodes(nn.LogSigmoid)
def _logsigmoid(graph: OnnxGraph, layer: nn.LogSigmoid, x: str) -> str:
    return graph.node("Neg", graph.node("Softplus", graph.node("Neg", x)))


@onnx_nodes(nn.Tanhshrink)
def _tanhshrink(graph: OnnxGraph, layer: nn.Tanhshrink, x: str) -> str:
    return graph.node("Sub", x, graph.node("Tanh", x))


@onnx_nodes(nn.ReLU6)
def _relu6(graph: OnnxGraph, layer: nn.ReLU6, x: str) -> str:
    return graph.node("Clip", x, graph.number(0), graph.number(6))


@onnx_nodes(nn.Hardtanh)
def _hardtanh(graph: OnnxGraph, layer: Any, x: str) -> str:
    return graph.node("Clip", x, graph.number(layer.min_val), graph.number(layer.max_val))


@onnx_nodes(nn.Threshold)
def _threshold(graph: OnnxGraph, layer: Any, x: str) -> str:
    above = graph.node("Greater", x, graph.number(layer.threshold))
    return graph.node("Where", above, x, graph.number(layer.value))


@onnx_nodes(nn.Softplus)
def _softplus(graph: OnnxGraph, layer: Any, x: str) -> str:
    beta = graph.number(layer.beta)
    scaled = graph.node("Mul", x, beta)
    linear = graph.node("Greater", scaled, graph.number(layer.threshold))
    return graph.node("Where", linear, x, graph.node("Div", graph.node("Softplus", scaled), beta))


@onnx_nodes(nn.GLU)
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


@onnx_nodes(nn.Softmax, nn.LogSoftmax, nn.Softmin)
def _softmax(graph: OnnxGraph, layer: Any, x: str) -> str:
    implied = 0 if len(graph.input_shape(layer)) in (1, 3) else 1
    x = graph.node("Neg", x) if isinstance(layer, nn.Softmin) else x
    operator = "LogSoftmax" if isinstance(layer, nn.LogSoftmax) else "Softmax"
    return graph.node(operator, x, axis=implied if layer.dim is None else layer.dim)


@onnx_nodes(nn.PReLU)
def _prelu(graph: OnnxGraph, layer: nn.PReLU, x: str) -> str:
    slope = layer.weight.data
    axes = len(graph.input_shape(layer)) - 2
    return graph.node("PRelu", x, graph.parameter("weight", slope.reshape(-1, *(1,) * axes) if axes > 0 else slope))


# Linear and convolutions


@onnx_nodes(nn.Linear)
def _linear(graph: OnnxGraph, layer: nn.Linear, x: str) -> str:
    weight = graph.parameter("weight", layer.weight.data)
    bias = [] if layer.bias is None else [graph.parameter("bias", layer.bias.data)]
    if len(graph.input_shape(layer)) == 2:
        return graph.node("Gemm", x, weight, *bias, transB=1)
    x = graph.node("MatMul", x, graph.node("Transpose", weight, perm=[1, 0]))
    return graph.node("Add", x, *bias) if bias else x


@onnx_nodes(nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d)
def _conv(graph: OnnxGraph, layer: Any, x: str) -> str:
    pads, extra = layer.padding, {}
    if isinstance(layer, nn.ConvTranspose2d):
        extra = {"output_padding": layer.output_padding}
    if isinstance(pads, str):
        count = len(layer.kernel_size)
        kernel, dilation = ((1,) * (2 - count) + sizes for sizes in (layer.kernel_size, layer.dilation))
        geometry, after = correlation_geometry("Conv2d", kernel, (1, 1), pads, dilation, 1)
        pads = tuple(zip(geometry.before, after, strict=True))[-count:]
    else:
        pads = tuple((size, size) for size in pads)
    if layer.padding_mode != "zeros":
        x = _pad(graph, x, ((0, 0), (0, 0), *pads), layer.padding_mode)
        pads = tuple((0, 0) for _ in pads)
    return graph.node(
        "ConvTranspose" if extra else "Conv",
        x,
        graph.parameter("weight", layer.weight.data),
        *([] if layer.bias is None else [graph.parameter("bias", layer.bias.data)]),
        kernel_shape=layer.kernel_size,
        strides=layer.stride,
        pads=_flat(pads),
        dilations=layer.dilation,
        group=layer.groups,
        **extra,
    )


# Pooling


@onnx_nodes(nn.MaxPool1d, nn.MaxPool2d)
def _max_pool(graph: OnnxGraph, layer: Any, x: str) -> str:
    count = len(graph.input_shape(layer)) - 2
    kernel, stride, dilation = (_pair(value, count) for value in (layer.kernel_size, layer.stride, layer.dilation))
    shape, cells = graph.input_shape(layer)[2:], graph.output_shape(layer)[2:]
    pads = _pads_for(shape, cells, _pair(layer.padding, count), kernel, stride, dilation)
    if any(max(pair) >= size for pair, size in zip(pads, kernel, strict=True)):  # more than ONNX allows
        x, pads = _pad(graph, x, ((0, 0), (0, 0), *pads), "constant", -np.inf), [(0, 0)] * count
    return graph.node("MaxPool", x, kernel_shape=kernel, strides=stride, pads=_flat(pads), dilations=dilation)


@onnx_nodes(nn.AvgPool2d)
def _avg_pool(graph: OnnxGraph, layer: Any, x: str) -> str:
    return _means(graph, layer, x, _pair(layer.padding, 2), layer.count_include_pad, layer.divisor_override)


@onnx_nodes(nn.LPPool2d)
def _lp_pool(graph: OnnxGraph, layer: Any, x: str) -> str:
    means = _means(graph, layer, graph.node("Pow", x, graph.number(layer.norm_type)), (0, 0))
    sums = graph.node("Mul", means, graph.number(math.prod(_pair(layer.kernel_size, 2))))
    return graph.node("Pow", sums, graph.number(1 / layer.norm_type))


def _means(
    graph: OnnxGraph, layer: Any, x: str, padding: tuple[int, ...], include_pad: bool = True, divisor: int | None = None
) -> str:
    kernel, stride = (_pair(value, 2) for value in (layer.kernel_size, layer.stride or layer.kernel_size))
    options = {"kernel_shape": kernel, "strides": stride}
    if divisor is None and not layer.ceil_mode:
        even = _flat([(p, p) for p in padding])
        return graph.node("AveragePool", x, pads=even, count_include_pad=int(include_pad), **options)
    # Which pixels count is not what ONNX says: sums, by a filter of ones for each channel, then by divisors of our own.
    channels, *shape = graph.input_shape(layer)[1:]
    cells = graph.output_shape(layer)[2:]
    ones = np.ones((channels, 1, *kernel), graph.dtype)
    pads = _flat(_pads_for(shape, cells, padding, kernel, stride, (1, 1)))
    x = graph.node("Conv", x, ones, pads=pads, group=channels, **options)
    counts = []
    for n, out, k, s, p in zip(shape, cells, kernel, stride, padding, strict=True):
        border = p if include_pad else 0
        counts.append(np.array([min(o * s - p + k, n + border) - max(o * s - p, -border) for o in range(out)]))
    divisors = np.outer(counts[0], counts[1]) if divisor is None else np.full(cells, divisor)
    return graph.node("Mul", x, (1 / divisors).astype(graph.dtype))


@onnx_nodes(nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
def _adaptive_pool(graph: OnnxGraph, layer: Any, x: str) -> str:
    largest = isinstance(layer, nn.AdaptiveMaxPool2d)
    shape, cells = graph.input_shape(layer)[2:], graph.output_shape(layer)[2:]
    if cells == (1, 1):
        return graph.node("GlobalMaxPool" if largest else "GlobalAveragePool", x)
    if all(n % out == 0 for n, out in zip(shape, cells, strict=True)):
        sizes = [n // out for n, out in zip(shape, cells, strict=True)]
        return graph.node("MaxPool" if largest else "AveragePool", x, kernel_shape=sizes, strides=sizes)
    # One axis after the other, cell by cell; the last axis first, so that a tie goes to the first in row-major order.
    for axis, n, out in ((3, shape[1], cells[1]), (2, shape[0], cells[0])):
        bounds = [(cell * n // out, -(-(cell + 1) * n // out)) for cell in range(out)]
        cuts = [graph.node("Slice", x, *(np.array([v]) for v in (begin, end, axis))) for begin, end in bounds]
        reduce = "ReduceMax" if largest else "ReduceMean"
        x = graph.node("Concat", *(graph.node(reduce, cut, np.array([axis]), keepdims=1) for cut in cuts), axis=axis)
    return x


def _pads_for(
    shape: Sequence[int],
    cells: Sequence[int],
    padding: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
) -> list[tuple[int, int]]:
    """Return the pads of each axis, larger at the end where ceil_mode's last windows hang over."""
    needed = [(out - 1) * s + d * (k - 1) + 1 for out, s, d, k in zip(cells, stride, dilation, kernel, strict=True)]
    return [(p, max(p, need - n - p)) for p, need, n in zip(padding, needed, shape, strict=True)]


# Normalisation


@onnx_nodes(nn.BatchNorm1d, nn.BatchNorm2d, nn.InstanceNorm2d)
def _tracked_norm(graph: OnnxGraph, layer: Any, x: str) -> str:
    scale, shift = _scale_and_shift(graph, layer, layer.num_features)
    if layer.running_mean is not None:
        mean, var = (graph.parameter(name, getattr(layer, name)) for name in ("running_mean", "running_var"))
        return graph.node("BatchNormalization", x, scale, shift, mean, var, epsilon=layer.eps)
    if isinstance(layer, nn.InstanceNorm2d):
        return graph.node("InstanceNormalization", x, scale, shift, epsilon=layer.eps)
    # The batch's own statistics: each channel as one long row of a single sample.
    axes = len(graph.input_shape(layer))
    swap = [1, 0, *range(2, axes)]
    swapped = graph.node("Transpose", x, perm=swap)
    rows = graph.node("Reshape", swapped, np.array([1, layer.num_features, -1]))
    rows = graph.node("InstanceNormalization", rows, scale, shift, epsilon=layer.eps)
    back = graph.node("Reshape", rows, np.array([layer.num_features, -1, *graph.input_shape(layer)[2:]]))
    return graph.node("Transpose", back, perm=swap)


@onnx_nodes(nn.GroupNorm)
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


@onnx_nodes(nn.LayerNorm)
def _layer_norm(graph: OnnxGraph, layer: nn.LayerNorm, x: str) -> str:
    scale, shift = _scale_and_shift(graph, layer, layer.normalized_shape)
    return graph.node("LayerNormalization", x, scale, shift, axis=-len(layer.normalized_shape), epsilon=layer.eps)


@onnx_nodes(nn.RMSNorm)
def _rms_norm(graph: OnnxGraph, layer: nn.RMSNorm, x: str) -> str:
    axes = np.arange(-len(layer.normalized_shape), 0)
    square = graph.node("ReduceMean", graph.node("Mul", x, x), axes, keepdims=1)
    eps = float(np.finfo(graph.dtype).eps) if layer.eps is None else layer.eps
    x = graph.node("Div", x, graph.node("Sqrt", graph.node("Add", square, graph.number(eps))))
    return x if layer.weight is None else graph.node("Mul", x, graph.parameter("weight", layer.weight.data))


@onnx_nodes(nn.LocalResponseNorm)
def _local_response_norm(graph: OnnxGraph, layer: nn.LocalResponseNorm, x: str) -> str:
    if layer.size % 2 and len(graph.input_shape(layer)) == 4:  # ONNX Runtime has it for images only
        return graph.node("LRN", x, size=layer.size, alpha=layer.alpha, beta=layer.beta, bias=layer.k)
    # An even neighbourhood reaches further down than up, ONNX's further up: the sum as a product over the channels.
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


@onnx_nodes(nn.Flatten, nn.Unflatten)
def _reshape(graph: OnnxGraph, layer: Any, x: str) -> str:
    before, after = graph.input_shape(layer), graph.output_shape(layer)
    if isinstance(layer, nn.Unflatten) and layer.dim % len(before) == 0:
        raise ValueError("Unflatten of the batch axis cannot be exported: the batch size is free in ONNX")
    if before[:1] == after[:1] and len(after) == 2 and isinstance(layer, nn.Flatten):
        return graph.node("Flatten", x, axis=1)
    # The batch is the first axis, or in it: the one size that is left open.
    return graph.node("Reshape", x, np.array([0 if before[:1] == after[:1] else -1, *after[1:]]))


@onnx_nodes(nn.ZeroPad2d, nn.ConstantPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d, nn.CircularPad2d)
def _pad2d(graph: OnnxGraph, layer: Any, x: str) -> str:
    left, right, top, bottom = layer.padding
    return _pad(graph, x, ((0, 0), (0, 0), (top, bottom), (left, right)), layer.mode, layer.value)


def _pad(graph: OnnxGraph, x: str, pads: Any, mode: str, value: float = 0.0) -> str:
    inputs = [np.array(_flat(pads)), graph.number(value)] if mode == "constant" else [np.array(_flat(pads))]
    return graph.node("Pad", x, *inputs, mode=PAD_MODES[mode])


@onnx_nodes(nn.Upsample)
def _upsample(graph: OnnxGraph, layer: Any, x: str) -> str:
    shape, cells = graph.input_shape(layer)[2:], graph.output_shape(layer)[2:]
    where = "align_corners" if layer.align_corners else "half_pixel"
    options = {"mode": "linear", "coordinate_transformation_mode": where}
    if layer.mode == "nearest":
        options = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    if layer.scale_factor is None or layer.align_corners:
        return graph.node("Resize", x, "", "", np.array(cells), axes=[2, 3], **options)
    several = isinstance(layer.scale_factor, tuple)
    factors = layer.scale_factor if several else (layer.scale_factor, layer.scale_factor)
    factors = [_factor(f, n, out) for f, n, out in zip(factors, shape, cells, strict=True)]
    return graph.node("Resize", x, "", np.array(factors, np.float32), axes=[2, 3], **options)


def _factor(factor: float, size: int, out: int) -> np.float32:
    """Return the float32 nearest to a scale factor that gives the output size that the factor gives."""
    rounded = np.float32(factor if size != out else 1.0)
    return np.nextafter(rounded, np.float32(np.inf)) if int(float(rounded) * size) < out else rounded


@onnx_nodes(nn.PixelShuffle)
def _pixel_shuffle(graph: OnnxGraph, layer: Any, x: str) -> str:
    return graph.node("DepthToSpace", x, blocksize=layer.upscale_factor, mode="CRD")


@onnx_nodes(nn.Unfold)
def _unfold(graph: OnnxGraph, layer: Any, x: str) -> str:
    # A filter of a single one picks one pixel of each window; every channel has all of these filters.
    kernel, stride, padding, dilation = (
        _pair(value, 2) for value in (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    )
    channels, count = graph.input_shape(layer)[1], math.prod(kernel)
    weight = np.tile(np.eye(count, dtype=graph.dtype), (channels, 1)).reshape(channels * count, 1, *kernel)
    pads = _flat([(p, p) for p in padding])
    windows = {"kernel_shape": kernel, "strides": stride, "pads": pads, "dilations": dilation}
    return graph.node(
        "Reshape", graph.node("Conv", x, weight, group=channels, **windows), np.array([0, channels * count, -1])
    )


@onnx_nodes(nn.Fold)
def _fold(graph: OnnxGraph, layer: Any, x: str) -> str:
    kernel, stride, padding, dilation = (
        _pair(value, 2) for value in (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    )
    pads = _flat([(p, p) for p in padding])
    sizes = np.array(_pair(layer.output_size, 2)), np.array(kernel)
    return graph.node("Col2Im", x, *sizes, strides=stride, pads=pads, dilations=dilation)


def _pair(value: Any, count: int) -> tuple[int, ...]:
    return check_pair("export_onnx", "value", value, minimum=0)[:count]


def _flat(pads: Any) -> list[int]:
    """Return ONNX's order: what is before each axis, then what is after."""
    return [before for before, _ in pads] + [after for _, after in pads]
