"""Layers whose input size is left out."""

import copy
import pickle

import numpy as np
import pytest

import minidl
from minidl import nn, optim
from minidl.testing import check_module
from minidl.training import Trainer


def make():
    return nn.Sequential(
        nn.Conv2d(None, 4, 3, rng=np.random.default_rng(0)),
        nn.BatchNorm2d(None),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(None, 5, rng=np.random.default_rng(1)),
        nn.BatchNorm1d(None),
    )


def test_the_first_input_fixes_the_sizes():
    model, x = make(), np.random.default_rng(0).standard_normal((4, 3, 6, 6)).astype(np.float32)
    optimizer = optim.SGD(model.params(), lr=0.1)  # made before the sizes are known
    assert model(x).shape == (4, 5)
    assert [tuple(p.shape) for p in model.params()] == [(4, 3, 3, 3), (4,), (4,), (4,), (5, 64), (5,), (5,), (5,)]
    assert "Conv2d(3, 4" in repr(model)
    assert "in_features=64" in repr(model)
    before = model[0].weight.data.copy()
    model.backward(np.random.default_rng(1).standard_normal((4, 5)).astype(np.float32))
    optimizer.step()
    assert (model[0].weight.data != before).any()
    with pytest.raises(ValueError, match="expected 3 input channels, got 2"):
        model(x[:, :2])


def test_they_are_what_they_would_have_been():
    lazy, plain = nn.Linear(None, 3, rng=np.random.default_rng(0)), nn.Linear(4, 3, rng=np.random.default_rng(0))
    x = np.ones((2, 4), np.float32)
    np.testing.assert_array_equal(lazy(x), plain(x))


def test_summary_fixes_the_sizes():
    model = make()
    assert model.summary((1, 3, 6, 6)).total_params == sum(p.data.size for p in model.params()) == 112 + 8 + 325 + 10
    assert model[0].in_channels == 3


def test_before_that_they_can_be_copied_converted_and_shown():
    model = copy.deepcopy(make()).astype(np.float64)
    assert "in_features=None" in repr(model)
    assert model(np.ones((2, 1, 5, 5))).dtype == np.float64
    assert all(p.dtype == np.float64 for p in model.params())


def test_a_wrong_first_input_fixes_nothing():
    layer, linear = nn.Conv2d(None, 4, 3, groups=2), nn.Linear(None, 2)
    with pytest.raises(ValueError, match="Conv2d: "):
        layer(np.ones((1, 3, 5, 5), np.float32))
    with pytest.raises(TypeError, match="Linear: expected a float32"):
        linear(np.ones((2, 3), int))
    assert layer.in_channels is linear.in_features is None
    assert layer(np.ones((1, 2, 5, 5), np.float32)).shape == (1, 4, 3, 3)


def test_a_state_for_layers_without_a_size_says_what_to_do():
    state = nn.Sequential(nn.Linear(4, 3)).state_dict()
    model = nn.Sequential(nn.Linear(None, 3))
    with pytest.raises(
        ValueError, match=r"0.weight has shape \(3, 4\), expected \(0,\) \(no input size yet: call summary"
    ):
        model.load_state_dict(state)
    model.summary((1, 4))
    model.load_state_dict(state)


FILLS = [
    nn.init.zeros_,
    nn.init.ones_,
    nn.init.normal_,
    nn.init.uniform_,
    nn.init.trunc_normal_,
    nn.init.eye_,
    nn.init.dirac_,
    nn.init.orthogonal_,
    nn.init.xavier_uniform_,
    nn.init.xavier_normal_,
    nn.init.kaiming_uniform_,
    nn.init.kaiming_normal_,
    lambda p: nn.init.constant_(p, 2.0),
    lambda p: nn.init.sparse_(p, 0.5),
]


def unsized():
    """The parameters of layers without a size, also of copies, pickles and converted ones."""
    layers = [nn.Linear(None, 3), nn.Conv2d(None, 4, 3), nn.BatchNorm1d(None)]
    copies = [copy.deepcopy(layer) for layer in layers] + [pickle.loads(pickle.dumps(layer)) for layer in layers]
    converted = [copy.deepcopy(layer).astype(np.float64) for layer in layers]
    return [p for layer in [*layers, *copies, *converted, make()] for p in layer.params()]


@pytest.mark.parametrize("fill", FILLS)
def test_initialisers_refuse_what_has_no_size_yet(fill):
    for parameter in unsized():
        with pytest.raises(
            RuntimeError, match=r"init\.\w+: the parameter has no size yet, .*summary.input_shape. once"
        ):
            fill(parameter)


