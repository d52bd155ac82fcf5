"""ONNX: every layer and model exported, checked, and run by ONNX Runtime."""

from unittest import mock

import numpy as np
import pytest
from cases import CASES

import minidl
from minidl import models, nn

pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

LAYERS = [case for case in CASES if case.target is None and case.onnx]


def run(path, x):
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]).run(None, {"input": x})[0]


def assert_same(model, x, path):
    """Export the model, run it in ONNX Runtime, import it: the same outputs, the same gradients, no module per pass."""
    minidl.export_onnx(model, path, x.shape)
    again = minidl.from_onnx(path).eval()
    model.eval()
    for batch in (x, x[:1]):  # the batch size is free
        expected = model(batch)
        close = {"rtol": 1e-5, "atol": 1e-5 * max(1.0, np.abs(expected[np.isfinite(expected)]).max(initial=0))}
        np.testing.assert_allclose(run(path, batch), expected, **close)
        with no_new_modules():
            np.testing.assert_allclose(again(batch), expected, **close)
        grad = np.random.default_rng(1).standard_normal(expected.shape).astype(np.float32)
        dx = model.backward(grad)
        scale = max(1.0, np.abs(dx[np.isfinite(dx)]).max(initial=0))
        with no_new_modules():
            np.testing.assert_allclose(again.backward(grad), dx, rtol=1e-4, atol=1e-5 * scale)
    theirs = [p.grad for p in again.params() if p.grad is not None]
    ours = [p.grad for p in model.params() if p.grad is not None]
    assert sorted(g.size for g in theirs) == sorted(g.size for g in ours)
    np.testing.assert_allclose(norm(theirs), norm(ours), rtol=1e-4)


def no_new_modules():
    """A pass that makes a module fails: a network's modules are made once, when it is read."""
    return mock.patch.object(nn.Module, "__init__", side_effect=AssertionError("the pass makes a new module"))


def norm(grads):
    return np.sqrt(sum(float((g.astype(np.float64) ** 2).sum()) for g in grads))


def settle(model):
    """Give the layer running statistics and slopes that are not the first ones."""
    rng = np.random.default_rng(3)
    state = {k: v + 0.1 * rng.random(v.shape) if v.dtype.kind == "f" else v for k, v in model.state_dict().items()}
    model.load_state_dict(state)
    return model


@pytest.mark.parametrize("case", LAYERS, ids=lambda case: case.id)
def test_every_layer(case, tmp_path):
    (x,) = case.draw(np.float32)
    assert_same(settle(case.make()), x, tmp_path / "m.onnx")


