"""Pooling as ONNX has it: pads of any size that differ from side to side, auto_pad, dilated means, sequences.

The layers of `minidl.nn` follow PyTorch, whose padding is the same on both sides and at most half the kernel; a node
that keeps to that becomes one of them. Any other becomes a `Pool`. Padding the image first would be something else:
with ceil_mode ONNX drops a window that would begin in the padding at the end.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .. import nn
from .._core import Array, check_grad, check_images, check_sequences
from ..engine import Engine, Geometry, current_engine, output_size
from ..nn import Module
from ..nn.layer import Layer
from .onnx_node import Node

__all__ = ["Pool", "Windows", "pool", "rounds_up"]

Pair = tuple[int, int]
Options = dict[str, Any]


class Windows(NamedTuple):
    """How the windows of one pass lie.

    Attributes:
        geometry: theirs, of images; a sequence is an image with one row.
        shape: how many there are along both axes.
        after: the padding at the end of both axes.
    """

    geometry: Geometry
    shape: Pair
    after: Pair


class _Cache(NamedTuple):
    """What backward needs: the input or its shape, the output or the divisor, the geometry, the engine."""

    x: Any
    out: Array
    geometry: Geometry
    engine: Engine


class Pool(Layer):
    """ONNX's MaxPool or AveragePool over the last axis of sequences, or the last two of images.

    The number of windows is onnx's: floor((n + before + after - d*(k - 1) - 1) / s) + 1, or with ceil_mode the ceiling,
    without a window that would begin in the padding at the end. An average counts the pixels of its window, and with
    count_include_pad the padding that it meets, but nothing beyond. A window that meets nothing but padding gives -inf,
    and a mean of 0 pixels 0; ONNX does not say what they should be.

    Args:
        operator: "MaxPool" or "AveragePool".
        options: the node's attributes: kernel_shape, strides, pads, dilations, auto_pad, ceil_mode, and
            count_include_pad for an average.

    Source: https://onnx.ai/onnx/operators/onnx__MaxPool.html, .../onnx__AveragePool.html
    """

    def __init__(self, operator: str, options: Options) -> None:
        super().__init__()
        self.operator, self.options = operator, options

    def _compute(self, x: Array) -> tuple[Array, _Cache]:
        axes = len(self.options["kernel_shape"])
        (check_images if axes == 2 else check_sequences)(x)
        image = x if axes == 2 else x[:, :, None]
        windows, engine = self.windows(image.shape[2:]), current_engine()
        geometry = windows.geometry
        if self.operator == "MaxPool":
            out = engine.max_pool(image, geometry, windows.shape)
            cache = _Cache(image, out, geometry, engine)
        else:
            divisor = self.divisor(image.shape[2:], windows).astype(x.dtype)
            out = engine.avg_pool(image, geometry, divisor)
            cache = _Cache(image.shape, divisor, geometry, engine)
        return out if axes == 2 else out[:, :, 0], cache

    def _differentiate(self, grad_output: Array, cache: _Cache) -> Array:
        x, out, geometry, engine = cache
        largest, flat = self.operator == "MaxPool", len(self.options["kernel_shape"]) == 1
        shape = out.shape if largest else (*x[:2], *out.shape)
        check_grad(grad_output, (*shape[:2], shape[3]) if flat else shape, out.dtype)
        grad = grad_output[:, :, None] if flat else grad_output
        dx = engine.max_pool_grad(grad, x, out, geometry) if largest else engine.avg_pool_grad(grad, x, geometry, out)
        return dx[:, :, 0] if flat else dx

    def windows(self, size: Pair) -> Windows:
        """Return the windows on an image of this size.

        Raises:
            ValueError: not one fits.
        """
        o = self.options
        kernel, stride, dilation = (_both(o[name], 1) for name in ("kernel_shape", "strides", "dilations"))
        half = len(o["pads"]) // 2
        before, after = _both(o["pads"][:half], 0), _both(o["pads"][half:], 0)
        ceil_mode = o["ceil_mode"]
        if o["auto_pad"].startswith("SAME"):
            count = [-(-n // s) for n, s in zip(size, stride, strict=True)]
            axes = zip(size, kernel, stride, dilation, count, strict=True)
            total = [max((c - 1) * s + d * (k - 1) + 1 - n, 0) for n, k, s, d, c in axes]
            less, more = [t // 2 for t in total], [t - t // 2 for t in total]
            first, last = (less, more) if o["auto_pad"] == "SAME_UPPER" else (more, less)
            before, after, ceil_mode = (first[0], first[1]), (last[0], last[1]), False
        geometry = Geometry(kernel, stride, before, dilation)
        return Windows(geometry, output_size(size, geometry, after, ceil_mode), after)

    def divisor(self, size: Pair, windows: Windows) -> Array:
        """Return how many numbers each window of an average counts, at least 1, as an array (OH, OW)."""
        include = self.options["count_include_pad"]
        rows, columns = (_counts(size[axis], windows, axis, include) for axis in (0, 1))
        counts: Array = np.maximum(rows[:, None] * columns, 1)
        return counts

    def extra_repr(self) -> str:
        """The operator and its options."""
        return ", ".join([self.operator, *(f"{name}={value!r}" for name, value in self.options.items())])


def _both(values: Any, missing: int) -> Pair:
    """Return the values of two axes; a sequence has one row."""
    return (missing, *values) if len(values) == 1 else tuple(values)


def _counts(size: int, windows: Windows, axis: int, include_pad: bool) -> Array:
    """Return how many numbers each window along an axis counts."""
    kernel, stride, before, dilation = (pair[axis] for pair in windows.geometry[:4])
    places = (np.arange(windows.shape[axis]) * stride - before)[:, None] + np.arange(kernel) * dilation
    low, high = (-before, size + windows.after[axis]) if include_pad else (0, size)
    counts: Array = ((places >= low) & (places < high)).sum(axis=1)
    return counts


def rounds_up(proto: Any) -> bool:
    """Return whether a node, an onnx.NodeProto, is a pooling with ceil_mode."""
    return any(attribute.name == "ceil_mode" and attribute.i for attribute in proto.attribute)


def pool(node: Node) -> Module:
    """Return the module that a MaxPool or AveragePool node becomes.

    Raises:
        ValueError: an option is not supported.
    """
    largest, axes = node.operator == "MaxPool", (node.rank or 4) - 2
    if axes not in (1, 2):
        raise ValueError(f"pooling over {axes} axes is not supported")
    options: Options = {"kernel_shape": [int(size) for size in node.attribute("kernel_shape", ())]}
    for name, default in (("strides", 1), ("dilations", 1)):
        options[name] = [int(value) for value in node.attribute(name, [default] * axes)]
    options["pads"] = [int(pad) for pad in node.attribute("pads", [0] * 2 * axes)]
    options["auto_pad"] = node.attribute("auto_pad", "NOTSET")
    options["ceil_mode"] = bool(node.attribute("ceil_mode", 0))
    if largest:
        node.check(storage_order=0)
    else:
        options["count_include_pad"] = bool(node.attribute("count_include_pad", 0))
    _check(options, axes)
    return _as_layer(largest, options, axes) or Pool(node.operator, options)


def _check(options: Options, axes: int) -> None:
    for name in ("kernel_shape", "strides", "dilations"):
        if len(options[name]) != axes or min(options[name]) < 1:
            raise ValueError(f"{name} must be {axes} positive numbers, got {options[name]}")
    if len(options["pads"]) != 2 * axes or min(options["pads"]) < 0:
        raise ValueError(f"pads must be {2 * axes} numbers of at least 0, got {options['pads']}")
    if options["auto_pad"] not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise ValueError(f"auto_pad={options['auto_pad']!r} is not known to ONNX")


def _as_layer(largest: bool, options: Options, axes: int) -> Module | None:
    """Return minidl's layer, if it does the same."""
    kernel, before, after = options["kernel_shape"], options["pads"][:axes], options["pads"][axes:]
    even = before == after and all(pad <= size // 2 for pad, size in zip(before, kernel, strict=True))
    if not even or options["auto_pad"].startswith("SAME"):
        return None
    if not largest and (axes == 1 or max(options["dilations"]) > 1):
        return None
    given = {"kernel_size": kernel, "stride": options["strides"], "padding": before, "dilation": options["dilations"]}
    plain: Options = {name: value[0] if axes == 1 else tuple(value) for name, value in given.items()}
    plain["ceil_mode"] = options["ceil_mode"]
    if largest:
        return nn.MaxPool1d(**plain) if axes == 1 else nn.MaxPool2d(**plain)
    del plain["dilation"]
    return nn.AvgPool2d(**plain, count_include_pad=options["count_include_pad"])
