"""minidl.compile: the model's numbers, on every engine, for every layer and for models of many kinds."""

import copy
import pickle
import re
import threading
from pathlib import Path

import numpy as np
import pytest
from cases import CASES
from derived_nets import RandomNet

import minidl
from minidl import models, nn
from minidl.nn.structure import leaves, rebuild

LAYERS = [case for case in CASES if case.target is None]


def within(actual, expected):
    """The same structure, and numbers within 1e-5 of the largest one of all (float64: 1e-12)."""
    floats = [
        np.abs(b[np.isfinite(b)]).max(initial=1e-3) for b in map(np.asarray, leaves(expected)) if b.dtype.kind == "f"
    ]
    for a, b in zip(map(np.asarray, leaves(actual)), map(np.asarray, leaves(expected)), strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        if a.size and a.dtype.kind == "f":
            tolerance = (1e-5 if a.dtype == np.float32 else 1e-12) * max(floats)
            np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)
        else:
            np.testing.assert_array_equal(a, b)


def settled(model, seed=0):
    """Give weights, biases and statistics values unlike those at the start, and go to evaluation mode."""
    rng = np.random.default_rng(seed)
    for module in model.modules():
        if isinstance(getattr(module, "running_mean", None), np.ndarray):
            module.running_mean[...] = rng.standard_normal(module.running_mean.shape)
            module.running_var[...] = rng.uniform(0.1, 3, module.running_var.shape)
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)) and module.weight is not None:
            module.weight.data[...] = rng.uniform(-2, 2, module.weight.shape)
            if module.bias is not None:
                module.bias.data[...] = rng.standard_normal(module.bias.shape)
    return model.eval()


def shapes(inputs):
    return [rebuild(x, np.shape) for x in inputs]


def dtypes(inputs):
    return [x.dtype for x in leaves(inputs)]


def run(model, *inputs):
    with minidl.no_grad(), np.errstate(all="ignore"):
        return model(*inputs)


def compiled_like(model, *inputs):
    """Compile a model for inputs and compare: twice, so that nothing of the first call shows in the second."""
    compiled = minidl.compile(model, *shapes(inputs), dtype=dtypes(inputs))
    expected = run(model, *inputs)
    with np.errstate(all="ignore"):
        first = compiled(*inputs)
        compiled(*rebuild(inputs, lambda x: x[::-1] if x.ndim else x))
        within(compiled(*inputs), expected)
    within(first, expected)
    return compiled


def steps_of(compiled):
    """How many steps the compiled model has for the shape it was compiled for."""
    ((ready,),) = [*compiled._state.ready.values()]
    return len(ready._steps)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", LAYERS, ids=[c.id for c in LAYERS])
def test_every_layer(case, dtype, engine):
    inputs = case.draw(dtype)
    layer = case.make().astype(dtype)
    if not all(parameter.shape != (0,) for parameter in layer.params()):
        run(layer, *inputs)
    compiled_like(settled(layer), *inputs)


@pytest.mark.parametrize("case", [c for c in LAYERS if c.inputs is None], ids=lambda c: c.id)
def test_every_layer_between_others(case, engine):
    x = np.random.default_rng(1).standard_normal(case.shape).astype(np.float32)
    x = np.abs(x) + 0.1 if case.probabilities or case.logarithms else x
    layer = case.make()
    run(layer, x)
    if case.probabilities:
        before, x = nn.Sigmoid(), x * 0.5
    else:
        before = nn.Softplus() if not case.logarithms else nn.LogSigmoid()
    if isinstance(run(layer, x), np.ndarray):
        compiled_like(settled(nn.Sequential(before, layer, nn.Tanh())), x)


