"""Which ONNX nodes each operation of a recorded forward becomes: the table `OPERATIONS`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import nn
from ..nn import operations as op
from ..nn.trace import Value
from .onnx_rearranging import REARRANGING
from .onnx_step import Emitter, Step

__all__ = ["OPERATIONS"]


def _elementwise(operator: str) -> Emitter:
    return lambda s: s.node(operator, *s.inputs())


def _compare(operator: str, negate: bool = False) -> Emitter:
    def emit(s: Step) -> str:
        arrays = [n for n in s.note.inputs if isinstance(n, Value) or np.ndim(n.data)]
        dtype = np.result_type(*(n.dtype if isinstance(n, Value) else n.data.dtype for n in arrays))
        out = s.node(operator, *(s.input(index, dtype, spread=True) for index in range(len(s.note.inputs))))
        return s.node("Not", out) if negate else out

    return emit


def _logical(operator: str) -> Emitter:
    return lambda s: s.node(operator, *(s.input(i, np.dtype(bool), spread=True) for i in range(len(s.note.inputs))))


def _scaled(operator: str, factor: float) -> Emitter:
    return lambda s: s.node("Mul", s.node(operator, *s.inputs()), s.number(factor))


def _reduce(operator: str) -> Emitter:
    return lambda s: s.node(operator, s.input(0), s.axes(), keepdims=int(s.options.get("keepdims", False)))


def _variance(s: Step) -> str:
    axes, x = s.axes(), s.input(0)
    ddof, keep = s.options.get("ddof", 0), int(s.options.get("keepdims", False))
    apart = s.node("Sub", x, s.node("ReduceMean", x, axes, keepdims=1))
    out = s.node("ReduceMean", s.node("Mul", apart, apart), axes, keepdims=keep)
    counts = {math.prod(shape[i] for i in axes) for shape in s.shapes()}
    if ddof == 0:
        return out
    if len(counts) > 1:
        raise s.refuse("it divides by the batch size")
    count = counts.pop()
    return s.node("Mul", out, s.number(count / (count - ddof)))


def _norm(s: Step) -> str:
    order, keep = s.options.get("ord", 2.0), int(s.options.get("keepdims", False))
    if order in (1, 2):
        return s.node(f"ReduceL{int(order)}", s.input(0), s.axes(), keepdims=keep)
    powers = s.node("Pow", s.node("Abs", s.input(0)), s.number(order))
    return s.node("Pow", s.node("ReduceSum", powers, s.axes(), keepdims=keep), s.number(1 / order))


def _where(s: Step) -> str:
    dtype = s.note.outputs.dtype
    return s.node("Where", s.input(0, np.dtype(bool), True), s.input(1, dtype, True), s.input(2, dtype, True))


def _clip(s: Step) -> str:
    low, high = (s.options.get(name) for name in ("a_min", "a_max"))
    out = s.input(0)
    for operator, bound in (("Max", low), ("Min", high)):
        out = out if bound is None else s.node(operator, out, s.number(bound))
    return s.node("Identity", out) if low is None and high is None else out


def _extreme_place(operator: str) -> Emitter:
    def emit(s: Step) -> str:
        if s.options.get("axis") is None:
            raise s.refuse("it has no axis")
        return s.node(operator, s.input(0), axis=s.options["axis"], keepdims=int(s.options.get("keepdims", False)))

    return emit


def _picked(s: Step) -> str:
    return s.node("GatherElements", s.input(0), np.asarray(s.options["indices"], np.int64), axis=s.options["axis"])


# Pairs of pure functions, as `functional` uses them with weights that are given


def _linear(s: Step) -> str:
    x, weight, bias = (s.input(index) for index in range(3))
    if s.ndim == 2:
        return s.node("Gemm", x, weight, *([] if bias is None else [bias]), transB=1)
    x = s.node("MatMul", x, s.node("Transpose", weight, perm=[1, 0]))
    return x if bias is None else s.node("Add", x, bias)


def _conv(kind: Any, operator: str) -> Emitter:
    def emit(s: Step) -> str:
        shape, options = s.shapes(1)[0], dict(s.options)
        kernel = shape[2:] if len(shape) > 3 else shape[2]
        groups, extra = options.get("groups", 1), options.get("output_padding")
        sizes = (shape[1] * groups, shape[0]) if operator == "Conv" else (shape[0], shape[1] * groups)
        layer = kind(*sizes, kernel, bias=False, **options)
        x, weight, bias = (s.input(index) for index in range(3))
        pads = layer.pads()
        return s.node(
            operator,
            *((x, weight) if bias is None else (x, weight, bias)),
            kernel_shape=layer.kernel_size,
            strides=layer.stride,
            pads=[before for before, _ in pads] + [after for _, after in pads],
            dilations=layer.dilation,
            group=groups,
            output_padding=None if extra is None else layer.output_padding,
        )

    return emit


def _scale_and_shift(s: Step, shape: Any) -> list[Any]:
    dtype = s.note.outputs.dtype
    given = [s.input(index) for index in (1, 2)]
    return [x if x is not None else np.full(shape, empty, dtype) for x, empty in zip(given, (1, 0), strict=True)]


def _batch_norm(s: Step) -> str:
    if s.options["running"] is None:
        raise s.refuse("it is in training mode")
    scale = _scale_and_shift(s, s.shapes()[0][1])
    return s.node("BatchNormalization", s.input(0), *scale, *s.options["running"], epsilon=s.options["eps"])


def _layer_norm(s: Step) -> str:
    shape = tuple(s.options["normalized_shape"])
    scale = _scale_and_shift(s, shape)
    return s.node("LayerNormalization", s.input(0), *scale, axis=-len(shape), epsilon=s.options["eps"])


_E, _F = op.ELEMENTWISE, op.FUNCTIONS
OPERATIONS: dict[Any, Emitter] = {
    **{
        _E[function]: _elementwise(operator)
        for function, operator in {
            np.add: "Add",
            np.subtract: "Sub",
            np.multiply: "Mul",
            np.divide: "Div",
            np.power: "Pow",
            np.negative: "Neg",
            np.positive: "Identity",
            np.exp: "Exp",
            np.log: "Log",
            np.sqrt: "Sqrt",
            np.reciprocal: "Reciprocal",
            np.absolute: "Abs",
            np.fabs: "Abs",
            np.sin: "Sin",
            np.cos: "Cos",
            np.tan: "Tan",
            np.arcsin: "Asin",
            np.arccos: "Acos",
            np.arctan: "Atan",
            np.sinh: "Sinh",
            np.cosh: "Cosh",
            np.tanh: "Tanh",
            np.maximum: "Max",
            np.minimum: "Min",
        }.items()
    },
    _E[np.square]: lambda s: s.node("Mul", *s.inputs() * 2),
    _E[np.exp2]: lambda s: s.node("Pow", s.number(2), *s.inputs()),
    _E[np.expm1]: lambda s: s.node("Sub", s.node("Exp", *s.inputs()), s.number(1)),
    _E[np.log1p]: lambda s: s.node("Log", s.node("Add", *s.inputs(), s.number(1))),
    _E[np.log2]: _scaled("Log", 1 / math.log(2)),
    _E[np.log10]: _scaled("Log", 1 / math.log(10)),
    _E[np.hypot]: lambda s: s.node("Sqrt", s.node("Add", *(s.node("Mul", x, x) for x in s.inputs()))),
    op.where: _where,
    op.clip: _clip,
    op.total: _reduce("ReduceSum"),
    op.mean: _reduce("ReduceMean"),
    op.prod: _reduce("ReduceProd"),
    op.logsumexp: _reduce("ReduceLogSumExp"),
    op.var: _variance,
    op.std: lambda s: s.node("Sqrt", _variance(s)),
    op.norm: _norm,
    op.picked: _picked,
    op.cumsum: lambda s: s.node("CumSum", s.input(0), np.asarray(s.options.get("axis", 0), np.int64)),
    op.matmul: lambda s: s.node("MatMul", s.input(0), s.input(1)),
    op.dot: lambda s: s.node("MatMul", s.input(0), s.input(1)),
    op.einsum: lambda s: s.node(
        "Einsum", *(s.input(index) for index in range(1, len(s.note.inputs))), equation=s.input(0)
    ),
    op.astype: lambda s: s.input(0, s.note.outputs.dtype),
    **dict.fromkeys((_F[np.max], _F[np.amax]), _reduce("ReduceMax")),
    **dict.fromkeys((_F[np.min], _F[np.amin]), _reduce("ReduceMin")),
    **REARRANGING,
    np.greater: _compare("Greater"),
    np.greater_equal: _compare("GreaterOrEqual"),
    np.less: _compare("Less"),
    np.less_equal: _compare("LessOrEqual"),
    np.equal: _compare("Equal"),
    np.not_equal: _compare("Equal", negate=True),
    np.logical_and: _logical("And"),
    np.logical_or: _logical("Or"),
    np.logical_xor: _logical("Xor"),
    **dict.fromkeys((np.logical_not, np.invert), _logical("Not")),
    np.ndarray.astype: lambda s: s.input(0, s.note.outputs.dtype),
    np.sign: _elementwise("Sign"),
    np.floor: _elementwise("Floor"),
    np.ceil: _elementwise("Ceil"),
    np.rint: _elementwise("Round"),
    np.argmax: _extreme_place("ArgMax"),
    np.argmin: _extreme_place("ArgMin"),
    "linear": _linear,
    "conv2d": _conv(nn.Conv2d, "Conv"),
    "conv1d": _conv(nn.Conv1d, "Conv"),
    "conv_transpose2d": _conv(nn.ConvTranspose2d, "ConvTranspose"),
    "batch_norm": _batch_norm,
    "layer_norm": _layer_norm,
    "embedding": lambda s: s.node("Gather", s.input(1), s.input(0), axis=0),
}
