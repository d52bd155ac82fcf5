"""Grad-CAM and feature maps of models that are classes: any layer, by its path, itself or its number."""

import numpy as np
import pytest

from minidl import nn
from minidl.plotting import grad_cam_map
from minidl.plotting.attribution import layer_output

IMAGES = np.random.default_rng(0).standard_normal((3, 2, 6, 7)).astype(np.float32)


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(channels, channels, 3, padding=1), nn.Conv2d(channels, channels, 1)
        self.norm, self.act = nn.BatchNorm2d(channels), nn.ReLU()

    def forward(self, x):
        return self.act(x + self.norm(self.conv2(self.act(self.conv1(x)))))


class Net(nn.Module):
    """A stem, a block, pooling written out; ``spare`` is not used, ``side`` does not count."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3)
        self.blocks = [Block(4), Block(4)]
        self.side, self.spare = nn.Conv2d(2, 4, 1), nn.Identity()
        self.pool, self.head = nn.AdaptiveAvgPool2d(1), nn.Linear(4, 5)

    def forward(self, x):
        side = self.side(x).detach()
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        x = x + side.mean(dim=(2, 3), keepdim=True)
        return self.head(self.pool(x).flatten(1))


class Explicit(nn.Module):
    """The same as its body, with a backward of its own."""

    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, x):
        return self.body(x)

    def backward(self, grad_output):
        return self.body.backward(grad_output)


def by_hand(net, layer, images, target):
    """Grad-CAM from the gradient that a change of the layer's output shows: the logits are piecewise linear in it."""
    found = []

    def replace(module, inputs, output):
        return output + shift

    _, maps = layer_output("test", net, images, layer)
    handle = layer.register_forward_hook(replace)
    net.eval()
    with nn.no_grad():
        for channel in range(maps.shape[1]):
            weight = np.zeros(len(images))
            for sign in (1, -1):
                shift = np.zeros_like(maps)
                shift[:, channel] = sign * 1e-3
                weight += sign * net(images)[:, target] / 2e-3
            found.append(weight / maps[0, 0].size)
    handle.remove()
    net.train()
    weighted = np.maximum((np.stack(found, 1)[:, :, None, None] * maps).sum(1), 0)
    return weighted / np.maximum(weighted.max((1, 2), keepdims=True), 1e-30)


@pytest.mark.parametrize("path", ["stem", "blocks.0", "blocks.1.conv1", "blocks.1.norm", "blocks.1.act"])
@pytest.mark.parametrize("seed", range(3))
def test_any_layer_of_a_class(path, seed):
    net = Net()
    rng = np.random.default_rng(seed)
    for parameter in net.params():
        parameter.data[...] = rng.standard_normal(parameter.shape) / 2
    net.astype(np.float64)
    images = IMAGES.astype(np.float64)
    layer = dict(net.named_modules())[path]
    maps = grad_cam_map(net, images, path, target=2)
    np.testing.assert_array_equal(maps, grad_cam_map(net, images, layer, target=2))
    np.testing.assert_allclose(grad_cam_map(Explicit(net), images, layer, target=2), maps, atol=1e-12)
    if path != "blocks.1.act":  # which is called twice: the last call counts, a hook changes both
        np.testing.assert_allclose(maps, by_hand(net, layer, images, 2), atol=2e-2)
    else:
        np.testing.assert_array_equal(maps, grad_cam_map(net, images, "blocks.1", target=2))


def test_without_a_layer_the_last_image_is_taken():
    net = Net()
    maps = grad_cam_map(net, IMAGES, target=1)
    assert maps.shape == (3, 4, 5)  # not the pool, whose output is one pixel
    np.testing.assert_array_equal(maps, grad_cam_map(net, IMAGES, "blocks.1", target=1))
    chain = nn.Sequential(net.stem, *net.blocks, net.pool, nn.Flatten(), net.head)
    for layer in (0, 1, "2", None):
        head = chain[{"2": 3, None: 3}.get(layer, 1 if layer is None else int(layer) + 1) :].eval()
        body = chain[: len(chain) - len(head)].eval()
        activation = body(IMAGES)
        out = head(activation)
        gradient = head.backward(np.eye(5, dtype=np.float32)[np.full(len(out), 3)])
        weighted = np.maximum((gradient.mean((2, 3), keepdims=True) * activation).sum(1), 0)
        largest = weighted.max((1, 2), keepdims=True)
        expected = np.divide(weighted, largest, out=np.zeros_like(weighted), where=largest > 0)
        np.testing.assert_allclose(grad_cam_map(chain, IMAGES, layer, target=3), expected, rtol=1e-5, atol=1e-6)


def test_feature_maps_are_the_layers_output():
    net = Net().eval()
    np.testing.assert_array_equal(layer_output("maps", net, IMAGES, "stem")[1], net.stem(IMAGES))
    np.testing.assert_array_equal(layer_output("maps", net, IMAGES, net.side)[1], net.side(IMAGES))
    np.testing.assert_array_equal(layer_output("maps", net, IMAGES, 0)[1], net.stem(IMAGES))


def test_what_cannot_be_shown_is_told_and_nothing_is_left_behind():
    net = Net()
    kinds, flags = [type(m) for m in net.modules()], [m.needs_input_grad for m in net.modules()]
    net.blocks[0].needs_input_grad = False
    flags = [m.needs_input_grad for m in net.modules()]
    for layer, message in (
        ("side", "the logits do not depend on the output of layer 'side'"),
        ("spare", "the model does not call layer 'spare'"),
        ("head", r"the output of layer 'head' is not an image: its shape is \(3, 5\)"),
        ("blocks.7", "there is no layer 'blocks.7'; known: stem, blocks.0, blocks.0.conv1"),
        (nn.ReLU(), "this ReLU is not in the model"),
        (9, "there is no layer 9; the model has 7"),
    ):
        with pytest.raises(ValueError, match=message):
            grad_cam_map(net, IMAGES, layer)
    grad_cam_map(net, IMAGES, "stem")
    assert [type(m) for m in net.modules()] == kinds
    assert [m.needs_input_grad for m in net.modules()] == flags
    assert all(m.training and not m._forward_hooks for m in net.modules())
    assert all(p.grad is None for p in net.params())
