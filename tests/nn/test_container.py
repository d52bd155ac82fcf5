"""Sequential: a list of layers, by position or by name."""

from collections import OrderedDict

import numpy as np
import pytest
from checks import assert_close

import minidl
from minidl import gradcheck, nn
from minidl.testing import check_module


def small():
    return nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))


def test_it_keeps_the_contract(rng):
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(8, 3),
    )
    assert check_module(model, rng.standard_normal((3, 1, 4, 4)))


def test_len_indexing_slicing_iteration_and_append():
    model = small()
    assert len(model) == 3
    assert list(model) == [model[0], model[1], model[2]]
    assert model[-1] is model[2]
    tail = model[1:]
    assert isinstance(tail, nn.Sequential)
    assert list(tail) == [model[1], model[2]]
    assert model.append(nn.ReLU()) is model
    assert len(model) == 4
    assert [name for name, _ in model.named_children()] == ["0", "1", "2", "3"]
    with pytest.raises(IndexError, match="layer 4 of 4 does not exist"):
        model[4]


def test_a_split_sequential_computes_the_same(rng):
    model, x = small(), rng.standard_normal((5, 4)).astype(np.float32)
    out = model(x)
    dx = model.backward(out)
    head, tail = model[:1], model[1:]
    features = head(x)
    assert_close(tail(features), out, 0)
    assert_close(head.backward(tail.backward(out)), dx, 0)


def test_append_finds_a_free_name():
    tail = nn.Sequential(nn.ReLU(), nn.ReLU(), nn.Linear(2, 2))[1:].append(nn.Flatten())
    assert [name for name, _ in tail.named_children()] == ["1", "2", "3"]
    assert len(nn.Sequential({"1": nn.ReLU()}).append(nn.ReLU())) == 2


def test_named_construction():
    model = nn.Sequential(OrderedDict(fc=nn.Linear(4, 3), act=nn.ReLU()))
    assert model.fc is model[0]
    assert list(model.state_dict()) == ["fc.weight", "fc.bias"]
    assert [name for name, _ in model[1:].named_children()] == ["act"]


def test_the_same_instance_twice_keeps_what_each_call_needs(rng):
    relu, linear = nn.ReLU(), nn.Linear(4, 4, dtype=np.float64)
    twice = nn.Sequential(linear, relu, nn.Sequential(linear, relu), nn.Residual(linear, nn.Sequential(linear, relu)))
    apart = nn.Sequential(
        nn.Linear(4, 4, dtype=np.float64), nn.ReLU(), nn.Linear(4, 4, dtype=np.float64), nn.ReLU()
    ).append(
        nn.Residual(nn.Linear(4, 4, dtype=np.float64), nn.Sequential(nn.Linear(4, 4, dtype=np.float64), nn.ReLU()))
    )
    for parameter, value in zip(apart.params(), [linear.weight, linear.bias] * 4, strict=True):
        parameter.data[...] = value.data
    x, grad = rng.standard_normal((3, 4)), rng.standard_normal((3, 4))
    np.testing.assert_array_equal(twice(x), apart(x))
    np.testing.assert_allclose(twice.backward(grad), apart.backward(grad), rtol=1e-12)
    own = [p.grad for p in apart.params()]
    np.testing.assert_allclose(linear.weight.grad, sum(own[::2]), rtol=1e-12)
    np.testing.assert_allclose(linear.bias.grad, sum(own[1::2]), rtol=1e-12)
    assert gradcheck(twice, x)


def test_a_layer_can_be_exchanged():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    model[-1] = nn.Linear(3, 5)
    assert model(np.ones((1, 2), np.float32)).shape == (1, 5)
    with pytest.raises(IndexError, match="layer 3 of 3 does not exist"):
        model[3] = nn.ReLU()
    with pytest.raises(TypeError, match=r"did you mean ReLU\(\)\?"):
        model[1] = nn.ReLU


@pytest.mark.parametrize("wrong", [nn.ReLU, np.ones(1), None, "relu"])
def test_what_is_not_a_module_is_refused(wrong):
    with pytest.raises(TypeError, match="Sequential: layer '0' must be a Module, got"):
        nn.Sequential(wrong)


def test_a_list_of_layers_gets_a_hint():
    with pytest.raises(TypeError, match=r"unpack the list: Sequential\(\*layers\)"):
        nn.Sequential([nn.ReLU()])


def test_a_class_in_a_layers_place_gets_a_hint():
    with pytest.raises(TypeError, match=r"did you mean ReLU\(\)\?"):
        nn.Sequential(nn.ReLU)


@pytest.mark.parametrize("name", ["forward", "append", "_add", "a.b", "", "training", 3])
def test_names_that_cannot_be_attributes_are_refused(name):
    with pytest.raises(ValueError, match="cannot be the name of a layer"):
        nn.Sequential({name: nn.ReLU()})


def test_an_empty_one_is_the_identity():
    x = np.ones((2, 3))
    model = nn.Sequential()
    assert model(x) is x
    assert model.backward(x) is x
    assert model.needs_input_grad
    assert repr(model) == "Sequential()"


def test_same_seed_same_weights_and_an_explicit_generator_wins():
    minidl.manual_seed(3)
    first = small().state_dict()
    minidl.manual_seed(3)
    second = small().state_dict()
    minidl.manual_seed(4)
    third = small().state_dict()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
        assert not np.array_equal(first[name], third[name])
    weights = [nn.Linear(2, 2, rng=np.random.default_rng(5)).weight.data for _ in range(2)]
    np.testing.assert_array_equal(*weights)
