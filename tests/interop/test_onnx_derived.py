"""ONNX export of modules that define forward only: the notes of a dry run are the graph, whatever they do."""

import numpy as np
import onnx_zoo
import pytest
from derived_nets import C, H, RandomNet, W

import minidl
from minidl import functional as F
from minidl import nn
from minidl.nn.structure import leaves, rebuild

pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")


def run(path, *arrays):
    """Run a file on arrays, in the order of its inputs."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(None, dict(zip([i.name for i in session.get_inputs()], arrays, strict=True)))


def shapes_of(value):
    """Shapes in the structure of the inputs."""
    if isinstance(value, (tuple, list)):
        return type(value)(map(shapes_of, value))
    return {k: shapes_of(v) for k, v in value.items()} if isinstance(value, dict) else value.shape


def assert_exported(net, inputs, path, more=(), back=True):
    """Export a net; ONNX Runtime gives the same for these inputs and for ``more`` of other batch sizes.

    What is read from the file gives the same, too, has the same gradients, and can be exported again (with ``back``).
    """
    dtypes = [x.dtype for x in leaves(inputs)]
    minidl.export_onnx(net, path, *map(shapes_of, inputs), dtype=dtypes)
    assert_same(net.eval(), path, (inputs, *more))
    if not back:
        return
    again = minidl.from_onnx(path).eval()
    assert_same_module(again, net, (inputs, *more))
    second = path.with_name("again.onnx")
    minidl.export_onnx(again, second, *(x.shape for x in leaves(inputs)), dtype=dtypes)
    assert_same(net, second, (inputs, *more))
    assert_same_module(minidl.from_onnx(second).eval(), net, (inputs, *more))


def assert_same_module(again, net, cases):
    """What was read has the net's outputs, gradients of the inputs, and weights that move as the net's do."""
    assert all(getattr(module, "backward", None) is not None for module in again.modules())
    for given in cases:
        arrays = list(leaves(given))
        expected, found = net(*given), again(*arrays)
        rng = np.random.default_rng(0)
        grads = [rng.standard_normal(np.shape(y)).astype(y.dtype) for y in leaves((expected,))]
        for ours, theirs in zip(leaves((expected,)), leaves((found,)), strict=True):
            np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-5 * max(1.0, np.abs(ours).max(initial=0)))
        for model in (net, again):
            model.zero_grad()
        rest = iter(grads)
        dx = leaves((net.backward(rebuild(expected, lambda y, rest=rest: next(rest))),), none=True)
        back = again.backward(grads[0] if len(grads) == 1 else tuple(grads))
        for ours, theirs in zip(dx, leaves((back,), none=True), strict=True):
            assert (ours is None) == (theirs is None)
            if ours is not None:
                np.testing.assert_allclose(theirs, ours, rtol=1e-3, atol=1e-4 * max(1.0, np.abs(ours).max(initial=0)))
        sizes = [sorted(p.data.size for p in model.params() if p.grad is not None) for model in (net, again)]
        assert sizes[0] == sizes[1]
        np.testing.assert_allclose(norm(again), norm(net), rtol=1e-3, atol=1e-5)


def norm(model):
    """Norm of all gradients: a weight that is shared no longer shows in it."""
    return np.sqrt(sum(float((p.grad.astype(np.float64) ** 2).sum()) for p in model.params() if p.grad is not None))


def assert_same(net, path, cases):
    """A file gives what the net gives."""
    for given in cases:
        found, expected = run(path, *leaves(given)), list(leaves((net(*given),)))
        assert len(found) == len(expected)
        for ours, theirs in zip(expected, found, strict=True):
            assert np.shape(ours) == theirs.shape
            scale = max(1.0, np.abs(ours).max(initial=0))
            np.testing.assert_allclose(theirs, ours, rtol=1e-5, atol=1e-5 * scale)


@pytest.mark.parametrize("seed", range(30))
def test_random_nets(seed, tmp_path):
    print("seed", seed)
    net = RandomNet(seed, steps=8)
    net.train()(*net.draw(5))  # running statistics that are not the first ones
    assert_exported(net, net.draw(0), tmp_path / "m.onnx", [net.draw(1, n=1), net.draw(2, n=4)])


X = np.random.default_rng(0).standard_normal((2, C, H, W)).astype(np.float32)


class Does(nn.Module):
    """A module whose forward is a function of its input and a Parameter of the input's trailing shape."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.weight = nn.Parameter(np.random.default_rng(1).uniform(0.5, 1.5, (C, H, W)).astype(np.float32))

    def forward(self, x):
        return self.function(x, self.weight)


