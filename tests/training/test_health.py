"""HealthMonitor: its numbers by hand, and nets that are made to have each illness, and none."""

import numpy as np
import pytest

import minidl
from minidl import models, nn, optim
from minidl.data import DataLoader, load_digits
from minidl.training import Callback, ModelCheckpoint, Trainer
from minidl.training.callbacks import HealthMonitor
from minidl.training.diagnosis import NonFiniteLossError
from minidl.training.layer_health import LayerHealth
from minidl.training.verdicts import HELP, judge

from ..fits import problem

X, Y = problem().arrays


def watch(model, loader=None, *, every=1, lr=0.1, epochs=1, optimizer=None, callbacks=(), loss=None, **options):
    """Train, watched; return the monitor."""
    monitor = HealthMonitor(every)
    optimizer = optim.SGD(model.params(), lr=lr) if optimizer is None else optimizer
    loss = nn.CrossEntropyLoss() if loss is None else loss
    options = {"progress": "none", **options}
    trainer = Trainer(model, loss, optimizer, callbacks=[monitor, *callbacks], **options)
    trainer.fit(DataLoader(problem(), 25) if loader is None else loader, epochs=epochs)
    return monitor


def what(monitor):
    return {one.layer: one.what for one in monitor.verdicts}


def deep(activation, layers=10, scale=None):
    parts = []
    for number in range(layers):
        linear = nn.Linear(4 if number == 0 else 16, 16, rng=np.random.default_rng(number))
        if scale is not None:
            linear.weight.data[...] = np.random.default_rng(number).standard_normal(linear.weight.shape) * scale
        parts += [linear, activation()]
    return nn.Sequential(*parts, nn.Linear(16, 3, rng=np.random.default_rng(99)))


# The numbers


def test_the_numbers_are_those_of_a_computation_by_hand():
    """Two steps of a net with a ReLU and a tanh, in NumPy alone."""
    rng = np.random.default_rng(3)
    w1, w2 = rng.standard_normal((6, 4)), 3 * rng.standard_normal((3, 6))
    w1[2] = -np.abs(w1[2])
    x = np.abs(rng.standard_normal((8, 4)))  # so that unit 2 is dead
    model = nn.Sequential(
        *(nn.Linear(4, 6, bias=False, dtype=np.float64), nn.ReLU()),
        *(nn.Linear(6, 3, bias=False, dtype=np.float64), nn.Tanh()),
    )
    model[0].weight.data[...], model[2].weight.data[...] = w1, w2
    target, lr = np.zeros((4, 3)), 0.1
    seen = {name: [] for name in ("0", "1", "2", "3")}
    gradients, updates = {"0": [], "2": []}, {"0": [], "2": []}
    for batch in (x[:4], x[4:]):
        a = batch @ w1.T
        h = np.maximum(a, 0)
        b = h @ w2.T
        y = np.tanh(b)
        for name, value in zip(seen, (a, h, b, y), strict=True):
            seen[name].append(value)
        db = 2 * (y - target) / y.size * (1 - y * y)
        d2, d1 = db.T @ h, ((db @ w2) * (a > 0)).T @ batch
        for name, w, d in (("0", w1, d1), ("2", w2, d2)):
            gradients[name].append(np.linalg.norm(d))
            updates[name].append(lr * np.linalg.norm(d) / np.linalg.norm(w))
        w1, w2 = w1 - lr * d1, w2 - lr * d2
    monitor = watch(model, [(x[:4], target), (x[4:], target)], loss=nn.MSELoss(), clip_grad_norm=1e9)
    layers = {layer.name: layer for layer in monitor.layers}
    assert list(layers) == ["0", "1", "2", "3"]
    for name, values in seen.items():
        whole, layer = np.concatenate(values), layers[name]
        expected = whole.mean(), whole.std(), whole.min(), whole.max()
        assert (layer.mean, layer.std, layer.min, layer.max) == pytest.approx(expected, rel=1e-10)
    alive = (np.concatenate(seen["1"]) > 0).any(axis=0)
    assert 0 < layers["1"].dead == pytest.approx(1 - alive.mean())
    assert layers["3"].saturated == pytest.approx(np.mean(1 - np.concatenate(seen["3"]) ** 2 < 0.05))
    assert 0 < layers["3"].saturated < 1
    for name in ("0", "2"):
        assert layers[name].gradient == pytest.approx(np.mean(gradients[name]), rel=1e-10)
        assert layers[name].update == pytest.approx(np.mean(updates[name]), rel=1e-10)
        assert layers[name].size == model[int(name)].weight.data.size
    assert np.isnan([layers["1"].gradient, layers["1"].saturated, layers["0"].dead]).all()