NETS = {
    "convolution and norm": lambda: (nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU()),
    "no bias": lambda: (nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6, eps=0.1), nn.GELU()),
    "without weight": lambda: (nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6, affine=False), nn.Sigmoid()),
    "weight alone": lambda: (nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6, bias=False)),
    "statistics of the batch": lambda: (nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6, track_running_stats=False), nn.ReLU()),
    "groups": lambda: (nn.Conv2d(3, 9, 3, groups=3, stride=2), nn.BatchNorm2d(9), nn.SiLU()),
    "depthwise": lambda: (nn.Conv2d(3, 3, 3, groups=3, padding=1), nn.BatchNorm2d(3), nn.ReLU6()),
    "dilation": lambda: (nn.Conv2d(3, 5, (3, 2), dilation=(1, 2), padding=(2, 0), stride=(1, 3)), nn.BatchNorm2d(5)),
    "reflected": lambda: (nn.Conv2d(3, 5, 3, padding=1, padding_mode="reflect"), nn.BatchNorm2d(5), nn.ReLU()),
    "same": lambda: (nn.Conv2d(3, 5, (4, 2), padding="same"), nn.BatchNorm2d(5), nn.ReLU()),
    "transposed": lambda: (nn.ConvTranspose2d(3, 6, 3, stride=2, groups=3), nn.BatchNorm2d(6), nn.ReLU()),
    "transposed, no bias": lambda: (nn.ConvTranspose2d(3, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU()),
    "two norms": lambda: (nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Identity(), nn.Dropout(), nn.BatchNorm2d(6)),
    "norm first": lambda: (nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.BatchNorm2d(4)),
    "linear": lambda: (nn.Flatten(), nn.Linear(240, 20), nn.BatchNorm1d(20), nn.ReLU(), nn.Linear(20, 10)),
    "rows": lambda: (nn.Flatten(2), nn.Linear(80, 7), nn.BatchNorm1d(3), nn.ReLU()),
    "sequence": lambda: (nn.Flatten(2), nn.Conv1d(3, 6, 5, stride=2), nn.BatchNorm1d(6), nn.MaxPool1d(2), nn.Flatten()),
    "pools": lambda: (nn.MaxPool2d(3, 2, 1, ceil_mode=True), nn.AvgPool2d(3, 1, 1), nn.AdaptiveAvgPool2d((2, 1))),
    "activations before pools": lambda: (
        *(nn.Conv2d(3, 5, 3, padding=1), nn.BatchNorm2d(5), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True), nn.Tanh()),
        *(nn.Dropout(), nn.MaxPool2d(2, 1), nn.Sigmoid(), nn.MaxPool2d(2, padding=1), nn.ReLU6(), nn.MaxPool2d(1)),
    ),
    "only padding": lambda: (nn.ReLU(), nn.MaxPool2d((3, 2), 1, 1, dilation=(4, 11))),
    "big windows": lambda: (nn.ReLU(), nn.AvgPool2d((8, 5), (1, 5)), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    "nothing": lambda: (nn.Identity(), nn.Dropout(0.3)),
    "shapes": lambda: (
        nn.Flatten(),
        nn.Unflatten(1, (15, 4, 4)),
        nn.Conv2d(15, 4, 1),
        nn.PixelShuffle(2),
        nn.Flatten(1, 2),
    ),
    "residual": lambda: (
        nn.Residual(nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU())),
        nn.Parallel(nn.Conv2d(3, 2, 1), nn.Residual(nn.Identity()), nn.MaxPool2d(3, 1, 1)),
        nn.Parallel(nn.Conv2d(8, 2, 1), nn.Conv2d(8, 2, 3, padding=1), merge="sum"),
        nn.SqueezeExcite(2),
    ),
    "layer norms": lambda: (nn.GroupNorm(3, 3), nn.InstanceNorm2d(3), nn.LayerNorm((8, 10)), nn.ReLU()),
}


@pytest.mark.parametrize("batch", [1, 2, 5, 19])
@pytest.mark.parametrize("name", NETS)
def test_nets(name, batch, engine, rng):
    if batch == 1 and name == "statistics of the batch":
        batch = 3
    model = settled(nn.Sequential(*NETS[name]()))
    compiled_like(model, rng.standard_normal((batch, 3, 8, 10), dtype=np.float32))


