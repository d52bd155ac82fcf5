"""Initialisers: PyTorch's default distribution, from an explicit generator."""

import numpy as np
import pytest

from minidl import nn


@pytest.mark.parametrize(
    ("make", "fan_in"),
    [
        (lambda: nn.Linear(50, 400), 50),
        (lambda: nn.Conv2d(8, 200, (3, 5)), 120),
        (lambda: nn.Conv2d(8, 200, 3, groups=4), 18),
    ],
    ids=["linear", "conv", "grouped"],
)
def test_weights_and_biases_are_uniform_within_one_over_the_root_of_fan_in(make, fan_in):
    layer = make()
    bound = 1 / np.sqrt(fan_in)
    for values in (layer.weight.data, layer.bias.data):
        assert values.dtype == np.float32
        assert 0.9 * bound < np.abs(values).max() <= bound
        assert abs(values.mean()) < 0.1 * bound
        assert abs(values.std() - bound / np.sqrt(3)) < 0.06 * bound
    assert nn.init.fan_in(layer.weight) == fan_in


def test_kaiming_uniform_has_pytorchs_bound(torch):
    ours = nn.init.kaiming_uniform_(nn.Parameter(np.empty((100, 30), np.float32)), a=0.2)
    theirs = torch.nn.init.kaiming_uniform_(torch.empty(100, 30), a=0.2)
    assert abs(np.abs(ours.data).max() - theirs.abs().max().item()) < 0.005


def test_uniform_uses_the_generator_it_is_given():
    parameter = nn.Parameter(np.zeros(100))
    assert nn.init.uniform_(parameter, 2, 3, rng=np.random.default_rng(0)) is parameter
    np.testing.assert_allclose(parameter.data, 2 + np.random.default_rng(0).random(100))


def test_fan_in_of_a_vector_is_refused():
    with pytest.raises(ValueError, match="at least two axes"):
        nn.init.fan_in(nn.Parameter(np.ones(3)))


def test_float64_layers():
    for layer in (nn.Linear(2, 3, dtype=np.float64), nn.Conv2d(1, 2, 3, dtype="float64")):
        assert layer.weight.dtype == layer.bias.dtype == np.float64
