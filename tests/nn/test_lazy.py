"""Layers whose input size is left out."""

import copy

import numpy as np
import pytest

from minidl import nn, optim


def make():
    return nn.Sequential(
        nn.Conv2d(None, 4, 3, rng=np.random.default_rng(0)),
        nn.BatchNorm2d(None),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(None, 5, rng=np.random.default_rng(1)),
        nn.BatchNorm1d(None),
    )


def test_the_first_input_fixes_the_sizes():
    model, x = make(), np.random.default_rng(0).standard_normal((4, 3, 6, 6)).astype(np.float32)
    optimizer = optim.SGD(model.params(), lr=0.1)  # made before the sizes are known
    assert model(x).shape == (4, 5)
    assert [tuple(p.shape) for p in model.params()] == [(4, 3, 3, 3), (4,), (4,), (4,), (5, 64), (5,), (5,), (5,)]
    assert "Conv2d(3, 4" in repr(model)
    assert "in_features=64" in repr(model)
    before = model[0].weight.data.copy()
    model.backward(np.random.default_rng(1).standard_normal((4, 5)).astype(np.float32))
    optimizer.step()
    assert (model[0].weight.data != before).any()
    with pytest.raises(ValueError, match="expected 3 input channels, got 2"):
        model(x[:, :2])


def test_they_are_what_they_would_have_been():
    lazy, plain = nn.Linear(None, 3, rng=np.random.default_rng(0)), nn.Linear(4, 3, rng=np.random.default_rng(0))
    x = np.ones((2, 4), np.float32)
    np.testing.assert_array_equal(lazy(x), plain(x))


def test_summary_fixes_the_sizes():
    model = make()
    assert model.summary((1, 3, 6, 6)).total_params == sum(p.data.size for p in model.params()) == 112 + 8 + 325 + 10
    assert model[0].in_channels == 3


def test_before_that_they_can_be_copied_converted_and_shown():
    model = copy.deepcopy(make()).astype(np.float64)
    assert "in_features=None" in repr(model)
    assert model(np.ones((2, 1, 5, 5))).dtype == np.float64
    assert all(p.dtype == np.float64 for p in model.params())


def test_a_wrong_first_input_fixes_nothing():
    layer, linear = nn.Conv2d(None, 4, 3, groups=2), nn.Linear(None, 2)
    with pytest.raises(ValueError, match="Conv2d: "):
        layer(np.ones((1, 3, 5, 5), np.float32))
    with pytest.raises(TypeError, match="Linear: expected a float32"):
        linear(np.ones((2, 3), int))
    assert layer.in_channels is linear.in_features is None
    assert layer(np.ones((1, 2, 5, 5), np.float32)).shape == (1, 4, 3, 3)


def test_a_state_for_layers_without_a_size_says_what_to_do():
    state = nn.Sequential(nn.Linear(4, 3)).state_dict()
    model = nn.Sequential(nn.Linear(None, 3))
    with pytest.raises(
        ValueError, match=r"0.weight has shape \(3, 4\), expected \(0,\) \(no input size yet: call summary"
    ):
        model.load_state_dict(state)
    model.summary((1, 4))
    model.load_state_dict(state)
