"""What is not finite: where it comes from, and that nothing is half-changed."""

import numpy as np
import pytest
from fits import make, problem

from minidl import nn, optim
from minidl.data import DataLoader
from minidl.training import Callback, NonFiniteLossError, Trainer


class Blow(nn.Identity):
    """Gives infinity from its n-th forward pass on."""

    def __init__(self, n):
        super().__init__()
        self.calls, self.n = 0, n

    def forward(self, x):
        self.calls += 1
        return super().forward(x if self.calls < self.n else x + np.float32(np.inf))


def test_the_first_non_finite_loss_stops_the_fit_and_names_the_layer():
    trainer = make()
    model = nn.Sequential(nn.Linear(4, 16), nn.Sequential(nn.ReLU(), Blow(8)), nn.Linear(16, 3))
    trainer = Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.params(), lr=0.25), progress="none")
    snapshots = []

    class Snapshot(Callback):
        def on_batch_end(self, trainer):
            snapshots.append(model.state_dict())

    trainer.callbacks.append(Snapshot())
    with pytest.raises(NonFiniteLossError) as caught:
        trainer.fit(DataLoader(problem(50), 10), epochs=5)
    error = caught.value
    assert (error.epoch, error.batch, error.lr) == (2, 3, 0.25)
    assert 'the first layer whose output is not finite is Blow "1.1"' in str(error)
    assert "the loss is nan in epoch 2, batch 3, at learning rate 0.25 (gradient norm of the step before: " in str(
        error
    )
    assert len(trainer.history) == 1
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, snapshots[-1][name])


def test_a_learning_rate_that_is_too_high_stops_with_the_broken_parameter():
    with pytest.raises(NonFiniteLossError, match=r"learning rate 1e\+30 .*: the first layer .* is Linear"):
        make(lr=1e30).fit(DataLoader(problem(), 10), epochs=5)


def test_an_infinite_loss_stops_too():
    class Huge(nn.MSELoss):
        def forward(self, prediction, target):
            super().forward(prediction, target)
            return float("inf")

    model, x = nn.Linear(4, 4), problem().arrays[0]
    trainer = Trainer(model, Huge(), optim.SGD(model.params(), lr=0.1), progress="none")
    with pytest.raises(NonFiniteLossError, match="the loss is inf in epoch 1, batch 1"):
        trainer.fit([(x, x)])


def test_a_last_step_that_is_not_finite_is_found():
    model, x = nn.Linear(4, 3), problem().arrays[0] * np.float32(1e3)
    trainer = Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.params(), lr=1e38), progress="none")
    with pytest.raises(NonFiniteLossError, match=r'the last step was not finite .* parameter "weight" is not finite'):
        trainer.fit([(x, problem().arrays[1])])


def test_a_validation_loss_that_is_not_finite_is_found():
    data, val = problem(), problem()
    val.arrays[0][3] = np.nan
    with pytest.raises(NonFiniteLossError, match="the validation loss is nan in epoch 1"):
        make().fit(DataLoader(data, 10), DataLoader(val, 10))


def test_a_composite_module_is_named_when_its_own_arithmetic_fails():
    class Log(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(4, 3)

        def forward(self, x):
            return np.log(self.inner(x) - 100)

    model = nn.Sequential(Log())
    trainer = Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.params(), lr=0.1), progress="none")
    with pytest.raises(NonFiniteLossError, match='the first layer whose output is not finite is Log "0"'):
        trainer.fit(DataLoader(problem(), 10))


def test_nan_in_the_input_is_found_in_the_input():
    data = problem(20)
    data.arrays[0][13, 2] = np.nan
    with pytest.raises(
        NonFiniteLossError, match=r"epoch 1, batch 2.*input batch is not finite itself: nan at index \(3, 2\)"
    ):
        make().fit(DataLoader(data, 10))


def test_a_loss_that_is_not_finite_by_itself_is_told_from_the_layers():
    class Broken(nn.CrossEntropyLoss):
        def forward(self, prediction, target):
            return super().forward(prediction, target) * np.nan

    trainer = make()
    trainer.loss = Broken()
    with pytest.raises(NonFiniteLossError, match="every layer's output is finite, only the loss is not"):
        trainer.fit(DataLoader(problem(20), 10))


def test_buffers_are_put_back_when_a_batch_is_not_finite():
    class Mean(nn.Identity):
        def __init__(self):
            super().__init__()
            self.register_buffer("mean", np.zeros(4, np.float32))

        def forward(self, x):
            self.mean = self.mean + x.mean(axis=0)
            return super().forward(x)

    data = problem(20)
    data.arrays[0][13] = np.inf
    model = nn.Sequential(Mean(), nn.Linear(4, 3))
    trainer = Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.params(), lr=0.1), progress="none")
    with pytest.raises(NonFiniteLossError):
        trainer.fit(DataLoader(data, 10))
    np.testing.assert_allclose(model[0].mean, data.arrays[0][:10].mean(axis=0), rtol=1e-5)
