"""Max pooling against the direct loops; ties, overlaps, and gradient mass."""

import numpy as np
import pytest
from checks import assert_close
from hypothesis import assume, given
from hypothesis import strategies as st

from minidl import functional as f
from minidl import nn, reference
from minidl.engine import pooling
from minidl.engine.window import Geometry


def both(x, grad_seed=0, **options):
    """Output and gradient of the fast function, and of the direct loops."""
    results = []
    for module in (f, reference):
        out, cache = module.max_pool2d_forward(x, **options)
        grad = np.random.default_rng(grad_seed).standard_normal(out.shape)
        results.append((out, module.max_pool2d_backward(grad, cache), grad))
    return results


small = st.integers(1, 3)


@given(
    size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    kernel=st.tuples(small, small),
    stride=st.tuples(small, small),
    padding=st.tuples(st.integers(0, 1), st.integers(0, 1)),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    ceil_mode=st.booleans(),
    levels=st.sampled_from([1, 2, 50]),
)
def test_any_sizes_and_ties_agree_with_the_direct_loops(size, kernel, stride, padding, dilation, ceil_mode, levels):
    assume(all(p <= k // 2 for p, k in zip(padding, kernel, strict=True)))
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    assume(all(n + 2 * p >= r for n, p, r in zip(size, padding, reach, strict=True)))
    x = np.random.default_rng(1).integers(0, levels, (2, 2, *size)).astype(np.float64)
    options = {"stride": stride, "padding": padding, "dilation": dilation, "ceil_mode": ceil_mode}
    fast, slow = both(x, kernel_size=kernel, **options)
    np.testing.assert_array_equal(fast[0], slow[0])
    assert_close(fast[1], slow[1], 1e-12)


@pytest.mark.parametrize("value", [0.0, -5.0, -np.inf])
def test_padding_never_wins_and_gradient_mass_is_kept(value):
    """The fault of five NumPy frameworks: zeros around negative numbers; and = for += where windows overlap."""
    x = np.full((1, 1, 4, 4), value)
    fast, slow = both(x, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
    out, dx, grad = fast
    assert (out == value).all()
    assert_close(dx, slow[1], 1e-12)
    assert np.isclose(dx.sum(), grad.sum())


def test_a_tie_goes_to_the_first_maximum_in_row_major_order():
    x = np.array([[[[1.0, 2, 2], [2, 2, 0], [0, 0, 0]]]])
    _, cache = f.max_pool2d_forward(x, 3)
    dx = f.max_pool2d_backward(np.array([[[[5.0]]]]), cache)
    assert dx.tolist() == [[[[0, 5, 0], [0, 0, 0], [0, 0, 0]]]]


def test_overlapping_windows_add_up():
    x = np.zeros((1, 1, 3, 3))
    x[0, 0, 1, 1] = 1
    _, cache = f.max_pool2d_forward(x, 2, stride=1)
    dx = f.max_pool2d_backward(np.array([[[[1.0, 2], [3, 4]]]]), cache)
    assert dx[0, 0, 1, 1] == 10
    assert dx.sum() == 10


def test_nan_and_infinities_are_passed_on():
    x = np.array([[[[np.nan, 1, 2, np.inf], [0, 1, -np.inf, 3]]]])
    out, cache = f.max_pool2d_forward(x, 2)
    assert np.isnan(out[0, 0, 0, 0])
    assert out[0, 0, 0, 1] == np.inf
    assert f.max_pool2d_backward(np.ones_like(out), cache).sum() == 2


def test_stride_defaults_to_the_kernel_and_axes_are_not_mixed_up():
    """The article's fault: the window's width read from its height."""
    x = np.arange(24.0).reshape(1, 1, 4, 6)
    out, _ = f.max_pool2d_forward(x, (2, 3))
    assert out.tolist() == [[[[8, 11], [20, 23]]]]


def test_used_alone_it_checks_its_arguments():
    with pytest.raises(ValueError, match="max_pool2d: padding must be at most half of kernel_size"):
        f.max_pool2d_forward(np.zeros((1, 1, 4, 4)), 3, padding=2)
    with pytest.raises(ValueError, match="max_pool2d: kernel_size must be at least 1"):
        f.max_pool2d_forward(np.zeros((1, 1, 4, 4)), 0)


@pytest.mark.parametrize("layer", ["MaxPool1d", "MaxPool2d"])
def test_arguments_are_in_pytorchs_order(layer, torch):
    args = 3, 2, 1, 1, True, True
    ours, theirs = getattr(nn, layer)(*args), getattr(torch.nn, layer)(*args)
    assert (ours.return_indices, ours.ceil_mode) == (theirs.return_indices, theirs.ceil_mode) == (True, True)
    ours, theirs = getattr(nn, layer)(*args[:5]), getattr(torch.nn, layer)(*args[:5])
    assert (ours.return_indices, ours.ceil_mode) == (theirs.return_indices, theirs.ceil_mode) == (True, False)


def test_no_window_fits_names_the_padded_size():
    message = r"kernel \(7, 9\) is larger than the padded input \(6, 8\) \(input \(4, 4\)\)"
    with pytest.raises(ValueError, match=message):
        nn.Conv2d(1, 1, (7, 9), padding=(1, 2))(np.zeros((1, 1, 4, 4), np.float32))


@pytest.mark.parametrize(
    ("padding", "size", "windows", "covered"),
    [
        (0, 6, 2, True),
        (0, 7, 2, False),
        (1, 6, 2, False),
    ],  # 1 padding: pixels -1 to 4; the last one, 5, is in no window
)
def test_whether_windows_cover_every_pixel(padding, size, windows, covered):
    geometry = Geometry((3, 1), (3, 1), (padding, 0), (1, 1))
    assert pooling._tiles((size, 4), geometry, (windows, 4)) is covered


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
def test_a_window_of_zeros_has_no_gradient_in_a_p_norm(p):
    x = np.maximum(np.random.default_rng(0).standard_normal((2, 3, 8, 8)), 0).astype(np.float32)
    x[:, :, :4, :4] = 0
    layer = nn.LPPool2d(p, 2)
    grad = np.ones(layer(x).shape, np.float32)
    dx = layer.backward(grad)
    assert np.isfinite(dx).all()
    assert not dx[:, :, :4, :4].any()
    torch = pytest.importorskip("torch")
    theirs = torch.from_numpy(x).requires_grad_()
    torch.nn.LPPool2d(p, 2)(theirs).backward(torch.from_numpy(grad))
    np.testing.assert_allclose(dx, theirs.grad.numpy(), rtol=1e-5, atol=1e-6)
