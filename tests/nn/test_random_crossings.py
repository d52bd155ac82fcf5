"""loss.backward() through several models, drawn at random: what is whose input, what is detached, which sums."""

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.nn import functional as F

torch = pytest.importorskip("torch")

ACTIVATIONS = ("Tanh", "ReLU", "GELU")
LOSSES = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")


class Net(nn.Module):
    """A chain, and a second input that is added to half of its output."""

    def __init__(self, layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x, y=None):
        for layer in self.layers:
            x = layer(x)
        return x if y is None else x * 0.5 + y


def pair(rng):
    """Return a model, whether it takes two inputs, and PyTorch's with the same weights."""
    kind = ACTIVATIONS[rng.integers(3)]
    layers = [nn.Linear(4, 4, dtype=np.float64), getattr(nn, kind)(), nn.Linear(4, 4, dtype=np.float64)]
    there = [torch.nn.Linear(4, 4, dtype=torch.float64) for _ in range(2)]
    there.insert(1, getattr(torch.nn, kind)())
    for mine, other in zip(layers, there, strict=True):
        for name, parameter in other.named_parameters():
            parameter.data = torch.tensor(getattr(mine, name).data.copy())
    two = bool(rng.random() < 0.6)
    return (Net(layers) if two else nn.Sequential(*layers)), two, torch.nn.Sequential(*there)


@pytest.mark.parametrize("seed", range(60))
def test_gradients_through_several_models_are_pytorchs(seed):
    rng = np.random.default_rng([16, seed])
    pairs = [pair(rng) for _ in range(rng.integers(2, 5))]
    x = rng.standard_normal((3, 4))
    values = [(x, torch.tensor(x))]
    for model, two, other in pairs:
        (a, b), (c, d) = values[rng.integers(len(values))], values[rng.integers(len(values))]
        if rng.random() < 0.2:
            a, b = minidl.detach(a), b.detach()
        if two and rng.random() < 0.5:
            values.append((model(a, c), other(b) * 0.5 + d))
        else:
            values.append((model(a), other(b)))
    total, expected = 0.0, torch.zeros((), dtype=torch.float64)
    for _ in range(rng.integers(1, 4)):
        i, j = int(rng.integers(1, len(values))), int(rng.integers(0, len(values)))
        weight, loss = float(rng.standard_normal()), LOSSES[rng.integers(4)]
        if i != j:
            total = total + weight * getattr(F, loss)(values[i][0], values[j][0])
            expected = expected + weight * getattr(torch.nn.functional, loss)(values[i][1], values[j][1])
    if not expected.requires_grad:
        return
    assert float(total) == pytest.approx(expected.item())
    total.backward()
    expected.backward()
    for model, _, other in pairs:
        for mine, theirs in zip(model.parameters(), other.parameters(), strict=True):
            if theirs.grad is None:
                assert mine.grad is None or not mine.grad.any()
            else:
                grad = np.zeros(mine.shape) if mine.grad is None else mine.grad
                np.testing.assert_allclose(grad, theirs.grad.numpy(), rtol=1e-9, atol=1e-11)
