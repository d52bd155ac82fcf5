"""Gradients in one flat array."""

import numpy as np

from minidl.nn import Parameter
from minidl.training.gradients import GradientBuffer


def test_gradients_lie_in_one_array_for_each_dtype_in_their_parameters_layout(rng):
    arrays = [
        rng.standard_normal((2, 3)).astype(np.float32),
        rng.standard_normal(4),
        np.asfortranarray(rng.standard_normal((3, 2, 4)).astype(np.float32)),
        np.ascontiguousarray(rng.standard_normal((2, 3, 4, 5)).transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
        rng.standard_normal(()),
    ]
    parameters = [Parameter(array) for array in arrays]
    buffer = GradientBuffer(parameters)
    assert sorted((array.dtype.name, array.size) for array in buffer.flat) == [("float32", 30), ("float64", 125)]
    given = [rng.standard_normal(p.data.shape).astype(p.data.dtype) for p in parameters]
    buffer.put([*given[:-1], None])
    for gradient, expected, parameter in zip(buffer.gradients, [*given[:-1], 0.0], parameters, strict=True):
        assert gradient.shape == parameter.data.shape
        assert gradient.dtype == parameter.data.dtype
        assert (gradient == expected).all()
        assert any(np.shares_memory(gradient, flat) for flat in buffer.flat)
    for gradient, parameter in zip(buffer.gradients[:2], parameters, strict=False):
        assert gradient.strides == parameter.data.strides
    total = sum(float(flat.astype(np.float64).sum()) for flat in buffer.flat)
    assert np.isclose(total, sum(float(array.astype(np.float64).sum()) for array in given[:-1]))
