"""lr_find: the rate follows from the problem, and nothing that there was before is changed."""

import copy

import numpy as np
import pytest

import minidl
from minidl import nn, optim
from minidl.data import DataLoader, load_digits, transforms
from minidl.training import Callback, ModelCheckpoint, Trainer, lr_find
from minidl.training.callbacks import EarlyStopping
from minidl.training.lr_find import LRFind

from ..fits import problem

X, Y = problem().arrays


def net(seed=0, **options):
    minidl.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 3))
    optimizer = options.pop("optimizer", optim.SGD)(
        model.params(), **options.pop("with_", {"lr": 0.1, "momentum": 0.9})
    )
    return Trainer(model, nn.CrossEntropyLoss(), optimizer, progress="none", **options)


def everything(trainer, loader):
    """All that must be as it was, to the bit."""
    return copy.deepcopy(
        {
            "model": trainer.model.state_dict(),
            "optimizer": trainer.optimizer.state_dict(),
            "gradients": [parameter.grad for parameter in trainer.model.params()],
            "changes": [parameter.changed for parameter in trainer.model.params()],
            "modes": [module.training for module in trainer.model.modules()],
            "generator": minidl._core.default_rng().bit_generator.state,
            "loader": loader.state_dict(),
            "history": trainer.history.rows,
            "steps": trainer.steps,
        }
    )


def assert_same(before, after):
    assert str(before) == str(after)
    for name, value in before["model"].items():
        np.testing.assert_array_equal(value, after["model"][name])


@pytest.mark.parametrize("c", [0.01, 1.0, 100.0])
def test_the_rate_is_that_of_a_parabola(c):
    """Of the loss (c * u**2 + c / 10 * v**2) / 2: from a rate of 20 / c on both grow."""
    model = nn.Linear(2, 1, bias=False, dtype=np.float64)
    model.weight.data[...] = 1.0
    x, y = np.diag(np.sqrt([c, c / 10])), np.zeros((2, 1))
    trainer = Trainer(model, nn.MSELoss(), optim.SGD(model.params(), lr=1.0), progress="none")
    found = lr_find(trainer, [(x, y)], low=1e-4 / c, high=100 / c)
    assert 10 / c < 10 * found.suggestion < 25 / c
    assert found.rates[-1] < 50 / c  # the loss had grown
    w, expected = np.ones(2), []
    for rate in found.rates:
        expected.append((c * w[0] ** 2 + c / 10 * w[1] ** 2) / 2)
        w = w - rate * np.array([c, c / 10]) * w
    np.testing.assert_allclose(found.losses, expected, rtol=1e-9, atol=1e-9 * c)
    np.testing.assert_allclose(np.diff(np.log(found.rates)), np.log(1e6) / 99)
    middle = [np.mean(expected[n - 2 : n + 3]) for n in range(2, len(expected) - 2)]
    np.testing.assert_allclose(found.smooth[2:-2], middle, rtol=1e-9, atol=1e-9 * c)


@pytest.mark.parametrize("end", ["", "KeyboardInterrupt", "ZeroDivisionError", "diverged"])
def test_everything_is_as_it_was(end, tmp_path):
    trainer = net(accumulate=2, callbacks=[EarlyStopping("train_loss"), ModelCheckpoint(tmp_path)])
    data = problem()
    real = data.batch
    loader = DataLoader(data, 10, shuffle=True, transform=None)
    trainer.fit(loader, epochs=2)  # there are momenta, gradients, running statistics
    trainer.model[3].eval()
    before, files = everything(trainer, loader), sorted(path.name for path in tmp_path.iterdir())
    count = [0]

    def batch(indices):
        count[0] += 1
        if count[0] == 33 and end not in ("", "diverged"):
            raise {"KeyboardInterrupt": KeyboardInterrupt, "ZeroDivisionError": ZeroDivisionError}[end]
        return real(indices)

    data.batch = batch
    if end in ("", "diverged"):
        found = lr_find(trainer, loader, high=1e-2 if end == "" else 1e20, steps=60)
        assert (len(found.rates) == 60) == (end == "")
    else:
        with pytest.raises((KeyboardInterrupt, ZeroDivisionError)):
            lr_find(trainer, loader)
    assert count[0] >= 30
    assert_same(before, everything(trainer, loader))
    assert files == sorted(path.name for path in tmp_path.iterdir())


