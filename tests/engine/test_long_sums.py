"""Sums over a million numbers in float32: as exact as a float64 sum that is rounded once."""

import numpy as np
import pytest

from minidl import functional as f
from minidl import nn

ROWS = 1_000_000
SHARE = np.float32(1.1 / ROWS)
EXACT = float(SHARE) * ROWS


def bias_grad(layer, *shape):
    x = np.full(shape, 0.5, np.float32)
    x[..., ::2] = 0.25  # for what standardises
    out = layer(x)
    assert out.size // (2 if layer.bias.data.size == 2 else 1) == ROWS
    layer.backward(np.full(out.shape, SHARE))
    return layer.bias.grad


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(3, 2), (ROWS, 3)),
        (nn.Linear(3, 2), (1000, 1000, 3)),
        (nn.LayerNorm(2), (ROWS, 2)),
        (nn.BatchNorm1d(2), (ROWS, 2)),
        (nn.GroupNorm(1, 2), (100, 2, 100, 100)),
        (nn.InstanceNorm2d(2, affine=True), (100, 2, 100, 100)),
        (nn.Conv2d(1, 2, 1), (1, 1, 1000, 1000)),
        (nn.Conv2d(9, 2, 1), (100, 9, 100, 100)),
        (nn.Conv2d(2, 2, 1, groups=2), (100, 2, 100, 100)),
        (nn.ConvTranspose2d(1, 2, 1), (100, 1, 100, 100)),
        (nn.Conv1d(1, 2, 1), (1000, 1, 1000)),
    ],
    ids=lambda v: type(v).__name__ if isinstance(v, nn.Module) else str(v),
)
def test_a_bias_over_a_million_rows(layer, shape):
    np.testing.assert_allclose(bias_grad(layer, *shape), EXACT, rtol=1e-5)


def test_two_inputs_and_rows_that_occur_a_million_times():
    x = np.ones((ROWS, 1), np.float32)
    _, cache = f.bilinear_forward(x, x, np.ones((1, 1, 1), np.float32), np.ones(1, np.float32))
    np.testing.assert_allclose(f.bilinear_backward(np.full((ROWS, 1), SHARE), cache)[3], EXACT, rtol=1e-6)
    _, cache = f.embedding_forward(np.zeros(ROWS, int), np.ones((2, 1), np.float32))
    dw = f.embedding_backward(np.full((ROWS, 1), SHARE), cache)
    assert dw.dtype == np.float32
    np.testing.assert_allclose(dw[:, 0], [EXACT, 0], rtol=1e-6)


def test_prelus_slope():
    layer = nn.PReLU()
    out = layer(np.full((ROWS, 1), -1, np.float32))
    layer.backward(np.full(out.shape, SHARE))
    np.testing.assert_allclose(layer.weight.grad, -EXACT, rtol=1e-6)


@pytest.mark.parametrize("pool", [nn.AvgPool2d(700), nn.AdaptiveAvgPool2d(1)])
def test_the_mean_of_a_large_window(pool):
    x = np.full((1, 1, 700, 700), 0.1, np.float32)
    np.testing.assert_allclose(pool(x).ravel(), x[0, 0, 0, 0], rtol=1e-6)


@pytest.mark.parametrize("order", ["C", "F"])
def test_means_of_losses(order):
    x = np.asarray(np.full((ROWS, 2), 0.1, np.float32), order=order)
    np.testing.assert_allclose(nn.MSELoss()(x, np.zeros_like(x)), float(np.float32(0.1)) ** 2, rtol=1e-6)
    np.testing.assert_allclose(nn.CrossEntropyLoss()(x, np.zeros(ROWS, int)), np.log(2), rtol=2e-6)
