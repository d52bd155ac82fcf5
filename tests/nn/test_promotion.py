"""The layer that makes float64 of float32 is named, where it stands, by check_module and in ordinary use."""

import numpy as np
import pytest

from minidl import nn, optim
from minidl.testing import check_module
from minidl.training import Trainer


class Scale(nn.Module):
    """y = x * weight; a float32 layer."""

    def __init__(self, weight=(0.5, 1, 2), dtype=np.float32):
        super().__init__()
        self.weight = nn.Parameter(np.array(weight, dtype))

    def forward(self, x):
        self.save_for_backward(x)
        return x * self.weight.data

    def backward(self, grad_output):
        x = self.take_saved()
        self.weight.add_grad((grad_output * x).sum(axis=0))
        return grad_output * self.weight.data


class Shift(Scale):
    """A float64 buffer."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", np.zeros(3))

    def forward(self, x):
        return super().forward(x) - self.mean


class InEval(Scale):
    def forward(self, x):
        return super().forward(x) * (1 if self.training else np.float64(1))

    def backward(self, grad_output):
        return super().backward(grad_output)


class LargeBatches(Scale):
    def forward(self, x):
        return super().forward(x) * (np.ones(1) if len(x) > 4 else 1)


class OneSample(Scale):
    def forward(self, x):
        return super().forward(x) * (np.ones(1) if len(x) == 1 else 1)


class Backward(Scale):
    def backward(self, grad_output):
        return super().backward(grad_output) * np.float64(1)


class EvalBackward(Scale):
    def backward(self, grad_output):
        return super().backward(grad_output) * (1 if self.training else np.float64(1))


class OwnGradient(Scale):
    """Sets the gradient itself, in float64."""

    def backward(self, grad_output):
        dx = super().backward(grad_output)
        self.weight.grad = self.weight.grad.astype(np.float64)
        return dx


class Halved(Scale):
    def __init__(self):
        super().__init__()
        self.weight.data = self.weight.data.astype(np.float16)


class Whole(Scale):
    def __init__(self):
        super().__init__()
        self.weight.data = self.weight.data.astype(np.int64)


class Narrow(nn.Identity):
    """Always float32, also given float64."""

    def forward(self, x):
        return super().forward(x).astype(np.float32)


class SquareLoss(nn.Loss):
    def forward(self, prediction, target):
        self.save_for_backward(prediction - target)
        return float(np.square(prediction - target).mean())

    def backward(self, grad_output=1.0):
        difference = self.take_saved()
        return grad_output * difference * np.float64(2 / difference.size)


def scale64():
    return Scale(dtype=np.float64)


def mixed():
    return nn.Sequential(nn.Linear(3, 3), nn.ReLU(), scale64())


X = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (scale64, 'parameter "weight" is float64 and input 0 is float32; use one dtype'),
        (mixed, 'parameter "0.weight" is float32 and parameter "2.weight" is float64'),
        (lambda: nn.Sequential(scale64(), nn.Linear(3, 3)), '"0.weight" is float64 and parameter "1.weight" is float3'),
        (Shift, "given float32 input, its output is float64: buffer 'mean' is float64; make it float32"),
        (
            lambda: nn.Sequential(Shift(), nn.ReLU()),
            'Shift "0": given float32 input, its output is float64: buffer \'m',
        ),
        (InEval, "given float32 input and parameters, its output is float64"),
        (LargeBatches, "given float32 input and parameters, its output is float64"),
        (OneSample, "given float32 input and parameters, its output is float64"),
        (Backward, "given float32 input and parameters, the gradient of input 0 is float64"),
        (EvalBackward, "given float32 input and parameters, the gradient of input 0 is float64"),
        (OwnGradient, 'the gradient of parameter "weight" is float64'),
        (Halved, 'parameter "weight" is float16; make it float32'),
        (Whole, 'parameter "weight" is int64; make it float32'),
        (Narrow, "given float64 input and parameters, its output is float32"),
        (lambda: nn.Sequential(nn.Linear(3, 3), InEval(), nn.Linear(3, 3)), 'InEval "1": given float32 input'),
        (lambda: nn.Sequential(nn.Linear(3, 3), Backward(), nn.ReLU()), 'Backward "1": given float32 input'),
    ],
)
def test_check_module_names_what_is_float64(layer, message):
    with pytest.raises(AssertionError) as error:
        check_module(layer(), X)
    assert message in str(error.value)


@pytest.mark.parametrize("layer", [mixed, Halved, Whole, InEval, EvalBackward, OneSample, Narrow])
def test_float64_inputs_hide_nothing(layer):
    with pytest.raises(AssertionError, match="float32"):
        check_module(layer(), X.astype(np.float64))


def test_check_module_names_a_loss():
    with pytest.raises(AssertionError, match="the gradient of input 0 is float64"):
        check_module(SquareLoss(), X, X + 1)


def test_what_is_of_one_dtype_passes():
    assert check_module(Scale(), X)
    assert check_module(Scale(), X.astype(np.float64))
    assert check_module(scale64(), X.astype(np.float64))
    net = nn.Sequential(nn.Linear(3, 4, dtype=np.float64), nn.BatchNorm1d(4, dtype=np.float64))
    assert check_module(net, X.astype(np.float64))


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (scale64, "^Scale \"1.0\": given float32 input, its output is float64: Parameter 'weight' is float64; make it"),
        (Shift, "^Shift \"1.0\": given float32 input, its output is float64: buffer 'mean' is float64"),
        (lambda: InEval().eval(), '^InEval "1.0": given float32 input and parameters, its output is float64; look for'),
    ],
)
def test_a_net_names_the_layer_that_promotes_and_not_the_next(layer, message):
    net = nn.Sequential(nn.Linear(3, 3), nn.Sequential(layer(), nn.ReLU()), nn.Linear(3, 2))
    with pytest.raises(TypeError, match=message):
        net(X)
    assert not any(module._saved for module in net.modules())


def test_a_net_names_the_layer_whose_gradient_is_float64():
    net = nn.Sequential(nn.Linear(3, 3), Backward(), nn.Linear(3, 2))
    out = net(X)
    with pytest.raises(
        TypeError, match='^Backward "1": given float32 input and parameters, the gradient of input 0 is'
    ):
        net.backward(out)


def test_a_loss_with_a_float64_gradient_is_named():
    net = nn.Sequential(nn.Linear(3, 3))
    trainer = Trainer(net, SquareLoss(), optim.SGD(net.params(), 0.1), progress="none")
    with pytest.raises(TypeError, match=r"SquareLoss.backward\(\) gives float64 for float32 predictions"):
        trainer.fit([(X, X)])
    loss = SquareLoss()
    loss(net(X), X)
    with pytest.raises(
        TypeError, match=r"got float64; it is what the next layer's backward\(\), or the loss's, returned"
    ):
        net.backward(loss.backward())


def test_what_a_layer_may_do():
    """Labels become floats, float64 becomes float32, and one float64 input among several makes float64."""

    class Plus(nn.Module):
        def forward(self, a, b):
            return a + b

    assert nn.Embedding(3, 2)(np.array([0, 2])).dtype == np.float32
    assert Narrow()(X.astype(np.float64)).dtype == np.float32
    assert Plus()(X, X.astype(np.float64)).dtype == np.float64
    assert Plus()(X.astype(np.float64), X).dtype == np.float64
