"""Optimisers by compiled loops: NumPy's numbers, whatever the options; a rule of the user's own is never replaced."""

import numpy as np
import pytest

import minidl
from minidl import nn, optim

pytest.importorskip("numba")


@pytest.fixture(autouse=True)
def restore():
    before = minidl.get_engine()
    yield
    minidl.set_engine(before)


def drawn(rng):
    """Draw an optimiser's class and options."""
    kind = str(rng.choice(["SGD", "Adam", "AdamW"]))
    decay = float(rng.choice([0, 0.1]))
    if kind == "SGD":
        options = {"lr": 0.05, "momentum": float(rng.choice([0, 0.9])), "weight_decay": decay}
        if options["momentum"]:
            options.update([{}, {"nesterov": True}, {"dampening": 0.3}][rng.integers(3)])
    else:
        options = {"lr": 0.01, "betas": (0.8, 0.95), "weight_decay": decay, "amsgrad": bool(rng.random() < 0.3)}
    return getattr(optim, kind), options


@pytest.mark.parametrize("seed", range(20))
def test_the_numbers_of_the_numpy_engine(seed):
    rng = np.random.default_rng(seed)
    dtype = rng.choice([np.float32, np.float64])
    cls, options = drawn(rng)
    shapes = [tuple(rng.integers(1, 9, rng.integers(1, 5))) for _ in range(3)] + [(300, 400)]
    first = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
    grads = [[rng.standard_normal(shape[::-1]).astype(dtype).T for shape in shapes] for _ in range(4)]  # any layout
    results = []
    for engine in ("numpy", "fast"):
        minidl.set_engine(engine)
        parameters = [nn.Parameter(data.copy()) for data in first]
        optimizer = cls(parameters, **options)
        for step in grads:
            for parameter, grad in zip(parameters, step, strict=True):
                parameter.grad = grad
            optimizer.step()
        states = [value for state in optimizer.state.values() for value in state.values() if np.ndim(value)]
        results.append([*(parameter.data for parameter in parameters), *states])
    tolerance = 3e-6 if dtype == np.float32 else 1e-13
    for expected, found in zip(*results, strict=True):
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * max(1, abs(expected).max()))


def test_a_subclass_with_an_update_of_its_own_is_computed_by_it():
    class Down(optim.SGD):
        def update(self, data, grad, slots, group, step):
            data -= 1

    minidl.set_engine("fast")
    parameter = nn.Parameter(np.ones(3, np.float32))
    parameter.grad = np.ones(3, np.float32)
    Down([parameter], lr=0.1).step()
    np.testing.assert_array_equal(parameter.data, np.zeros(3))


def test_an_activation_with_a_value_of_its_own_is_computed_by_it():
    class Double(nn.Tanh):
        def value(self, x):
            return 2 * x

        def slope(self, x, y):
            return 0 * x + 2

    minidl.set_engine("fast")
    layer, x = Double(), np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(layer(x), 2 * x)
    np.testing.assert_array_equal(layer.backward(x), 2 * x)
