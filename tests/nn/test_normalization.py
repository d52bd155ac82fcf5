"""Normalisation layers: running statistics as PyTorch's, modes, large means, pieces."""

import numpy as np
import pytest
from checks import assert_close

from minidl import functional as f
from minidl import nn
from minidl.engine import sums


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("layer", "options"),
    [
        ("BatchNorm2d", {}),
        ("BatchNorm2d", {"momentum": None}),
        ("BatchNorm2d", {"momentum": 0.3, "affine": False}),
        ("BatchNorm2d", {"track_running_stats": False}),
        ("BatchNorm2d", {"momentum": 0.0}),
        ("BatchNorm2d", {"bias": False}),
        ("InstanceNorm2d", {"track_running_stats": True, "affine": True}),
    ],
)
def test_running_statistics_and_evaluation_as_pytorch(layer, options, dtype, torch):
    rng = np.random.default_rng(0)
    ours, theirs = getattr(nn, layer)(3, **options).astype(dtype), getattr(torch.nn, layer)(3, **options)
    theirs = theirs.to(torch.from_numpy(np.zeros(0, dtype)).dtype)
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    for training in (True, True, True, False):
        ours.train(training)
        theirs.train(training)
        x = (rng.standard_normal((4, 3, 5, 6)) * 2 + 1).astype(dtype)
        tensor = torch.from_numpy(x).requires_grad_()
        out, expected = ours(x), theirs(tensor)
        grad = rng.standard_normal(out.shape).astype(dtype)
        expected.backward(torch.from_numpy(grad))
        assert_close(out, expected.detach().numpy(), tolerance)
        assert_close(ours.backward(grad), tensor.grad.numpy(), tolerance)
        for (name, value), other in zip(ours.named_buffers(), theirs.buffers(), strict=True):
            assert_close(value, other.numpy(), tolerance, name)
    for name, parameter in ours.named_params():
        assert_close(parameter.grad, dict(theirs.named_parameters())[name].grad.numpy(), tolerance, name)


def test_a_state_dict_travels_both_ways(torch):
    ours, theirs = nn.BatchNorm2d(2), torch.nn.BatchNorm2d(2)
    theirs(torch.randn(3, 2, 4, 4))
    ours.load_state_dict(theirs.state_dict())
    assert int(ours.num_batches_tracked) == 1
    ours(np.ones((2, 2, 3, 3), np.float32))
    theirs.load_state_dict({name: torch.from_numpy(value) for name, value in ours.state_dict().items()})
    assert int(theirs.num_batches_tracked) == 2


def test_a_large_mean_does_no_harm():
    x = np.random.default_rng(0).standard_normal((8, 2, 10, 10)).astype(np.float32)
    layer = nn.BatchNorm2d(2)
    assert_close(layer(x + np.float32(1000)), layer(x), 1e-3)  # 1000 has left x itself with 1e-4


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize("layer", [nn.BatchNorm2d(4), nn.GroupNorm(2, 4), nn.LayerNorm((4, 6, 5)), nn.LayerNorm(5)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_the_pieces_do_not_change_the_result(size, layer, order, monkeypatch):
    layer = layer.astype(np.float64)
    x = np.asarray(np.random.default_rng(0).standard_normal((3, 4, 6, 5)), order=order)

    def run():
        layer.zero_grad()
        out = layer(x)
        return [out, layer.backward(np.cos(out)), *(p.grad for p in layer.params())]

    whole = run()
    monkeypatch.setattr(sums, "_PIECE", size)
    for piecewise, expected in zip(run(), whole, strict=True):
        assert_close(piecewise, expected, 1e-12)


@pytest.mark.parametrize("lies", [(0, 1, 2, 3), (2, 1, 3, 0), (1, 0, 2, 3)], ids=["images", "block", "channels first"])
def test_many_images_in_pieces_however_they_lie_in_memory(lies, rng):
    x = rng.standard_normal([(300, 4, 30, 8)[axis] for axis in lies]).transpose(np.argsort(lies)) * 3 + 5
    assert x.shape == (300, 4, 30, 8)
    assert x.nbytes > sums._PIECE
    mean, var = x.mean((2, 3), keepdims=True), x.var((2, 3), keepdims=True)
    assert_close(nn.InstanceNorm2d(4)(x), (x - mean) / np.sqrt(var + 1e-5), 1e-12)


@pytest.mark.parametrize("shape", [(2, 3, 5), (2, 3, 5, 1), (2, 3, 1, 5)])
def test_instance_norm_of_sequences_and_lines_as_pytorch(shape, torch, rng):
    x, weight, bias = rng.standard_normal(shape), *rng.standard_normal((2, 3))
    out, _, _ = f.instance_norm_forward(x, weight, bias)
    x_, weight_, bias_ = map(torch.from_numpy, (x, weight, bias))
    expected = torch.nn.functional.instance_norm(x_, weight=weight_, bias=bias_)
    assert_close(out, expected.numpy(), 1e-12)
    with pytest.raises(ValueError, match="expected more than one pixel"):
        f.instance_norm_forward(np.zeros((2, 3, *(1,) * (len(shape) - 2))))


@pytest.mark.parametrize("size", [1, 2, 4])
def test_parameters_and_statistics_of_another_number_of_channels(size):
    x, wrong = np.zeros((5, 3)), np.ones(size)
    for options in ({"weight": wrong}, {"bias": wrong}, {"running": (wrong, wrong)}):
        with pytest.raises(ValueError, match=rf"expected {size} channels, got 3 \(input shape \(5, 3\)\)"):
            f.batch_norm_forward(x, **options)


def test_instance_norm_tracks_a_batch_of_one_image():
    layer = nn.InstanceNorm2d(1, momentum=0.5, track_running_stats=True, dtype=np.float64)
    layer(np.array([[[[1.0, 2.0], [3.0, 6.0]]]]))  # mean 3, squared deviations 4 + 1 + 0 + 9
    assert_close(layer.running_mean, [1.5], 1e-12)  # half of 0 and half of 3
    assert_close(layer.running_var, [0.5 + 14 / 3 / 2], 1e-12)