def test_a_fit_after_it_is_the_fit_without_it():
    train, _ = load_digits()
    results = []
    for search in (False, True):
        minidl.manual_seed(1)
        model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.2), nn.Flatten(), nn.Linear(144, 10))
        trainer = Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.params(), lr=0.01), progress="none")
        rng = np.random.default_rng(4)
        loader = DataLoader(train, 64, shuffle=True, rng=rng, transform=transforms.RandomCrop(8, padding=1), prefetch=1)
        if search:
            lr_find(trainer, loader, steps=30)
        trainer.fit(loader, epochs=1)
        results.append(model.state_dict())
    for name, value in results[0].items():
        np.testing.assert_array_equal(value, results[1][name])


def test_it_goes_on_where_a_pass_was_left():
    loader = DataLoader(problem(), 10, shuffle=True)
    trainer = net()
    passing = iter(loader)
    next(passing)
    state = loader.state_dict()
    lr_find(trainer, loader, steps=20)
    assert loader.state_dict() == state


def test_groups_keep_the_ratios_of_their_rates():
    model, rates = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 3)), []

    class Noting(optim.SGD):
        def step(self):
            rates.append([group["lr"] for group in self.param_groups])
            super().step()

    groups = [{"params": model[0].params(), "lr": 0.01}, {"params": model[1].params()}]
    trainer = Trainer(model, nn.CrossEntropyLoss(), Noting(groups, lr=0.1), progress="none")
    found = lr_find(trainer, (X, Y), steps=20, high=0.1)
    np.testing.assert_allclose(np.array(rates), np.outer(found.rates, [1, 10]))
    assert [group["lr"] for group in trainer.optimizer.param_groups] == [0.01, 0.1]


def test_a_training_step_of_ones_own_is_used():
    class Double(Trainer):
        def training_step(self, batch):
            x, y = batch
            return 2 * self.loss(self.model(x), y)

    model = nn.Linear(4, 3, rng=np.random.default_rng(0))
    found = [
        lr_find(
            kind(model, nn.CrossEntropyLoss(), optim.SGD(model.params(), lr=1.0), progress="none"), [(X, Y)], steps=10
        )
        for kind in (Trainer, Double)
    ]
    assert found[1].losses[0] == pytest.approx(2 * found[0].losses[0])


def test_what_it_refuses():
    trainer = net()
    for options, message in (
        ({"low": 1.0, "high": 0.1}, "low must be less than high, got 1 and 0.1"),
        ({"low": 0}, "lr_find: low must be at least"),
        ({"steps": 9}, "lr_find: steps must be at least 10, got 9"),
        ({"low": 1e30, "high": 1e32}, r"the loss is not finite at rates from 1e\+30 on"),
    ):
        with pytest.raises(ValueError, match=message):
            lr_find(trainer, (X, Y), **options)

    class Within(Callback):
        def on_epoch_end(self, trainer):
            lr_find(trainer, (X, Y))

    with pytest.raises(RuntimeError, match="in the middle of a fit"):
        net(callbacks=[Within()]).fit((X, Y))
    with pytest.raises(ValueError, match="there is no optimizer"):
        lr_find(Trainer(nn.Linear(4, 3), nn.CrossEntropyLoss(), progress="none"), (X, Y))


def test_it_says_what_it_found():
    found = LRFind([0.1, 1.0, 10.0], [3.0, 1.0, 5.0])
    assert found.suggestion == found.rates[found.smooth.argmin()] / 10
    assert repr(found) == f"LRFind(suggestion={found.suggestion:.3g}, 3 steps from 0.1 to 10)"
