"""minidl.compile: forwards that are looked into, and what cannot be, on every engine."""

import re
from pathlib import Path

import numpy as np
import pytest
from compiling import Scale, compiled_like, run, settled, within
from derived_nets import RandomNet

import minidl
from minidl import nn


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