def test_a_unit_of_images_is_a_channel():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 10))
    model[0].bias.data[...] = [-100, 1, 1, 1]
    x, y = load_digits()[0].arrays
    assert {layer.name: layer.dead for layer in watch(model, [(x[:50], y[:50])]).layers}["1"] == 0.25


def test_one_step_in_some_is_watched_and_the_first_of_each_epoch():
    class Count(Callback):
        def on_batch_end(self, trainer):
            counts.append(len(trainer.model[0]._forward_hooks))

        def on_before_step(self, trainer):
            watched.append(bool(monitor_of(trainer)._before))

    def monitor_of(trainer):
        return trainer.callbacks[0]

    counts, watched = [], []
    watch(nn.Sequential(nn.Linear(4, 3)), DataLoader(problem(), 10), every=3, epochs=2, callbacks=[Count()])
    assert [step for step, now in enumerate(watched) if now] == [0, 3, 5, 6, 9]
    assert not any(counts)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_training_stays_the_same_bit_for_bit(accumulate):
    train, test = load_digits()

    def fit(callbacks):
        minidl.manual_seed(0)
        model = nn.Sequential(
            *(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Dropout(0.2)),
            *(nn.Residual(nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.Tanh())), nn.Flatten(), nn.Linear(72, 10)),
        )
        optimizer = optim.Adam(model.params(), lr=0.003)
        loss = nn.CrossEntropyLoss()
        trainer = Trainer(model, loss, optimizer, callbacks=callbacks, accumulate=accumulate, progress="none")
        trainer.fit(DataLoader(train, 64, shuffle=True), DataLoader(test, 100), epochs=2)
        return model.state_dict(), [row["val_loss"] for row in trainer.history]

    (plain, losses), (watched, others) = fit([]), fit([HealthMonitor(2)])
    assert losses == others
    for name, value in plain.items():
        np.testing.assert_array_equal(value, watched[name])


def test_a_fit_goes_on_with_its_numbers(tmp_path):
    def fit(folder, epochs, stop=None):
        minidl.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        monitor = HealthMonitor(3)

        class Stop(Callback):
            def on_batch_end(self, trainer):
                if trainer.steps == stop:
                    raise KeyboardInterrupt

        callbacks = [monitor, ModelCheckpoint(tmp_path / folder, every=1), Stop()]
        optimizer = optim.SGD(model.params(), lr=0.1)
        trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, callbacks=callbacks, progress="none")
        trainer.fit(DataLoader(problem(), 10), epochs=epochs, resume=tmp_path / folder)
        return monitor.rows

    whole = fit("whole", 3)
    assert len(fit("parts", 3, stop=7)) == 1
    assert str(fit("parts", 3)) == str(whole)  # NaN is not equal to itself


@pytest.mark.parametrize("entry", ["rows", "sums", "watched"])
def test_a_damaged_state_is_refused(entry):
    monitor = watch(nn.Sequential(nn.Linear(4, 3), nn.ReLU()))
    state = monitor.state_dict()
    for bad in ("x", [["x"]], [{"name": 1}], -1, [1, 2, 3]):
        with pytest.raises(ValueError, match="HealthMonitor"):
            monitor.load_state_dict({**state, entry: bad})
    assert str(monitor.state_dict()) == str(state)


# Illnesses