def test_apply_with_an_initialiser_likewise_and_works_once_there_is_a_size():
    def ones(module):
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            nn.init.ones_(module.weight)

    model, x = make(), np.ones((2, 3, 6, 6), np.float32)
    with pytest.raises(RuntimeError, match="the parameter has no size yet"):
        model.apply(ones)
    model.summary((1, 3, 6, 6))
    model.apply(ones)
    model(x)
    assert (model[0].weight.data == 1).all()
    assert (model[4].weight.data == 1).all()


def test_what_is_written_into_it_is_not_lost_silently():
    for parameter in unsized():
        for write in (
            lambda data: data.fill(1),
            lambda data: np.copyto(data, 1),
            lambda data: np.multiply(data, 2, out=data),
            lambda data: data.__setitem__(..., 1),
            lambda data: data.__iadd__(1),
        ):
            with pytest.raises(ValueError, match="read-only"):
                write(parameter.data)
    norm = nn.BatchNorm2d(None)
    with pytest.raises(ValueError, match="read-only"):
        norm.running_mean[...] = 1


@pytest.mark.parametrize(
    ("layer", "name", "value"),
    [
        (nn.Linear(None, 3), "weight", np.ones((3, 4), np.float32)),
        (nn.Linear(None, 3), "bias", np.ones(3, np.float32)),
        (nn.Conv2d(None, 2, 1), "weight", np.ones((2, 4, 1, 1), np.float32)),
        (nn.BatchNorm1d(None), "weight", np.ones(4, np.float32)),
        (nn.BatchNorm1d(None), "running_mean", np.ones(4, np.float32)),
    ],
)
@pytest.mark.parametrize("as_data", [True, False])
def test_what_is_put_in_its_place_is_not_replaced_by_the_first_input(layer, name, value, as_data):
    layer = copy.deepcopy(layer)
    if name == "running_mean":
        setattr(layer, name, value)
    elif as_data:
        getattr(layer, name).data = value
    else:
        setattr(layer, name, nn.Parameter(value))
    x = np.ones((2, 4, 1, 1) if isinstance(layer, nn.Conv2d) else (2, 4), np.float32)
    with pytest.raises(
        RuntimeError, match=rf"{type(layer).__name__}: {name} was set to shape .* before the layer knew"
    ):
        layer(x)


def test_states_without_sizes_can_be_exchanged():
    first, second = make(), make()
    second.load_state_dict(first.state_dict())
    x = np.random.default_rng(0).standard_normal((2, 1, 5, 5)).astype(np.float32)
    np.testing.assert_array_equal(first(x), second(x))
    with pytest.raises(ValueError, match=r"weight has shape \(4, 1, 3, 3\), expected \(0,\) .no input size yet"):
        make().load_state_dict(first.state_dict(), strict=False)


def test_optimizers_freezing_and_averages():
    model, x = make(), np.random.default_rng(0).standard_normal((4, 3, 6, 6)).astype(np.float32)
    with pytest.raises(RuntimeError, match="EMA: the parameter has no size yet"):
        optim.EMA(model)
    model[0].requires_grad_(False)
    optimizer = optim.SGD(model.params(), lr=0.1, momentum=0.9)
    model(x)
    model.backward(np.ones((4, 5), np.float32))
    assert model[0].weight.grad is None
    optimizer.step()
    state = optimizer.state_dict()
    with pytest.raises(ValueError, match="no input size yet: call summary"):
        optim.SGD(make().params(), lr=0.1, momentum=0.9).load_state_dict(state)
    optim.EMA(model).update()


def test_the_checks_of_gradients_give_layers_a_size():
    class Wrong(nn.Linear):
        def backward(self, grad_output):
            dx = super().backward(grad_output)
            self.weight.grad *= 2
            return dx

    x = np.random.default_rng(0).standard_normal((4, 3))
    assert minidl.gradcheck(nn.Linear(None, 2), x)
    with pytest.raises(AssertionError, match='parameter "weight" at '):
        minidl.gradcheck(Wrong(None, 2), x)
    assert check_module(make(), np.random.default_rng(0).standard_normal((4, 3, 6, 6)).astype(np.float32))


def test_a_first_step_that_fails_leaves_running_statistics_as_new():
    x, y = np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32), np.arange(8) % 3
    broken = x.copy()
    broken[0] = np.nan

    def fit(batches):
        model = nn.Sequential(nn.BatchNorm1d(None), nn.Linear(None, 3, rng=np.random.default_rng(0)))
        optimizer = optim.SGD(model.params(), lr=0.1)
        Trainer(model, nn.CrossEntropyLoss(), optimizer, on_nonfinite="skip", progress="none").fit(batches)
        return model.state_dict()

    expected = fit([(x, y)])
    for name, value in fit([(broken, y), (x, y)]).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)
