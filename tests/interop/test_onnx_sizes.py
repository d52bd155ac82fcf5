"""ONNX graphs of a few hundred bytes that claim gigabytes are refused when they are read, and ordinary ones are not."""

import contextlib
import time
import tracemalloc

import numpy as np
import pytest

import minidl
from minidl import models
from minidl._core import TooLargeError

onnx = pytest.importorskip("onnx")
F4, I8 = np.float32, np.int64


def save(nodes, dims, constants, path):
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [helper.make_node(operator, inputs, [output], **attributes) for operator, inputs, output, attributes in nodes],
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, dims)],
        [helper.make_empty_tensor_value_info("y")],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    with contextlib.suppress(Exception):  # it sees that a kernel does not fit
        model = onnx.shape_inference.infer_shapes(model)
    if not model.graph.output[0].type.tensor_type.elem_type:
        model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT
    onnx.save(model, path)
    return path


ONE = np.ones((1, 1, 1, 1), F4)
IMAGES, FREE = ("N", 1, 8, 8), ("N", 1, "H", "W")
NEAREST = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
CLAIMS = {
    "kernel": ([("Conv", ["x", "w"], "y", {"kernel_shape": [12000, 12000]})], IMAGES, {"w": ONE}),
    "transposed": ([("ConvTranspose", ["x", "w"], "y", {"kernel_shape": [12000, 12000]})], IMAGES, {"w": ONE}),
    "window": ([("MaxPool", ["x"], "y", {"kernel_shape": [12000, 12000], "pads": [11999] * 4})], FREE, {}),
    "neighbours": ([("LRN", ["x"], "y", {"size": 10**9 + 1})], IMAGES, {}),
    "expand": ([("Expand", ["x", "s"], "y", {})], ("N", 1), {"s": np.array([10**5, 10**5])}),
    "tile": ([("Tile", ["x", "s"], "y", {})], ("N", "M"), {"s": np.array([10**5, 10**5])}),
    "pad": ([("Pad", ["x", "s"], "y", {})], ("N", "M"), {"s": np.array([0, 0, 10**5, 10**5])}),
    "padded": ([("Conv", ["x", "w"], "y", {"pads": [50000] * 4})], FREE, {"w": ONE}),
    "resize": ([("Resize", ["x", "", "s"], "y", NEAREST)], FREE, {"s": np.array([1, 1, 1e4, 1e4], F4)}),
    "resize to": ([("Resize", ["x", "", "", "s"], "y", NEAREST)], FREE, {"s": np.array([1, 1, 10**5, 10**5])}),
    "fold": ([("Col2Im", ["x", "s", "k"], "y", {})], ("N", 4, "L"), {"s": np.full(2, 10**5), "k": np.full(2, 2)}),
    "in the middle": (
        [("Tile", ["x", "s"], "t", {}), ("ReduceSum", ["t", "a"], "y", {})],
        ("N", 1),
        {"s": np.array([1, 10**10]), "a": np.array([1])},
    ),
    "from the input's shape": (
        [("Shape", ["x"], "s", {}), ("Mul", ["s", "k"], "m", {}), ("Expand", ["x", "m"], "y", {})],
        ("N", 1),
        {"k": np.array([1, 10**10])},
    ),
    "nodes": ([("Relu", ["x" if not n else f"v{n}"], f"v{n + 1}", {}) for n in range(20000)], ("N", 4), {}),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_a_graph_that_claims_gigabytes_is_refused(name, tmp_path):
    nodes, dims, constants = CLAIMS[name]
    if name == "nodes":
        nodes = [*nodes, ("Relu", ["v20000"], "y", {})]
    path = save(nodes, dims, constants, tmp_path / "small.onnx")
    if name != "nodes":  # it makes them slow
        tracemalloc.start()
    try:
        with pytest.raises(TooLargeError, match=r"small.onnx: .* takes?.* allowed are .* MINIDL_MAX_BYTES to"):
            minidl.from_onnx(path)
        assert tracemalloc.get_traced_memory()[1] < 50e6  # 0 where it was not started
    finally:
        tracemalloc.stop()


def tagged(number, content):
    """A field of a message of protobuf."""
    length, size = b"", len(content)
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


FIELDS = {  # what a file of a few megabytes is full of; protobuf makes hundreds of megabytes of it
    "nodes": tagged(7, b"\x0a\x00" * 600_000),
    "attributes": tagged(7, tagged(1, b"\x2a\x00" * 600_000)),
    "places of data": tagged(7, tagged(5, b"\x6a\x00" * 600_000)),
    "numbers, one by one": tagged(7, tagged(5, b"\x38\x01" * 600_000)),
}


@pytest.mark.parametrize("name", FIELDS)
def test_a_file_of_nothing_but_fields_is_refused_before_it_is_parsed(name, tmp_path):
    path = tmp_path / "small.onnx"
    path.write_bytes(FIELDS[name])
    start = time.process_time()
    with pytest.raises(TooLargeError, match=r"small.onnx: its first 524,289 fields take 268.4 MB, and allowed are"):
        minidl.from_onnx(path)
    assert time.process_time() - start < 3


@pytest.mark.parametrize("content", [b"", b"\xff", b"\xff" * 99, b"\x3a\xff\xff\xff\xff\x0f", b"\x3b", b"\x3c\x00"])
def test_what_is_no_message_is_left_to_protobuf(content, tmp_path):
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(ValueError, match=r"m.onnx is not an ONNX model"):
        minidl.from_onnx(tmp_path / "m.onnx")


def test_a_kernel_that_is_not_its_weights_is_refused(tmp_path):
    path = save([("Conv", ["x", "w"], "y", {"kernel_shape": [3, 3]})], FREE, {"w": ONE}, tmp_path / "m.onnx")
    with pytest.raises(
        ValueError, match=r"kernel_shape=\(3, 3\) does not fit the weight's windows, \(1, 1\)|not an ONNX"
    ):
        minidl.from_onnx(path)


def test_the_limit_of_a_graph_can_be_raised(tmp_path, monkeypatch):
    nodes, dims, constants = [("Tile", ["x", "s"], "y", {})], ("N", 10), {"s": np.array([1, 10**7])}
    path = save(nodes, dims, constants, tmp_path / "m.onnx")
    with pytest.raises(TooLargeError, match="its value 'y' takes 800.0 MB"):
        minidl.from_onnx(path)
    monkeypatch.setenv("MINIDL_MAX_BYTES", "800000000")
    assert minidl.from_onnx(path) is not None


def test_ordinary_networks_are_read(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIDL_MAX_BYTES", str(2**24))  # a sixteenth of what is allowed
    for make in (models.small_vgg, models.resnet20, models.lenet5):
        shape = (1, *models.INPUT_SHAPES[make.__name__])
        minidl.export_onnx(make(), tmp_path / "m.onnx", shape)
        assert minidl.from_onnx(tmp_path / "m.onnx").eval()(np.zeros(shape, F4)).shape == (1, 10)


def test_many_nodes_of_one_name(tmp_path):
    nodes = [("Relu", ["x" if not n else f"v{n}"], f"v{n + 1}", {"name": "same"}) for n in range(2000)]
    path = save([*nodes, ("Relu", ["v2000"], "y", {"name": "same"})], ("N", 4), {}, tmp_path / "m.onnx")
    model = minidl.from_onnx(path)
    names = [name for name, _ in model.nodes.items()]
    assert len(set(names)) == 2001
    assert names[:3] == ["same", "same_0", "same_1"]
