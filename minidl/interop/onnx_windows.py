"""The ONNX nodes of layers with windows: convolution, pooling, padding, Unfold and Fold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import nn
from .._core import Array, check_pair
from .onnx_pooling import Pool

if TYPE_CHECKING:
    from .onnx_export import OnnxGraph

__all__ = ["adaptive_pool", "avg_pool", "conv", "fold", "lp_pool", "max_pool", "pad2d", "pool", "unfold"]

PAD_MODES = {"zeros": "constant", "constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
Pads = Sequence[tuple[int, int]]


# Convolution


def conv(graph: OnnxGraph, layer: Any, x: str) -> str:
    """Conv or ConvTranspose; a padding mode other than zeros becomes a Pad node before it."""
    transposed = isinstance(layer, nn.ConvTranspose2d)
    pads = layer.pads()
    if layer.padding_mode != "zeros":
        x = _pad(graph, x, pads, layer.padding_mode)
        pads = [(0, 0)] * len(pads)
    return graph.node(
        "ConvTranspose" if transposed else "Conv",
        x,
        graph.parameter("weight", layer.weight.data),
        *([] if layer.bias is None else [graph.parameter("bias", layer.bias.data)]),
        kernel_shape=layer.kernel_size,
        strides=layer.stride,
        pads=_flat(pads),
        dilations=layer.dilation,
        group=layer.groups,
        output_padding=layer.output_padding if transposed else None,
    )


# Pooling


def max_pool(graph: OnnxGraph, layer: Any, x: str) -> str:
    """MaxPool; padding larger than ONNX allows becomes a Pad node before it."""
    axes = len(graph.input_shape(layer)) - 2
    kernel, stride, dilation = (_pair(value, axes) for value in (layer.kernel_size, layer.stride, layer.dilation))
    sizes, cells = graph.input_shape(layer)[2:], graph.output_shape(layer)[2:]
    pads = _pads_for(sizes, cells, _pair(layer.padding, axes), kernel, stride, dilation)
    if any(max(pair) >= size for pair, size in zip(pads, kernel, strict=True)):
        x, pads = _pad(graph, x, pads, "constant", -np.inf), [(0, 0)] * axes
    return graph.node("MaxPool", x, kernel_shape=kernel, strides=stride, pads=_flat(pads), dilations=dilation)


def avg_pool(graph: OnnxGraph, layer: Any, x: str) -> str:
    """AveragePool, or a convolution with ones and a division where ONNX counts other pixels."""
    return _means(graph, layer, x, _pair(layer.padding, 2), layer.count_include_pad, layer.divisor_override)


def lp_pool(graph: OnnxGraph, layer: Any, x: str) -> str:
    """The root of a sum of powers, from the mean of the powers."""
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
    # ONNX would count other pixels
    sizes, cells = graph.input_shape(layer)[2:], graph.output_shape(layer)[2:]
    pads = _pads_for(sizes, cells, padding, kernel, stride, (1, 1))
    counts = []
    for n, out, k, s, p in zip(sizes, cells, kernel, stride, padding, strict=True):
        border = p if include_pad else 0
        counts.append(np.array([min(o * s - p + k, n + border) - max(o * s - p, -border) for o in range(out)]))
    divisors = np.outer(counts[0], counts[1]) if divisor is None else np.full(cells, divisor)
    return _divided_sums(graph, x, graph.input_shape(layer)[1], divisors, pads, options)


def _divided_sums(graph: OnnxGraph, x: str, channels: int, divisor: Array, pads: Pads, options: dict[str, Any]) -> str:
    """Compute sums with a filter of ones for each channel, and divide them."""
    ones = np.ones((channels, 1, *options["kernel_shape"]), graph.dtype)
    x = graph.node("Conv", x, ones, pads=_flat(pads), group=channels, **options)
    return graph.node("Mul", x, (1 / divisor).astype(graph.dtype))


def pool(graph: OnnxGraph, layer: Pool, x: str) -> str:
    """A pooling that `from_onnx` has read, without ceil_mode and auto_pad, whose meaning has changed over time."""
    channels, *sizes = graph.input_shape(layer)[1:]
    axes, image = len(sizes), (1 if len(sizes) == 1 else sizes[0], sizes[-1])
    windows = layer.windows(image)
    kernel, stride, before, dilation = (pair[-axes:] for pair in windows.geometry[:4])
    needed = [
        (c - 1) * s + d * (k - 1) + 1
        for c, k, s, d in zip(windows.shape[-axes:], kernel, stride, dilation, strict=True)
    ]
    pads = [(p, max(0, need - n - p)) for p, need, n in zip(before, needed, sizes, strict=True)]
    options: dict[str, Any] = {"kernel_shape": kernel, "strides": stride, "dilations": dilation}
    if layer.operator == "AveragePool":
        divisor = layer.divisor(image, windows)
        return _divided_sums(graph, x, channels, divisor if axes == 2 else divisor[0], pads, options)
    if any(max(pair) >= size for pair, size in zip(pads, kernel, strict=True)):
        x, pads = _pad(graph, x, pads, "constant", -np.inf), [(0, 0)] * axes
    return graph.node("MaxPool", x, pads=_flat(pads), **options)


def adaptive_pool(graph: OnnxGraph, layer: Any, x: str) -> str:
    """A global pool, a pool with equal windows, or else one Slice and one reduction for each output cell."""
    largest = isinstance(layer, nn.AdaptiveMaxPool2d)
    sizes, cells = graph.input_shape(layer)[2:], graph.output_shape(layer)[2:]
    if cells == (1, 1):
        return graph.node("GlobalMaxPool" if largest else "GlobalAveragePool", x)
    if all(n % out == 0 for n, out in zip(sizes, cells, strict=True)):
        kernel = [n // out for n, out in zip(sizes, cells, strict=True)]
        return graph.node("MaxPool" if largest else "AveragePool", x, kernel_shape=kernel, strides=kernel)
    # One axis at a time, the last axis first, so that a tie goes to the first maximum in row-major order.
    for axis, n, out in ((3, sizes[1], cells[1]), (2, sizes[0], cells[0])):
        bounds = [(cell * n // out, -(-(cell + 1) * n // out)) for cell in range(out)]
        cuts = [graph.node("Slice", x, *(np.array([v]) for v in (begin, end, axis))) for begin, end in bounds]
        reduce = "ReduceMax" if largest else "ReduceMean"
        x = graph.node("Concat", *(graph.node(reduce, cut, np.array([axis]), keepdims=1) for cut in cuts), axis=axis)
    return x


def _pads_for(
    sizes: Sequence[int],
    cells: Sequence[int],
    padding: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
) -> Pads:
    """Return the pads of each axis, larger at the end where ceil_mode's last window reaches past the padding."""
    needed = [(out - 1) * s + d * (k - 1) + 1 for out, s, d, k in zip(cells, stride, dilation, kernel, strict=True)]
    return [(p, max(p, need - n - p)) for p, need, n in zip(padding, needed, sizes, strict=True)]


