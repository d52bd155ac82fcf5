"""Convolution against the direct loops, numbers done by hand, and sizes drawn by hypothesis."""

import numpy as np
import pytest
from checks import assert_close
from hypothesis import assume, given
from hypothesis import strategies as st

from minidl import functional as f
from minidl import reference
from minidl.engine import correlation as _correlation

# (N, C, H, W), F, kernel, stride, padding, dilation, groups: one trouble each
SHAPES = {
    "stride < kernel": ((2, 2, 6, 5), 3, (3, 3), (2, 1), (0, 0), (1, 1), 1),
    "stride > kernel": ((2, 2, 7, 8), 3, (2, 2), (3, 4), (0, 0), (1, 1), 1),
    "odd padding": ((1, 1, 4, 5), 2, (3, 2), (1, 1), (1, 2), (1, 1), 1),
    "padding over kernel": ((1, 2, 3, 3), 2, (2, 2), (1, 2), (3, 2), (1, 1), 1),
    "dropped rows": ((2, 1, 6, 6), 2, (3, 3), (2, 2), (0, 0), (1, 1), 1),
    "rows of nothing but padding": ((2, 9, 4, 4), 3, (1, 1), (1, 1), (1, 0), (1, 1), 1),
    "more padding than kernel": ((1, 9, 3, 4), 2, (3, 2), (1, 1), (3, 2), (1, 1), 1),
    "one pixel": ((1, 1, 1, 1), 1, (1, 1), (1, 1), (0, 0), (1, 1), 1),
    "one pixel, all padding": ((2, 2, 1, 1), 2, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    "one channel, batch of 1": ((1, 1, 5, 4), 2, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    "dilation": ((2, 2, 7, 6), 2, (3, 2), (1, 1), (2, 1), (2, 3), 1),
    "dilation and stride": ((1, 2, 8, 7), 2, (2, 3), (3, 2), (1, 0), (3, 2), 1),
    "groups": ((2, 4, 4, 5), 6, (2, 3), (1, 2), (1, 1), (1, 1), 2),
    "rows in one call": ((1, 9, 12, 4), 2, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    "many": ((3, 9, 6, 5), 4, (3, 2), (2, 1), (1, 2), (1, 2), 1),
    "pointwise": ((2, 9, 3, 4), 5, (1, 1), (1, 1), (0, 0), (1, 1), 1),
    "depthwise, as many": ((2, 3, 5, 4), 3, (3, 2), (2, 1), (1, 1), (1, 2), 3),
    "depthwise": ((2, 3, 4, 4), 6, (3, 3), (1, 1), (1, 1), (1, 1), 3),
}


@pytest.fixture(params=["lowered rows", "row products"])
def method(request, monkeypatch):
    """Both methods of the engine, whatever the number of channels."""
    monkeypatch.setattr(_correlation, "_FEW_CHANNELS", 1 if request.param == "row products" else 1000)


def run(module, shape, n_filters, kernel, stride, padding, dilation, groups, dtype=np.float64, arrange=np.asarray):
    rng = np.random.default_rng(0)
    x = arrange(rng.standard_normal(shape).astype(dtype))
    w = arrange(rng.standard_normal((n_filters, shape[1] // groups, *kernel)).astype(dtype))
    b = rng.standard_normal(n_filters).astype(dtype)
    out, cache = module.conv2d_forward(x, w, b, stride=stride, padding=padding, dilation=dilation, groups=groups)
    grad = arrange(rng.standard_normal(out.shape).astype(dtype))
    return [out, *module.conv2d_backward(grad, cache)]


@pytest.mark.parametrize("case", list(SHAPES.values()), ids=list(SHAPES))
@pytest.mark.usefixtures("method")
def test_within_1e_10_of_the_direct_loops(case):
    for fast, slow, name in zip(run(f, *case), run(reference, *case), ("out", "dx", "dw", "db"), strict=True):
        assert_close(fast, slow, 1e-10, name)


@pytest.mark.parametrize("case", list(SHAPES.values()), ids=list(SHAPES))
@pytest.mark.usefixtures("method")
def test_float32_stays_float32_and_close(case):
    for single, double in zip(run(f, *case, dtype=np.float32), run(f, *case), strict=True):
        assert single.dtype == np.float32
        assert_close(single, double, 1e-5)


def backwards(array):
    """The same numbers behind negative strides."""
    return np.ascontiguousarray(array[::-1])[::-1]


@pytest.mark.parametrize("arrange", [np.asfortranarray, backwards])
@pytest.mark.parametrize("case", [SHAPES["stride < kernel"], SHAPES["groups"], SHAPES["odd padding"], SHAPES["many"]])
@pytest.mark.usefixtures("method")
def test_memory_order_of_the_arguments_does_not_matter(case, arrange):
    for ordered, plain in zip(run(f, *case, arrange=arrange), run(f, *case), strict=True):
        assert_close(ordered, plain, 1e-12)


def test_the_first_layers_input_gradient_can_be_left_out(rng):
    x, w, b = rng.standard_normal((2, 3, 5, 5)), rng.standard_normal((4, 3, 3, 3)), rng.standard_normal(4)
    out, cache = f.conv2d_forward(x, w, b)
    dx, dw, db = f.conv2d_backward(out, cache, needs_input_grad=False)
    _, expected_dw, expected_db = f.conv2d_backward(out, cache)
    assert dx is None
    assert_close(dw, expected_dw, 0)
    assert_close(db, expected_db, 0)


def test_uncovered_pixels_have_zero_gradient(rng):
    x, w = rng.standard_normal((1, 1, 6, 6)), np.ones((1, 1, 3, 3))
    out, cache = f.conv2d_forward(x, w, stride=2)
    dx, _, db = f.conv2d_backward(np.ones_like(out), cache)
    assert out.shape == (1, 1, 2, 2)
    assert db is None
    assert (dx[..., 5, :] == 0).all()
    assert (dx[..., 5] == 0).all()
    assert (dx[..., :5, :5] > 0).all()


@pytest.mark.parametrize(("kernel", "dilation"), [(k, d) for k in (1, 2, 3, 4, 5) for d in (1, 2, 3)])
def test_same_padding_keeps_the_size_as_pytorch_does(kernel, dilation, torch, rng):
    x, w = rng.standard_normal((1, 1, 9, 8)), rng.standard_normal((1, 1, kernel, kernel))
    out, _ = f.conv2d_forward(x, w, padding="same", dilation=dilation)
    padded = torch.nn.functional.pad(torch.tensor(x), _same_pads(kernel, dilation))
    expected = torch.nn.functional.conv2d(padded, torch.tensor(w), dilation=dilation)
    assert_close(out, expected.numpy(), 1e-12)
    assert out.shape == x.shape


def _same_pads(kernel, dilation):
    total = dilation * (kernel - 1)
    return [total // 2, total - total // 2] * 2


small = st.integers(1, 3)
pairs = st.tuples(small, small)


@given(
    size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    kernel=pairs,
    stride=pairs,
    padding=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    dilation=pairs,
    groups=st.integers(1, 2),
    channels=st.sampled_from([1, 2, 9]),
    filters=small,
    batch=small,
)
def test_any_sizes_agree_with_the_direct_loops(
    size, kernel, stride, padding, dilation, groups, channels, filters, batch
):
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    assume(all(n + 2 * p >= r for n, p, r in zip(size, padding, reach, strict=True)))
    case = ((batch, groups * channels, *size), groups * filters, kernel, stride, padding, dilation, groups)
    for fast, slow in zip(run(f, *case), run(reference, *case), strict=True):
        assert_close(fast, slow, 1e-10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": 0}, "conv2d: stride must be at least 1, got 0"),
        ({"groups": 3}, "expected 6 input channels, got 2"),
        ({"b": np.zeros(2)}, r"expected a bias of shape \(3,\)"),
        ({"padding": "both"}, "conv2d: padding must be one of 'same', 'valid'"),
    ],
)
def test_used_alone_it_checks_its_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        f.conv2d_forward(np.zeros((1, 2, 4, 4)), np.zeros((3, 2, 3, 3)), **options)


def test_an_empty_batch_gives_an_empty_output():
    out, cache = f.conv2d_forward(np.zeros((0, 2, 4, 4)), np.zeros((3, 2, 3, 3)))
    assert out.shape == (0, 3, 2, 2)
    assert f.conv2d_backward(out, cache)[0].shape == (0, 2, 4, 4)


def test_conv1d_checks_ranks_before_it_indexes():
    with pytest.raises(ValueError, match=r"expected a weight of shape \(F, C/groups, K\), got \(3,\)"):
        f.conv1d_forward(np.zeros((1, 1, 5)), np.zeros(3))
    with pytest.raises(ValueError, match=r"expected a batch of shape \(N, C, L\), got \(5,\)"):
        f.conv1d_forward(np.zeros(5), np.zeros((1, 1, 3)))
    with pytest.raises(TypeError, match="conv1d: groups must be an integer, got 1.5"):
        f.conv1d_forward(np.zeros((1, 1, 5)), np.zeros((1, 1, 3)), groups=1.5)


@pytest.mark.parametrize("name", ["conv1d", "conv2d", "conv_transpose2d"])
def test_arrays_by_name_and_options_only_by_name(name, rng):
    forward, axes = getattr(f, f"{name}_forward"), 1 if "1d" in name else 2
    x, w = rng.standard_normal((2, 3, *(8,) * axes)), rng.standard_normal((3, 3, *(2,) * axes))
    np.testing.assert_array_equal(forward(x=x, w=w, b=None, stride=2)[0], forward(x, w, None, stride=2)[0])
    with pytest.raises(TypeError, match="positional argument"):
        forward(x, w, None, 2)
