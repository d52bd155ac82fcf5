"""save_model and load_model: every layer, every ready-made model, and forwards of all kinds come back bit for bit."""

import copy
import pickle

import numpy as np
import pytest
from cases import CASES
from derived_nets import RandomNet

import minidl
from minidl import models, nn
from minidl.nn import functional as F
from minidl.nn.modes import evaluating


def outputs(model, *inputs):
    with evaluating(model), np.errstate(all="ignore"):
        found = model(*inputs)
    flat = []
    minidl.nn.structure.rebuild(found, lambda x: flat.append(np.asarray(x)))
    return flat


def equal(ours, theirs):
    return len(ours) == len(theirs) and all(
        a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
        for a, b in zip(ours, theirs, strict=True)
    )


def round_trip(model, path, *shape, **options):
    minidl.save_model(model, path, *shape, **options)
    loaded = minidl.load_model(path)
    assert not loaded.model.training
    assert list(loaded.model.state_dict()) == list(model.state_dict())
    return loaded.model


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_every_layer_comes_back(case, tmp_path):
    layer, inputs = case.make(), case.draw(np.float32)
    if layer_takes(layer, inputs):
        outputs(layer, *inputs)  # gives a lazy layer its size
    again = round_trip(layer, tmp_path / "layer.minidl")
    assert type(again) is type(layer)
    assert repr(again.train()) == repr(layer)
    assert equal(outputs(layer, *inputs), outputs(again, *inputs))


def layer_takes(layer, inputs):
    return all(p.data.dtype == np.float32 for p in layer.params()) and len(inputs) > 0


@pytest.mark.parametrize("name", models.__all__)
def test_every_ready_made_model_comes_back(name, tmp_path):
    model = getattr(models, name)(rng=np.random.default_rng(1))
    c, h, w = models.INPUT_SHAPES[name]
    h, w = (h, w) if h < 100 else (64, 64)
    again = round_trip(model, tmp_path / "model.minidl", (1, c, h, w))
    x = np.random.default_rng(2).standard_normal((3, c, h, w)).astype(np.float32)
    assert equal(outputs(model, x), outputs(again, x))


@pytest.mark.parametrize("seed", range(40))
def test_random_forwards_come_back(seed, tmp_path):
    net = RandomNet(seed)
    example = net.draw(0, 2)
    shapes = minidl.nn.structure.rebuild(example, np.shape)
    dtypes = [x.dtype for x in minidl.nn.structure.leaves(example)]
    minidl.save_model(net, tmp_path / "net.minidl", *shapes, dtype=dtypes)
    again = minidl.load_model(tmp_path / "net.minidl").model
    for number, size in enumerate((1, 3, 8)):
        inputs = net.draw(number, size)
        assert equal(outputs(net, *inputs), outputs(again, *inputs)), f"seed {seed}"


