"""The small networks: published sizes, and 50 training steps beside PyTorch."""

import numpy as np
import pytest

from minidl import models, nn, optim


@pytest.mark.parametrize(
    ("name", "shape", "parameters"),
    [
        ("lenet5", (2, 1, 28, 28), 61706),
        ("mnist_cnn", (2, 1, 28, 28), 1199882),
        ("fashion_cnn", (2, 1, 28, 28), 242746),
        ("digits_cnn", (2, 1, 8, 8), 9930),
    ],
)
def test_size_and_output(name, shape, parameters):
    model = getattr(models, name)(rng=np.random.default_rng(0))
    assert sum(p.data.size for p in model.params()) == parameters
    assert model.output_shape(shape) == (2, 10)


def torch_lenet5(torch):
    t = torch.nn
    return t.Sequential(
        t.Conv2d(1, 6, 5, padding=2),
        t.ReLU(),
        t.MaxPool2d(2),
        t.Conv2d(6, 16, 5),
        t.ReLU(),
        t.MaxPool2d(2),
        t.Flatten(),
        t.Linear(400, 120),
        t.ReLU(),
        t.Linear(120, 84),
        t.ReLU(),
        t.Linear(84, 10),
    )


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-4), (np.float64, 1e-9)])
def test_fifty_steps_of_lenet5_as_pytorch(dtype, tolerance, torch):
    rng = np.random.default_rng(0)
    ours, theirs = models.lenet5(), torch_lenet5(torch)
    theirs.load_state_dict({name: torch.from_numpy(value) for name, value in ours.state_dict().items()})
    ours.astype(dtype)
    theirs.to(torch.from_numpy(np.zeros(0, dtype)).dtype)
    # A calm rate: where the loss jumps about, one rounding can flip a maximum and grow in any two float32 programs.
    options = {"lr": 0.05, "momentum": 0.5, "weight_decay": 1e-3, "nesterov": True}
    sgd, torch_sgd = optim.SGD(ours.params(), **options), torch.optim.SGD(theirs.parameters(), **options)
    loss_fn = nn.CrossEntropyLoss()
    losses = []
    prototypes = rng.standard_normal((10, 1, 28, 28))
    for _ in range(50):
        labels = rng.integers(0, 10, 32)
        x = (prototypes[labels] + 0.5 * rng.standard_normal((32, 1, 28, 28))).astype(dtype)
        sgd.zero_grad()
        loss = loss_fn(ours(x), labels)
        ours.backward(loss_fn.backward())
        sgd.step()
        torch_sgd.zero_grad()
        expected = torch.nn.functional.cross_entropy(theirs(torch.from_numpy(x)), torch.from_numpy(labels))
        expected.backward()
        torch_sgd.step()
        losses.append((loss, expected.item()))
    ours_losses, torch_losses = np.array(losses).T
    assert np.abs(ours_losses - torch_losses).max() < tolerance
    assert torch_losses[-5:].mean() < torch_losses[0] - 0.1  # it did learn: the comparison means something
