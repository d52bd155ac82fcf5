"""im2col and col2im: PyTorch's orientation, and each the transpose of the other."""

import numpy as np
import pytest
from checks import assert_adjoint, assert_close
from hypothesis import assume, given
from hypothesis import strategies as st

import minidl
from minidl import functional as f
from minidl import nn, reference

small = st.integers(1, 3)
OPTIONS = {
    "kernel_size": st.tuples(small, small),
    "stride": st.tuples(small, small),
    "padding": st.tuples(st.integers(0, 2), st.integers(0, 2)),
    "dilation": st.tuples(small, small),
}


def fits(size, kernel_size, padding, dilation):
    reach = [d * (k - 1) + 1 for k, d in zip(kernel_size, dilation, strict=True)]
    return all(n + 2 * p >= r for n, p, r in zip(size, padding, reach, strict=True))


@given(size=st.tuples(st.integers(1, 7), st.integers(1, 7)), **OPTIONS)
def test_the_two_are_adjoint(size, kernel_size, stride, padding, dilation):
    assume(fits(size, kernel_size, padding, dilation))
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, *size))
    options = {"kernel_size": kernel_size, "stride": stride, "padding": padding, "dilation": dilation}
    assert_adjoint(lambda a: f.im2col(a, **options), lambda g: f.col2im(g, size, **options), x, rng)


@pytest.mark.parametrize("stride", [1, (2, 3)])
@pytest.mark.parametrize("padding", [0, (1, 2)])
@pytest.mark.parametrize("dilation", [1, (2, 1)])
def test_same_as_unfold_and_fold(stride, padding, dilation, torch, rng):
    x = rng.standard_normal((2, 3, 7, 6))
    options = {"stride": stride, "padding": padding, "dilation": dilation}
    cols = f.im2col(x, (3, 2), **options)
    assert_close(cols, torch.nn.functional.unfold(torch.tensor(x), (3, 2), **options).numpy(), 0)
    expected = torch.nn.functional.fold(torch.tensor(cols), (7, 6), (3, 2), **options)
    assert_close(f.col2im(cols, (7, 6), (3, 2), **options), expected.numpy(), 1e-12)


def test_convolution_is_a_product_of_filters_and_columns(rng):
    """The article's way: unrolled filters times columns, plus the bias."""
    x, w, b = rng.standard_normal((2, 3, 6, 5)), rng.standard_normal((4, 3, 3, 2)), rng.standard_normal(4)
    cols = f.im2col(x, (3, 2), stride=(1, 2), padding=1)
    out, _ = reference.conv2d_forward(x, w, b, stride=(1, 2), padding=(1, 1))
    assert_close((w.reshape(4, -1) @ cols + b[:, None]).reshape(out.shape), out, 1e-12)


def test_col2im_adds_where_windows_overlap_and_leaves_the_rest_zero():
    image = f.col2im(f.im2col(np.ones((1, 1, 4, 4)), 3, stride=2), (4, 4), 3, stride=2)
    assert image.tolist() == [[[[1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 1, 0], [0, 0, 0, 0]]]]
    overlapping = f.col2im(f.im2col(np.ones((1, 1, 3, 3)), 2), (3, 3), 2)
    assert overlapping.tolist() == [[[[1, 2, 1], [2, 4, 2], [1, 2, 1]]]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_stays(dtype):
    cols = f.im2col(np.ones((1, 2, 4, 4), dtype), 2)
    assert cols.dtype == dtype
    assert f.col2im(cols, 4, 2).dtype == dtype


def test_wrong_sizes_are_refused():
    with pytest.raises(ValueError, match=r"col2im: expected columns of shape \(N, C\*4, 9\) .* got \(1, 4, 8\)"):
        f.col2im(np.zeros((1, 4, 8)), (4, 4), 2)
    with pytest.raises(ValueError, match=r"col2im: expected columns"):
        f.col2im(np.zeros((1, 5, 9)), (4, 4), 2)
    with pytest.raises(ValueError, match=r"kernel \(5, 5\) is larger than the padded input \(4, 4\)"):
        f.im2col(np.zeros((1, 1, 4, 4)), 5)
    with pytest.raises(TypeError, match="got int64"):
        f.im2col(np.zeros((1, 1, 4, 4), int), 2)


@pytest.mark.parametrize("engine", ["numpy", "im2col"])
def test_an_empty_batch(engine):
    before = minidl.get_engine()
    minidl.set_engine(engine)
    try:
        for layer, channels in ((nn.Unfold((2, 3)), 3), (nn.ConvTranspose2d(3, 4, 3), 3), (nn.Conv2d(3, 4, 3), 3)):
            out = layer(np.zeros((0, channels, 5, 6), np.float32))
            assert len(out) == 0
            assert layer.backward(out).shape == (0, channels, 5, 6)
        fold = nn.Fold((4, 4), 2)
        assert fold(np.zeros((0, 8, 9), np.float32)).shape == (0, 2, 4, 4)
        assert fold.backward(np.zeros((0, 2, 4, 4), np.float32)).shape == (0, 8, 9)
    finally:
        minidl.set_engine(before)
