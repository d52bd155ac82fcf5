"""Parameter: a copy of floats, and its gradient."""

import numpy as np
import pytest

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
