"""minidl.compile: the model's numbers, on every engine: every layer, nets of layers, the models that come along."""

import numpy as np
import pytest
from cases import CASES
from compiling import NETS, compiled_like, run, settled, steps_of

from minidl import models, nn

LAYERS = [case for case in CASES if case.target is None]


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