class Pairs(nn.Module):
    """Functions of `nn.functional` with weights of the module's own, a buffer, a list of layers, a tied weight."""

    def __init__(self):
        super().__init__()
        rng = np.random.default_rng(3)

        def weight(*shape):
            return nn.Parameter(rng.standard_normal(shape).astype(np.float32))

        self.kernel, self.shift = weight(4, 3, 3, 3), weight(4)
        self.slope, self.scale, self.table = weight(4), weight(4), weight(5, 4)
        self.blocks = [nn.Conv2d(4, 4, 1, rng=rng), nn.Sequential(nn.ReLU(), nn.BatchNorm2d(4))]
        self.named = {"last": nn.Linear(4, 6, rng=rng)}
        self.register_buffer("mean", rng.standard_normal(4).astype(np.float32))
        self.register_buffer("order", np.array([3, 1, 0, 2]), persistent=False)

    def forward(self, x):
        y = F.conv2d(x, self.kernel, self.shift, padding=1, stride=(1, 2))
        y = F.prelu(y, self.slope) - self.mean[:, None, None]
        y = F.batch_norm(y, self.mean, np.abs(self.mean) + 1, self.scale, None, eps=1e-3)
        y = F.group_norm(y, 2, self.scale, self.shift) + F.instance_norm(y, weight=self.scale)
        for block in self.blocks:
            y = block(y)
        y = F.max_pool2d(F.leaky_relu(y, 0.2), 2)[:, self.order]
        y = y.mean((2, 3)).view(x.shape[0], -1)
        y = F.layer_norm(y, (4,), self.scale) * F.rms_norm(y, (4,)) + F.embedding(y.argmax(1), self.table)
        y = y + minidl.zeros(len(x), 4) + F.softmax(y @ y.T, dim=1).sum(1, keepdim=True)
        first, *_ = y.chunk(2, dim=1)
        return {"logits": self.named["last"](y), "half": first[: len(x) // 1, ..., None], "size": None}


def test_functions_weights_lists_buffers_and_constants_come_back(tmp_path):
    net = Pairs()
    again = round_trip(net, tmp_path / "net.minidl", (2, 3, 8, 8))
    for size in (1, 5):
        x = np.random.default_rng(size).standard_normal((size, 3, 8, 8)).astype(np.float32)
        assert equal(outputs(net, x), outputs(again, x))
    assert np.array_equal(again.order, net.order)
    assert "order" not in again.state_dict()
    assert "Recorded(Pairs" in repr(again)


def test_what_comes_back_is_trained_exported_and_saved_as_the_first(tmp_path):
    net = models.resnet18(num_classes=4, rng=np.random.default_rng(0))
    again = round_trip(net, tmp_path / "net.minidl", (1, 3, 32, 32))
    twice = round_trip(again, tmp_path / "twice.minidl", (1, 3, 32, 32))
    x = np.random.default_rng(1).standard_normal((2, 3, 32, 32)).astype(np.float32)
    grads = []
    for model in (net, again, twice):
        loss = nn.CrossEntropyLoss()
        model.train()
        loss(model(x), np.array([0, 3]))
        model.backward(loss.backward())
        grads.append({name: p.grad for name, p in model.named_params()})
        assert model.output_shape((5, 3, 32, 32)) == (5, 4)
    for other in grads[1:]:
        assert all(np.array_equal(grads[0][name], other[name]) for name in grads[0])


def test_shared_layers_and_tied_weights_stay_shared(tmp_path):
    layer, first = nn.Linear(4, 4), nn.Linear(4, 3)
    second = nn.Linear(4, 3, bias=False)
    second.weight = first.weight
    net = nn.Sequential(layer, nn.ReLU(), layer, nn.Parallel(first, nn.Sequential(layer, second)))
    again = round_trip(net, tmp_path / "net.minidl")
    branches = list(again[3].children())
    assert again[0] is again[2] is branches[1][0]
    assert branches[0].weight is branches[1][1].weight
    assert len(list(again.params())) == len(list(net.params())) == 4
    with np.load(tmp_path / "net.minidl") as file:
        assert sorted(name for name in file.files if name.endswith("weight")) == ["state/0.weight", "state/3.0.weight"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_is_kept(dtype, tmp_path):
    net = nn.Sequential(nn.Linear(3, 4, dtype=dtype), nn.BatchNorm1d(4, dtype=dtype), nn.PReLU(4, dtype=dtype))
    again = round_trip(net, tmp_path / "net.minidl")
    assert all(p.data.dtype == dtype for p in again.params())
    x = np.random.default_rng(0).standard_normal((5, 3)).astype(dtype)
    assert equal(outputs(net, x), outputs(again, x))


def test_weights_that_lie_in_another_order_come_back(tmp_path):
    net = nn.Sequential(nn.Linear(300, 200), nn.ReLU(), nn.Linear(200, 10))
    for layer in (net[0], net[2]):
        layer.weight.data = np.asfortranarray(layer.weight.data)
    again = round_trip(net, tmp_path / "net.minidl", (2, 300))
    x = np.random.default_rng(0).standard_normal((7, 300)).astype(np.float32)
    np.testing.assert_allclose(outputs(again, x)[0], outputs(net, x)[0], rtol=1e-4, atol=1e-5)
    assert all(np.array_equal(value, again.state_dict()[name]) for name, value in net.state_dict().items())


def test_a_model_that_comes_back_is_copied_pickled_and_compiled(tmp_path):
    net = models.resnet20(rng=np.random.default_rng(0))
    again = round_trip(net, tmp_path / "net.minidl", (1, 3, 32, 32))
    x = np.random.default_rng(1).standard_normal((2, 3, 32, 32)).astype(np.float32)
    expected = outputs(net, x)
    for model in (copy.deepcopy(again), pickle.loads(pickle.dumps(again))):
        assert equal(outputs(model, x), expected)
    np.testing.assert_allclose(minidl.compile(again, (2, 3, 32, 32))(x), expected[0], rtol=1e-3, atol=1e-4)