BLOCKS = {
    "Residual": (nn.Residual(nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.ReLU())), (2, 2, 4, 5)),
    "Residual with shortcut": (nn.Residual(nn.Conv2d(2, 3, 3, stride=2), nn.Conv2d(2, 3, 3, stride=2)), (2, 2, 5, 5)),
    "Parallel cat": (nn.Parallel(nn.Conv2d(2, 3, 1), nn.Identity(), nn.Conv2d(2, 1, 1)), (2, 2, 4, 5)),
    "Parallel sum": (nn.Parallel(nn.Linear(4, 3), nn.Linear(4, 3), merge="sum"), (2, 4)),
    "nothing": (nn.Sequential(nn.Dropout(), nn.Identity()), (2, 3)),
    "lazy": (
        nn.Sequential(nn.Conv2d(None, 3, 3), nn.BatchNorm2d(None), nn.Flatten(), nn.Linear(None, 4)),
        (2, 2, 4, 4),
    ),
}
MODELS = {
    **dict.fromkeys(("small_vgg", "all_cnn_c", "resnet20", "resnet32", "resnet56"), (2, 3, 32, 32)),
    **dict.fromkeys(("fashion_cnn", "lenet5", "mnist_cnn"), (2, 1, 28, 28)),
    **dict.fromkeys(("resnet18", "mobilenet_v2"), (2, 3, 64, 64)),
    "digits_cnn": (2, 1, 8, 8),
    "lecun1989": (2, 1, 16, 16),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_every_container(name, tmp_path):
    model, shape = BLOCKS[name]
    assert_same(model, np.random.default_rng(0).standard_normal(shape).astype(np.float32), tmp_path / "m.onnx")


@pytest.mark.parametrize("name", models.__all__)
def test_every_model(name, tmp_path):
    x = np.random.default_rng(0).standard_normal(MODELS[name]).astype(np.float32)
    model = getattr(models, name)(rng=np.random.default_rng(0))
    model(x)  # running statistics that are not the first ones
    assert_same(model, x, tmp_path / "m.onnx")


def test_float64_keeps_its_dtype(tmp_path):
    model = nn.Sequential(nn.Linear(3, 4, dtype=np.float64), nn.ReLU(), nn.Linear(4, 2, dtype=np.float64))
    x = np.random.default_rng(0).standard_normal((2, 3))
    minidl.export_onnx(model, tmp_path / "m.onnx", x.shape)
    np.testing.assert_allclose(run(tmp_path / "m.onnx", x), model(x), rtol=1e-12)
    np.testing.assert_allclose(minidl.from_onnx(tmp_path / "m.onnx")(x), model(x), rtol=1e-12)


def test_weights_keep_their_names(tmp_path):
    import onnx

    model = models.resnet18(rng=np.random.default_rng(0))
    minidl.export_onnx(model, tmp_path / "m.onnx", (1, 3, 32, 32))
    names = {tensor.name for tensor in onnx.load(tmp_path / "m.onnx").graph.initializer}
    assert names == {name for name in model.state_dict() if not name.endswith("num_batches_tracked")}


def test_an_imported_model_trains(tmp_path):
    x = np.random.default_rng(0).standard_normal((8, 1, 8, 8)).astype(np.float32)
    minidl.export_onnx(models.digits_cnn(), tmp_path / "m.onnx", x.shape)
    model = minidl.from_onnx(tmp_path / "m.onnx")
    optimizer, loss_fn = minidl.optim.SGD(model.params(), lr=0.1), nn.CrossEntropyLoss()
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        losses.append(loss_fn(model(x), np.arange(8)))
        model.backward(loss_fn.backward())
        optimizer.step()
    assert losses[-1] < losses[0] / 2
    minidl.save(model, tmp_path / "m.npz")
    minidl.load(minidl.from_onnx(tmp_path / "m.onnx"), tmp_path / "m.npz")


class Twice(nn.Module):
    def __init__(self, factor=2.0):
        super().__init__()
        self.factor = nn.Parameter(np.full(1, factor, np.float32))

    def forward(self, x):
        self.save_for_backward(x)
        return self.factor.data * x

    def backward(self, grad_output):
        self.factor.add_grad((grad_output * self.take_saved()).sum(keepdims=True).reshape(1))
        return self.factor.data * grad_output


def test_a_layer_of_ones_own(tmp_path):
    model = nn.Sequential(nn.Linear(3, 3), Twice())
    with pytest.raises(ValueError, match=r'Twice "1" has no ONNX form; give it one with @minidl.interop.onnx_nodes'):
        minidl.export_onnx(model, tmp_path / "m.onnx", (2, 3))
    assert not list(tmp_path.iterdir())

    @minidl.interop.onnx_nodes(Twice)
    def _(graph, layer, x):
        return graph.node("Mul", x, graph.parameter("factor", layer.factor.data))

    assert_same(model, np.ones((2, 3), np.float32), tmp_path / "m.onnx")


class Scaled(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = nn.Parameter(np.full(7, factor, np.float32))

    def forward(self, x):
        return x * (2 * self.factor.data)

    def backward(self, grad_output):
        return grad_output * (2 * self.factor.data)


def test_weights_made_for_the_graph_are_not_taken_for_each_other(tmp_path):
    @minidl.interop.onnx_nodes(Scaled)
    def _(graph, layer, x):  # an array that is gone as soon as the next layer's is made
        return graph.node("Mul", x, graph.parameter("factor", 2 * layer.factor.data))

    model, x = nn.Sequential(Scaled(1.0), Scaled(3.0), Scaled(0.5)), np.ones((2, 7), np.float32)
    minidl.export_onnx(model, tmp_path / "m.onnx", x.shape)
    np.testing.assert_array_equal(run(tmp_path / "m.onnx", x), model(x))


def test_export_refuses_what_it_cannot_do(tmp_path):
    with pytest.raises(ValueError, match=r"files ending in .onnx, got .*m.npz"):
        minidl.export_onnx(models.digits_cnn(), tmp_path / "m.npz", (1, 1, 8, 8))
    with pytest.raises(ValueError, match="expected 1 input channels, got 3"):
        minidl.export_onnx(models.digits_cnn(), tmp_path / "m.onnx", (1, 3, 8, 8))
    assert not list(tmp_path.iterdir())


def test_the_model_is_as_it_was(tmp_path):
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout())
    before = model.state_dict()
    minidl.export_onnx(model, tmp_path / "m.onnx", (1, 1, 5, 5))
    assert all(module.training for module in model.modules())
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


@pytest.fixture
def small(tmp_path):
    minidl.export_onnx(nn.Linear(1, 1), tmp_path / "small.onnx", (1, 1))
    return tmp_path / "small.onnx"


def test_damaged_files_are_refused(small, tmp_path):
    content, path = small.read_bytes(), tmp_path / "bad.onnx"
    for size in range(0, len(content), 3):
        path.write_bytes(content[:size])
        with pytest.raises(ValueError, match=r"bad.onnx"):
            minidl.from_onnx(path)
    with pytest.raises(FileNotFoundError):
        minidl.from_onnx(tmp_path / "none.onnx")
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(ValueError, match=r"bad.onnx is not an ONNX model"):
        minidl.from_onnx(path)


def graph_of(nodes, path, constants=(), opset=20, dims=("N", 4), rank=None):
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [
            helper.make_node(operator, inputs, [output], name=f"{operator}-1", **attributes)
            for operator, inputs, output, attributes in nodes
        ],
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, dims)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * (len(dims) if rank is None else rank))],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in dict(constants).items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9), path)
    return path


