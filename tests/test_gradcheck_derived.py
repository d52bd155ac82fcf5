"""gradcheck and check_module on modules that define forward only: the layer whose backward is wrong is named."""

import re

import numpy as np
import pytest
from derived_nets import RandomNet

from minidl import gradcheck, nn
from minidl.testing import check_module

SEEDS = range(12)


def factor(layer, backward, grad_output):
    dx = backward(grad_output)
    return 1.02 * dx


def sign(layer, backward, grad_output):
    return -backward(grad_output)


def element(layer, backward, grad_output):
    dx = backward(grad_output).copy()
    dx.flat[np.abs(dx).argmax()] *= 1.5
    return dx


def missing(layer, backward, grad_output):
    """The bias, or what else comes last, gets no gradient; without parameters the input gets a part of its own."""
    last = list(layer.params())[-1:]
    before = [parameter.grad for parameter in last]
    dx = backward(grad_output)
    for parameter, grad in zip(last, before, strict=True):
        parameter.grad = grad
    return dx if last else np.where(grad_output > 0, dx, 0)


def plant(layer, fault):
    """Give a layer a wrong backward; where no gradient of the input is wanted there is none to be wrong."""
    kind = type(layer)

    def backward(self, grad_output):
        if not self.needs_input_grad:
            return kind.backward(self, grad_output)
        return fault(self, lambda g: kind.backward(self, g), grad_output)

    layer.__class__ = type(kind.__name__, (kind,), {"backward": backward, "__module__": __name__})


def explicit(net):
    return [(path, m) for path, m in net.named_modules() if path and not any(True for _ in m.children())]


@pytest.mark.parametrize("seed", SEEDS)
def test_right_nets_pass(seed):
    net = RandomNet(seed)
    assert gradcheck(net, *net.draw(), max_entries=4)


@pytest.mark.parametrize("fault", [factor, sign, element, missing], ids=lambda f: f.__name__)
@pytest.mark.parametrize("seed", SEEDS)
def test_the_wrong_layer_is_named_and_no_other(seed, fault):
    print("seed", seed)
    net = RandomNet(seed)
    layers = [(path, layer) for path, layer in explicit(net) if not isinstance(layer, nn.Embedding)]
    path, layer = layers[np.random.default_rng(seed).integers(len(layers))]
    kind = type(layer).__name__
    plant(layer, fault)
    with pytest.raises(AssertionError) as raised:
        gradcheck(net, *net.draw(), max_entries=8)
    blamed = re.findall(r'the backward of (\w+) "([^"]+)" is wrong', str(raised.value))
    assert blamed == [(kind, path)]


@pytest.mark.parametrize("seed", range(8))
def test_check_module_takes_structures_and_names_the_layer(seed):
    net = RandomNet(seed, steps=4, batch_norm=False)
    assert check_module(net, *net.draw(n=3))
    path, layer = explicit(net)[-1]
    kind = type(layer).__name__
    plant(layer, factor)
    with pytest.raises(
        AssertionError, match=rf'the backward of {kind} "{path}" is wrong on the inputs that it gets here'
    ):
        check_module(net, *net.draw(n=3))


