"""Arguments of layers: NumPy scalars, and what is wrong is reported for the public class."""

import inspect

import numpy as np
import pytest

import minidl
from minidl import data, nn, optim


@pytest.mark.parametrize("layer", [nn.LPPool2d(np.float64(2.0), np.int64(2)), nn.LocalResponseNorm(3, np.float64(0.1))])
def test_numpy_scalars_as_options_do_not_change_the_dtype(layer):
    x = np.random.default_rng(0).random((2, 3, 4, 4)).astype(np.float32)
    out = layer(x)
    assert out.dtype == np.float32
    assert layer.backward(out).dtype == np.float32
    assert "np." not in repr(layer)


@pytest.mark.parametrize(
    "layer",
    [
        nn.ELU(np.float64(2)),
        nn.LeakyReLU(np.float64(0.1)),
        nn.Softplus(np.float64(2), np.int64(3)),
        nn.Hardtanh(np.float64(-2), np.float32(2)),
        nn.Threshold(np.float64(0.1), np.float64(3)),
        nn.MaxPool2d(np.int64(2), (np.int32(1), np.int64(2))),
        nn.AvgPool2d(np.int64(2), divisor_override=np.int64(3)),
        nn.Conv2d(np.int64(3), np.int32(2), np.int64(2), padding=(np.int64(1), np.int64(0))),
        nn.BatchNorm2d(np.int64(3), eps=np.float64(1e-3), momentum=np.float64(0.2)),
        nn.GroupNorm(np.int64(1), np.int64(3), eps=np.float64(1e-3)),
        nn.ConstantPad2d(np.int64(1), np.float64(0.5)),
        nn.Upsample(scale_factor=np.float64(2)),
        nn.Dropout(np.float64(0.2)),
        nn.Unfold(np.int64(2)),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_numpy_scalars_as_options_become_numbers(layer):
    x = np.random.default_rng(0).random((2, 3, 4, 4)).astype(np.float32)
    out = layer(x)
    assert out.dtype == layer.backward(out).dtype == np.float32
    assert all(buffer.dtype != np.float64 for _, buffer in layer.named_buffers())
    assert "np." not in repr(layer)
    options = {name: value for name, value in vars(layer).items() if not name.startswith("_")}
    assert not [name for name, value in options.items() if isinstance(value, np.generic)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Dropout(0.5, 1), r"Dropout.__init__\(\) takes from 1 to 2 positional arguments but 3 were given"),
        (lambda: nn.SiLU(1, 2), r"SiLU.__init__\(\) takes from 1 to 2"),
        (lambda: nn.Sigmoid(1), r"Sigmoid.__init__\(\) takes 1 positional argument but 2 were given"),
        (nn.ReflectionPad2d, r"ReflectionPad2d.__init__\(\) missing 1 required positional argument"),
        (lambda: nn.MSELoss("sum"), r"MSELoss.__init__\(\) takes 1 positional argument but 2 were given"),
        (lambda: nn.BatchNorm2d(3, momentun=0.1), r"BatchNorm2d.__init__\(\) got an unexpected keyword argument"),
    ],
)
def test_wrong_arguments_are_reported_for_the_public_class(make, message):
    with pytest.raises(TypeError, match=f"^{message}"):
        make()


LAYERS = {name: kind for name, kind in vars(nn).items() if isinstance(kind, type) and issubclass(kind, nn.Module)}
IN_PLACE = [name for name in nn.__all__ if name in LAYERS and "inplace" in inspect.signature(LAYERS[name]).parameters]


@pytest.mark.parametrize("name", IN_PLACE)
def test_inplace_is_a_flag_wherever_there_is_one(name):
    first = {"threshold": 0.1, "value": 2.0} if name == "Threshold" else {}
    with pytest.raises(TypeError, match=f"^{name}: inplace must be True or False, got 1$"):
        LAYERS[name](**first, inplace=1)
    layer, x = LAYERS[name](**first, inplace=True), np.linspace(-2, 2, 5)
    layer(x)
    np.testing.assert_array_equal(x, np.linspace(-2, 2, 5))


def test_the_activations_that_pytorch_computes_in_place_have_the_option():
    assert {"ReLU", "ELU", "CELU", "SELU", "LeakyReLU", "Hardtanh", "Threshold", "SiLU", "Mish"} <= set(IN_PLACE)


def positional(function):
    """The names of what a class or function takes by position."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [name for name, p in inspect.signature(function).parameters.items() if p.kind in kinds and name != "self"]


def test_what_is_given_by_position_means_what_it_means_in_pytorch():
    torch = pytest.importorskip("torch")
    pairs = [(nn, torch.nn), (optim, torch.optim), (optim.lr_scheduler, torch.optim.lr_scheduler)]
    pairs += [(nn.utils, torch.nn.utils), (nn.init, torch.nn.init), (data, torch.utils.data)]
    wrong = {}
    for ours, theirs in pairs:
        for name in ours.__all__:
            if callable(getattr(ours, name)) and hasattr(theirs, name):
                own, other = positional(getattr(ours, name)), positional(getattr(theirs, name))
                own = ["tensor" if argument == "parameter" and ours is nn.init else argument for argument in own]
                if own != other[: len(own)]:
                    wrong[name] = own, other
    assert not wrong


@pytest.mark.parametrize("make", [lambda x: x.view(np.matrix), np.ma.masked_array], ids=["matrix", "masked"])
def test_matrices_and_masked_arrays_are_refused(make):
    x = np.ones((2, 3), np.float32)
    with pytest.raises(TypeError, match="MSELoss: expected a plain NumPy array, got a (matrix|MaskedArray); use "):
        nn.MSELoss()(make(x), x)
    with pytest.raises(TypeError, match="MSELoss: expected a plain NumPy array"):
        nn.MSELoss()(x, make(x))
    with minidl.no_grad(), pytest.raises(TypeError, match="Linear: expected a plain NumPy array"):
        nn.Linear(3, 2)(make(x))
    with pytest.raises(TypeError, match="expected a plain NumPy array"):
        nn.functional.relu_forward(make(x))
