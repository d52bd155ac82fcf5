"""Averaged weights: what is validated is what is kept as the best, saved, and in the model at the end."""

import itertools

import numpy as np
import pytest
from fits import problem

import minidl
from minidl import models, nn, optim
from minidl.data import DataLoader, load_digits
from minidl.training import Callback, ModelCheckpoint, StopTraining, Trainer
from minidl.training.callbacks import EarlyStopping, EMAWeights
from minidl.training.checkpoint import read_checkpoint

DATA = problem(60, np.float64)


def make(callbacks=(), seed=0, lr=0.3):
    minidl.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))
    model.astype(np.float64)
    optimizer = optim.SGD(model.params(), lr=lr, momentum=0.9)
    return Trainer(model, nn.CrossEntropyLoss(), optimizer, callbacks=callbacks, progress="none")


def fit(trainer, epochs=5, **options):
    return trainer.fit(DataLoader(DATA, 8, shuffle=True), DataLoader(DATA, 60), epochs=epochs, **options)


def loss_now(trainer):
    return trainer.evaluate(DataLoader(DATA, 60))["loss"]


class Raw(Callback):
    """Note the weights with which the training goes on."""

    def __init__(self):
        self.states = []

    def on_batch_end(self, trainer):
        self.states.append(trainer.model.state_dict())

    def on_epoch_start(self, trainer):
        self.on_batch_end(trainer)

    def on_epoch_end(self, trainer):
        self.on_batch_end(trainer)


class SWA(Callback):
    """A user's own average: the mean of the weights after each epoch from the second on."""

    def __init__(self):
        self.average, self.count = {}, 0

    def on_fit_start(self, trainer):
        self.average, self.count = {}, 0

    def on_epoch_trained(self, trainer):
        if trainer.epoch < 2:
            return
        self.count += 1
        for name, value in trainer.model.state_dict().items():
            kept = self.average.get(name, np.zeros_like(value))
            self.average[name] = kept + (value - kept) / self.count if value.dtype.kind == "f" else value

    def judged_weights(self, trainer):
        return self.average or None

    def state_dict(self):
        return {"average": self.average, "count": self.count}

    def load_state_dict(self, state):
        self.average, self.count = dict(state["average"]), state["count"]


def test_digits_in_5_epochs_history_and_model_agree():
    minidl.manual_seed(0)
    train, test = load_digits()
    model, val = models.digits_cnn(), DataLoader(test, 256)
    trainer = Trainer(
        model,
        nn.CrossEntropyLoss(),
        optim.SGD(model.params(), lr=0.1, momentum=0.9),
        callbacks=[EMAWeights()],
        progress="none",
    )
    history = trainer.fit(DataLoader(train, 32, shuffle=True), val, epochs=5)
    result = trainer.evaluate(val)
    assert result["accuracy"] == history["val_accuracy"][-1]
    assert result["loss"] == history["val_loss"][-1]
    assert result["accuracy"] > 0.95


@pytest.mark.parametrize("average", [lambda: EMAWeights(0.9), EMAWeights, SWA])
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_best_is_what_was_validated_in_any_order(order, average, tmp_path):
    callbacks = [average(), EarlyStopping(patience=9), ModelCheckpoint(tmp_path)]
    trainer = make([callbacks[i] for i in order])
    history = fit(trainer, epochs=6)
    best = min(history["val_loss"])
    assert history["val_loss"].index(best) < 5 or isinstance(callbacks[0], EMAWeights)
    assert loss_now(trainer) == best == callbacks[1].best
    again = make(seed=1)
    minidl.load(again.model, tmp_path / "best.npz")
    assert loss_now(again) == best


@pytest.mark.parametrize("average", [lambda: EMAWeights(0.9), SWA])
def test_without_early_stopping_the_last_average_stays(average):
    own, raw = average(), Raw()
    trainer = make([raw, own])
    history = fit(trainer)
    assert loss_now(trainer) == history["val_loss"][-1]
    assert not np.array_equal(trainer.model[0].weight.data, raw.states[-1]["0.weight"])
    average = own.average if isinstance(own, SWA) else own.ema.average
    for name, value in trainer.model.state_dict().items():
        np.testing.assert_array_equal(value, average[name], err_msg=name)


@pytest.mark.parametrize("average", [EMAWeights, SWA])
def test_training_goes_on_with_the_raw_weights(average):
    alone, beside = Raw(), Raw()
    fit(make([alone]))
    fit(make([average(), beside]))
    assert len(alone.states) == len(beside.states) == 5 * 10
    for one, other in zip(alone.states, beside.states, strict=True):
        for name, value in one.items():
            np.testing.assert_array_equal(other[name], value)


def test_not_applied_the_model_is_judged_by_its_own_weights():
    expected = fit(make())["val_loss"]
    ema = make([EMAWeights(0.9, apply=False)])
    assert fit(ema)["val_loss"] == expected
    assert loss_now(ema) == ema.history["val_loss"][-1]
    (callback,) = ema.callbacks
    with callback.ema.applied():
        assert loss_now(ema) != ema.history["val_loss"][-1]