class Lost(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.scale = nn.Linear(3, 3), nn.Parameter(np.ones(3, np.float32))

    def forward(self, x, *, double=False):
        return self.linear(x) * self.scale.data


class Chain(nn.Module):
    """With a backward of its own, which forgets the second layer."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Tanh()

    def forward(self, x):
        return self.second(self.first(x))

    def backward(self, grad_output):
        self.second.take_saved()
        return self.first.backward(grad_output)


class Named(nn.Module):
    """Calls its layer with an argument by name."""

    def __init__(self):
        super().__init__()
        self.scaled = Scaled()

    def forward(self, x):
        return self.scaled(x, by=3.0) + self.scaled(x)


class Scaled(nn.Module):
    def forward(self, x, by=1.0):
        self.save_for_backward(by)
        return x * by

    def backward(self, grad_output):
        by = self.take_saved()
        return grad_output * (by if by == 1 else 1.1 * by)


X = np.random.default_rng(5).standard_normal((2, 3)).astype(np.float32)


def test_where_no_layer_is_wrong_the_forward_is():
    with pytest.raises(
        AssertionError, match=r"layers inside are right .*: look in Lost.forward for a .data, detach\(\)"
    ):
        gradcheck(Lost(), X)


class Dropped(nn.Module):
    """No layer with a backward of its own."""

    def forward(self, x):
        return x * x.detach()


def test_the_forward_that_loses_a_gradient_is_named():
    with pytest.raises(AssertionError, match=r"look in Dropped.forward for a .data, detach\(\)"):
        gradcheck(Dropped(), X)
    net = nn.Sequential(nn.Linear(3, 3), nn.Residual(nn.Sequential(nn.Tanh(), Lost())), nn.ReLU())
    with pytest.raises(AssertionError, match='look in the forward of Lost "1.body.1" for a .data'):
        gradcheck(net, X)


def test_an_explicit_parent_is_wrong_only_if_its_layers_are_right():
    with pytest.raises(AssertionError, match=r"layers inside are right on .*: look at Chain.backward"):
        gradcheck(Chain(), X)
    outer = nn.Sequential(nn.Linear(3, 3), Chain())
    with pytest.raises(AssertionError, match='the backward of Chain "1" is wrong on'):
        gradcheck(outer, X)
    plant(outer[1].first, sign)
    with pytest.raises(AssertionError, match='the backward of Linear "1.first" is wrong on') as raised:
        gradcheck(outer, X)
    assert "Chain" not in str(raised.value)


def test_each_call_counts_with_its_own_arguments():
    with pytest.raises(AssertionError, match='the backward of Scaled "scaled" is wrong on'):
        gradcheck(Named(), X)


def test_an_output_that_no_gradient_reaches():
    class Constant(nn.Module):
        def forward(self, x):
            return x * 2, x.detach() * 3, (x > 0).long()

    with pytest.raises(AssertionError, match="the input along|the input at"):  # detach() is a difference
        gradcheck(Constant(), X)
    assert np.allclose(Constant()(X)[1], 3 * X)


def test_nested_inputs_are_named():
    class Nested(nn.Module):
        def forward(self, parts):
            return parts["a"][0] * 2 + parts["b"].detach()

    with pytest.raises(AssertionError, match=r'failed: the input\["b"\] a'):
        gradcheck(Nested(), {"a": [X], "b": X})
    with pytest.raises(ValueError, match=r'gradcheck: input 0\["b"\] holds NaN'):
        gradcheck(Nested(), {"a": [X], "b": X * np.nan})


class MeanAbsolute(nn.Module):
    def forward(self, prediction, target):
        return (prediction - target).abs().mean()


class Rooted(nn.Module):
    """No mean over the samples."""

    def forward(self, prediction, target):
        return ((prediction - target) ** 2).mean().sqrt()


def test_a_loss_that_defines_forward_only():
    assert check_module(MeanAbsolute(), X, X[::-1] * 2 + 1)
    with pytest.raises(AssertionError, match="do not give the loss and the gradient of both together"):
        check_module(Rooted(), X, X[::-1] * 2 + 1)


class Doubled(nn.Conv2d):
    """Its forward is another than the one that Conv2d's backward, which stands in a base of that, was written for."""

    def forward(self, x):
        return super().forward(x) * 2 + x


class Offset(nn.Linear):
    def forward(self, x):
        return super().forward(x + 1) ** 2


@pytest.mark.parametrize("layer", [Doubled(3, 3, 3, padding=1), Offset(5, 4)], ids=lambda layer: type(layer).__name__)
def test_a_layer_with_another_forward_than_its_base(layer):
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(np.float32)
    assert gradcheck(layer, x)
    assert gradcheck(nn.Sequential(layer, nn.Tanh()), x)