# Padding, Unfold and Fold


def pad2d(graph: OnnxGraph, layer: Any, x: str) -> str:
    """Pad, in the layer's mode."""
    left, right, top, bottom = layer.padding
    return _pad(graph, x, [(top, bottom), (left, right)], layer.mode, layer.value)


def _pad(graph: OnnxGraph, x: str, pads: Pads, mode: str, value: float = 0.0) -> str:
    """Add a Pad node; ``pads`` are those of the axes after batch and channels."""
    sizes = np.array(_flat([(0, 0), (0, 0), *pads]))
    inputs = [sizes, graph.number(value)] if PAD_MODES[mode] == "constant" else [sizes]
    return graph.node("Pad", x, *inputs, mode=PAD_MODES[mode])


def unfold(graph: OnnxGraph, layer: Any, x: str) -> str:
    """A convolution whose filters each hold a single one: filter k of a channel picks pixel k of each window."""
    kernel, stride, padding, dilation = _window_options(layer)
    channels, count = graph.input_shape(layer)[1], math.prod(kernel)
    weight = np.tile(np.eye(count, dtype=graph.dtype), (channels, 1)).reshape(channels * count, 1, *kernel)
    windows = {"kernel_shape": kernel, "strides": stride, "pads": [*padding, *padding], "dilations": dilation}
    picked = graph.node("Conv", x, weight, group=channels, **windows)
    return graph.node("Reshape", picked, np.array([0, channels * count, -1]))


def fold(graph: OnnxGraph, layer: Any, x: str) -> str:
    """Col2Im."""
    kernel, stride, padding, dilation = _window_options(layer)
    sizes = np.array(_pair(layer.output_size, 2)), np.array(kernel)
    return graph.node("Col2Im", x, *sizes, strides=stride, pads=[*padding, *padding], dilations=dilation)


def _window_options(layer: Any) -> list[tuple[int, ...]]:
    return [_pair(value, 2) for value in (layer.kernel_size, layer.stride, layer.padding, layer.dilation)]


def _pair(value: Any, axes: int) -> tuple[int, ...]:
    return check_pair("export_onnx", "value", value, minimum=0)[:axes]


def _flat(pads: Pads) -> list[int]:
    """Return pads in ONNX's order: those before each axis, then those after."""
    return [before for before, _ in pads] + [after for _, after in pads]
