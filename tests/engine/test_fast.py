"""The compiled engine against NumPy's: random shapes and options, in every place and order of memory."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import minidl
from minidl import nn
from minidl.engine import choice
from minidl.engine.layout import empty_like
from minidl.engine.window import Geometry, output_size

pytest.importorskip("numba")

FAST, NUMPY = (choice._made(name) for name in ("fast", "numpy"))
TOLERANCES = {np.float32: 4e-6, np.float64: 1e-14}  # of the largest number
DTYPES = list(TOLERANCES)
# the places of an array's numbers in memory: see `placed`
PLACES = ("in order", "images innermost", "reversed", "every other", "odd address", "read-only")


def placed(x, place):
    """The same numbers, held otherwise."""
    if place == "images innermost":
        held = empty_like(x) if x.ndim == 4 else np.empty(x.shape[::-1], x.dtype).T
        held[...] = x
        return held
    if place == "reversed":
        return x[..., ::-1].copy()[..., ::-1]
    if place == "every other":
        wide = np.full((*x.shape[:-1], 2 * x.shape[-1]), np.nan, x.dtype)
        wide[..., ::2] = x
        return wide[..., ::2]
    if place == "odd address":
        held = np.empty(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
        held[...] = x
        return held
    x = x.copy()
    x.flags.writeable = place != "read-only"
    return x


def assert_same(ours, theirs, dtype, scale=None):
    """Numbers of ``dtype`` and the same in float64; the largest of them is what an error is compared with."""
    assert ours.shape == theirs.shape
    assert ours.dtype == dtype
    wide = ours.astype(np.float64)
    special = ~np.isfinite(theirs)
    assert np.array_equal(wide[special], theirs[special], equal_nan=True)
    largest = max(np.abs(theirs[~special]).max(initial=0), 1e-30) if scale is None else scale
    assert np.abs(wide[~special] - theirs[~special]).max(initial=0) <= TOLERANCES[dtype] * largest


@st.composite
def correlations(draw):
    """The images' shape, filters, geometry and padding at the end: sizes from one to several vectors."""
    number = lambda low, high: draw(st.integers(low, high))  # noqa: E731
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    channels, filters = (draw(st.sampled_from([1, 2, 3, 4, 8, 9, 17])) for _ in range(2))
    images = draw(st.sampled_from([1, 2, 3, 5, 8, 15, 16, 17, 32, 33, 64, 70]))
    kernel = draw(st.sampled_from([(3, 3), (3, 3), (1, 1), (5, 5), (2, 2), (1, 3), (4, 1), (7, 7)]))
    stride = draw(st.sampled_from([(1, 1), (1, 1), (2, 2), (1, 2), (3, 1), (4, 4)]))
    dilation = draw(st.sampled_from([(1, 1), (1, 1), (1, 1), (2, 2), (1, 3), (2, 1)]))
    before, after = ((number(-1, 3), number(-1, 3)) for _ in range(2))
    least = [max(1, d * (k - 1) + 1 - p - q) for d, k, p, q in zip(dilation, kernel, before, after, strict=True)]
    size = [max(n, 2) + number(0, 9) for n in least]
    if images * channels * math.prod(size) > 40_000:
        images = 1 + images % 8
    geometry = Geometry(kernel, stride, before, dilation, groups)
    return (images, groups * channels, *size), (groups * filters, channels, *kernel), geometry, after


CASES = given(correlations(), st.sampled_from(DTYPES), st.sampled_from(PLACES), st.booleans(), st.integers(0, 99))


@CASES
@settings(max_examples=100)
def test_correlations(case, dtype, place, has_bias, seed):
    shape, filters, geometry, after = case
    rng = np.random.default_rng(seed)
    x, w = (rng.standard_normal(sizes).astype(dtype) for sizes in (shape, filters))
    bias = rng.standard_normal(filters[0]).astype(dtype) if has_bias else None
    size = output_size(shape[2:], geometry, after)
    grad = rng.standard_normal((shape[0], filters[0], *size)).astype(dtype)
    x64, w64, grad64 = (array.astype(np.float64) for array in (x, w, grad))
    x, w, grad = (placed(array, place) for array in (x, w, grad))
    bias64 = None if bias is None else bias.astype(np.float64)
    assert_same(FAST.correlate(x, w, bias, geometry, size), NUMPY.correlate(x64, w64, bias64, geometry, size), dtype)
    ours = FAST.input_grad(grad, w, geometry, shape[2:])
    assert_same(ours, NUMPY.input_grad(grad64, w64, geometry, shape[2:]), dtype)
    ours, own_bias = FAST.weight_grad(x, grad, filters, geometry, has_bias=has_bias)
    theirs, their_bias = NUMPY.weight_grad(x64, grad64, filters, geometry, has_bias=has_bias)
    usual = math.sqrt(shape[0] * math.prod(size))  # a sum of so many numbers may be near 0 by chance
    assert_same(ours, theirs, dtype, usual)
    assert (own_bias is None) == (their_bias is None)
    if has_bias:
        assert_same(own_bias, their_bias, dtype, usual)


