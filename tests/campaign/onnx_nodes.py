"""Single ONNX nodes with options, shapes and dtypes at random, imported, against ONNX Runtime."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import minidl

from .frame import attack

Random = np.random.Generator
F4, F8, I4, I8, U1 = np.float32, np.float64, np.int32, np.int64, np.uint8
LARGE = (-(2**63), -(2**31), -4, -3, -2, -1, 0, 1, 2, 3, 4)


class Drawn(NamedTuple):
    """A node: its inputs by name, in their order, of which the ``fed`` are no constants; its attributes."""

    inputs: dict[str, np.ndarray | None]
    attributes: dict[str, Any]
    fed: tuple[str, ...] = ("x",)


def shape_of(rng: Random) -> tuple[int, ...]:
    return tuple(int(v) for v in rng.integers(1, 4, rng.integers(1, 5)))


def array(rng: Random, shape: Any, dtype: Any, low: int = -6, high: int = 7) -> np.ndarray:
    if dtype is bool:
        return np.asarray(rng.random(shape) < 0.5)
    if np.dtype(dtype).kind in "iu":
        return np.asarray(rng.integers(max(low, 0) if dtype is U1 else low, high, shape)).astype(dtype)
    return np.asarray(np.round(rng.standard_normal(shape) * 3, int(rng.integers(0, 3)))).astype(dtype)


def kind(rng: Random) -> Any:
    return (F4, I4, I8, F4, I4, I8, F8, U1)[rng.integers(8)]


def flag(rng: Random) -> int:
    return int(rng.integers(2))


def fed(rng: Random, *names: str) -> tuple[str, ...]:
    return (names, names[:1], names[1:])[rng.integers(3)]


def _unary(*dtypes: Any) -> Callable[[Random], Drawn]:
    return lambda rng: Drawn({"x": array(rng, shape_of(rng), dtypes[rng.integers(len(dtypes))])}, {})


def _binary(operator: str) -> Callable[[Random], Drawn]:
    def draw(rng: Random) -> Drawn:
        dtype = bool if operator in ("And", "Or", "Xor") else kind(rng)
        shape = shape_of(rng)
        other = tuple(1 if rng.random() < 0.3 else n for n in shape)[int(rng.integers(0, len(shape))) :]
        x, y = array(rng, shape, dtype), array(rng, other, dtype)
        if operator == "Div" and y.dtype.kind in "iu":
            y[y == 0] = 1
        if operator == "Pow":
            x[x == 0] = 1
            y = array(rng, other, (F4, I4, I8)[rng.integers(3)] if x.dtype.kind != "u" else I8, -2, 4)
            y = np.clip(y, -3, 3)
        return Drawn({"x": x, "y": y}, {}, fed(rng, "x", "y"))

    return draw


def _reduce(rng: Random) -> Drawn:
    shape = shape_of(rng)
    chosen = rng.permutation(len(shape))[: int(rng.integers(0, len(shape) + 1))] - len(shape) * flag(rng)
    axes = chosen.astype(I8) if rng.random() < 0.8 else None
    return Drawn({"x": array(rng, shape, kind(rng), -3, 4), "axes": axes}, {"keepdims": flag(rng)})


def _place(rng: Random) -> Drawn:
    shape = shape_of(rng)
    attributes = {"axis": int(rng.integers(-len(shape), len(shape))), "keepdims": flag(rng)}
    return Drawn({"x": array(rng, shape, kind(rng))}, attributes)


def _axis(*dtypes: Any) -> Callable[[Random], Drawn]:
    def draw(rng: Random) -> Drawn:
        shape = shape_of(rng)
        attributes = {"axis": int(rng.integers(-len(shape), len(shape)))}
        return Drawn({"x": array(rng, shape, dtypes[rng.integers(len(dtypes))])}, attributes)

    return draw


def _clip(rng: Random) -> Drawn:
    dtype = kind(rng)
    ends = {name: array(rng, (), dtype) if rng.random() < 0.7 else None for name in ("low", "high")}
    return Drawn({"x": array(rng, shape_of(rng), dtype), **ends}, {})


def _concat(rng: Random) -> Drawn:
    shape, dtype = list(shape_of(rng)), kind(rng)
    axis = int(rng.integers(-len(shape), len(shape)))
    inputs = {}
    for name in ("x", "y", "z")[: int(rng.integers(1, 4))]:
        shape[axis] = int(rng.integers(1, 4))
        inputs[name] = array(rng, shape, dtype)
    return Drawn(inputs, {"axis": axis}, ("x",) if flag(rng) else ("x", "y", "z"))


def _running_sum(rng: Random) -> Drawn:
    shape = shape_of(rng)
    axis = np.asarray(rng.integers(-len(shape), len(shape)), (I4, I8)[rng.integers(2)])
    return Drawn({"x": array(rng, shape, (F4, F8, I4, I8)[rng.integers(4)]), "axis": axis}, {})


def _expand(rng: Random) -> Drawn:
    shape = shape_of(rng)
    wanted = [int(rng.integers(1, 4))] * flag(rng) + [n if flag(rng) else (1 if n > 1 else 3) for n in shape]
    return Drawn({"x": array(rng, shape, kind(rng)), "s": np.array(wanted, I8)}, {})


def _gather(rng: Random) -> Drawn:
    shape = shape_of(rng)
    axis = int(rng.integers(-len(shape), len(shape)))
    places = array(rng, shape_of(rng)[: int(rng.integers(0, 3))], (I4, I8)[rng.integers(2)], -shape[axis], shape[axis])
    return Drawn({"x": array(rng, shape, kind(rng)), "i": places}, {"axis": axis})


def _pad(rng: Random) -> Drawn:
    shape, dtype = shape_of(rng), kind(rng)
    pads = rng.integers(-1, 3, 2 * len(shape))
    pads[np.tile(np.array(shape) < 3, 2)] = rng.integers(0, 3)
    return Drawn({"x": array(rng, shape, dtype), "p": pads.astype(I8), "v": array(rng, (), dtype)}, {})


def _reshape(rng: Random) -> Drawn:
    shape = shape_of(rng)
    wanted = ([-1], [0, -1] if len(shape) > 1 else [0], [int(np.prod(shape)), 1, -1])[rng.integers(3)]
    return Drawn({"x": array(rng, shape, kind(rng)), "s": np.array(wanted, I8)}, {})


def _slice(rng: Random) -> Drawn:
    shape = shape_of(rng)
    axes = rng.permutation(len(shape))[: int(rng.integers(1, len(shape) + 1))]
    count = len(axes)
    steps = rng.choice([-2, -1, 1, 2], count)
    # ONNX Runtime takes the largest number for the beginning where a slice goes backwards; the specification does not
    ends = [rng.choice(LARGE if step < 0 else (*LARGE, 2**31 - 1, 2**63 - 1)) for step in steps]
    columns = {"b": rng.integers(-4, 5, count), "e": ends, "a": axes - len(shape) * flag(rng), "s": steps}
    x = array(rng, shape, kind(rng))
    return Drawn({"x": x, **{name: np.array(value, I8) for name, value in columns.items()}}, {})


def _where(rng: Random) -> Drawn:
    shape, dtype = shape_of(rng), (F4, I4, I8)[rng.integers(3)]
    other = tuple(1 if rng.random() < 0.3 else n for n in shape)
    inputs = {"x": array(rng, shape, bool), "y": array(rng, shape, dtype), "z": array(rng, other, dtype)}
    return Drawn(inputs, {}, ("x", "y", "z") if flag(rng) else ("x", "y"))


def _gemm(rng: Random) -> Drawn:
    transposed = flag(rng)
    inputs = {"x": array(rng, (2, 3), F4), "w": array(rng, (4, 3) if transposed else (3, 4), F4)}
    if flag(rng):
        inputs["b"] = array(rng, [(4,), (1, 4), (2, 1), (1, 1), (2, 4)][rng.integers(5)], F4)
    return Drawn(inputs, {"transB": transposed}, [("x",), ("x", "w"), ("x", "b"), ("x", "w", "b")][rng.integers(4)])


def _matmul(rng: Random) -> Drawn:
    dtype = (F4, I4, I8)[rng.integers(3)]
    inputs = {"x": array(rng, [(2, 3), (2, 2, 3)][flag(rng)], dtype), "y": array(rng, [(3, 2), (3,)][flag(rng)], dtype)}
    return Drawn(inputs, {}, fed(rng, "x", "y"))


def _transpose(rng: Random) -> Drawn:
    shape = shape_of(rng)
    return Drawn(
        {"x": array(rng, shape, kind(rng))}, {"perm": rng.permutation(len(shape)).tolist()} if flag(rng) else {}
    )


def _tile(rng: Random) -> Drawn:
    shape = shape_of(rng)
    return Drawn({"x": array(rng, shape, kind(rng)), "r": rng.integers(1, 4, len(shape)).astype(I8)}, {})


def _squeeze(rng: Random) -> Drawn:
    shape = shape_of(rng)
    axes = np.array([a - len(shape) * flag(rng) for a, n in enumerate(shape) if n == 1], I8)
    return Drawn({"x": array(rng, shape, kind(rng)), "axes": axes if flag(rng) and len(axes) else None}, {})


def _unsqueeze(rng: Random) -> Drawn:
    shape = shape_of(rng)
    axis = int(rng.integers(-len(shape) - 1, len(shape) + 1))
    return Drawn({"x": array(rng, shape, kind(rng)), "axes": np.array([axis], I8)}, {})


def _shape(rng: Random) -> Drawn:
    shape = shape_of(rng)
    ends = {n: int(rng.integers(-len(shape) - 1, len(shape) + 2)) for n in ("start", "end") if flag(rng)}
    return Drawn({"x": array(rng, shape, kind(rng))}, ends)


def _cast(rng: Random) -> Drawn:
    to = (1, 6, 7, 9)[rng.integers(4)]
    return Drawn({"x": array(rng, shape_of(rng), (F4, I4, I8, bool)[rng.integers(4)])}, {"to": to})


def _flatten(rng: Random) -> Drawn:
    shape = shape_of(rng)
    return Drawn({"x": array(rng, shape, F4)}, {"axis": int(rng.integers(-len(shape), len(shape) + 1))})


FLOATS = ("Ceil", "Floor", "Round", "Reciprocal", "Sqrt", "Exp", "Log", "Sin", "Cos", "Tan", "Asin", "Acos", "Atan")
FLOATS += (
    "Sinh",
    "Cosh",
    "Relu",
    "Sigmoid",
    "Tanh",
    "Softplus",
    "Softsign",
    "Elu",
    "Celu",
    "Selu",
    "LeakyRelu",
    "Mish",
)
FLOATS += ("HardSwish", "Gelu")
BINARY = ("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "And", "Or", "Xor")
BINARY += ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
NODES: dict[str, Callable[[Random], Drawn]] = {
    **dict.fromkeys(FLOATS, _unary(F4)),
    **dict.fromkeys(("Abs", "Neg", "Sign"), _unary(F4, F8, I4, I8)),
    "Not": _unary(bool),
    **{name: _binary(name) for name in BINARY},
    **{f"Reduce{name}": _reduce for name in ("Sum", "Mean", "Max", "Min", "Prod", "L1", "L2")},
    **dict.fromkeys(("ArgMax", "ArgMin"), _place),
    **dict.fromkeys(("Softmax", "LogSoftmax"), _axis(F4)),
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concat,
    "CumSum": _running_sum,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Pad": _pad,
    "Reshape": _reshape,
    "Shape": _shape,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Where": _where,
}


def runtime(content: bytes, feed: dict[str, np.ndarray]) -> Any:
    """ONNX Runtime's answer; None if it refuses."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        return session.run(None, feed)[0]
    except Exception:  # its errors have no common base
        return None


