"""SGD: a trajectory by hand, PyTorch step by step, groups, state, refusals."""

import copy

import numpy as np
import pytest

from minidl import nn, optim


def test_a_trajectory_by_hand():
    """lr 0.1, momentum 0.5, weight decay 0.2 on p = 1 with gradient 1, then 2."""
    p = nn.Parameter(np.array([1.0]))
    sgd = optim.SGD([p], lr=0.1, momentum=0.5, weight_decay=0.2)
    p.grad = np.array([1.0])
    sgd.step()  # g = 1 + 0.2 = 1.2, v = 1.2, p = 1 - 0.12
    assert np.isclose(p.data[0], 0.88)
    p.grad = np.array([2.0])
    sgd.step()  # g = 2 + 0.176, v = 0.6 + 2.176, p = 0.88 - 0.2776
    assert np.isclose(p.data[0], 0.6024)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "options",
    [
        {"lr": 0.1},
        {"lr": 0.05, "momentum": 0.9},
        {"lr": 0.05, "momentum": 0.9, "dampening": 0.3},
        {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
        {"lr": 0.1, "weight_decay": 0.1},
        {"lr": 0.0, "momentum": 0.5},
    ],
    ids="-".join,
)
def test_a_hundred_steps_as_pytorch(options, dtype, torch):
    rng = np.random.default_rng(0)
    start = [rng.standard_normal(shape).astype(dtype) for shape in ((3, 2), (4,))]
    ours = [nn.Parameter(value) for value in start]
    theirs = [torch.nn.Parameter(torch.tensor(value)) for value in start]
    sgd, torch_sgd = optim.SGD(ours, **options), torch.optim.SGD(theirs, **options)
    for step in range(100):
        for mine, other in zip(ours, theirs, strict=True):
            grad = rng.standard_normal(mine.shape).astype(dtype)
            mine.grad, other.grad = grad, torch.tensor(grad)
        sgd.param_groups[0]["lr"] = torch_sgd.param_groups[0]["lr"] = np.float64(options["lr"]) / (1 + step / 50)
        sgd.step()
        torch_sgd.step()
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.data.dtype == dtype
        np.testing.assert_allclose(mine.data, other.detach().numpy(), rtol=1e-4 if dtype == np.float32 else 1e-11)


def test_groups_have_their_own_options():
    a, b = nn.Parameter(np.zeros(1)), nn.Parameter(np.zeros(1))
    sgd = optim.SGD([{"params": [a]}, {"params": b, "lr": 1.0}], lr=0.1)
    a.grad = b.grad = np.ones(1)
    sgd.step()
    assert (a.data[0], b.data[0]) == (-0.1, -1)
    assert "lr: 1.0" in repr(sgd)


def test_a_gradient_of_another_shape_changes_nothing():
    a, b = nn.Parameter(np.ones(2)), nn.Parameter(np.ones(2))
    a.grad, b.grad = np.ones(2), np.ones(())
    with pytest.raises(ValueError, match=r"SGD: a parameter of shape \(2,\) has a gradient of shape \(\)"):
        optim.SGD([a, b], lr=0.1).step()
    assert (a.data == 1).all()


def test_converting_the_model_converts_the_velocity():
    layer = nn.Linear(2, 1)
    sgd = optim.SGD(layer.params(), lr=0.1, momentum=0.9)
    for dtype in (np.float32, np.float64):
        layer.astype(dtype)
        layer.weight.grad = np.ones((1, 2), dtype)
        sgd.step()
    assert sgd.state[layer.weight]["momentum_buffer"].dtype == np.float64