def test_the_average_by_hand_with_its_buffers():
    ema, raw = EMAWeights(0.25), Raw()
    trainer = make([ema, raw])
    average = trainer.model.state_dict()
    trainer.fit(DataLoader(DATA, 20))
    for t, state in enumerate(raw.states[1:4]):
        decay = min(0.25, (1 + t) / (10 + t))
        assert decay == [1 / 10, 2 / 11, 3 / 12][t]
        for name, value in state.items():
            average[name] = decay * average[name] + (1 - decay) * value if value.dtype.kind == "f" else value
    for name, value in trainer.model.state_dict().items():
        np.testing.assert_allclose(value, average[name], rtol=1e-12, atol=1e-15, err_msg=name)
    assert trainer.model[1].num_batches_tracked == 3


@pytest.mark.parametrize("end", [KeyboardInterrupt(), StopTraining(), RuntimeError("a fault")])
@pytest.mark.parametrize("stopping", [True, False])
def test_however_the_fit_ends(end, stopping):
    class End(Callback):
        def on_batch_end(self, trainer):
            if trainer.steps == 20:
                raise end

    ema = EMAWeights(0.9)
    trainer = make([End(), ema, *([EarlyStopping()] if stopping else [])])
    if isinstance(end, RuntimeError):
        with pytest.raises(RuntimeError, match="a fault"):
            fit(trainer)
    else:
        fit(trainer)
    if stopping:
        assert loss_now(trainer) == min(trainer.history["val_loss"])
    else:
        np.testing.assert_array_equal(trainer.model[0].weight.data, ema.ema.average["0.weight"])


def test_ctrl_c_in_the_validation():
    class Interrupted(list):
        def __iter__(self):
            yield self[0]
            if trainer.epoch == 2:
                raise KeyboardInterrupt

    ema = EMAWeights(0.9)
    trainer = make([ema])
    trainer.fit(DataLoader(DATA, 8), Interrupted([DATA.arrays]), epochs=3)
    assert trainer.history.interrupted
    np.testing.assert_array_equal(trainer.model[0].weight.data, ema.ema.average["0.weight"])


def test_a_callback_measures_as_the_validation_does():
    class Test(Callback):
        def __init__(self):
            self.judged, self.raw = [], []

        def on_epoch_end(self, trainer):
            self.raw.append(loss_now(trainer))
            with trainer.judged() as model:
                assert model is trainer.model
                self.judged.append(loss_now(trainer))

    test = Test()
    trainer = make([test, EMAWeights(0.9)])
    history = fit(trainer)
    assert test.judged == history["val_loss"]
    assert test.raw != test.judged
    with trainer.judged():  # after the fit there is one model only
        assert loss_now(trainer) == history["val_loss"][-1]


def test_two_averages_are_refused_before_the_first_step():
    trainer = make([EMAWeights(), SWA(), EMAWeights(0.5)])
    before = trainer.model.state_dict()
    with pytest.raises(ValueError, match="EMAWeights and EMAWeights both say by which weights the model is judged"):
        fit(trainer)
    assert trainer.steps == 0
    for name, value in trainer.model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    fit(make([EMAWeights(), EMAWeights(0.5, apply=False)]), epochs=1)


class StopAt(Callback):
    """End the fit as a process that is killed after a step."""

    def __init__(self, step):
        self.step = step

    def on_save(self, trainer):
        if trainer.steps == self.step:
            raise KeyboardInterrupt


@pytest.mark.parametrize("average", [lambda: EMAWeights(0.9), SWA])
@pytest.mark.parametrize("step", [1, 7, 8, 13, 16, 24, 31])
def test_going_on_is_as_never_having_stopped(step, average, tmp_path):
    def run(folder, stop=0, seed=0):
        callbacks = [EarlyStopping(patience=9), ModelCheckpoint(folder, every=1), average(), StopAt(stop)]
        trainer = make(callbacks, seed)
        return trainer, fit(trainer, epochs=4, resume=folder)

    whole, first = run(tmp_path / "whole")
    run(tmp_path / "parts", stop=step)
    resumed, second = run(tmp_path / "parts", seed=9)
    assert first["val_loss"] == second["val_loss"]
    for name, value in whole.model.state_dict().items():
        np.testing.assert_array_equal(resumed.model.state_dict()[name], value, err_msg=name)
    assert (tmp_path / "whole" / "best.npz").read_bytes() == (tmp_path / "parts" / "best.npz").read_bytes()
    one, other = (read_checkpoint(tmp_path / name / "last.ckpt") for name in ("whole", "parts"))
    for name, value in one["model"].items():
        np.testing.assert_array_equal(other["model"][name], value, err_msg=name)


def test_a_checkpoint_holds_the_raw_weights_and_the_average(tmp_path):
    raw, ema = Raw(), EMAWeights(0.9)
    trainer = make([ModelCheckpoint(tmp_path), ema, raw])
    fit(trainer, epochs=2)
    state = read_checkpoint(tmp_path / "last.ckpt")
    for name, value in raw.states[-1].items():
        np.testing.assert_array_equal(state["model"][name], value)
        np.testing.assert_array_equal(state["callbacks"][1]["average"][name], ema.ema.average[name])
    assert state["callbacks"][1]["average"]["(updates)"] == 16


def test_the_state_of_an_earlier_version_goes_on_by_the_plain_formula():
    ema = EMAWeights(0.9)
    trainer = make([ema])
    ema.on_fit_start(trainer)
    ema.load_state_dict({"average": trainer.model.state_dict()})
    before = trainer.model[0].weight.data.copy()
    trainer.model[0].weight.data += 1
    ema.on_batch_end(trainer)
    np.testing.assert_allclose(ema.judged_weights(trainer)["0.weight"], before + 0.1, rtol=1e-12)