@CASES
@settings(max_examples=60)
def test_pooling(case, dtype, place, ties, seed):
    shape, _, geometry, _ = case
    kernel, _, before, dilation, _ = geometry
    geometry = geometry._replace(before=tuple(min(max(p, 0), k // 2) for p, k in zip(before, kernel, strict=True)))
    reach = [d * (k - 1) - 2 * p for k, d, p in zip(kernel, dilation, geometry.before, strict=True)]
    assume(all(n > r for n, r in zip(shape[2:], reach, strict=True)))
    rng = np.random.default_rng(seed)
    x = (rng.integers(0, 4, shape) if ties else rng.standard_normal(shape)).astype(dtype)
    if seed % 5 == 0:
        x[rng.random(shape) < 0.1] = np.nan
        x[rng.random(shape) < 0.1] = -np.inf
    size = output_size(shape[2:], geometry)
    grad, divisor = rng.standard_normal((*shape[:2], *size)).astype(dtype), rng.integers(1, 9, size).astype(dtype)
    held, given_grad = placed(x, place), placed(grad, place)
    out = FAST.max_pool(held, geometry, size)
    assert_same(out, NUMPY.max_pool(x, geometry, size).astype(np.float64), dtype)
    ours = FAST.max_pool_grad(given_grad, held, out, geometry)
    assert_same(ours, NUMPY.max_pool_grad(grad, x, np.array(out), geometry).astype(np.float64), dtype)
    x64, grad64, divisor64 = (array.astype(np.float64) for array in (x, grad, divisor))
    with np.errstate(invalid="ignore"):
        theirs = NUMPY.avg_pool(x64, geometry, divisor64)
        assert_same(FAST.avg_pool(held, geometry, divisor), theirs, dtype)
    theirs = NUMPY.avg_pool_grad(grad64, shape, geometry, divisor64)
    assert_same(FAST.avg_pool_grad(given_grad, shape, geometry, divisor), theirs, dtype)


@st.composite
def normalisations(draw):
    """Shape, axes of the statistics, the parameters' shape, and the order of the axes in memory."""
    shape = draw(st.lists(st.integers(1, 9), min_size=2, max_size=5).filter(lambda s: math.prod(s) < 4000))
    shape[draw(st.integers(0, len(shape) - 1))] = draw(st.sampled_from([1, 2, 16, 33, 70]))
    axes = tuple(axis for axis in range(len(shape)) if draw(st.booleans()))
    param_shape = tuple(n if draw(st.booleans()) else 1 for n in shape)
    return tuple(shape), axes, param_shape, draw(st.permutations(range(len(shape))))


@given(
    normalisations(), st.sampled_from(DTYPES), st.sampled_from(PLACES), st.sampled_from(["own", "square", "given"]),
    st.booleans(), st.booleans(), st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=150)
def test_normalisation(case, dtype, place, kind, has_weight, has_bias, seed):
    shape, axes, param_shape, order = case
    rng = np.random.default_rng(seed)
    x, grad = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
    count = math.prod(param_shape)
    weight = rng.uniform(0.5, 2, count).astype(dtype) if has_weight else None
    bias = rng.standard_normal(count).astype(dtype) if has_bias else None
    if kind == "given":
        statistics = rng.standard_normal(count).astype(dtype), rng.uniform(0.5, 2, count).astype(dtype)
    else:
        assume(math.prod(shape[axis] for axis in axes) > 2)  # the variance of two may be next to nothing
        statistics = None
    options = param_shape, kind == "own", statistics
    wide = [None if a is None else a.astype(np.float64) for a in (x, weight, bias, grad)]
    statistics64 = None if statistics is None else tuple(a.astype(np.float64) for a in statistics)
    theirs, kept64 = NUMPY.normalise(wide[0], axes, 1e-3, *wide[1:3], *options[:2], statistics64)
    theirs_grad = NUMPY.normalise_grad(wide[3], wide[0], kept64)

    def held(array):
        if place != "images innermost":
            return placed(array, place)
        return array.transpose(order).copy().transpose(np.argsort(order))  # in any order of the axes

    ours, kept = FAST.normalise(held(x), axes, 1e-3, weight, bias, *options)
    assert_same(ours, theirs, dtype)
    if kind != "given":
        assert_same(kept.var, kept64.var, dtype)
    if kind == "own":
        assert_same(kept.mean, kept64.mean, dtype, np.abs(x).max())
    ours_grad = FAST.normalise_grad(held(grad), held(x), kept)
    slopes = np.abs(kept64.inverse_std).max() * np.abs(grad).max() * (1 if weight is None else np.abs(weight).max())
    assert_same(ours_grad[0], theirs_grad[0], dtype, 4 * slopes)
    for own, their, present in zip(ours_grad[1:], theirs_grad[1:], (has_weight, has_bias), strict=True):
        assert (own is not None) == (their is not None) == present
        if present:
            assert_same(own, their, dtype, np.abs(their).max() + x.size / count)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_empty_batch_is_normalised(dtype):
    before = minidl.get_engine()
    minidl.set_engine("fast")
    try:
        for shape in ((0, 4, 3, 3), (0, 4), (0, 4, 1, 1)):
            for layer in (nn.GroupNorm(2, 4), nn.LayerNorm(shape[1:]), nn.RMSNorm(shape[1:]), nn.Identity()):
                layer.astype(dtype)
                for x in (np.zeros(shape, dtype), np.asfortranarray(np.zeros(shape, dtype))):
                    assert layer(x).shape == shape
                    assert layer.backward(np.zeros(shape, dtype)).shape == shape
    finally:
        minidl.set_engine(before)
