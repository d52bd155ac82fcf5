"""Mean and variance in float32 against float64: large means, values unlike the rest, all sizes and memory orders."""

import numpy as np
import pytest

from minidl import nn
from minidl.engine.sums import moments


def draw(rng):
    """Draw an array (N, C, H, W), with an offset and outliers."""
    shape = tuple(int(rng.integers(1, most)) for most in (120, 9, 28, 28))
    scale, offset = 10 ** rng.uniform(-2, 2), 10 ** rng.uniform(-3, 3) * rng.integers(0, 2)
    x = rng.standard_normal(shape) * scale + offset
    for _ in range(rng.integers(0, 3)):
        x[tuple(rng.integers(0, size) for size in shape)] = rng.choice([1000, -10000, 0]) * scale
    if rng.random() < 0.5:
        x[..., 0, 0] = 0  # a black corner
    x = x.astype(np.float32)
    return x if rng.random() < 0.3 else np.ascontiguousarray(x.transpose(2, 1, 3, 0)).transpose(3, 1, 0, 2)


def test_moments_are_those_of_float64():
    for number in range(150):
        x = draw(np.random.default_rng([11, number]))
        exact = x.astype(np.float64)
        for axes in ((0, 2, 3), (2, 3), (1, 2, 3), (0,)):
            mean, var = moments(x, axes)
            right, spread = exact.mean(axis=axes, keepdims=True), exact.var(axis=axes, keepdims=True)
            deviation = np.sqrt(spread)
            assert mean.dtype == var.dtype == np.float32
            assert np.all(np.abs(mean - right) <= 1e-5 * deviation + 3e-7 * np.abs(right)), (number, axes)
            # float32 cannot tell values apart that differ by less than a ten-millionth of the mean
            assert np.all(np.abs(var - spread) <= 1e-5 * spread + (3e-7 * right) ** 2), (number, axes)


@pytest.mark.parametrize("layer", [nn.BatchNorm2d(3), nn.InstanceNorm2d(3), nn.GroupNorm(1, 3)], ids=repr)
@pytest.mark.parametrize("place", [(0, 0, 0, 0), (3, 1, 7, 7)])
def test_one_value_unlike_the_rest_costs_no_digits(rng, layer, place):
    x = rng.standard_normal((16, 3, 24, 24)).astype(np.float32)
    x[place] = 1000
    exact = layer.astype(np.float64)(x.astype(np.float64))
    out = layer.astype(np.float32)(x)
    np.testing.assert_allclose(out, exact, rtol=1e-5, atol=1e-5)
