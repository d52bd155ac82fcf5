"""ReLU, dropout, flatten and linear where the table of cases does not reach."""

import numpy as np
import pytest
from checks import assert_close

from minidl import functional as f
from minidl import nn


def test_relu_at_the_edges():
    x = np.array([[-np.inf, -1, -0.0, 0, 1, np.inf, np.nan]], np.float32)
    out, cache = f.relu_forward(x)
    np.testing.assert_array_equal(out, np.array([[0, 0, 0, 0, 1, np.inf, np.nan]], np.float32))
    assert out.dtype == np.float32
    grad = np.full(x.shape, np.inf, np.float32)  # a product with a mask would give NaN
    np.testing.assert_array_equal(f.relu_backward(grad, cache), [[0, 0, 0, 0, np.inf, np.inf, np.inf]])


@pytest.mark.parametrize("bits", [np.random.PCG64, np.random.SFC64, np.random.MT19937, np.random.Philox])
def test_dropout_keeps_the_expectation_and_the_mask(bits):
    rng = np.random.Generator(bits(0))
    x = np.ones((1000, 1000), np.float32)
    out, cache = f.dropout_forward(x, 0.3, rng=rng)
    assert set(np.unique(out)) == {np.float32(0), np.float32(1 / 0.7)}
    assert abs(out.mean() - 1) < 0.005
    assert abs((out == 0).mean() - 0.3) < 0.005
    np.testing.assert_array_equal(f.dropout_backward(x, cache), out)


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4, 5)])
def test_dropout_drops_the_same_elements_however_the_input_lies_in_memory(shape):
    x = np.ones(shape)
    expected, _ = f.dropout_forward(x, 0.5, rng=np.random.default_rng(3))
    out, _ = f.dropout_forward(np.asfortranarray(x), 0.5, rng=np.random.default_rng(3))
    np.testing.assert_array_equal(out, expected)


def test_dropout_is_the_identity_in_testing_and_draws_nothing():
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    x = np.ones((2, 3))
    out, cache = f.dropout_forward(x, 0.5, training=False, rng=rng)
    assert out is x
    np.testing.assert_array_equal(f.dropout_backward(x, cache), x)
    assert rng.bit_generator.state == before


@pytest.mark.parametrize("name", ["dropout", "dropout_channels", "alpha_dropout"])
def test_dropout_of_nothing_is_the_identity_and_draws_nothing(name, rng):
    before, x = rng.bit_generator.state, np.ones((2, 3, 4))
    out, cache = getattr(f, f"{name}_forward")(x, 0.0, rng=rng)
    np.testing.assert_array_equal(out, x)
    np.testing.assert_array_equal(getattr(f, f"{name}_backward")(3 * x, cache), 3 * x)
    assert rng.bit_generator.state == before


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_alpha_dropout_keeps_mean_0_and_variance_1(p, rng):
    x = rng.standard_normal(1_000_000)
    out, cache = f.alpha_dropout_forward(x, p, rng=rng)
    assert abs(out.mean()) < 0.01
    assert abs(out.var() - 1) < 0.01
    dropped = cache == 0
    assert abs(dropped.mean() - p) < 0.005
    assert np.ptp(out[dropped]) < 1e-12  # one value for all of them
    assert_close(np.diff(out[~dropped]), np.diff(x[~dropped]) * cache.max(), 1e-12)


def test_dropout_of_everything():
    out, cache = f.dropout_forward(np.full((2, 3), np.float32(5)), 1.0, rng=np.random.default_rng(0))
    assert (out == 0).all()
    assert (f.dropout_backward(np.ones((2, 3), np.float32), cache) == 0).all()


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(("start", "end"), [(1, -1), (0, -1), (1, 2), (2, 3), (-3, -2)])
def test_flatten_is_reshape_whatever_the_memory_order(order, start, end, torch, rng):
    x = np.array(rng.standard_normal((2, 3, 4, 5)), order=order)
    out, cache = f.flatten_forward(x, start, end)
    np.testing.assert_array_equal(out, torch.flatten(torch.tensor(x), start, end).numpy())
    np.testing.assert_array_equal(f.flatten_backward(out, cache), x)


def test_flatten_of_a_convolutions_output_keeps_the_batch_innermost(rng):
    out, _ = f.conv2d_forward(rng.standard_normal((4, 2, 5, 5)), rng.standard_normal((3, 2, 3, 3)))
    flat, _ = f.flatten_forward(out)
    assert flat.flags.f_contiguous
    np.testing.assert_array_equal(flat, np.ascontiguousarray(out).reshape(4, -1))


