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
    assert type(optim.clip_grad_norm_(parameter, np.float64(1.0), np.float64(2.0))) is float
    assert parameter.grad.dtype == np.float32
    optim.clip_grad_value_(parameter, np.float64(0.5))
    assert parameter.grad.dtype == np.float32
    assert parameter.grad.tolist() == [0.5, 0.5]


NOT_FINITE = [np.nan, np.inf, -np.inf]


def broken(value):
    """Two gradients, one of which has an entry that is not finite."""
    parameters = [nn.Parameter(np.zeros(2, np.float32)) for _ in range(2)]
    parameters[0].grad, parameters[1].grad = np.array([value, 1], np.float32), np.array([2, -0.5], np.float32)
    return parameters


@pytest.mark.parametrize("value", NOT_FINITE)
@pytest.mark.parametrize("norm_type", [2.0, 1.0, 3.0, float("inf")])
def test_a_norm_that_is_not_finite_reaches_every_gradient(value, norm_type):
    parameters = broken(value)
    norm = optim.clip_grad_norm_(parameters, 1.0, norm_type)
    np.testing.assert_equal(norm, abs(value))
    # NaN times anything is NaN; 1 / infinity is 0, and 0 times infinity NaN
    expected = [[np.nan, np.nan], [np.nan, np.nan]] if np.isnan(value) else [[np.nan, 0], [0, 0]]
    np.testing.assert_array_equal([p.grad for p in parameters], expected)


@pytest.mark.parametrize("value", NOT_FINITE)
@pytest.mark.parametrize("norm_type", [2.0, float("inf")])
def test_a_norm_that_is_not_finite_as_pytorch(value, norm_type, torch):
    ours = broken(value)
    theirs = [torch.nn.Parameter(torch.zeros(2)) for _ in ours]
    for mine, other in zip(ours, theirs, strict=True):
        other.grad = torch.tensor(mine.grad)
    norm = optim.clip_grad_norm_(ours, 1.0, norm_type)
    np.testing.assert_equal(norm, float(torch.nn.utils.clip_grad_norm_(theirs, 1.0, norm_type)))
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(mine.grad, other.grad.numpy())
    with pytest.raises(RuntimeError, match="non-finite"):
        torch.nn.utils.clip_grad_norm_(theirs, 1.0, norm_type, error_if_nonfinite=True)


@pytest.mark.parametrize("value", NOT_FINITE)
def test_a_norm_that_is_not_finite_is_an_error_if_asked_for_and_changes_nothing(value):
    parameters = broken(value)
    before = [p.grad.copy() for p in parameters]
    with pytest.raises(ValueError, match=f"clip_grad_norm_: the norm of the gradients is {abs(value)}"):
        optim.clip_grad_norm_(parameters, 1.0, error_if_nonfinite=True)
    np.testing.assert_array_equal([p.grad for p in parameters], before)
    assert optim.clip_grad_norm_(parameters[1], 9.0, error_if_nonfinite=True) == pytest.approx(4.25**0.5)


def test_without_gradients_the_norm_is_zero():
    assert optim.clip_grad_norm_([], 1.0) == 0
    assert optim.clip_grad_norm_(nn.Parameter(np.zeros(2)), 1.0, error_if_nonfinite=True) == 0


def test_wrong_limits_are_refused():
    with pytest.raises(ValueError, match="clip_grad_norm_: max_norm must be at least 0"):
        optim.clip_grad_norm_([], -1)
    with pytest.raises(ValueError, match="clip_grad_norm_: norm_type must be positive"):
        optim.clip_grad_norm_([], 1, norm_type=0)
    with pytest.raises(TypeError, match="clip_grad_norm_: norm_type must be a number, got 'two'"):
        optim.clip_grad_norm_([], 1, norm_type="two")
    with pytest.raises(TypeError, match="clip_grad_norm_: error_if_nonfinite must be True or False, got 1"):
        optim.clip_grad_norm_([], 1, error_if_nonfinite=1)
    with pytest.raises(ValueError, match="clip_grad_value_: clip_value must be at least 0"):
        optim.clip_grad_value_([], -1)


CLIPS = [lambda p: optim.clip_grad_norm_(p, 0.5), lambda p: optim.clip_grad_value_(p, 0.5)]


@pytest.mark.parametrize("clip", CLIPS)
def test_an_iterator_that_is_used_up_is_told(clip):
    model = nn.Linear(2, 2)
    params = model.params()
    optim.SGD(params, lr=0.1)  # has used it up
    for used_up in (params, iter([]), map(abs, [])):
        with pytest.warns(UserWarning, match="clip_grad_.*_: parameters is an iterator without any left") as told:
            assert not clip(used_up)
        assert told[0].filename == __file__


def test_an_iterator_that_is_used_up_as_pytorch(torch):
    with pytest.warns(UserWarning, match="empty generator, no gradient clipping"):
        assert float(torch.nn.utils.clip_grad_norm_((p for p in []), 1.0)) == 0
    with pytest.warns(UserWarning, match="nothing is clipped"):
        assert optim.clip_grad_norm_((p for p in []), 1.0) == 0


@pytest.mark.parametrize("clip", CLIPS)
def test_parameters_without_gradients_are_silent_as_in_pytorch(clip, torch):
    theirs = [torch.nn.Parameter(torch.ones(2))]
    assert float(torch.nn.utils.clip_grad_norm_(theirs, 1.0)) == 0
    for parameters in ([], nn.Linear(2, 2).params(), nn.Parameter(np.ones(2))):
        assert not clip(parameters)
