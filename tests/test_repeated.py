"""Repeated: many small batches are compiled where nobody could tell."""

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.inference import repeated
from minidl.inference.repeated import Repeated
from minidl.training import Trainer


class Counting(nn.Module):
    """A layer of a user's own, which counts its calls."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def forward(self, x):
        self.count += 1
        return x

    def backward(self, grad_output):
        return grad_output


def net(*more):
    layers = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(), nn.Linear(144, 3)
    model = nn.Sequential(*layers, *more)
    model[1].running_mean[...] = 0.5
    return model


def outputs(model, x):
    model.eval()
    with minidl.no_grad():
        return np.concatenate([model(x[i : i + 1]) for i in range(len(x))])


@pytest.fixture
def compiled(monkeypatch):
    """The models that are compiled."""
    made, original = [], repeated.Compiled

    def compiling(*arguments):
        made.append(arguments)
        return original(*arguments)

    monkeypatch.setattr(repeated, "Compiled", compiling)
    return made


def test_the_trainer_predicts_many_small_batches_with_it(engine, rng, compiled):
    model, x = net(), rng.standard_normal((200, 1, 8, 8), dtype=np.float32)
    predicted = Trainer(model, nn.CrossEntropyLoss(), progress="none").predict(x, batch_size=1)
    assert len(compiled) == 1
    assert model.training
    assert model[1].training
    expected = outputs(model, x)
    np.testing.assert_allclose(predicted, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_few_or_large_batches_are_not_compiled(rng, compiled):
    trainer = Trainer(net(), nn.CrossEntropyLoss(), progress="none")
    trainer.predict(rng.standard_normal((100, 1, 8, 8), dtype=np.float32), batch_size=1)
    trainer.predict(rng.standard_normal((17 * 140, 1, 8, 8), dtype=np.float32), batch_size=17)
    assert not compiled


def test_layers_of_ones_own_are_called_for_every_batch(rng, compiled):
    model = net(Counting())
    trainer = Trainer(model, nn.CrossEntropyLoss(), progress="none")
    trainer.predict(rng.standard_normal((200, 1, 8, 8), dtype=np.float32), batch_size=1)
    assert model[-1].count == 200
    assert not compiled


def test_hooks_are_called_for_every_batch(rng, compiled):
    model, seen = net(), []
    model[0].register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    trainer = Trainer(model, nn.CrossEntropyLoss(), progress="none")
    trainer.predict(rng.standard_normal((200, 1, 8, 8), dtype=np.float32), batch_size=1)
    assert seen == [1] * 200
    assert not compiled


def test_shapes_are_counted_each_for_itself(rng, compiled):
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2)).eval()
    forward = Repeated(model)
    with minidl.no_grad():
        for number in range(300):
            x = rng.standard_normal((1 + number % 2, 1, 8 + number % 2, 8), dtype=np.float32)
            np.testing.assert_allclose(forward(x), model(x), rtol=1e-4, atol=1e-6)
    assert [shapes for _, shapes, _ in compiled] == [((1, 1, 8, 8),), ((2, 1, 9, 8),)]