def test_frozen_parameters_and_those_without_gradient_stay():
    a, b = nn.Parameter(np.ones(1)), nn.Parameter(np.ones(1), requires_grad=False)
    b.grad = np.ones(1)
    sgd = optim.SGD([a, b], lr=1, weight_decay=1)
    sgd.step()
    assert a.data[0] == b.data[0] == 1
    sgd.zero_grad()
    assert b.grad is None


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda p: optim.SGD([], lr=0.1), ValueError, "got no parameters"),
        (lambda p: optim.SGD([p, p], lr=0.1), ValueError, "parameter 1 .* appears twice"),
        (lambda p: optim.SGD([{"params": [p]}, {"params": [p]}], lr=0.1), ValueError, "appears twice"),
        (lambda p: optim.SGD([{"params": []}], lr=0.1), ValueError, "a parameter group has no parameters"),
        (lambda p: optim.SGD([{"params": [p], "rate": 1}], lr=0.1), TypeError, r"unknown options \['rate'\]"),
        (lambda p: optim.SGD([p.data], lr=0.1), TypeError, "expected nn.Parameter, got ndarray at index 0"),
        (lambda p: optim.SGD(p, lr=0.1), TypeError, "must be an iterable of Parameters"),
        (
            lambda p: optim.SGD(nn.Linear(1, 1), lr=0.1),
            TypeError,
            r"must be an iterable of Parameters, such as model.params",
        ),
        (lambda p: optim.SGD([p], lr=-1), ValueError, "SGD: lr must be at least 0.0, got -1"),
        (lambda p: optim.SGD([p], lr=float("nan")), ValueError, "SGD: lr must be at least 0.0, got nan"),
        (lambda p: optim.SGD([p], lr="fast"), TypeError, "SGD: lr must be a number, got 'fast'"),
        (lambda p: optim.SGD([p], momentum=-0.1), ValueError, "SGD: momentum must be"),
        (lambda p: optim.SGD([p], weight_decay=-0.1), ValueError, "SGD: weight_decay must be"),
        (lambda p: optim.SGD([p], nesterov=True), ValueError, "nesterov needs momentum > 0 and dampening 0"),
        (lambda p: optim.SGD([p], momentum=0.9, dampening=0.1, nesterov=True), ValueError, "nesterov needs"),
    ],
)
def test_bad_arguments_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make(nn.Parameter(np.ones(2)))


def _steps(parameters, sgd, count, seed):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        for p in parameters:
            p.grad = rng.standard_normal(p.shape)
        sgd.step()


def test_state_dict_continues_bit_for_bit():
    first = [nn.Parameter(np.ones(3)), nn.Parameter(np.ones((2, 2)))]
    sgd = optim.SGD(first, lr=0.1, momentum=0.9)
    _steps(first, sgd, 3, seed=0)
    second = copy.deepcopy(first)
    state = sgd.state_dict()
    again = optim.SGD(second, lr=0.5)
    again.load_state_dict(state)
    _steps(first, sgd, 3, seed=1)
    _steps(second, again, 3, seed=1)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.data, b.data)
    assert again.param_groups[0]["lr"] == 0.1


def test_state_dict_has_pytorchs_form(torch):
    value = np.ones(3, np.float32)
    ours, theirs = nn.Parameter(value), torch.nn.Parameter(torch.tensor(value))
    sgd, torch_sgd = optim.SGD([ours], lr=0.1, momentum=0.9), torch.optim.SGD([theirs], lr=0.1, momentum=0.9)
    ours.grad, theirs.grad = value, torch.tensor(value)
    sgd.step()
    torch_sgd.step()
    state, expected = sgd.state_dict(), torch_sgd.state_dict()
    np.testing.assert_allclose(state["state"][0]["momentum_buffer"], expected["state"][0]["momentum_buffer"])
    assert state["param_groups"][0]["params"] == expected["param_groups"][0]["params"]
    assert state["param_groups"][0].items() <= expected["param_groups"][0].items()
    optim.SGD([nn.Parameter(value)], lr=1).load_state_dict(expected)


def test_a_state_dict_does_not_change_with_later_steps():
    p = nn.Parameter(np.ones(3))
    sgd = optim.SGD([p], lr=0.1, momentum=0.9)
    _steps([p], sgd, 1, seed=0)
    state = sgd.state_dict()
    before = state["state"][0]["momentum_buffer"].copy()
    _steps([p], sgd, 2, seed=1)
    sgd.load_state_dict(state)
    _steps([p], sgd, 2, seed=1)
    np.testing.assert_array_equal(state["state"][0]["momentum_buffer"], before)
    assert state["state"][0]["step"] == 1


def test_a_state_that_does_not_fit_changes_nothing():
    p = nn.Parameter(np.ones(3))
    sgd = optim.SGD([p], lr=0.1, momentum=0.9)
    _steps([p], sgd, 1, seed=0)
    before = sgd.state_dict()
    bad_shape = copy.deepcopy(before)
    bad_shape["state"][0]["momentum_buffer"] = np.ones(4)
    bad_option = copy.deepcopy(before)
    bad_option["param_groups"][0]["lr"] = -1
    two = optim.SGD([nn.Parameter(np.ones(3)), nn.Parameter(np.ones(3))], lr=0.1).state_dict()
    contradiction, stranger = copy.deepcopy(before), copy.deepcopy(before)
    contradiction["param_groups"][0].update(nesterov=True, momentum=0)
    stranger["state"][7] = stranger["state"][0]
    for bad in (bad_shape, bad_option, two, contradiction, stranger):
        with pytest.raises(ValueError, match="SGD: "):
            sgd.load_state_dict(bad)
    np.testing.assert_array_equal(
        sgd.state_dict()["state"][0]["momentum_buffer"], before["state"][0]["momentum_buffer"]
    )
    assert sgd.param_groups[0]["lr"] == 0.1
