"""Which module each ONNX operator becomes: the table `BUILDERS`, counterpart of `onnx_layers.EXPORTERS`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import nn
from .._core import Array
from ..nn import Module, Parameter
from . import onnx_operators as operators
from .onnx_node import Constant, Node
from .onnx_package import require_onnx
from .onnx_pooling import pool

__all__ = ["BUILDERS", "constant"]

Builder = Callable[[Node], Module]
Pads = list[tuple[int, int]]


def _weights(node: Node, layer: Module, **constants: Constant | None) -> Module:
    """Load arrays into a layer, which takes their dtype; parameters that are not initializers are frozen.

    An initializer that several nodes use is one Parameter of all of them.
    """
    given = {name: constant for name, constant in constants.items() if constant is not None}
    dtypes = {np.dtype(constant.value.dtype) for constant in given.values()}
    if dtypes and dtypes not in ({np.dtype(np.float32)}, {np.dtype(np.float64)}):
        raise ValueError(f"weights must be float32 or float64, got {', '.join(sorted(map(str, dtypes)))}")
    for dtype in dtypes:
        layer.astype(dtype)
    layer.load_state_dict({name: constant.value for name, constant in given.items()}, strict=False)
    for name, parameter in list(layer.named_params()):
        parameter.requires_grad = name in given and given[name].learnt
        if parameter.requires_grad:
            setattr(layer, name, node.shared(given[name], parameter))
    return layer


def _operator(node: Node, count: int | None = None, **options: Any) -> Module:
    """Make an Operator of the first ``count`` operands (None: of all); constants that are learned become Parameters."""
    operands: list[Array | Parameter | None] = []
    for number, constant in enumerate(node.operands(count)):
        if constant is None:
            operands.append(None)
            continue
        value, exponent = constant.value, (node.operator, number) == ("Pow", 1)
        learnt = constant.learnt and value.dtype.kind == "f" and value.ndim > 0 and not exponent
        operands.append(node.shared(constant, Parameter(value)) if learnt else value)
    return operators.Operator(node.operator, operands, **options)


def constant(node: Node, index: int) -> Module:
    """Return a module that gives a constant input of a node, for a layer that takes computed ones only."""
    given = node.constant(index)
    if given is None:
        raise ValueError(f"input {index} is missing")
    floats = given.learnt and given.value.dtype.kind == "f" and given.value.ndim
    operand = node.shared(given, Parameter(given.value)) if floats else given.value
    return operators.Operator("Identity", [operand])


def _after(pad: Module | None, layer: Module) -> Module:
    return layer if pad is None else nn.Sequential(pad, layer)


# Linear and convolutions


def _gemm(node: Node) -> Module:
    node.check(alpha=1.0, beta=1.0, transA=0)
    transposed = bool(node.attribute("transB", 0))
    if not node.weighs(1) or node.computed(2) or (not transposed and node.is_shared(1)):
        return _operator(node, transB=transposed)
    weight, bias = node.constant(1), node.constant(2)
    if weight is None:
        raise ValueError("the weight is missing")
    if bias is not None and bias.value.ndim == 2 and len(bias.value) > 1:  # a number for each sample
        return _operator(node, transB=transposed)
    if not transposed:
        weight = weight._replace(value=weight.value.T, layout="T")
    if bias is not None and bias.value.shape != weight.value.shape[:1]:
        bias = bias._replace(value=np.broadcast_to(bias.value.reshape(-1), len(weight.value)), layout="row")
    outputs, inputs = weight.value.shape
    return _weights(node, nn.Linear(inputs, outputs, bias=bias is not None), weight=weight, bias=bias)


def _matmul(node: Node) -> Module:
    if not node.weighs(1) or not node.computed(0) or node.is_shared(1):
        return _operator(node)
    weight = node.constant(1)
    if weight is None or weight.value.ndim != 2 or not weight.learnt:
        return _operator(node)
    inputs, outputs = weight.value.shape
    transposed = weight._replace(value=weight.value.T, layout="T")
    return _weights(node, nn.Linear(inputs, outputs, bias=False), weight=transposed)


def _conv(node: Node) -> Module:
    weight, bias = node.constant(1), node.constant(2)
    axes = 0 if weight is None else weight.value.ndim - 2
    if weight is None or axes not in (1, 2):
        raise ValueError("only convolutions over one or two axes are supported")
    options, pads = _windows(node, axes, weight.value.shape[2:])
    groups = node.attribute("group", 1)
    pad = None
    if node.operator == "ConvTranspose":
        extra, wanted = node.attribute("output_padding", [0] * axes), node.attribute("output_shape", None)
        if wanted is not None or axes != 2 or any(before != after for before, after in pads):
            raise ValueError("output_shape, different pads on the two sides, and a single axis are not supported")
        sizes = weight.value.shape[0], weight.value.shape[1] * groups
        options.update(padding=tuple(before for before, _ in pads), output_padding=tuple(extra))
        layer: Module = nn.ConvTranspose2d(*sizes, groups=groups, bias=bias is not None, **options)
    else:
        pads, pad = _even(pads)
        sizes = weight.value.shape[1] * groups, weight.value.shape[0]
        options["padding"] = tuple(before for before, _ in pads)
        if axes == 1:
            options = {name: value[0] for name, value in options.items()}
        kind = nn.Conv1d if axes == 1 else nn.Conv2d
        layer = kind(*sizes, groups=groups, bias=bias is not None, **options)
    return _after(pad, _weights(node, layer, weight=weight, bias=bias))


def _windows(node: Node, axes: int, kernel: Sequence[int]) -> tuple[dict[str, Any], Pads]:
    if (given := node.attribute("auto_pad", "NOTSET")) not in ("NOTSET", "VALID"):
        raise ValueError(f"auto_pad={given!r} is not supported")
    if (given := tuple(node.attribute("kernel_shape", kernel))) != tuple(kernel):
        raise ValueError(f"kernel_shape={given} does not fit the weight's windows, {tuple(kernel)}")
    stride, dilation = (tuple(node.attribute(name, [1] * axes)) for name in ("strides", "dilations"))
    flat = node.attribute("pads", [0] * 2 * axes)
    return {"kernel_size": given, "stride": stride, "dilation": dilation}, _pairs(flat)


def _pairs(flat: Sequence[int]) -> Pads:
    half = len(flat) // 2
    return list(zip(flat[:half], flat[half:], strict=True))


def _even(pads: Pads) -> tuple[Pads, Module | None]:
    """Return pads that a layer can apply itself, equal on both sides, or zeros and a module that pads with zeros."""
    if all(before == after for before, after in pads):
        return pads, None
    return [(0, 0)] * len(pads), operators.Operator("Pad", pads=[(0, 0), (0, 0), *pads], value=0.0)


# Pooling


def _global_pool(node: Node) -> Module:
    if node.rank != 4:
        raise ValueError(f"expected an input of shape (N, C, H, W), got one with {node.rank} axes")
    return nn.AdaptiveMaxPool2d(1) if node.operator == "GlobalMaxPool" else nn.AdaptiveAvgPool2d(1)


def _reduce(node: Node) -> Module:
    node.check(noop_with_empty_axes=0)
    axes = node.ints(1, "axes") or None  # an empty list means all axes, too
    return _operator(node, 1, axes=axes, keepdims=bool(node.attribute("keepdims", 1)))


# Normalization


def _batch_norm(node: Node) -> Module:
    node.check(training_mode=0)
    scale, shift, mean, var = (node.constant(index) for index in range(1, 5))
    momentum = 1 - node.attribute("momentum", 0.9)
    kind = nn.BatchNorm2d if node.rank == 4 else nn.BatchNorm1d
    layer = kind(0 if scale is None else len(scale.value), node.attribute("epsilon", 1e-5), momentum)
    return _weights(node, layer, weight=scale, bias=shift, running_mean=mean, running_var=var)


def _instance_norm(node: Node) -> Module:
    scale, shift = node.constant(1), node.constant(2)
    channels = 0 if scale is None else len(scale.value)
    return _weights(node, nn.GroupNorm(channels, channels, node.attribute("epsilon", 1e-5)), weight=scale, bias=shift)


def _layer_norm(node: Node) -> Module:
    node.check(stash_type=1)
    scale, shift, axis = node.constant(1), node.constant(2), node.attribute("axis", -1)
    shape = () if scale is None else scale.value.shape
    if len(shape) != (-axis if axis < 0 else (node.rank or 0) - axis):
        raise ValueError(f"axis={axis} does not fit a scale of shape {shape}")
    layer = nn.LayerNorm(shape, node.attribute("epsilon", 1e-5), bias=shift is not None)
    return _weights(node, layer, weight=scale, bias=shift)


def _local_response_norm(node: Node) -> Module:
    size = node.attribute("size", 1)
    if size % 2 == 0:
        raise ValueError("an even size is not supported: minidl's neighbourhood reaches to the other side")
    names = {"alpha": 1e-4, "beta": 0.75, "bias": 1.0}
    return nn.LocalResponseNorm(size, *(node.attribute(name, default) for name, default in names.items()))


# Activations


def _layer(kind: type[Module], **attributes: tuple[str, Any]) -> Builder:
    """Return a builder for a layer; each option is given as (name of the attribute, its default)."""
    return lambda node: kind(**{k: node.attribute(name, default) for k, (name, default) in attributes.items()})


def _only(kind: type[Module], **attributes: tuple[float, float]) -> Builder:
    """Return a builder for a layer without options; the operator's attributes are (default, what the layer has)."""

    def build(node: Node) -> Module:
        for name, (default, value) in attributes.items():
            given = node.attribute(name, default)
            if abs(given - value) > 1e-6:
                raise ValueError(f"{name}={given} is not supported, only {value}")
        return kind()

    return build