F4 = np.float32
BAD = {
    "LSTM-free": (
        [("Softsign", ["x"], "s", {}), ("Erf", ["s"], "y", {})],
        {},
        r'node "Erf-1" \(Erf\): this operator is not supported; supported are',
    ),
    "option": ([("HardSigmoid", ["x"], "y", {"alpha": 0.2})], {}, "alpha=0.2.* is not supported, only 0.1666"),
    "half": ([("Gemm", ["x", "w"], "y", {"alpha": 0.5})], {"w": np.ones((4, 2), F4)}, "alpha=0.5 is not supported"),
    "size": ([("LRN", ["x"], "y", {"size": 2})], {}, "an even size is not supported"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_supported_is_named(name, tmp_path):
    nodes, constants, message = BAD[name]
    dims = ("N", 4, 4, 4) if name == "size" else ("N", 4)
    with pytest.raises(ValueError, match=message):
        minidl.from_onnx(graph_of(nodes, tmp_path / "m.onnx", constants, dims=dims))


def test_old_operators_are_refused(tmp_path):
    path = graph_of([("Relu", ["x"], "y", {})], tmp_path / "m.onnx", opset=11)
    with pytest.raises(ValueError, match="operators of version 11; from_onnx reads 13 and later"):
        minidl.from_onnx(path)


def test_one_value_that_goes_several_ways(tmp_path):
    nodes = [("Sub", ["a", "x"], "d", {}), ("Mul", ["d", "x"], "m", {}), ("Div", ["m", "b"], "y", {})]
    constants = {"a": np.arange(1, 5, dtype=F4), "b": np.full((1, 1), 2, F4)}
    model = minidl.from_onnx(graph_of(nodes, tmp_path / "m.onnx", constants))
    assert minidl.gradcheck(model, np.random.default_rng(0).standard_normal((3, 4)))


def outcome(nodes, path, constants=(), x=None, **options):
    """What minidl and ONNX Runtime make of a graph."""
    path = graph_of(nodes, path, constants, **options)
    if not isinstance(x, np.ndarray):
        x = np.random.default_rng(0).standard_normal((2, 4) if x is None else x).astype(F4)
    model = minidl.from_onnx(path)
    expected = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
    np.testing.assert_allclose(model(x), expected, rtol=1e-5, atol=1e-6)
    return model


IMAGES = ("N", 3, 4, 5)
FOREIGN = {
    "slopes by channel": ([("PRelu", ["x", "s"], "y", {})], {"s": np.ones((3, 1, 1), F4) / 2}, IMAGES),
    "slopes with a batch axis": ([("PRelu", ["x", "s"], "y", {})], {"s": np.ones((1, 3, 1, 1), F4) / 2}, IMAGES),
    "power": ([("Pow", ["x", "two"], "y", {})], {"two": np.array(2, np.int64)}, IMAGES),
    "all axes": ([("ReduceMean", ["x", "none"], "y", {})], {"none": np.zeros(0, np.int64)}, IMAGES),
    "broadcast sum": (
        [("Relu", ["x"], "r", {}), ("ReduceMean", ["r", "a"], "m", {}), ("Sum", ["x", "m"], "y", {})],
        {"a": np.array([2, 3])},
        IMAGES,
    ),
    "resize all": (
        [("Resize", ["x", "", "", "sizes"], "y", {"mode": "linear"})],
        {"sizes": np.array([2, 3, 8, 9])},
        IMAGES,
    ),
    "value_floats": (
        [("Constant", [], "c", {"value_floats": [1.0, 2.0, 3.0, 4.0]}), ("Add", ["x", "c"], "y", {})],
        {},
        ("N", 4),
    ),
    "bias of a row": (
        [("Gemm", ["x", "w", "b"], "y", {})],
        {"w": np.ones((4, 3), F4), "b": np.ones((1, 3), F4)},
        ("N", 4),
    ),
    "two matrices": ([("MatMul", ["x", "x"], "y", {})], {}, ("N", 4, 4)),
    "a matrix on the left": ([("MatMul", ["w", "x"], "y", {})], {"w": np.ones((3, 4), F4)}, ("N", 4, 4)),
    "a constant beside it": ([("Concat", ["x", "c"], "y", {"axis": 0})], {"c": np.ones((1, 4), F4)}, ("N", 4)),
    "both orders of a weight": (
        [("MatMul", ["x", "w"], "h", {}), ("Gemm", ["h", "w"], "y", {"transB": 1})],
        {"w": np.arange(12, dtype=F4).reshape(4, 3) / 6},
        ("N", 4),
    ),
    "pad by a list": (
        [("Pad", ["x", "p", "v"], "y", {})],
        {"p": np.array([0, 1, 0, 1]), "v": np.ones(1, F4)},
        ("N", 4),
    ),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_graphs_of_others(name, tmp_path):
    nodes, constants, dims = FOREIGN[name]
    model = outcome(nodes, tmp_path / "m.onnx", constants, x=(2, *dims[1:]), dims=dims)
    out = model(np.random.default_rng(1).standard_normal((2, *dims[1:])).astype(F4))
    model.backward(np.ones_like(out))
    assert all(np.isfinite(p.grad).all() for p in model.params())


UNARY = {  # a node, its constants, the rank of its output
    "Abs": (("Abs", ["x"], "y", {}), {}, 4),
    "Exp": (("Exp", ["x"], "y", {}), {}, 4),
    "Log": (("Log", ["x"], "y", {}), {}, 4),
    "ReduceSum": (("ReduceSum", ["x", "axes"], "y", {"keepdims": 0}), {"axes": np.array([-1, 1])}, 2),
    "ReduceSum of all axes": (("ReduceSum", ["x"], "y", {}), {}, 4),
    "Squeeze": (("Squeeze", ["x", "axes"], "y", {}), {"axes": np.array([-1])}, 3),
    "Squeeze of all axes": (("Squeeze", ["x"], "y", {}), {}, 3),
    "Unsqueeze": (("Unsqueeze", ["x", "axes"], "y", {}), {"axes": np.array([-1, 0])}, 6),
}


@pytest.mark.parametrize("name", UNARY)
def test_operators_that_are_imported_only(name, tmp_path):
    node, constants, rank = UNARY[name]
    x = np.random.default_rng(0).uniform(0.5, 2, (2, 3, 4, 1)).astype(F4)  # positive, for Log
    model = outcome([node], tmp_path / "m.onnx", constants, x=x, dims=("N", 3, 4, 1), rank=rank)
    assert minidl.gradcheck(model, x.astype(np.float64))


def test_an_axis_that_is_not_one_cannot_be_squeezed(tmp_path):
    node = ("Squeeze", ["x", "axes"], "y", {})
    path = graph_of([node], tmp_path / "m.onnx", {"axes": np.array([1])}, dims=("N", "C"), rank=1)
    with pytest.raises(ValueError, match=r"Squeeze.*: axes \[1\] must have size 1, got .* \(2, 4\)"):
        minidl.from_onnx(path)(np.ones((2, 4), F4))


MORE_BAD = {
    "default": ([("HardSigmoid", ["x"], "y", {})], {}, IMAGES, "alpha=0.2.* is not supported, only 0.1666"),
    "slopes along another axis": (
        [("PRelu", ["x", "s"], "y", {})],
        {"s": np.ones(5, F4)},
        IMAGES,
        "one for each channel",
    ),
    "a constant output": ([("Identity", ["c"], "y", {})], {"c": np.ones((1, 4), F4)}, ("N", 4), "'c' is a constant"),
    "training": (
        [("Dropout", ["x", "r", "t"], "y", {})],
        {"r": np.array(0.5, F4), "t": np.array(True)},
        ("N", 4),
        "training_mode",
    ),
    "resize of sequences": (
        [("Resize", ["x", "", "s"], "y", {"mode": "linear"})],
        {"s": np.array([1, 1, 2], F4)},
        ("N", 3, 4),
        "last two axes",
    ),
}


@pytest.mark.parametrize("name", MORE_BAD)
def test_more_that_is_not_supported(name, tmp_path):
    nodes, constants, dims, message = MORE_BAD[name]
    with pytest.raises(ValueError, match=message):
        minidl.from_onnx(graph_of(nodes, tmp_path / "m.onnx", constants, dims=dims))


def test_numbers_are_not_learnt_but_arrays_are(tmp_path):
    nodes = [("Mul", ["x", "half"], "h", {}), ("Add", ["h", "b"], "y", {})]
    model = outcome(nodes, tmp_path / "m.onnx", {"half": np.array(0.5, F4), "b": np.ones(4, F4)})
    assert [p.shape for p in model.params()] == [(4,)]


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Upsample(scale_factor=1.3), (1, 1, 10, 10)),
        (nn.Upsample(scale_factor=0.7, mode="bilinear"), (1, 1, 10, 10)),
        (nn.LocalResponseNorm(3), (2, 4, 5)),
    ],
)
def test_layers_where_onnx_is_particular(layer, shape, tmp_path):
    assert_same(layer, np.random.default_rng(0).standard_normal(shape).astype(F4), tmp_path / "m.onnx")


