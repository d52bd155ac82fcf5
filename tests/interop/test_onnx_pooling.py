"""Pooling nodes with random options, against ONNX Runtime and a loop; their gradients; the way back to a file.

The seed of a setting that fails is the number in the test's name.
"""

import itertools

import numpy as np
import pytest

import minidl
from minidl import nn

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

OPERATORS = "MaxPool", "AveragePool"


def graph(operator, shape, attributes, path):
    from onnx import TensorProto, helper

    values = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *shape[1:]])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * len(shape))
    node = helper.make_node(operator, ["x"], ["y"], **attributes)
    made = helper.make_graph([node], "test", [values], [result])
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 22)], ir_version=9), path)
    return path


def runtime(path, x):
    """ONNX Runtime's answer; None where it refuses, which it does for pads as large as the kernel and some auto_pad."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        return session.run(None, {"x": x})[0]
    except Exception as error:
        assert "smaller than kernel" in str(error) or "non-negative" in str(error) or "is negative" in str(error)
        return None


def drawn(operator, rng):
    """A shape and attributes that give at least one window."""
    while True:
        axes = int(rng.integers(1, 3))
        size, kernel, stride, dilation = (rng.integers(1, top, axes).tolist() for top in (10, 5, 5, 4))
        attributes = {"kernel_shape": kernel, "strides": stride, "ceil_mode": int(rng.integers(2))}
        if rng.random() < 0.4:
            attributes["dilations"] = dilation
        pads = [int(rng.integers(0, kernel[n % axes] + 1)) for n in range(2 * axes)]
        if (automatic := rng.choice(["NOTSET", "NOTSET", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"])) != "NOTSET":
            attributes["auto_pad"], pads = str(automatic), [0] * 2 * axes
        else:
            attributes["pads"] = pads
        if operator == "AveragePool":
            attributes["count_include_pad"] = int(rng.integers(2))
        reach = [d * (k - 1) + 1 for k, d in zip(kernel, attributes.get("dilations", [1] * axes), strict=True)]
        room = [n + pads[a] + pads[axes + a] - reach[a] for a, n in enumerate(size)]
        if min(room) >= 0 or str(automatic).startswith("SAME"):
            return (2, 3, *size), attributes


def axis_windows(n, kernel, stride, dilation, before, after, ceil_mode, automatic):
    """The places that each window of an axis meets, as the specification has it; and the padding."""
    reach = dilation * (kernel - 1) + 1
    if automatic.startswith("SAME"):
        count = -(-n // stride)
        total = max((count - 1) * stride + reach - n, 0)
        less, more = total // 2, total - total // 2
        before, after = (less, more) if automatic == "SAME_UPPER" else (more, less)
    else:
        room = n + before + after - reach
        count = (-(-room // stride) if ceil_mode else room // stride) + 1
        if ceil_mode and (count - 1) * stride - before >= n:
            count -= 1
    return [[o * stride - before + i * dilation for i in range(kernel)] for o in range(count)], before, after


def by_loops(operator, x, attributes):
    """Pooling straight from the specification, one number after another."""
    axes, sizes = x.ndim - 2, x.shape[2:]
    get = attributes.get
    per_axis = [
        axis_windows(
            n,
            attributes["kernel_shape"][a],
            attributes["strides"][a],
            get("dilations", [1] * axes)[a],
            get("pads", [0] * 2 * axes)[a],
            get("pads", [0] * 2 * axes)[axes + a],
            attributes["ceil_mode"],
            get("auto_pad", "NOTSET"),
        )
        for a, n in enumerate(sizes)
    ]
    out = np.zeros((*x.shape[:2], *(len(windows) for windows, _, _ in per_axis)), x.dtype)
    for cell in itertools.product(*(range(n) for n in out.shape[2:])):
        places = [windows[o] for (windows, _, _), o in zip(per_axis, cell, strict=True)]
        inside = [[p for p in ps if 0 <= p < n] for ps, n in zip(places, sizes, strict=True)]
        values = x[(slice(None), slice(None), *np.ix_(*inside))].reshape(*x.shape[:2], -1)
        if operator == "MaxPool":
            out[(..., *cell)] = values.max(axis=2, initial=-np.inf)
            continue
        counted = [
            [p for p in ps if -before <= p < n + after] if get("count_include_pad") else kept
            for ps, kept, n, (_, before, after) in zip(places, inside, sizes, per_axis, strict=True)
        ]
        out[(..., *cell)] = values.sum(axis=2) / max(1, np.prod([len(c) for c in counted]))
    return out


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("seed", range(100))
def test_random_pooling(operator, seed, tmp_path):
    check_pooling(operator, np.random.default_rng(seed), tmp_path)


def check_pooling(operator, rng, folder):
    """Compare one pooling; the campaign does so for as long as it has time."""
    shape, attributes = drawn(operator, rng)
    x = rng.standard_normal(shape).astype(np.float32)
    path = graph(operator, shape, attributes, folder / "m.onnx")
    model = minidl.from_onnx(path)
    out = model(x)
    np.testing.assert_allclose(out, by_loops(operator, x, attributes), rtol=1e-5, atol=1e-6)
    expected = runtime(path, x)
    same = attributes.get("auto_pad", "").startswith("SAME")
    # With SAME the runtime leaves out the dilation, and crops where the stride is larger than the kernel.
    particular = same and (
        "dilations" in attributes
        or any(s > k for s, k in zip(attributes["strides"], attributes["kernel_shape"], strict=True))
    )
    if expected is not None and not particular:
        nothing = np.isneginf(out)  # a window of nothing but padding, where the runtime has the lowest float
        expected[nothing] = -np.inf
        np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6)
    again = folder / "again.onnx"
    minidl.export_onnx(model, again, shape)
    np.testing.assert_allclose(minidl.from_onnx(again)(x), out, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("engine", ["numpy", "im2col"])
@pytest.mark.parametrize("operator", OPERATORS)
def test_gradients_of_random_pooling(operator, engine, tmp_path):
    before = minidl.get_engine()
    minidl.set_engine(engine)
    try:
        for seed in range(200, 225):
            rng = np.random.default_rng(seed)
            shape, attributes = drawn(operator, rng)
            model = minidl.from_onnx(graph(operator, shape, attributes, tmp_path / "m.onnx"))
            x = rng.permutation(np.prod(shape)).reshape(shape) / 10  # far apart: no kink within the differences
            if np.isfinite(model(x.astype(np.float32))).all():
                assert minidl.gradcheck(model, x, seed=seed), seed
    finally:
        minidl.set_engine(before)


def test_no_cell_of_padding_alone(tmp_path):
    attributes = {"kernel_shape": [3], "strides": [2], "pads": [1, 2], "ceil_mode": 1}
    x = np.arange(9, dtype=np.float32).reshape(1, 1, 9)
    out = minidl.from_onnx(graph("MaxPool", x.shape, attributes, tmp_path / "m.onnx"))(x)
    np.testing.assert_array_equal(out.ravel(), [1, 3, 5, 7, 8])


def test_what_is_like_pytorchs_becomes_minidls_layer(tmp_path):
    options = {"kernel_shape": [3, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1}
    for operator, kind in (("MaxPool", nn.MaxPool2d), ("AveragePool", nn.AvgPool2d)):
        model = minidl.from_onnx(graph(operator, (1, 2, 6, 6), options, tmp_path / "m.onnx"))
        assert [type(module) for module in model.nodes.values()] == [kind]
    uneven = {"kernel_shape": [3, 2], "pads": [1, 1, 0, 1]}
    model = minidl.from_onnx(graph("MaxPool", (1, 2, 6, 6), uneven, tmp_path / "m.onnx"))
    assert "MaxPool, kernel_shape=[3, 2]" in repr(model)


def test_options_that_are_wrong_are_named(tmp_path):
    from minidl.interop.onnx_pooling import Pool

    for shape, options, message in (
        ((1, 2, 4, 4, 4), {"kernel_shape": [2, 2, 2]}, "pooling over 3 axes is not supported"),
        ((1, 2, 6, 6), {"kernel_shape": [2, 2], "auto_pad": "SAME"}, "SAME"),
    ):
        with pytest.raises(ValueError, match=message):
            minidl.from_onnx(graph("MaxPool", shape, options, tmp_path / "m.onnx"))
    given = {"kernel_shape": [9], "strides": [1], "dilations": [1], "pads": [0, 1], "auto_pad": "NOTSET"}
    with pytest.raises(ValueError, match=r"Pool: kernel .* is larger than the padded input"):
        Pool("MaxPool", given | {"ceil_mode": False})(np.ones((1, 1, 3), np.float32))


@pytest.mark.parametrize("operator", ["GlobalMaxPool", "GlobalAveragePool"])
def test_global_pooling(operator, tmp_path):
    x = np.random.default_rng(0).standard_normal((2, 3, 5, 4)).astype(np.float32)
    path = graph(operator, x.shape, {}, tmp_path / "m.onnx")
    np.testing.assert_allclose(minidl.from_onnx(path)(x), runtime(path, x), rtol=1e-6)


def test_the_right_shapes_in_an_older_file_are_not_refused(tmp_path):
    """Before version 22 onnx's own inference has a third window, which begins in the padding."""
    from onnx import TensorProto, helper, numpy_helper

    pooling = {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [1] * 4, "ceil_mode": 1}
    nodes = [
        helper.make_node("MaxPool", ["x"], ["p"], **pooling),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "w"], ["y"]),
    ]
    weight = np.arange(8, dtype=np.float32).reshape(4, 2)
    made = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 3, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(weight, "w")],
    )
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    x = np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3)
    np.testing.assert_array_equal(minidl.from_onnx(path)(x), [[0, 2, 6, 8]] @ weight)