def test_linear_by_hand():
    x, w, b = np.array([[1.0, 2]]), np.array([[3.0, 4], [5, 6], [7, 8]]), np.array([1.0, 2, 3])
    out, cache = f.linear_forward(x, w, b)
    assert out.tolist() == [[12, 19, 26]]
    dx, dw, db = f.linear_backward(np.array([[1.0, 10, 100]]), cache)
    assert dx.tolist() == [[753, 864]]
    assert dw.tolist() == [[1, 2], [10, 20], [100, 200]]
    assert db.tolist() == [1, 10, 100]
    assert f.linear_backward(np.ones((1, 3)), cache, needs_input_grad=False)[0] is None


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_against_pytorch(name, axis, torch, rng):
    x, grad = rng.standard_normal((3, 4, 5)), rng.standard_normal((3, 4, 5))
    out, cache = getattr(f, f"{name}_forward")(x, axis)
    tensor = torch.tensor(x, requires_grad=True)
    expected = getattr(torch, name)(tensor, axis)
    expected.backward(torch.tensor(grad))
    assert_close(out, expected.detach().numpy(), 1e-12)
    assert_close(getattr(f, f"{name}_backward")(grad, cache), tensor.grad.numpy(), 1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_of_huge_logits(dtype):
    x = np.array([[1e4, -1e4, 0], [-1e4, -1e4, -1e4]], dtype)
    out, _ = f.softmax_forward(x)
    np.testing.assert_allclose(out, [[1, 0, 0], [1 / 3, 1 / 3, 1 / 3]], rtol=1e-6)
    log_out, _ = f.log_softmax_forward(x)
    np.testing.assert_allclose(log_out, [[0, -2e4, -1e4], [np.log(1 / 3)] * 3], rtol=1e-6)
    assert out.dtype == log_out.dtype == dtype


def test_activations_at_their_kinks_as_pytorch(torch):
    x = np.array([-3.0, 3.0, 0.0, 6.0, 0.5, -0.5, 1.0, -1.0])
    for name in (
        "Hardswish",
        "Hardsigmoid",
        "ReLU6",
        "Hardtanh",
        "Hardshrink",
        "Softshrink",
        "ELU",
        "LeakyReLU",
        "SELU",
    ):
        ours, theirs = getattr(nn, name)(), getattr(torch.nn, name)()
        tensor = torch.tensor(x, requires_grad=True)
        np.testing.assert_allclose(ours(x), theirs(tensor).detach().numpy(), rtol=1e-7, err_msg=name)
        theirs(tensor).backward(torch.ones_like(tensor))
        np.testing.assert_allclose(ours.backward(np.ones_like(x)), tensor.grad.numpy(), rtol=1e-7, err_msg=name)


def test_nan_is_not_hidden():
    for layer in (nn.Threshold(0.5, 2.0), nn.ReLU(), nn.Hardtanh(), nn.GELU(), nn.Softshrink(), nn.Hardswish()):
        assert np.isnan(layer(np.array([np.nan]))).all(), layer


@pytest.mark.parametrize(("name", "args"), [("AdaptiveMaxPool2d", (2,)), ("Softmax", (0,)), ("InstanceNorm2d", (3,))])
def test_an_empty_batch_goes_through(name, args):
    layer = getattr(nn, name)(*args)
    out = layer(np.zeros((0, 3, 4, 4)))
    assert layer.backward(out).shape == (0, 3, 4, 4)


@pytest.mark.parametrize(("slopes", "shape"), [(1, (5,)), (1, (5, 3)), (3, (5, 3)), (3, (5, 3, 4)), (1, (5, 3, 4))])
def test_prelu_of_every_rank_as_pytorch(slopes, shape, torch, rng):
    ours, theirs = nn.PReLU(slopes).astype(np.float64), torch.nn.PReLU(slopes).double()
    ours.weight.data[...] = np.linspace(-0.5, 2, slopes)
    theirs.load_state_dict({"weight": torch.from_numpy(ours.weight.data.copy())})
    x, grad = rng.standard_normal((2, *shape))
    tensor = torch.from_numpy(x).requires_grad_()
    out = theirs(tensor)
    out.backward(torch.from_numpy(grad))
    assert_close(ours(x), out.detach().numpy(), 1e-12)
    assert_close(ours.backward(grad), tensor.grad.numpy(), 1e-12)
    assert_close(ours.weight.grad, theirs.weight.grad.numpy(), 1e-12)