def test_the_steps_are_few():
    model = settled(nn.Sequential(*NETS["convolution and norm"](), nn.Dropout(), nn.Identity()))
    plain = settled(nn.Sequential(nn.Conv2d(3, 6, 3, padding=1)))
    x = np.zeros((1, 3, 8, 8), np.float32)
    assert steps_of(compiled_like(model, x)) == steps_of(compiled_like(plain, x)) + 1  # the ReLU


class Twice(nn.Module):
    """A convolution whose output is used beside its normalisation, and layers that are called several times."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.other = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.BatchNorm2d(3)
        self.act = nn.ReLU()
        self.bias = nn.Parameter(np.full((3, 1, 1), 0.5, np.float32))

    def forward(self, x):
        y = self.conv(x)
        z = self.act(self.norm(y)) + y
        z = self.other(self.conv(z)) * 2 - self.norm(self.conv(self.act(z)))
        return {"z": z, "same": z, "sum": (z + self.bias).mean((2, 3)), "x": x, "parts": [z[:, 1:], z.flatten(1)]}


def test_values_that_are_used_twice(engine, rng):
    for batch in (1, 3, 17):
        compiled_like(settled(Twice()), rng.standard_normal((batch, 3, 6, 7), dtype=np.float32))


def test_frozen_and_shared(engine, rng):
    conv, norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
    model = nn.Sequential(conv, norm, nn.ReLU(), conv, nn.BatchNorm2d(3), nn.ReLU(), conv)
    settled(model)
    model.train()
    model.freeze()
    compiled_like(model, rng.standard_normal((2, 3, 6, 7), dtype=np.float32))


@pytest.mark.parametrize("name", models.__all__)
def test_the_models_that_come_along(name, engine, rng):
    channels, *size = models.INPUT_SHAPES[name]
    x = rng.standard_normal((2, channels, *(min(n, 64) for n in size)), dtype=np.float32)
    compiled_like(settled(getattr(models, name)()), x)


@pytest.mark.parametrize("seed", range(60))
def test_random_derived_nets(seed, engine):
    print("seed", seed)
    net = settled(RandomNet(seed), seed)
    for n in (1, 2, 16):
        compiled_like(net, *net.draw(n=n))


PARTS = {
    "half": lambda act, y: act(y[:, ::2]),
    "both": lambda act, y: act(y[:, :3]) * y[:, 3:] + act(y[:, 1:4]),
    "turned": lambda act, y: act(y.permute(0, 2, 3, 1)[:, 1:].transpose(1, 2)).flip(1) + 1,
    "one": lambda act, y: act(y[:, 0]).unsqueeze(1) - y[:, :1, :, :],
    "picked": lambda act, y: act(y[:, [0, 0, 2]]) * y[0, :3],
    "spread": lambda act, y: act(y[:, :1].expand(-1, 4, -1, -1)) + y[:, :1],
    "squeezed": lambda act, y: act(y[:, :, -1:]).squeeze(2).flatten(1),
    "in place": lambda act, y: (y.transpose(1, 2)[:, 1:] * 2 + y.permute(0, 2, 1, 3)[:, :-1]).reshape(len(y), -1),
}


class Parts(nn.Module):
    """Views of values, computed with in place of them, and beside them."""

    def __init__(self, how):
        super().__init__()
        self.how, self.conv, self.act = how, nn.Conv2d(3, 6, 3, padding=1), nn.Tanh()

    def forward(self, x):
        return PARTS[self.how](self.act, self.conv(x))


@pytest.mark.parametrize("how", PARTS)
def test_parts_of_values(how, engine, rng):
    for batch in (1, 4, 17):
        compiled_like(settled(Parts(how)), rng.standard_normal((batch, 3, 6, 8), dtype=np.float32))


class Noise(nn.Module):
    def forward(self, x):
        return x + minidl.randn(*x.shape)


def test_random_numbers_are_drawn_anew():
    compiled = minidl.compile(nn.Sequential(nn.Linear(3, 3), Noise()).eval(), (2, 3))
    x = np.ones((2, 3), np.float32)
    assert np.abs(compiled(x) - compiled(x)).min() > 0


def zoo():
    """The models of tests/ported/zoo.py, which are written for PyTorch, as minidl's."""
    text = (Path(__file__).parent / "ported" / "zoo.py").read_text()
    text = re.sub(r"^import torch$", "import minidl as torch", text, flags=re.MULTILINE)
    space = {"__name__": "zoo"}
    exec(re.sub(r"^import torch\b", "import minidl", text, flags=re.MULTILINE), space)
    return space["ZOO"]