OPERATIONS = {
    "arithmetic": lambda x, w: 2 / (1 + x**2) - (x + w) * 3,
    "elementwise": lambda x, w: np.exp(x) + np.log(w * w) + np.sqrt(w) + np.tanh(x) + np.abs(x) + np.sin(x) * np.cos(x),
    "more": lambda x, w: (
        np.exp2(x) + np.expm1(x) + np.log1p(w) + np.log2(w) + np.log10(w) + np.square(x) - np.negative(x)
    ),
    "hyperbolic": lambda x, w: (
        np.sinh(x) + np.cosh(x) + np.arctan(x) + np.tan(x / 9) + np.reciprocal(w) + np.hypot(x, w)
    ),
    "angles": lambda x, w: np.arcsin(np.sin(x) * 0.9) + np.arccos(np.sin(x) * 0.9) + abs(+x),
    "extremes": lambda x, w: np.maximum(x, w) + np.minimum(x, 0.5) + np.clip(x, -0.5, None) + x.clamp(-1, 1),
    "power": lambda x, w: w**x + 2.0**x + w**0.5,
    "where": lambda x, w: np.where(x > w, x, -1.0) + np.where(np.logical_and(x >= 0, ~(x < 0.5)), w, x),
    "comparisons": lambda x, w: (
        np.where((x <= 0) | np.not_equal(x, x), x, 0.0) + (x > 0) * w + np.sign(x) + np.floor(x) + np.ceil(x)
    ),
    "equal": lambda x, w: np.where(np.floor(x) == 0, x, w),
    "sums": lambda x, w: (
        x.sum(dim=1, keepdim=True) + x.mean(axis=(2, 3), keepdims=True) + x.mean() + x.sum((1, 2, 3)).view(-1, 1, 1, 1)
    ),
    "spread": lambda x, w: (
        x.var(dim=(2, 3), keepdim=True) + x.std(dim=1, keepdim=True) + np.var(x, axis=1, keepdims=True)
    ),
    "largest": lambda x, w: x.amax(dim=1) + x.max(dim=1)[0] + x.min(dim=1).values + np.max(x, axis=1) + x.max(),
    "products": lambda x, w: (x * 0.5).prod(dim=2) + np.cumsum(x, axis=2)[:, :, 2] + minidl.logsumexp(x, dim=2),
    "place": lambda x, w: x.argmax(dim=1, keepdim=True).to(np.float32) * x,
    "norm": lambda x, w: np.sqrt((x * x).sum(axis=1, keepdims=True)) + x,
    "matrices": lambda x, w: (x @ w.transpose(1, 2)) @ x,
    "einsum": lambda x, w: np.einsum("nchw,chk->nckw", x, w),
    "flat": lambda x, w: x.reshape(len(x), -1) @ w.reshape(C * H * W, 1),
    "views": lambda x, w: x.view(x.size(0), C, -1).permute(0, 2, 1).reshape(-1, C).unsqueeze(1).flatten(1),
    "axes": lambda x, w: np.moveaxis(x.swapaxes(1, 3), 1, 2).transpose(1, 2) + x.permute(0, 3, 2, 1),
    "squeeze": lambda x, w: x.unsqueeze(1).squeeze(1) + x[:, None].squeeze(dim=1) + np.squeeze(x[:, :, None], axis=2),
    "slices": lambda x, w: x[:, 1:, ::2, -3:] + x[:, :-1, 1::2, :3] * w[1:, ::2, :3],
    "indices": lambda x, w: x[:, 0] + x[:, -1] * w[1] + (x[..., 2][..., None] + x[:, :, 1][:, :, None]).mean(1),
    "rows": lambda x, w: x[:, [0, 2, 2]] + x[:, np.array([True, True, False])].sum(1, keepdim=True),
    "reverse": lambda x, w: x.flip(2, 3) + x[:, ::-1] + np.flip(x, 1),
    "roll": lambda x, w: x.roll(1, 2) + np.roll(x, -2, axis=3) + x.roll((1, 1), (1, 3)),
    "tile": lambda x, w: np.tile(x, (1, 2, 1, 1)) + x.repeat_interleave(2, dim=1),
    "expand": lambda x, w: x.mean(1, keepdim=True).expand_as(x) + np.broadcast_to(w[:1], (C, H, W)),
    "triangles": lambda x, w: x.tril() + np.triu(x, 1) * 2,
    "pad": lambda x, w: np.pad(x, ((0, 0), (1, 0), (0, 2), (1, 1)), constant_values=0.5),
    "join": lambda x, w: np.concatenate([x, x * 2, np.zeros((1, 1, 1, 1), np.float32) + x], axis=1),
    "stack": lambda x, w: np.stack([x, w * x], axis=2) + np.stack([x, x], axis=-1).mean(-1, keepdim=False)[:, :, None],
    "parts": lambda x, w: x.chunk(3, dim=1)[1] + x.split([1, 2], dim=1)[1] + sum(x.unbind(1))[:, None],
    "detached": lambda x, w: x * x.detach() + w.detach(),
    "ones like it": lambda x, w: x + np.ones_like(x) * 2 - x.new_zeros(x.shape),
    "zeros for each sample": lambda x, w: np.concatenate([x, np.zeros((len(x), 2, H, W), np.float32)], axis=1),
    "weights for each sample": lambda x, w: np.stack([w[None].expand(len(x), -1, -1, -1), x], axis=1),
    "tiles for each sample": lambda x, w: x * w[None].repeat(len(x), 1, 1, 1) + np.tile(w[:1, None], (len(x), C, 1, 1)),
    "a row for each sample": lambda x, w: w[:1] + np.ones((len(x), 1, 1, 1), np.float32),
    "functions": lambda x, w: F.relu(x) + F.gelu(x) + F.softmax(x, dim=1) + F.dropout(x, 0.5, False) + F.silu(x),
    "pools": lambda x, w: F.max_pool2d(x, 2) + F.avg_pool2d(x, 2) + F.adaptive_avg_pool2d(x, (2, 2)),
    "linear": lambda x, w: F.linear(x, w[0]) + F.linear(x, w[0], w[0, :, 0]),
    "linear of rows": lambda x, w: F.linear(x.flatten(1), w.view(1, -1)),
    "conv": lambda x, w: (
        F.conv2d(x, w[None, :, :3, :3], padding="same") + F.conv2d(x, w[:, None, :3, :3], w[:, 0, 0], 1, 1, groups=C)
    ),
    "layer_norm": lambda x, w: F.layer_norm(x, (H, W), w[0], w[1]) + F.layer_norm(x, (W,)),
    "batch_norm": lambda x, w: F.batch_norm(x, np.zeros(C, np.float32) + 0.3, np.ones(C, np.float32) * 2, w[:, 0, 0]),
    "dtype": lambda x, w: x.double().astype(np.float32) + (x * w.double()).to(np.float32),
    "nothing": lambda x, w: x,
    "the weight": lambda x, w: w * 2 + 0 * x[:1],
    "several": lambda x, w: {"a": x, "b": [x * 2, x], "c": w + x},
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations(name, tmp_path):
    more = np.random.default_rng(3).standard_normal((5, C, H, W)).astype(np.float32)
    # ONNX has no detach(), and from_onnx wants the weights of layers to be constants
    back = name not in ("detached", "conv", "layer_norm", "batch_norm")
    assert_exported(Does(OPERATIONS[name]), (X,), tmp_path / "m.onnx", [(more,), (more[:1],)], back)
    if not back and name != "detached":
        with pytest.raises(ValueError, match="input 1 must be a constant, but it is computed"):
            minidl.from_onnx(tmp_path / "m.onnx")


class Two(nn.Module):
    def forward(self, left, right):
        return {"sum": left["a"] + right, "a": left["b"][0] * 2}


def test_inputs_are_named_by_their_place(tmp_path):
    import onnx

    inputs = ({"a": X, "b": [X]}, X)
    assert_exported(Two(), inputs, tmp_path / "m.onnx")
    graph = onnx.load(tmp_path / "m.onnx").graph
    assert [value.name for value in graph.input] == ["input0.a", "input0.b.0", "input1"]
    sizes = [[d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim] for value in graph.output]
    assert sizes == [["N", C, H, W]] * 2


class Shared(nn.Module):
    """Tied weights: the same layer twice, and an encoder whose weight is the decoder's."""

    def __init__(self):
        super().__init__()
        self.embed, self.mix, self.act = nn.Embedding(11, 6), nn.Linear(6, 6), nn.ReLU()
        self.head = nn.Linear(6, 11, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids):
        return self.head(self.mix(self.act(self.mix(self.embed(ids).mean(1)))))


def test_shared_weights_are_one_initializer(tmp_path):
    import onnx

    ids = np.random.default_rng(0).integers(0, 11, (3, 4))
    assert_exported(Shared(), (ids,), tmp_path / "m.onnx", [(ids[:1],)])
    names = [tensor.name for tensor in onnx.load(tmp_path / "m.onnx").graph.initializer]
    assert sorted(names) == ["embed.weight", "mix.bias", "mix.weight"]


class Weights(nn.Module):
    """Functions with Parameters, one of which has two uses."""

    def __init__(self):
        super().__init__()
        rng = np.random.default_rng(2)
        sizes = {
            "filters": (4, C, 3, 3),
            "bias": (4,),
            "table": (6, 4 * H * W),
            "scale": (W,),
            "shift": (W,),
            "gain": (4,),
        }
        for name, shape in sizes.items():
            setattr(self, name, nn.Parameter(rng.uniform(0.5, 1, shape).astype(np.float32)))
        self.register_buffer("mean", np.full(4, 0.2, np.float32))
        self.register_buffer("var", np.full(4, 1.7, np.float32))

    def forward(self, x):
        x = F.conv2d(x, self.filters, self.bias, padding=1)
        x = F.layer_norm(F.batch_norm(x, self.mean, self.var, self.gain, self.bias), (W,), self.scale, self.shift)
        hidden = F.linear(x.flatten(1), self.table)
        return hidden @ self.table, hidden


def test_functions_with_parameters(tmp_path):
    import onnx

    net = Weights()
    assert_exported(net, (X,), tmp_path / "m.onnx", [(X[:1],)])
    names = {tensor.name for tensor in onnx.load(tmp_path / "m.onnx").graph.initializer}
    assert names == {name for name, _ in net.named_params()}


def test_an_imported_model_keeps_its_shared_weights(tmp_path):
    ids = np.random.default_rng(0).integers(0, 11, (3, 4))
    net = Shared()
    minidl.export_onnx(net, tmp_path / "m.onnx", ids.shape, dtype=ids.dtype)
    again = minidl.from_onnx(tmp_path / "m.onnx")
    assert sum(p.data.size for p in again.params()) == sum(p.data.size for p in net.params())
    optimizers = [minidl.optim.SGD(model.params(), lr=0.05) for model in (net, again)]
    for _ in range(4):
        for model, optimizer in zip((net, again), optimizers, strict=True):
            optimizer.zero_grad()
            nn.CrossEntropyLoss()(model(ids), np.array([1, 2, 3])).backward()
            optimizer.step()
    np.testing.assert_allclose(again(ids), net(ids), rtol=1e-4, atol=1e-6)
    minidl.export_onnx(again, tmp_path / "again.onnx", ids.shape, dtype=ids.dtype)
    np.testing.assert_allclose(run(tmp_path / "again.onnx", ids)[0], net(ids), rtol=1e-4, atol=1e-5)


class Fixed(nn.Module):
    def forward(self, x):
        return x.reshape(2, 3 * 20) + 1


def test_a_forward_that_knows_its_batch_size_has_a_fixed_one(tmp_path):
    import onnx

    assert_exported(Fixed(), (X,), tmp_path / "m.onnx")
    (value,) = onnx.load(tmp_path / "m.onnx").graph.input
    assert [d.dim_value for d in value.type.tensor_type.shape.dim] == [2, C, H, W]


REFUSED = {
    "branch": (lambda x, w: x * 2 if x.sum() > 0 else x, "does something else for other values"),
    "item": (lambda x, w: x * float(x.max()), "multiply has no ONNX form here: a value that depends on the input"),
    "data": (lambda x, w: x + np.tanh(x.data), "add has no ONNX form here: a value that depends on the input"),
    "noise": (lambda x, w: x + minidl.randn(1, C, H, W, rng=np.random.default_rng()), "random numbers"),
    "halves of the batch": (
        lambda x, w: x[: len(x) // 2],
        "getitem has no ONNX form here: its key depends on the batch size",
    ),
    "mask": (lambda x, w: x[x > 0], "getitem has no ONNX form here: its key depends on the batch size or on the input"),
    "divides by n": (lambda x, w: x.var(dim=0), "var has no ONNX form here: it divides by the batch size"),
    "no form": (
        np.arctan2,
        "arctan2 has no ONNX form here: there is none for this operation; do it in",
    ),
    "output": (lambda x, w: x.data * 2, "an output of the model depends on the input in a way that is not noted"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_be_wrong_is_refused(name, tmp_path):
    function, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        minidl.export_onnx(Does(function), tmp_path / "m.onnx", X.shape)
    assert not list(tmp_path.iterdir())


class Shifted(nn.ReLU):
    """Another forward than its base's."""

    def forward(self, x):
        return super().forward(x - 1) * 2


class Doubled(nn.Conv2d):
    def forward(self, x):
        return super().forward(x) * 2


def test_a_forward_that_uses_its_bases(tmp_path):
    net = nn.Sequential(Doubled(C, C, 3, padding=1), Shifted(), nn.Residual(Doubled(C, C, 1)))
    assert_exported(net, (X,), tmp_path / "m.onnx", [(X[:1],)])


def normal(*shape):
    return np.random.default_rng(4).standard_normal(shape).astype(np.float32)


WORDS = np.random.default_rng(5).integers(0, 20, (6, 3))
ZOO = {
    "Attention": lambda n: (normal(n, 5, 8),),
    "VisionTransformer": lambda n: (normal(n, 3, 8, 8),),
    "UNet": lambda n: (normal(n, 1, 8, 8),),
    "Recurrent": lambda n: (normal(n, 4, 3),),
    "Towers": lambda n: (normal(n, 3, 5, 5), WORDS[:n]),
}


@pytest.mark.parametrize("name", ZOO)
def test_models_as_pytorch_users_write_them(name, tmp_path):
    minidl.manual_seed(0)
    net, draw = getattr(onnx_zoo, name)(), ZOO[name]
    assert_exported(net, draw(2), tmp_path / "m.onnx", [draw(1), draw(6)])
