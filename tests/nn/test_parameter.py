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