def drawn(shapes, rng, dtype, factor):
    for shape in shapes:
        whole = shape[0] == "integers"
        yield rng.integers(0, shape[1], shape[2:]) if whole else (factor * rng.standard_normal(shape)).astype(dtype)


@pytest.mark.parametrize("number", range(len(zoo())))
def test_models_as_people_write_them(number, engine, rng):
    make, given = zoo()[number]
    dtype = np.float64  # some of them make float64 of float32
    model = settled(make().astype(dtype))
    inputs = tuple(drawn(given, rng, dtype, 1))
    compiled = compiled_like(model, *inputs)
    for factor in (-1, 0.01, 30):  # other values, which may take other ways
        other = tuple(drawn(given, rng, dtype, factor))
        within(compiled(*other), run(model, *other))


class Scale(nn.Module):
    """A layer of a user's own, with a backward."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.save_for_backward(x)
        return x * 2 if x.sum() > 0 else x

    def backward(self, grad_output):
        self.take_saved()
        return grad_output


class Depends(nn.Module):
    """A forward that does something else for other values."""

    def __init__(self, how):
        super().__init__()
        self.how, self.conv = how, nn.Conv2d(3, 3, 1)

    def forward(self, x):
        y = self.conv(x)
        if self.how == "if":
            return y * 3 if y.sum() > 1e6 else y + 1
        if self.how == "item":
            return y * (1 if y.max().item() < 1e6 else 5)
        if self.how == "data":
            return y + float(y.data.mean())
        if self.how == "detached":
            return y + np.float32(np.median(y.detach().numpy()))
        if self.how == "index":
            return y[:, int(y.mean() > 1e6) :]
        return y * y.data.max()


@pytest.mark.parametrize("how", ["if", "item", "data", "detached", "index", "max"])
def test_what_depends_on_the_values_is_called_as_it_is(how, engine, rng):
    model = nn.Sequential(nn.Conv2d(3, 3, 1), Scale(), nn.ReLU(), Depends(how), nn.Tanh(), Scale()).eval()
    x = rng.standard_normal((2, 3, 4, 4), dtype=np.float32)
    compiled = compiled_like(model, x)
    for factor in (-1, 1e8, -1e8):
        within(compiled(factor * x), run(model, factor * x))


def test_what_raises_for_other_values_is_called_as_it_is(rng):
    class Positive(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(1, 3)

        def forward(self, x, number):
            return x + self.embed(number)

    model = Positive().eval()
    x, number = rng.standard_normal((2, 3), dtype=np.float32), np.zeros(2, np.int64)
    within(minidl.compile(model, (2, 3), (2,), dtype=[np.float32, np.int64])(x, number), run(model, x, number))


def test_an_own_layer_that_returns_its_input_or_a_part_of_it(engine, rng):
    class Part(nn.Module):
        def forward(self, x):
            self.save_for_backward(x.shape)
            return x[:, :2]

        def backward(self, grad_output):
            return grad_output

    part = Part()
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Residual(nn.ReLU()), part, nn.Conv2d(2, 3, 1), nn.ReLU(), part).eval()
    compiled_like(model, rng.standard_normal((2, 3, 4, 4), dtype=np.float32))
    compiled = compiled_like(part.eval(), rng.standard_normal((2, 3, 4, 4), dtype=np.float32))
    x = np.ones((2, 3, 4, 4), np.float32)
    assert not np.shares_memory(compiled(x), x)


def test_other_batch_sizes_are_planned_when_they_are_used(engine, rng):
    model = settled(nn.Sequential(*NETS["convolution and norm"](), nn.Flatten(), nn.Linear(480, 10)))
    compiled = minidl.compile(model, (4, 3, 8, 10))
    for batch in (1, 4, 7, 33, 0, 1):
        x = rng.standard_normal((batch, 3, 8, 10), dtype=np.float32)
        within(compiled(x), run(model, x))
    for batch in range(1, 40):
        compiled(np.zeros((batch, 3, 8, 10), np.float32))
    assert len(compiled._state.plans) == len(compiled._state.ready) == 16


def test_outputs_are_new_arrays_and_inputs_stay(rng):
    compiled = minidl.compile(nn.Sequential(nn.ReLU(), nn.Identity()).eval(), (2, 5))
    x = rng.standard_normal((2, 5), dtype=np.float32)
    before, first = x.copy(), compiled(x)
    kept = first.copy()
    second = compiled(-x)
    assert not np.shares_memory(first, second)
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(x, before)
    first[...] = 7
    np.testing.assert_array_equal(compiled(x), kept)


def test_inputs_in_any_layout(engine, rng):
    model = settled(nn.Sequential(*NETS["convolution and norm"]()))
    compiled = minidl.compile(model, (2, 3, 8, 10))
    x = rng.standard_normal((8, 3, 10, 2), dtype=np.float32).transpose(3, 1, 0, 2)[:, :, ::-1]
    x.flags.writeable = False
    within(compiled(x), run(model, np.ascontiguousarray(x)))


def test_refresh_takes_new_weights_and_nothing_else_does(engine, rng):
    model = settled(nn.Sequential(*NETS["convolution and norm"]()))
    x = rng.standard_normal((2, 3, 8, 10), dtype=np.float32)
    compiled, before = minidl.compile(model, x.shape), run(model, x)
    for parameter in model.params():
        parameter.data[...] *= 1.5
    model[1].running_mean[...] += 1
    within(compiled(x), before)
    within(compiled(x[:1]), before[:1])  # planned now, with the weights as they were
    compiled.refresh()
    within(compiled(x), run(model, x))
    model[2] = nn.Tanh()
    model.eval()
    compiled.refresh()
    within(compiled(x), run(model, x))


def test_the_model_stays_as_it_is(rng):
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU()).eval()
    state = model.state_dict()
    compiled = minidl.compile(model, (2, 3, 8, 8))
    model.train()
    x = rng.standard_normal((3, 3, 8, 8), dtype=np.float32)
    compiled(x)
    assert all(module.training for module in model.modules())
    assert model[0]._pass is None
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, state[name])


def test_gradients_around_it_stay(rng):
    compiled = minidl.compile(nn.Sequential(nn.Linear(4, 4), Scale(), nn.LayerNorm(4)).eval(), (2, 4))

    class Teacher(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x):
            return self.fc(x) * compiled(x.detach().numpy())

    model, x = Teacher(), rng.standard_normal((2, 4), dtype=np.float32)
    out = model(x)
    model.backward(np.ones_like(out))
    grad = model.fc.weight.grad
    np.testing.assert_allclose(grad, compiled(x).T @ x, rtol=1e-5)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda compiled: pickle.loads(pickle.dumps(compiled))])
def test_copies_have_memory_of_their_own(copied, engine, rng):
    model = settled(nn.Sequential(*NETS["convolution and norm"]()))
    x = rng.standard_normal((2, 3, 8, 10), dtype=np.float32)
    compiled, expected = minidl.compile(model, x.shape), run(model, x)
    model[0].weight.data[...] = 0
    other = copied(compiled)
    compiled(-x)
    del compiled
    within(other(x), expected)
    assert repr(other) == "Compiled(Sequential, (2, 3, 8, 10))"


def test_threads(engine, rng):
    model = settled(nn.Sequential(*NETS["convolution and norm"](), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(120, 10)))
    compiled = minidl.compile(model, (2, 3, 8, 10))
    inputs = [rng.standard_normal((1 + number % 3, 3, 8, 10), dtype=np.float32) for number in range(6)]
    expected, wrong = [run(model, x) for x in inputs], []

    def work(number):
        for _ in range(100):
            out = compiled(inputs[number])
            if np.abs(out - expected[number]).max() > 1e-5 * np.abs(expected[number]).max():
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_same_bits_for_every_number_of_threads(engine, rng):
    model = settled(
        nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Tanh(), nn.AvgPool2d(2))
    )
    x = rng.standard_normal((40, 3, 40, 40), dtype=np.float32)
    before, outputs = minidl.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            minidl.set_num_threads(count)
            outputs.append(minidl.compile(model, x.shape)(x))
    finally:
        minidl.set_num_threads(before)
    within(outputs[0], run(model, x))
    for output in outputs[1:]:
        np.testing.assert_array_equal(output, outputs[0])


def test_it_keeps_the_engine_it_was_made_with(rng):
    model = settled(nn.Sequential(*NETS["convolution and norm"]()))
    before = minidl.get_engine()
    compiled = minidl.compile(model, (1, 3, 8, 10))
    try:
        minidl.set_engine("im2col")
        assert compiled._state.engine.name == before
    finally:
        minidl.set_engine(before)


class Other(nn.Module):
    def forward(self, x):
        return x


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.Sequential(nn.ReLU()), RuntimeError, "compile: Sequential is in training mode; call model.eval"),
        (lambda: nn.Sequential(nn.ReLU().eval(), nn.Dropout()), RuntimeError, "training mode"),
        (lambda: nn.Sequential(nn.Linear(None, 3)).eval(), RuntimeError, "no size yet"),
        (lambda: nn.Sequential(nn.Linear(4, 3)).eval(), ValueError, 'Linear "0": expected 4 input features, got 5'),
        (lambda: lambda x: x, TypeError, "compile: model must be a Module"),
    ],
)
def test_what_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        minidl.compile(make(), (2, 5))


def test_a_part_in_training_mode_is_named():
    model = nn.Sequential(nn.ReLU(), nn.Dropout()).eval()
    model[1].train()
    with pytest.raises(RuntimeError, match='compile: Dropout "1" is in training mode'):
        minidl.compile(model, (2, 5))


def test_hooks_are_refused():
    model = nn.Sequential(nn.ReLU()).eval()
    compiled = minidl.compile(model, (2, 5))
    handle = model[0].register_forward_hook(lambda module, inputs, output: None)
    with pytest.raises(RuntimeError, match='compile: ReLU "0" has a forward hook'):
        minidl.compile(model, (2, 5))
    with pytest.raises(RuntimeError, match="has a forward hook"):
        compiled.refresh()
    handle.remove()
    compiled.refresh()


def test_what_a_compiled_model_refuses():
    compiled = minidl.compile(nn.Sequential(nn.Linear(5, 3)).eval(), (2, 5))
    with pytest.raises(ValueError, match=r"compiled Sequential: expected an input of shape \(N, 5\), got \(2, 6\)"):
        compiled(np.zeros((2, 6), np.float32))
    with pytest.raises(ValueError, match=r"expected an input of shape \(N, 5\), got \(5,\)"):
        compiled(np.zeros(5, np.float32))
    with pytest.raises(TypeError, match="compiled Sequential: expected float32, got float64"):
        compiled(np.zeros((2, 5)))
    with pytest.raises(TypeError, match="expected a NumPy array, got list"):
        compiled([[0.0] * 5])
    with pytest.raises(ValueError, match="expected 1 inputs, got 2"):
        compiled(np.zeros((2, 5), np.float32), np.zeros((2, 5), np.float32))


def test_an_error_in_a_layer_leaves_it_usable(rng):
    class Picky(nn.Module):
        def forward(self, x):
            if x.max() > 100:
                raise ValueError("too large")
            return x

        def backward(self, grad_output):
            return grad_output

    compiled = minidl.compile(nn.Sequential(nn.Linear(5, 3), Picky()).eval(), (2, 5))
    x = rng.standard_normal((2, 5), dtype=np.float32)
    expected = compiled(x)
    with pytest.raises(ValueError, match="Picky: too large"):
        compiled(np.full((2, 5), 1e6, np.float32) * np.sign(x))
    np.testing.assert_array_equal(compiled(x), expected)