@attack(limit=60, needs=("onnx", "onnxruntime"))
def nodes(rng: Random, counts: Counter[str]) -> None:
    """A node of one of the operators that are imported: its value and its dtype."""
    import onnx
    from onnx import helper, numpy_helper

    operator = str(rng.choice(list(NODES)))
    inputs, attributes, names = NODES[operator](rng)
    given = {name: np.asarray(value) for name, value in inputs.items() if value is not None}
    feed = {name: value for name, value in given.items() if name in names}
    types = helper.np_dtype_to_tensor_dtype
    node = helper.make_node(operator, [n if v is not None else "" for n, v in inputs.items()], ["out"], **attributes)
    sources = [helper.make_tensor_value_info(n, types(v.dtype), v.shape) for n, v in feed.items()]
    constants = [numpy_helper.from_array(v, n) for n, v in given.items() if n not in feed]
    graph = helper.make_graph([node], "drawn", sources, [helper.make_empty_tensor_value_info("out")], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    shown = {n: f"{v.dtype} {v.shape}" for n, v in given.items()}
    what = f"{operator} {attributes} of {shown}, of which {', '.join(feed)} are inputs"
    try:
        content = onnx.shape_inference.infer_shapes(model).SerializeToString()
    except onnx.shape_inference.InferenceError:
        counts["refused by onnx"] += 1
        return
    expected = runtime(content, feed)
    if expected is None:
        counts["refused by ONNX Runtime"] += 1
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "drawn.onnx"
        path.write_bytes(content)
        try:
            ours = minidl.from_onnx(path).eval()
            out = np.asarray(ours(*(feed[name] for name in ours.sources)))
        except (ValueError, TypeError) as error:
            assert type(error) in (ValueError, TypeError), f"{what}: {error!r}"  # not one of NumPy's own
            counts["refused by minidl"] += 1
            return
    assert out.shape == expected.shape, f"{what}: shape {out.shape}, not {expected.shape}"
    assert out.ndim == 0 or out.dtype == expected.dtype, f"{what}: {out.dtype}, not {expected.dtype}"
    close = np.allclose(out.astype(F8), expected.astype(F8), rtol=1e-5, atol=1e-5, equal_nan=True)
    assert close, f"{what}: {out.ravel()[:8]}, not {expected.ravel()[:8]}; {given}"
    counts["comparisons"] += 1


@attack(limit=60, needs=("onnx", "onnxruntime", "pytest"))
def pooling(rng: Random, counts: Counter[str]) -> None:
    """A pooling node: against a loop, and against ONNX Runtime where it keeps to the specification."""
    from tests.interop import test_onnx_pooling as single

    with tempfile.TemporaryDirectory() as folder:
        single.check_pooling(str(rng.choice(single.OPERATORS)), rng, Path(folder))
    counts["comparisons"] += 1
