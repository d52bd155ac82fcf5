"""Arrays as users have them, on every engine: any place in memory, empty, of other dtypes, with NaN."""

import numpy as np
import pytest
from checks import assert_close

import minidl
from minidl import functional, nn

ACTIVATIONS = [
    *(nn.ReLU(), nn.LeakyReLU(0.1), nn.ReLU6(), nn.Hardtanh(-0.5, 2), nn.Hardsigmoid(), nn.Hardswish(), nn.Sigmoid()),
    *(nn.Tanh(), nn.SiLU(), nn.ELU(1.5), nn.GELU(), nn.GELU("tanh"), nn.Softplus(), nn.Softplus(2, 5), nn.Mish()),
    *(nn.LogSigmoid(), nn.CELU(0.7), nn.SELU(), nn.Softsign(), nn.Threshold(0.125, 7.0), nn.Softshrink()),
]
LAYERS = [
    *(nn.Conv2d(3, 4, 3), nn.Conv2d(3, 3, 3, groups=3), nn.ConvTranspose2d(3, 4, 2), nn.Conv2d(3, 4, 1, stride=2)),
    *(
        nn.MaxPool2d(2),
        nn.AvgPool2d(3, 2),
        nn.BatchNorm2d(3),
        nn.GroupNorm(3, 3),
        nn.LayerNorm(8),
        nn.ReLU(),
        nn.GELU(),
    ),
]


def name(layer):
    return repr(layer).split("\n")[0]


def unaligned(x):
    held = np.empty(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    held[...] = x
    return held


def read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


WAYS = {
    "unaligned": unaligned,
    "read-only": read_only,
    "reversed": lambda x: x[::-1, :, ::-1, ::-1].copy()[::-1, :, ::-1, ::-1],
    "part of a larger one": lambda x: np.pad(x, [(1, 2)] * x.ndim, constant_values=np.nan)[(slice(1, -2),) * x.ndim],
    "repeated": lambda x: np.broadcast_to(x[:1], x.shape),
    "another order": lambda x: x.transpose(3, 0, 2, 1).copy().transpose(1, 3, 2, 0),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("layer", LAYERS, ids=name)
def test_wherever_the_numbers_lie(layer, way, engine, rng):
    x = rng.standard_normal((5, 3, 8, 8)).astype(np.float32)
    held = WAYS[way](x)
    plain = np.ascontiguousarray(held)
    results = []
    for images in (plain.copy(), held):
        layer.zero_grad()
        out = layer(images)
        grad = np.cos(out) if images is not held else WAYS[way](np.cos(out))
        expected = layer.backward(np.ascontiguousarray(grad))
        results.append([out, expected])
        again = layer(images)
        assert_close(layer.backward(grad), expected, 1e-6)
        assert_close(again, out, 1e-6)
    assert_close(results[1][0], results[0][0], 1e-6)
    np.testing.assert_array_equal(held, plain)  # nothing has been written to it


@pytest.mark.parametrize("layer", LAYERS, ids=name)
def test_dtypes_that_are_refused(layer, engine):
    for dtype in (np.float16, ">f4", ">f8", np.longdouble, np.int64, np.uint8, bool, complex):
        with pytest.raises(TypeError, match=r"expected (a )?float"):
            layer(np.ones((2, 3, 8, 8), dtype))
    out = layer(np.ones((2, 3, 8, 8), np.float32))
    for dtype in (np.float16, ">f4", np.float64):
        with pytest.raises(TypeError):
            layer.backward(np.ones(out.shape, dtype))
    layer.backward(np.ones(out.shape, np.float32))


def test_statistics_of_another_dtype(engine, rng):
    x = rng.standard_normal((4, 3, 5, 5)).astype(np.float32)
    mean, var = rng.standard_normal(3).astype(np.float32), rng.uniform(1, 2, 3).astype(np.float32)
    expected = (x - mean[:, None, None]) / np.sqrt(var[:, None, None] + 1e-5)
    for dtype in (np.float32, np.float64, ">f4"):
        out, cache, _ = functional.batch_norm_forward(x, running=(mean.astype(dtype), var.astype(dtype)))
        assert out.dtype == np.float32
        assert_close(out, expected, 1e-6)
        assert functional.batch_norm_backward(x, cache)[0].dtype == np.float32


@pytest.mark.parametrize("layer", LAYERS, ids=name)
def test_an_empty_batch(layer, engine):
    layer.zero_grad()
    out = layer(np.empty((0, 3, 8, 8), np.float32))
    assert out.shape[0] == 0
    assert layer.backward(out).shape == (0, 3, 8, 8)
    assert all(np.all(p.grad == 0) for p in layer.params())


@pytest.mark.parametrize("layer", ACTIVATIONS, ids=name)
def test_activations_of_any_shape(layer, engine, rng):
    for shape in ((), (0,), (0, 3), (1,), (17,), (3, 5), (2, 0, 3), (2, 3, 4), (2, 3, 4, 5), (1, 2, 1, 3, 2)):
        x = np.asarray(rng.standard_normal(shape), np.float32)
        out = layer(x)
        assert (out.shape, out.dtype) == (shape, np.float32)
        dx = layer.backward(np.ones_like(out))
        assert (dx.shape, dx.dtype) == (shape, np.float32)
        for ours, number in zip(out.ravel(), x.ravel(), strict=True):
            assert_close(ours, layer(np.array(number))[()], 1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layer", ACTIVATIONS, ids=name)
def test_activations_of_every_size_of_number(layer, dtype, engine):
    """Beside NumPy's in float64, near 0, far away, and where there are no numbers."""
    eps = float(np.finfo(dtype).eps)
    far = np.geomspace(1e-30, 1e18, 601)
    special = [0.0, -0.0, np.inf, -np.inf, np.nan, 88.7, 89, 103, 104, 709, 710, 745, 746]
    x = np.concatenate([np.linspace(-12, 12, 2001), far, -far, special, np.negative(special)]).astype(dtype)
    out, grad = layer(x), np.ones_like(x)
    dx = layer.backward(grad)
    minidl.set_engine("numpy")
    wide = x.astype(np.float64)
    with np.errstate(over="ignore"):
        expected = layer(wide).astype(dtype), layer.backward(grad.astype(np.float64)).astype(dtype)
    # slopes hold products such as x * (1 - tanh(x)**2), in which the rounding of tanh is multiplied
    for ours, theirs, units in zip((out, dx), expected, (8, 64), strict=True):
        finite = np.isfinite(theirs)
        np.testing.assert_array_equal(ours[~finite], theirs[~finite])
        error = np.abs(ours[finite].astype(np.float64) - theirs[finite])
        assert (error <= units * eps * np.maximum(np.abs(theirs[finite]), 1)).all(), x[finite][np.argmax(error)]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("channels", [3, 32])
def test_what_is_no_number_reaches_what_it_must_and_no_other_image(value, channels, engine, rng):
    """Winograd's tiles are 2 by 2, so that neighbours of a window that holds NaN may be NaN as well."""
    conv, x = nn.Conv2d(channels, 32, 3, padding=1), rng.standard_normal((16, channels, 12, 12)).astype(np.float32)
    clean = conv(x)
    x[5, 1, 4, 6] = value
    with np.errstate(invalid="ignore"):
        out = conv(x)
    assert not np.isfinite(out[5, :, 3:6, 5:8]).any()
    others = np.arange(16) != 5
    np.testing.assert_array_equal(out[others], clean[others])
    near = np.zeros((12, 12), bool)
    near[2:6, 4:8] = True
    np.testing.assert_array_equal(out[5][:, ~near], clean[5][:, ~near])
