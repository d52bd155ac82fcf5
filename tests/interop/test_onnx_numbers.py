"""Single nodes on integers and floats, drawn at random, against ONNX Runtime: the same values, the same dtype.

Integers are divided towards zero, keep their dtype in sums and means, and have powers of their own.
"""

import numpy as np
import pytest

import minidl

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

F4, I4, I8 = np.float32, np.int32, np.int64


def outcome(operator, inputs, path, fed=("x",), **attributes):
    """What minidl and ONNX Runtime make of one node; the inputs that are not ``fed`` are constants of the graph."""
    from onnx import helper, numpy_helper

    inputs = {name: None if value is None else np.asarray(value) for name, value in inputs.items()}
    given = {name: value for name, value in inputs.items() if value is not None}
    feed = {name: value for name, value in given.items() if name in fed}
    types = helper.np_dtype_to_tensor_dtype
    node = helper.make_node(operator, [n if v is not None else "" for n, v in inputs.items()], ["out"], **attributes)
    sources = [helper.make_tensor_value_info(n, types(v.dtype), v.shape) for n, v in feed.items()]
    constants = [numpy_helper.from_array(v, n) for n, v in given.items() if n not in fed]
    made = helper.make_graph([node], "test", sources, [helper.make_empty_tensor_value_info("out")], constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.save(onnx.shape_inference.infer_shapes(model), path)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    expected = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]).run(None, feed)[0]
    ours = minidl.from_onnx(path)
    out = np.asarray(ours(*(feed[name] for name in ours.sources)))
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-5)
    assert out.ndim == 0 or out.dtype == expected.dtype
    return out


def numbers(rng, shape, dtype, low=-7, high=8):
    return rng.integers(low, high, shape).astype(dtype)


@pytest.mark.parametrize("seed", range(60))
def test_arithmetic(seed, tmp_path):
    rng = np.random.default_rng(seed)
    operator = ("Div", "Pow", "Add", "Sub", "Mul", "Max", "Min")[seed % 7]
    dtype = (F4, I4, I8)[seed % 3]
    shape = tuple(rng.integers(1, 4, rng.integers(1, 4)).tolist())
    other = tuple(1 if rng.random() < 0.3 else n for n in shape)
    x, y = numbers(rng, shape, dtype), numbers(rng, other, dtype)
    if operator == "Div":
        y[y == 0] = 3
    if operator == "Pow":
        x[x == 0] = 1
        y = numbers(rng, other, (F4, I4, I8)[int(rng.integers(3))], -2, 4)
    outcome(operator, {"x": x, "y": y}, tmp_path / "m.onnx", ("x", "y") if rng.random() < 0.5 else ("x",))


@pytest.mark.parametrize("operator", ["Sum", "Mean", "Max", "Min", "Prod", "L1", "L2"])
@pytest.mark.parametrize("dtype", [F4, I4, I8])
def test_reductions(operator, dtype, tmp_path):
    rng = np.random.default_rng(1)
    for _ in range(5):
        rank = int(rng.integers(1, 5))
        axes = rng.permutation(rank)[: int(rng.integers(0, rank + 1))] - rank * int(rng.integers(2))
        x = numbers(rng, tuple(rng.integers(1, 4, rank).tolist()), dtype, -3, 4)
        keepdims = int(rng.integers(2))
        outcome(f"Reduce{operator}", {"x": x, "axes": axes.astype(I8)}, tmp_path / "m.onnx", keepdims=keepdims)


def test_division_is_towards_zero(tmp_path):
    x = np.array([7, -7, 7, -7, 0, 6], I4)
    out = outcome("Div", {"x": x, "y": np.array([2, 2, -2, -2, 5, 3], I4)}, tmp_path / "m.onnx")
    np.testing.assert_array_equal(out, [3, -3, -3, 3, 0, 2])


def test_integer_powers(tmp_path):
    x = np.array([2, -2, 3, 6], I4)
    out = outcome("Pow", {"x": x, "y": np.array([-1, 3, 0, 1.21], F4)}, tmp_path / "m.onnx")
    np.testing.assert_array_equal(out, [0, -8, 1, 8])
    large = np.array([3_037_000_499, -3], I8)  # a float64 does not hold its square
    out = minidl.interop.onnx_operators.OPERATORS["Pow"](large, np.array([2, -1], I8))
    np.testing.assert_array_equal(out, [3_037_000_499**2, 0])


@pytest.mark.parametrize("dtype", [F4, I4, I8])
def test_running_sums_and_limits(dtype, tmp_path):
    x = np.arange(-6, 6).astype(dtype).reshape(3, 4)
    outcome("CumSum", {"x": x, "axis": np.array(1)}, tmp_path / "m.onnx")
    for low, high in ((-2, 3), (None, 2), (1, None), (None, None), (3, -2), (2, 2)):
        ends = {n: None if v is None else np.array(v, dtype) for n, v in (("low", low), ("high", high))}
        outcome("Clip", {"x": x} | ends, tmp_path / "m.onnx")


def test_a_bias_for_each_sample(tmp_path):
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 3)).astype(F4), rng.standard_normal((3, 2)).astype(F4)
    for shape in ((2,), (1, 2), (2, 1), (1, 1), (2, 2)):
        z = rng.standard_normal(shape).astype(F4)
        for fed in (("x",), ("x", "z")):
            outcome("Gemm", {"x": x, "w": w, "z": z}, tmp_path / "m.onnx", fed)


def test_tables_and_matrices_of_integers(tmp_path):
    outcome("MatMul", {"x": np.arange(6).reshape(2, 3), "w": np.arange(6).reshape(3, 2)}, tmp_path / "m.onnx")
    table, places = np.arange(6).reshape(3, 2), np.array([[0, 2], [1, 1]])
    outcome("Gather", {"t": table, "x": places}, tmp_path / "m.onnx", axis=0)


def test_slices_that_go_backwards(tmp_path):
    x = np.arange(12, dtype=F4).reshape(3, 4)
    places = {
        (s, e, step) for s in (-9, -4, -2, 0, 3, 9) for e in (-(2**63), -(2**31), -9, -3, 0, 2) for step in (-1, -2)
    }
    for start, end, step in sorted(places):
        parts = {"starts": [start], "ends": [end], "axes": [1], "steps": [step]}
        inputs = {name: np.array(value, I8) for name, value in parts.items()}
        outcome("Slice", {"x": x} | inputs, tmp_path / "m.onnx")


def test_allowzero_without_a_zero_changes_nothing(tmp_path):
    outcome("Reshape", {"x": np.ones((2, 3), F4), "s": np.array([3, 2])}, tmp_path / "m.onnx", allowzero=1)
    with pytest.raises(ValueError, match="allowzero=1 is not supported for a shape with 0 in it"):
        outcome("Reshape", {"x": np.ones((0, 3), F4), "s": np.array([3, 0])}, tmp_path / "m.onnx", allowzero=1)


@pytest.mark.parametrize("pads", [[0, 0], [1, 2]])
def test_flags_are_padded(pads, tmp_path):
    inputs = {"x": np.array([True, False]), "p": np.array(pads), "v": np.array(True)}
    outcome("Pad", inputs, tmp_path / "m.onnx")
