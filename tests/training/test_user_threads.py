"""Threads of the user's own: each gets the numbers that it would get alone, and nothing of the others' changes."""

import sys
import threading

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.nn.modes import enable_grad, eval_mode, evaluating, modes_kept
from minidl.optim import SGD
from minidl.plotting.attribution import input_gradient
from minidl.training import Trainer


@pytest.fixture(autouse=True)
def switch_often():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


class Derived(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.drop, self.head = nn.Dropout(0.5), nn.Linear(8, 4)

    def forward(self, x):
        return self.head(self.drop(self.norm(self.conv(x)).relu()).mean(dim=(2, 3)))


def chain():
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(8 * 7 * 7, 4)),
    )


def at_once(*functions):
    errors = []

    def call(function):
        try:
            function()
        except BaseException as error:  # raised in the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=call, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@pytest.mark.parametrize("make", [Derived, chain])
def test_eight_threads_predict_with_one_model_in_training_mode(make):
    minidl.manual_seed(0)
    model = make()
    x = np.random.default_rng(0).standard_normal((24, 3, 16, 16)).astype(np.float32)
    model(x)
    trainer = Trainer(model, nn.CrossEntropyLoss(), progress="none")
    expected, state = trainer.predict(x, batch_size=4), {k: v.copy() for k, v in model.state_dict().items()}

    def predict():
        for _ in range(4):
            np.testing.assert_array_equal(trainer.predict(x, batch_size=4), expected)

    at_once(*[predict] * 8)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, state[name])
    assert all(module.training for module in model.modules())


def test_trainings_in_several_threads_are_those_of_one():
    def train(seed):
        model = chain()
        rng = np.random.default_rng(seed)
        for parameter in model.params():
            parameter.data[...] = rng.standard_normal(parameter.shape) * 0.1
        model[3].rng = np.random.default_rng(seed)
        x, y = rng.standard_normal((8, 3, 16, 16)).astype(np.float32), rng.integers(0, 4, 8)
        loss_fn, optimizer = nn.CrossEntropyLoss(), SGD(model.params(), lr=0.1)
        for _ in range(15):
            optimizer.zero_grad()
            loss_fn(model(x), y).backward()
            optimizer.step()
        return list(model.state_dict().values())

    alone = [train(seed) for seed in range(4)]
    together = {}
    at_once(*(lambda seed=seed: together.update({seed: train(seed)}) for seed in range(4)))
    for seed in range(4):
        for one, other in zip(alone[seed], together[seed], strict=True):
            np.testing.assert_array_equal(one, other)


def test_modes_in_an_evaluation_are_its_own():
    model = nn.Sequential(nn.Dropout(), nn.Sequential(nn.BatchNorm1d(2)), nn.Dropout().freeze())
    seen = []
    with evaluating(model):
        assert not any(module.training for module in model.modules())
        at_once(lambda: seen.extend(module.training for module in model.modules()))
        model[0].train()  # such as for Monte Carlo dropout
        assert model[0].training and not model[1].training
        with modes_kept(model):
            model.train()
            assert model[1].training
        with eval_mode(model[0]):
            assert not model[0].training
        assert model[0].training and not model[1].training and not model[1][0].training
        other = nn.Dropout()
        assert other.training and not other.eval().training
    assert seen == [True, True, True, True, False]
    assert [module.training for module in model.modules()] == seen
    assert not other.training


def test_a_gradient_taken_in_an_evaluation_leaves_its_modes():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(32, 2))
    with evaluating(model), enable_grad():
        input_gradient(model, np.ones((2, 1, 6, 6), np.float32))
        assert not any(module.training for module in model.modules())
    assert model.training