@pytest.mark.parametrize("seed", range(3))
def test_healthy_nets_get_no_verdict(seed):
    minidl.manual_seed(seed)
    train, _ = load_digits()
    net = nn.Sequential(
        *(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 3), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(64, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
    )
    for model in (net, models.digits_cnn()):
        optimizer = optim.SGD(model.params(), lr=0.05, momentum=0.9)
        loader = DataLoader(train, 32, shuffle=True)
        schedule = optim.lr_scheduler.OneCycleLR(optimizer, 0.05, 3 * len(loader))
        monitor = watch(model, loader, every=10, epochs=3, optimizer=optimizer, scheduler=schedule)
        assert monitor.verdicts == []
        assert monitor.report().endswith("nothing is out of the ordinary")
        assert len(monitor.rows) == 3


def test_dead_relus():
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
    model[0].bias.data[:12] = -1000
    assert what(watch(model))["1"] == "dead"
    model[0].bias.data[:] = -1000  # nothing comes through
    found = what(watch(model))
    assert (found["1"], found["0"]) == ("dead", "not learning")


@pytest.mark.parametrize("activation", [nn.Sigmoid, nn.Tanh])
def test_saturated_units(activation):
    model = nn.Sequential(nn.Linear(4, 16), activation(), nn.Linear(16, 3))
    model[0].weight.data[...] = 100 * np.sign(np.random.default_rng(0).standard_normal((16, 4)))
    assert what(watch(model))["1"] == "saturated"


def test_vanishing_gradients():
    found = what(watch(deep(nn.Sigmoid)))
    assert found["0"] == found["2"] == "vanishing"
    assert "20" not in found  # the last layer learns
    assert "0" not in what(watch(deep(nn.ReLU, layers=3)))


def test_exploding_activations_and_gradients():
    found = watch(deep(nn.Identity, layers=6, scale=5.0), lr=1e-12).verdicts
    assert {one.what for one in found if one.layer in ("8", "10", "12")} == {"exploding"}
    assert any("norm of its gradient" in one.text for one in found)
    assert any("its outputs go from" in one.text for one in found)


def test_a_learning_rate_that_is_too_high():
    found = watch(nn.Sequential(nn.Linear(4, 3)), lr=50.0).verdicts
    assert [(one.layer, one.what) for one in found] == [("0", "exploding")]
    assert "a step changes it by" in found[0].text


def test_a_fit_that_ends_with_infinity_is_told_of(capsys):
    with np.errstate(over="ignore"), pytest.raises(NonFiniteLossError):
        watch(deep(nn.Identity, layers=40, scale=50.0), progress="lines")
    assert "exploding" in capsys.readouterr().out


def test_a_layer_that_does_not_learn():
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
    groups = [{"params": list(model[0].params()), "lr": 1e-8}, {"params": list(model[2].params())}]
    found = watch(model, optimizer=optim.SGD(groups, lr=0.1)).verdicts
    assert [(one.layer, one.what) for one in found] == [("0", "not learning")]
    assert "a step changes it by" in found[0].text

    class Detached(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.lost = nn.Linear(4, 3), nn.Linear(4, 3)

        def forward(self, x):
            return self.used(x) + self.lost(x).detach()

    with pytest.warns(UserWarning, match="no gradient came to"):
        assert what(watch(Detached())) == {"lost": "not learning"}


def test_a_frozen_layer_is_not_ill():
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
    model[0].freeze()
    assert what(watch(model, optimizer=optim.SGD(model[2].params(), lr=0.1))) == {}


def test_a_step_of_ones_own_has_outputs_but_no_gradients():
    class Manual(Trainer):
        def training_step(self, batch):
            x, y = batch
            self.optimizer.zero_grad()
            loss = self.loss(self.model(x), y)
            loss.backward()
            self.optimizer.step()

    model, monitor = nn.Sequential(nn.Linear(4, 3)), HealthMonitor()
    optimizer = optim.SGD(model.params(), lr=0.1)
    Manual(model, nn.CrossEntropyLoss(), optimizer, callbacks=[monitor], progress="none").fit(DataLoader(problem(), 25))
    (layer,) = monitor.layers
    assert layer.std > 0
    assert np.isnan([layer.gradient, layer.update]).all()
    assert monitor.verdicts == []
    assert not model[0]._forward_hooks


def test_each_verdict_says_what_helps_and_what_bounds_are():
    usual = {"mean": 0.0, "std": 1.0, "min": -1.0, "max": 1.0, "dead": np.nan, "saturated": np.nan}
    layer = LayerHealth(name="a", kind="Linear", size=4, gradient=1.0, update=1e-3, **usual)
    assert judge([layer]) == []
    assert judge([]) == []
    for name, value, expected in (
        ("dead", 0.5, "dead"),
        ("saturated", 0.5, "saturated"),
        ("std", 1001.0, "exploding"),
        ("max", np.inf, "exploding"),
        ("gradient", 1001.0, "exploding"),
        ("update", 0.21, "exploding"),
        ("gradient", 0.0, "not learning"),
        ("update", 0.0, "not learning"),
    ):
        (verdict,) = judge([LayerHealth(**{**vars(layer), name: value})])
        assert (verdict.what, verdict.helps) == (expected, HELP[expected])
    for name, value in (("dead", 0.49), ("saturated", 0.49), ("std", 999.0), ("gradient", 999.0), ("update", 0.19)):
        assert judge([LayerHealth(**{**vars(layer), name: value})]) == []


def test_the_table_is_printed_when_the_fit_ends(capsys):
    monitor = watch(nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3)), progress="lines", epochs=2)
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == "the layers in epoch 2:"
    assert lines[3].split() == ["layer", "kind", "mean", "std", "min", "max", "dead", "saturated", "gradient", "update"]
    assert [line.split()[:2] for line in lines[4:7]] == [["0", "Linear"], ["1", "ReLU"], ["2", "Linear"]]
    assert "\n".join(lines[3:]) == monitor.report()
