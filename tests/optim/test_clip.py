"""Clipping of gradients, beside PyTorch."""

import numpy as np
import pytest

from minidl import nn, optim


def parameters():
    rng = np.random.default_rng(0)
    result = [nn.Parameter(np.zeros(shape)) for shape in ((2, 3), (4,), (5,))]
    for parameter in result[:2]:
        parameter.grad = rng.standard_normal(parameter.shape) * 3
    return result


@pytest.mark.parametrize("norm_type", [2.0, 1.0, 3.0, float("inf")])
@pytest.mark.parametrize("max_norm", [0.5, 1e6])
def test_the_norm_as_pytorch(norm_type, max_norm, torch):
    ours = parameters()
    theirs = [torch.nn.Parameter(torch.tensor(p.data)) for p in ours]
    for mine, other in zip(ours[:2], theirs, strict=False):
        other.grad = torch.tensor(mine.grad)
    norm = optim.clip_grad_norm_(ours, max_norm, norm_type)
    expected = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)
    assert np.isclose(norm, float(expected), rtol=1e-12)
    for mine, other in zip(ours[:2], theirs, strict=False):
        np.testing.assert_allclose(mine.grad, other.grad.numpy(), rtol=1e-10)


def test_values_are_limited():
    ours = parameters()
    optim.clip_grad_value_(ours, 0.5)
    assert max(abs(p.grad).max() for p in ours[:2]) == 0.5
    assert ours[2].grad is None


def test_float32_stays_float32():
    parameter = nn.Parameter(np.zeros(2, np.float32))
    parameter.grad = np.full(2, 10, np.float32)
    optim.clip_grad_norm_(parameter, 1.0)
    assert parameter.grad.dtype == np.float32


def test_a_norm_that_is_not_finite():
    parameter = nn.Parameter(np.zeros(2))
    parameter.grad = np.array([np.nan, 1.0])
    with pytest.raises(ValueError, match="clip_grad_norm_: the norm of the gradients is nan"):
        optim.clip_grad_norm_([parameter], 1.0, error_if_nonfinite=True)
    assert parameter.grad[1] == 1
    assert np.isnan(optim.clip_grad_norm_([parameter], 1.0))
    assert optim.clip_grad_norm_([], 1.0) == 0


def test_wrong_limits_are_refused():
    with pytest.raises(ValueError, match="clip_grad_norm_: max_norm must be at least 0"):
        optim.clip_grad_norm_([], -1)
    with pytest.raises(ValueError, match="clip_grad_norm_: norm_type must be positive"):
        optim.clip_grad_norm_([], 1, norm_type=0)
    with pytest.raises(ValueError, match="clip_grad_value_: clip_value must be at least 0"):
        optim.clip_grad_value_([], -1)
