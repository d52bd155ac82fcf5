"""Residual, Parallel, ModuleList, ModuleDict: blocks without writing a backward pass."""

import numpy as np
import pytest
from checks import assert_close

from minidl import gradcheck, nn
from minidl.testing import check_module


def conv(inputs, outputs, size=3, stride=1):
    return nn.Conv2d(inputs, outputs, size, stride, padding=size // 2)


def resnet_block():
    body = nn.Sequential(conv(2, 4, stride=2), nn.BatchNorm2d(4), nn.ReLU(), conv(4, 4), nn.BatchNorm2d(4))
    return nn.Sequential(nn.Residual(body, conv(2, 4, 1, stride=2)), nn.ReLU())


def inception_block():
    pooled = nn.Sequential(nn.MaxPool2d(3, 1, 1), conv(2, 1, 1))
    return nn.Parallel(conv(2, 3, 1), nn.Sequential(conv(2, 2, 1), nn.ReLU(), conv(2, 2)), pooled)


def dense_block():
    return nn.Sequential(nn.Parallel(nn.Identity(), conv(2, 3)), nn.Parallel(nn.Identity(), conv(5, 2)))


def mobilenet_block():
    layers = [conv(2, 6, 1), nn.ReLU6(), nn.Conv2d(6, 6, 3, padding=1, groups=6), nn.ReLU6(), conv(6, 2, 1)]
    return nn.Residual(nn.Sequential(*layers))


BLOCKS = [
    resnet_block,
    inception_block,
    dense_block,
    mobilenet_block,
    lambda: nn.Parallel(conv(2, 3), conv(2, 3, 1), merge="sum"),
]


@pytest.mark.parametrize("make", BLOCKS)
def test_blocks_keep_the_contract(make):
    block = make()
    x = np.random.default_rng(0).standard_normal((3, 2, 6, 6))
    assert gradcheck(block, x)
    assert check_module(make(), x)


def test_a_residual_block_by_hand():
    block = nn.Residual(nn.Flatten())
    x = np.array([[1.0, 2.0]])
    assert_close(block(x), 2 * x, 0)
    assert_close(block.backward(x), 2 * x, 0)


def test_shapes_that_do_not_fit_are_named():
    x = np.zeros((1, 2, 4, 4), np.float32)
    with pytest.raises(ValueError, match=r"Residual: body gives shape \(1, 3, 4, 4\), shortcut \(1, 2, 4, 4\)"):
        nn.Residual(conv(2, 3))(x)
    with pytest.raises(ValueError, match="Parallel: the branches give shapes .* merge='sum'"):
        nn.Parallel(conv(2, 3), conv(2, 2), merge="sum")(x)
    with pytest.raises(ValueError, match="Parallel: the branches give shapes"):
        nn.Parallel(conv(2, 3), conv(2, 3, stride=2))(x)


def test_what_cannot_be_a_block_is_refused():
    layer = conv(2, 2)
    with pytest.raises(ValueError, match="Parallel: got no branches"):
        nn.Parallel()
    with pytest.raises(ValueError, match="Parallel: merge must be one of 'cat', 'sum'"):
        nn.Parallel(layer, merge="mean")
    with pytest.raises(TypeError, match=r"Residual: body must be a Module, got .*; did you mean ReLU\(\)\?"):
        nn.Residual(nn.ReLU)


def test_a_module_list():
    layers = nn.ModuleList([nn.Linear(2, 3)]).append(nn.ReLU())
    layers.extend([nn.Linear(3, 1)])
    assert len(layers) == 3
    assert isinstance(layers[-1], nn.Linear)
    assert [type(m).__name__ for m in layers[:2]] == ["Linear", "ReLU"]
    layers[1] = nn.Tanh()
    assert list(dict(layers.named_params())) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    with pytest.raises(IndexError):
        layers[3]
    with pytest.raises(TypeError, match="ModuleList: 3 must be a Module"):
        layers.append(3)


def test_a_module_dict():
    heads = nn.ModuleDict({"digit": nn.Linear(4, 10), "sign": nn.Linear(4, 2)})
    heads["size"] = nn.Linear(4, 1)
    assert list(heads) == list(heads.keys()) == ["digit", "sign", "size"]
    assert "sign" in heads
    assert len(heads) == len(list(heads.values())) == len(list(heads.items())) == 3
    del heads["sign"]
    assert "sign" not in heads
    assert "digit.weight" in heads.state_dict()
    with pytest.raises(ValueError, match="'train' cannot be the name of a module"):
        heads["train"] = nn.ReLU()
    with pytest.raises(KeyError):
        heads["none"]


@pytest.mark.parametrize(("channels", "squeezed"), [(1, 1), (3, 1), (4, 1), (8, 2), (11, 2)])
def test_squeeze_excite_keeps_a_quarter_of_the_channels_at_least_one(channels, squeezed):
    assert nn.SqueezeExcite(channels).fc1.out_channels == squeezed