def _clip(node: Node) -> Module:
    low, high = (node.constant(index) for index in (1, 2))
    given = low or high
    if given is None:
        return operators.Operator("Identity")
    dtype = given.value.dtype
    ends: Any = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    bounds = (ends.min if low is None else low.value.item()), (ends.max if high is None else high.value.item())
    if dtype.kind != "f" or not bounds[0] < bounds[1]:
        return operators.Operator("Clip", low=bounds[0], high=bounds[1])
    return nn.ReLU6() if bounds == (0, 6) else nn.Hardtanh(float(bounds[0]), float(bounds[1]))


def _shrink(node: Node) -> Module:
    bias, lambd = node.attribute("bias", 0.0), node.attribute("lambd", 0.5)
    if bias not in (0, lambd):
        raise ValueError(f"bias={bias} is not supported, only 0 or lambd={lambd}")
    return nn.Hardshrink(lambd) if bias == 0 else nn.Softshrink(lambd)


def _prelu(node: Node) -> Module:
    slope = node.constant(1)
    shape = () if slope is None else (1,) * ((node.rank or 0) - slope.value.ndim) + slope.value.shape
    if slope is None or (slope.value.size != 1 and (len(shape) < 2 or slope.value.size != shape[1])):
        raise ValueError("the slope must be a single number, or one for each channel (axis 1)")
    flat = slope._replace(value=slope.value.reshape(-1), layout="flat")
    return _weights(node, nn.PReLU(flat.value.size), weight=flat)


