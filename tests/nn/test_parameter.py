"""Parameter: a copy of floats, and its gradient."""

import numpy as np
import pytest

import minidl
from minidl import nn


def test_add_grad_copies_and_checks_the_shape():
    parameter, grad = nn.Parameter(np.zeros(3, np.float32)), np.ones(3)
    parameter.add_grad(grad)
    grad[:] = 5
    assert parameter.grad.tolist() == [1, 1, 1]
    assert parameter.grad.dtype == np.float32
    with pytest.raises(ValueError, match=r"expected a gradient of the parameter's shape \(3,\), got \(2,\)"):
        parameter.add_grad(np.ones(2))


def test_a_parameter_must_be_of_floats_and_is_a_copy():
    with pytest.raises(TypeError, match="float32 or float64 Parameter, got int64"):
        nn.Parameter(np.ones(3, np.int64))
    array = np.ones(2)
    parameter = nn.Parameter(array)
    array[0] = 7
    assert parameter.data[0] == 1
    assert (parameter.shape, parameter.dtype) == ((2,), np.float64)


def test_a_parameter_answers_what_a_tensor_does(torch):
    ours = nn.Parameter(np.arange(6.0).reshape(2, 3))
    theirs = torch.nn.Parameter(torch.arange(6.0).reshape(2, 3))
    for question in ("numel", "dim", "size"):
        assert getattr(ours, question)() == getattr(theirs, question)()
    assert (ours.ndim, ours.shape, len(ours), ours.size(-1)) == (2, (2, 3), 2, 3)
    assert ours.requires_grad_(False) is ours
    assert not ours.requires_grad
    for trained in (True, False):
        ours.requires_grad_(trained)
        array = np.asarray(ours)
        assert array.dtype == np.float64
        np.testing.assert_array_equal(array, ours.data)
    np.testing.assert_array_equal(np.asarray(ours, np.float32), ours.data)
    assert sum(p.numel() for p in nn.Linear(3, 4).parameters() if p.requires_grad) == 16


def test_changes_in_place_are_pytorchs_and_need_no_grad(torch, rng):
    start, other = rng.standard_normal((2, 3)), rng.standard_normal((2, 3))
    ours, theirs = nn.Parameter(start), torch.nn.Parameter(torch.tensor(start))
    data = ours.data

    def change(p, x, no_grad):
        with no_grad():
            kept = p
            p -= 0.1 * x
            p += x
            p *= 2
            p /= x
            p[0] = 1.5
            p[:, 1:] -= 1
            p.add_(x, alpha=0.5).sub_(x, alpha=0.25).mul_(x).div_(3)
            p.clamp_(-1, max=1)
            assert p is kept

    change(ours, other, minidl.no_grad)
    change(theirs, torch.tensor(other), torch.no_grad)
    assert ours.data is data  # optimisers and views of it see the change
    np.testing.assert_allclose(data, theirs.detach().numpy(), rtol=1e-12)
    with minidl.no_grad():
        np.testing.assert_array_equal(ours.copy_(nn.Parameter(other)).data, other)
        assert (ours.fill_(3).data == 3).all()
        assert not ours.zero_().data.any()
    for wrong in (lambda p: p.__isub__(1), lambda p: p.__setitem__(0, 1), lambda p: p.zero_()):
        with pytest.raises(RuntimeError, match=r"a Parameter is changed in place.*inside no_grad\(\)"):
            wrong(ours)
    ours.requires_grad_(False).add_(1)
    assert (ours.data == 1).all()


def test_a_training_loop_without_an_optimiser(rng):
    model, x, y = nn.Linear(3, 2), rng.standard_normal((5, 3)).astype(np.float32), rng.integers(0, 2, 5)
    loss_fn, losses = nn.CrossEntropyLoss(), []
    for _ in range(20):
        loss = loss_fn(model(x), y)
        model.zero_grad()
        loss.backward()
        with minidl.no_grad():
            for p in model.parameters():
                p -= 0.5 * p.grad  # noqa: PLW2901 - as PyTorch's tutorials have it
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    assert model.weight.data.dtype == np.float32


def test_a_change_between_the_passes_is_noticed(rng):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(np.ones(3))

        def forward(self, x):
            return x * self.w

    model = Net()
    model(rng.standard_normal((2, 3)))
    with minidl.no_grad():
        model.w *= 2
    with pytest.raises(RuntimeError, match="changed"):
        model.backward(np.ones((2, 3)))
