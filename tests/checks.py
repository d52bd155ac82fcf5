"""What tests share: comparisons with a tolerance relative to the largest number, and PyTorch's side of a layer."""

import numpy as np

# within this of PyTorch, relative to the largest magnitude (at least 1): forward, input and parameter gradients
TORCH_TOLERANCE = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-10}


def assert_close(actual, expected, tolerance, what=""):
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, expected {expected.shape}"
    scale = max(1.0, float(np.abs(expected).max(initial=0)))
    error = float(np.abs(actual - expected).max(initial=0)) / scale
    assert error <= tolerance, f"{what}: off by {error:.1e}, allowed {tolerance:.1e}"


def assert_adjoint(forward, backward, x, rng, tolerance=1e-10):
    """<forward(x), g> == <x, backward(g)> for a linear map: its backward pass is its transpose."""
    out = forward(x)
    g = rng.standard_normal(out.shape)
    assert_close((out * g).sum(), (x * backward(g)).sum(), tolerance * x.size)


def images(rng, *shape, dtype=np.float64):
    return rng.standard_normal(shape).astype(dtype)