# Shape


def _slice(node: Node) -> Module:
    starts, ends, axes, steps = (node.ints(index) for index in range(1, 5))
    if starts is None or ends is None:
        raise ValueError("starts and ends are missing")
    axes = list(range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    open_end = -(2**31)  # below every index: a slice that goes backwards, to the beginning
    parts = {
        a: slice(b, None if s < 0 and e <= open_end else e, s)
        for a, b, e, s in zip(axes, starts, ends, steps, strict=True)
    }
    return _operator(node, 1, index=parts)


def _gather(node: Node) -> Module:
    axis = node.attribute("axis", 0)
    if not node.computed(1):
        indices = node.constant(1)
        if indices is None:
            raise ValueError("the indices are missing")
        index = indices.value if indices.value.ndim else int(indices.value)
        module = _operator(node, 1, index={axis: index})
        module.operator = "Slice"
        return module
    if axis != 0 or node.computed(0):
        raise ValueError("indices that are computed are supported for a constant table and axis=0 only")
    if node.weighs(0) and (table := node.constant(0)) is not None and table.value.ndim == 2 and table.learnt:
        return _weights(node, nn.Embedding(*table.value.shape), weight=table)
    return _operator(node)


def _pad(node: Node) -> Module:
    mode, flat, value, axes = node.attribute("mode", "constant"), node.ints(1), node.constant(2), node.ints(3)
    if flat is None or axes is not None:
        raise ValueError("pads must be given for all axes")
    pads = _pairs(flat)
    if mode == "constant":
        return _operator(node, 1, pads=pads, value=0.0 if value is None else value.value.item())
    layers = {"reflect": nn.ReflectionPad2d, "edge": nn.ReplicationPad2d, "wrap": nn.CircularPad2d}
    if mode not in layers or len(pads) not in (3, 4) or any(p != (0, 0) for p in pads[:2]):
        raise ValueError(f"mode={mode!r} is supported for the last axes of images and sequences only")
    (top, bottom), (left, right) = [(0, 0), *pads[2:]][-2:]
    layer = layers[mode]((left, right, top, bottom))
    if len(pads) == 4:
        return layer
    return nn.Sequential(nn.Unflatten(1, (-1, 1)), layer, nn.Flatten(1, 2))  # (N, C, L) as images (N, C, 1, L)


def _resize(node: Node) -> Module:
    node.check(antialias=0, exclude_outside=0, keep_aspect_ratio_policy="stretch", extrapolation_value=0.0)
    node.check(cubic_coeff_a=-0.75)
    mode, axes = node.attribute("mode", "nearest"), node.attribute("axes", None)
    where = node.attribute("coordinate_transformation_mode", "half_pixel")
    rounding = node.attribute("nearest_mode", "round_prefer_floor")
    kinds: dict[Any, dict[str, Any]] = {
        ("nearest", "asymmetric"): {"mode": "nearest"},
        ("linear", "half_pixel"): {"mode": "bilinear"},
        ("linear", "pytorch_half_pixel"): {"mode": "bilinear"},  # the same except for outputs of one pixel
        ("linear", "align_corners"): {"mode": "bilinear", "align_corners": True},
    }
    if (mode, where) not in kinds or (mode == "nearest" and rounding != "floor"):
        raise ValueError(f"mode={mode!r} with coordinates {where!r} and nearest_mode {rounding!r} is not supported")
    node.constant(1)
    factors, sizes = node.constant(2), node.ints(3)
    if node.rank == 4 and axes is None and sizes is None and factors is not None and list(factors.value[:2]) == [1, 1]:
        factors, axes = factors._replace(value=factors.value[2:]), [2, 3]
    if node.rank == 4 and axes is None and sizes is not None and node.channels == sizes[1]:
        sizes, axes = sizes[2:], [2, 3]
    if where == "pytorch_half_pixel" and (sizes is None or 1 in sizes):
        raise ValueError("pytorch_half_pixel is supported for sizes above 1 only")
    if node.rank != 4 or axes is None or [axis % 4 for axis in axes] != [2, 3]:
        raise ValueError("only the last two axes of images can be resized")
    options = kinds[mode, where]
    if sizes is not None:
        return nn.Upsample(size=(sizes[0], sizes[1]), **options)
    if factors is None:
        raise ValueError("it has neither sizes nor scales")
    return nn.Upsample(scale_factor=(float(factors.value[0]), float(factors.value[1])), **options)


def _depth_to_space(node: Node) -> Module:
    node.check(mode="CRD")
    return nn.PixelShuffle(node.attribute("blocksize", 1))


def _reshape(node: Node) -> Module:
    shape = node.ints(1) or []
    if node.attribute("allowzero", 0) and 0 in shape:
        raise ValueError("allowzero=1 is not supported for a shape with 0 in it")
    return _operator(node, 1, shape=shape)


def _flatten(node: Node) -> Module:
    axis = node.attribute("axis", 1)
    return nn.Flatten() if axis == 1 and (node.rank or 0) > 1 else _operator(node, axis=axis)


def _col2im(node: Node) -> Module:
    size, kernel = node.ints(1), node.ints(2)
    options, pads = _windows(node, 2, kernel or ())
    if size is None or len(size) != 2 or any(before != after for before, after in pads):
        raise ValueError("only images with equal pads on both sides are supported")
    return nn.Fold((size[0], size[1]), padding=tuple(before for before, _ in pads), **options)


def _place(node: Node) -> Module:
    node.check(select_last_index=0)
    return _operator(node, axis=node.attribute("axis", 0), keepdims=bool(node.attribute("keepdims", 1)))


def _cast(node: Node) -> Module:
    node.check(saturate=1)
    dtype = require_onnx("from_onnx").helper.tensor_dtype_to_np_dtype(node.attribute("to", 1))
    if dtype.kind not in "fiub" or dtype == np.float16:
        raise ValueError(f"to {dtype} is not supported")
    return _operator(node, dtype=dtype.name)


# Operators without options, whose constant inputs are operands
_PLAIN = (
    *("Abs", "Acos", "Add", "And", "Asin", "Atan", "Ceil", "Cos", "Cosh", "Div", "Equal", "Exp", "Floor", "Greater"),
    *("GreaterOrEqual", "Less", "LessOrEqual", "Log", "Max", "Min", "Mul", "Neg", "Not", "Or", "Pow", "Reciprocal"),
    *("Round", "Sign", "Sin", "Sinh", "Sqrt", "Sub", "Sum", "Tan", "Where", "Xor"),
)
BUILDERS: dict[str, Builder] = {
    **dict.fromkeys(_PLAIN, _operator),
    **dict.fromkeys(("Conv", "ConvTranspose"), _conv),
    **dict.fromkeys(("MaxPool", "AveragePool"), pool),
    **dict.fromkeys(("GlobalMaxPool", "GlobalAveragePool"), _global_pool),
    **dict.fromkeys((name for name in operators.OPERATORS if name.startswith("Reduce")), _reduce),
    **dict.fromkeys(("ArgMax", "ArgMin"), _place),
    "Cast": _cast,
    "BatchNormalization": _batch_norm,
    "Celu": _layer(nn.CELU, alpha=("alpha", 1.0)),
    "Clip": _clip,
    "Col2Im": _col2im,
    "Concat": lambda node: _operator(node, axis=node.attribute("axis", 1)),
    "CumSum": lambda node: _operator(node, 1, axis=(node.ints(1) or [0])[0]),
    "DepthToSpace": _depth_to_space,
    "Einsum": lambda node: _operator(node, equation=node.attribute("equation", "").replace(" ", "")),
    "Elu": _layer(nn.ELU, alpha=("alpha", 1.0)),
    "Expand": lambda node: _operator(node) if node.computed(1) else _operator(node, 1, shape=node.ints(1) or []),
    "Flatten": _flatten,
    "Gather": _gather,
    "Gelu": _layer(nn.GELU, approximate=("approximate", "none")),
    "Gemm": _gemm,
    "HardSigmoid": _only(nn.Hardsigmoid, alpha=(0.2, 1 / 6), beta=(0.5, 0.5)),
    "HardSwish": _layer(nn.Hardswish),
    "InstanceNormalization": _instance_norm,
    "LRN": _local_response_norm,
    "LayerNormalization": _layer_norm,
    "LeakyRelu": _layer(nn.LeakyReLU, negative_slope=("alpha", 0.01)),
    "LogSoftmax": _layer(nn.LogSoftmax, dim=("axis", -1)),
    "MatMul": _matmul,
    "Mish": _layer(nn.Mish),
    "PRelu": _prelu,
    "Pad": _pad,
    "Relu": _layer(nn.ReLU),
    "Reshape": _reshape,
    "Resize": _resize,
    "Selu": _only(nn.SELU, alpha=(1.6732632, 1.6732632), gamma=(1.0507010, 1.0507010)),
    "Shrink": _shrink,
    "Shape": lambda node: _operator(node, start=node.attribute("start", 0), end=node.attribute("end", None)),
    "Sigmoid": _layer(nn.Sigmoid),
    "Slice": _slice,
    "Softmax": _layer(nn.Softmax, dim=("axis", -1)),
    "Softplus": _layer(nn.Softplus),
    "Softsign": _layer(nn.Softsign),
    "Squeeze": lambda node: _operator(node, 1, axes=node.ints(1)),
    "Tanh": _layer(nn.Tanh),
    "Tile": lambda node: _operator(node, 1, reps=node.ints(1) or []),
    "Transpose": lambda node: _operator(node, axes=node.attribute("perm", None)),
    "Trilu": lambda node: _operator(node, 1, k=(node.ints(1) or [0])[0], upper=bool(node.attribute("upper", 1))),
    "Unsqueeze": lambda node: _operator(node, 1, axes=node.ints(1) or []),
}
