"""Initialisers: PyTorch's default distribution, from an explicit generator."""

import numpy as np
import pytest

import minidl
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


INITIALISERS = [
    ("xavier_uniform_", {}),
    ("xavier_normal_", {"gain": 2.0}),
    ("kaiming_normal_", {"mode": "fan_out", "nonlinearity": "relu"}),
    ("kaiming_uniform_", {"a": 0.3}),
    ("normal_", {"mean": 1.0, "std": 0.2}),
    ("trunc_normal_", {"std": 0.5, "a": -0.4, "b": 0.7}),
    ("uniform_", {"a": -1.0, "b": 2.0}),
    ("constant_", {"val": 0.3}),
    ("ones_", {}),
    ("zeros_", {}),
    ("orthogonal_", {"gain": 0.5}),
]


@pytest.mark.parametrize(("name", "options"), INITIALISERS)
@pytest.mark.parametrize("shape", [(300, 100), (60, 80, 3, 2)])
def test_the_distribution_is_pytorchs(name, options, shape, torch):
    options_of_ours = {"rng": np.random.default_rng(0)} if name[:4] not in ("cons", "ones", "zero") else {}
    ours = getattr(nn.init, name)(nn.Parameter(np.empty(shape, np.float32)), **options, **options_of_ours).data
    torch.manual_seed(0)
    theirs = getattr(torch.nn.init, name)(torch.empty(shape), **options).numpy()
    spread = max(theirs.std(), 1e-9)
    assert abs(ours.mean() - theirs.mean()) < 0.05 * spread + 1e-6
    assert abs(ours.std() - theirs.std()) < 0.02 * spread + 1e-6
    for statistic in (np.min, np.max):  # of a uniform or cut distribution the ends
        if "uniform" in name or "trunc" in name:
            assert abs(statistic(ours) - statistic(theirs)) < 0.01 * spread + 1e-6


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (2, 3, 2, 2)])
def test_orthogonal_rows_or_columns(shape):
    w = nn.init.orthogonal_(nn.Parameter(np.empty(shape)), 2.0).data.reshape(shape[0], -1)
    product = w @ w.T if len(w) <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(product, 4 * np.eye(len(product)), atol=1e-12)


def test_eye_dirac_and_sparse_as_pytorch(torch):
    for shape in ((3, 4), (4, 2)):
        np.testing.assert_array_equal(
            nn.init.eye_(nn.Parameter(np.empty(shape))).data, torch.nn.init.eye_(torch.empty(shape))
        )
    for shape, groups in (((4, 3, 3, 3), 1), ((6, 2, 5, 4), 2), ((4, 4, 3), 1)):
        expected = torch.nn.init.dirac_(torch.empty(shape), groups)
        np.testing.assert_array_equal(nn.init.dirac_(nn.Parameter(np.empty(shape)), groups).data, expected)
    sparse = nn.init.sparse_(nn.Parameter(np.empty((10, 7))), 0.25).data
    assert ((sparse == 0).sum(axis=0) == 3).all()


@pytest.mark.parametrize("name", ["linear", "conv2d", "sigmoid", "tanh", "relu", "leaky_relu", "selu"])
def test_gains_as_pytorch(name, torch):
    assert nn.init.calculate_gain(name) == torch.nn.init.calculate_gain(name)
    assert nn.init.calculate_gain("leaky_relu", 0.3) == torch.nn.init.calculate_gain("leaky_relu", 0.3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: nn.init.calculate_gain("gelu"), "calculate_gain: nonlinearity must be one of"),
        (lambda p: nn.init.trunc_normal_(p, a=9, b=10), "trunc_normal_: the limits .* are too far"),
        (nn.init.eye_, "eye_ needs a parameter of two axes"),
        (lambda p: nn.init.dirac_(p, groups=3), "dirac_ needs filters"),
        (lambda p: nn.init.sparse_(p, 0.1), "sparse_ needs a parameter of two axes"),
        (lambda p: nn.init.kaiming_normal_(p, mode="fan"), "kaiming: mode must be one of 'fan_in', 'fan_out'"),
    ],
)
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make(nn.Parameter(np.zeros((4, 2, 3))))


def test_the_standard_truncated_normal_lies_within_two_deviations():
    values = nn.init.trunc_normal_(nn.Parameter(np.zeros(20_000)), rng=np.random.default_rng(0)).data
    assert -2 <= values.min() < -1.9
    assert 1.9 < values.max() <= 2
    assert abs(values.mean()) < 0.02
    assert abs(values.std() - 0.8796) < 0.02  # scipy.stats.truncnorm(-2, 2).std()


def test_arrays_are_filled_in_place_and_returned():
    draws = {
        "normal_": (0.5, 0.1),
        "uniform_": (-2, 3),
        "kaiming_normal_": (),
        "xavier_uniform_": (),
        "orthogonal_": (),
    }
    for name, options in {**draws, "constant_": (3,), "ones_": (), "eye_": (), "sparse_": (0.5,)}.items():
        layer = nn.Linear(6, 4)
        weight = layer.weight.data
        minidl.manual_seed(1)
        expected = getattr(nn.init, name)(nn.Parameter(np.zeros((4, 6), np.float32)), *options).data
        minidl.manual_seed(1)
        assert getattr(nn.init, name)(weight, *options) is weight is layer.weight.data
        np.testing.assert_array_equal(weight, expected)


def test_what_has_no_floats_is_refused():
    for wrong in ([1.0], np.zeros((2, 2), int), None):
        with pytest.raises(TypeError, match=r"init.normal_: expected a Parameter or an array of floats"):
            nn.init.normal_(wrong)
    with pytest.raises(RuntimeError, match="no size yet"):
        nn.init.normal_(nn.Linear(None, 3).weight.data)