def test_more_that_cannot_be_exported(tmp_path):
    for layer, shape, message in (
        (nn.GLU(0), (4, 3), "GLU over the batch axis"),
        (nn.Unflatten(0, (1, -1)), (4, 3), "Unflatten of the batch axis"),
        (nn.Sequential(nn.MaxPool2d(2, return_indices=True)), (1, 1, 4, 4), 'MaxPool2d "0" with return_indices'),
    ):
        with pytest.raises(ValueError, match=message):
            minidl.export_onnx(layer, tmp_path / "m.onnx", shape)
    with pytest.raises(FileNotFoundError, match=r"cannot write .*m.onnx: there is no folder .*none"):
        minidl.export_onnx(nn.ReLU(), tmp_path / "none" / "m.onnx", (1, 2))
    model = nn.Sequential(nn.BatchNorm1d(3, affine=False), nn.CELU(2.0)).astype(np.float64)
    minidl.export_onnx(model, tmp_path / "m.onnx", (1, 3))
    x = np.random.default_rng(0).standard_normal((4, 3))
    np.testing.assert_allclose(minidl.from_onnx(tmp_path / "m.onnx").eval()(x), model.eval()(x), rtol=1e-12)


def test_any_flipped_byte_gives_a_model_or_a_clear_error(small, tmp_path):
    content, path = bytearray(small.read_bytes()), tmp_path / "bad.onnx"
    for place in range(len(content)):
        for value in (0, 255):
            damaged = content.copy()
            damaged[place] = value
            path.write_bytes(damaged)
            try:
                minidl.from_onnx(path)
            except ValueError as error:
                assert "bad.onnx" in str(error)
