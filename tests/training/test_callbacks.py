"""The bundled callbacks, their order and exceptions."""

import csv
import time

import numpy as np
import pytest
from fits import make, problem

from minidl import nn, optim
from minidl.data import DataLoader
from minidl.training import Callback, ModelCheckpoint, StopTraining, Trainer
from minidl.training.callbacks import (
    CSVLogger,
    EarlyStopping,
    EMAWeights,
    GradientMonitor,
    LearningRateMonitor,
    TensorBoardLogger,
    TimeLimit,
)
from minidl.training.checkpoint import read_checkpoint


class Script(Callback):
    """Write given values into the history, and note the weights of each epoch."""

    def __init__(self, values, then=None, column="val_loss"):
        self.values, self.then, self.column, self.weights = values, then, column, []

    def on_epoch_end(self, trainer):
        trainer.history.rows[-1][self.column] = self.values[trainer.epoch - 1]
        self.weights.append(trainer.model.state_dict())
        if self.then is not None and trainer.epoch == len(self.values):
            raise self.then


def fit(callbacks, epochs=10, **options):
    trainer = make(callbacks=callbacks, **options)
    trainer.fit(DataLoader(problem(), 10, shuffle=True), epochs=epochs)
    return trainer


def assert_weights(trainer, expected):
    for name, value in trainer.model.state_dict().items():
        np.testing.assert_array_equal(value, expected[name])


def test_early_stopping_waits_and_restores_the_best():
    script, stopping = Script([3, 2, 2.5, 2.5, 2.5, 9]), EarlyStopping(patience=2)
    trainer = fit([script, stopping])
    assert len(trainer.history) == 5
    assert (stopping.best, stopping.best_epoch) == (2, 2)
    assert_weights(trainer, script.weights[1])


def test_early_stopping_says_when_why_and_which_epoch_is_kept(capsys):
    fit([Script([3, 2, 2.5, 2.5, 2.5, 9]), EarlyStopping(patience=2)], progress="lines")
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "stopped after epoch 5: val_loss has not improved for 3 epochs, its best is 2.0000 in epoch 2",
        "the weights of epoch 2 are kept, val_loss 2.0000",
    ]


@pytest.mark.parametrize(
    ("values", "options", "last"),
    [
        ([3, 2, 1], {}, "epoch 3/3"),  # the last epoch is the best
        ([1, 2, 3], {}, "the weights of epoch 1 are kept, val_loss 1.0000"),  # it was not stopped
        (
            [3, 2.9],
            {"patience": 0, "min_delta": 0.5, "restore_best": False},
            "stopped after epoch 2: val_loss has not improved by more than 0.5 for 1 epoch, its best is 3.0000 in "
            "epoch 1; the weights of the last epoch are kept",
        ),
        (
            [np.nan, np.nan],
            {"patience": 1},
            "stopped after epoch 2: val_loss was no finite number in 2 epochs; the weights of the last epoch are kept",
        ),
    ],
)
def test_early_stopping_says_which_epoch_is_kept_in_each_case(values, options, last, capsys):
    fit([Script(values), EarlyStopping(**options)], epochs=len(values), progress="lines")
    assert capsys.readouterr().out.splitlines()[-1].startswith(last)


@pytest.mark.parametrize("end", [KeyboardInterrupt(), RuntimeError("a fault"), StopTraining("enough")])
def test_the_best_weights_come_back_however_the_fit_ends(end):
    script = Script([1, 2, 3], then=end)
    stopping = EarlyStopping()
    trainer = make(callbacks=[script, stopping])
    loader = DataLoader(problem(), 10, shuffle=True)
    if isinstance(end, RuntimeError):
        with pytest.raises(RuntimeError, match="a fault"):
            trainer.fit(loader, epochs=10)
    else:
        trainer.fit(loader, epochs=10)
    assert len(script.weights) == 3
    assert_weights(trainer, script.weights[stopping.best_epoch - 1])
    assert stopping.best_epoch < 3
    assert trainer.history.interrupted == isinstance(end, KeyboardInterrupt)


def test_early_stopping_can_keep_the_last_weights_and_watch_what_grows():
    script = Script([1, 2, 3, 3.05, 3.05], column="val_score")
    stopping = EarlyStopping("val_score", patience=0, mode="max", min_delta=0.1, restore_best=False)
    trainer = fit([script, stopping])
    assert len(trainer.history) == 4
    assert_weights(trainer, script.weights[-1])


def test_a_column_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="EarlyStopping: there is no column 'val_loss', only epoch, lr, .*validation"):
        fit([EarlyStopping()])


def test_every_fit_end_is_called_and_the_first_exception_raised():
    called = []

    class Bad(Callback):
        def __init__(self, text):
            self.text = text

        def on_fit_end(self, trainer):
            called.append(self.text)
            raise RuntimeError(self.text)

    with pytest.raises(RuntimeError, match="first"):
        fit([Bad("first"), Bad("second")], epochs=1)
    assert called == ["first", "second"]


def test_a_checkpoint_is_written_after_all_callbacks_wherever_it_stands(tmp_path):
    class Count(Callback):
        def __init__(self):
            self.epochs = 0

        def on_epoch_end(self, trainer):
            self.epochs += 1

        def state_dict(self):
            return {"epochs": self.epochs}

    first, last = Count(), Count()
    callbacks = [first, ModelCheckpoint(tmp_path), last]
    trainer = make(callbacks=callbacks)
    assert trainer.callbacks == callbacks
    trainer.fit(DataLoader(problem(), 10), epochs=2)
    state = read_checkpoint(tmp_path / "last.ckpt")
    assert [own.get("epochs") for own in state["callbacks"]] == [2, None, 2]


def test_learning_rates_gradients_csv(tmp_path):
    rates, gradients, log = LearningRateMonitor(), GradientMonitor(), CSVLogger(tmp_path / "log.csv")
    model = nn.Linear(4, 3)
    optimizer = optim.SGD(model.params(), lr=1.0)
    scheduler = optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    trainer = Trainer(
        model, nn.CrossEntropyLoss(), optimizer, scheduler=scheduler, callbacks=[rates, gradients, log], progress="none"
    )
    history = trainer.fit(DataLoader(problem(), 25), epochs=3)
    assert rates.rates == [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    assert history["lr"] == [1.0, 0.5, 0.25]
    assert [set(row) for row in gradients.rows] == [{"weight", "bias"}] * 3
    with (tmp_path / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["train_loss"]) for row in rows] == history["train_loss"]


def test_a_schedule_by_steps_and_one_by_the_validation_loss():
    model, data = nn.Linear(4, 3), problem()
    optimizer, rates = optim.SGD(model.params(), lr=0.1), LearningRateMonitor()
    cycle = optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=10)
    expected = []
    other = optim.SGD(nn.Linear(4, 3).params(), lr=0.1)
    reference = optim.lr_scheduler.OneCycleLR(other, max_lr=1.0, total_steps=10)
    for _ in range(10):
        expected.append(other.param_groups[0]["lr"])
        if len(expected) < 10:
            reference.step()
    options = {"scheduler": cycle, "callbacks": [rates], "progress": "none"}
    Trainer(model, nn.CrossEntropyLoss(), optimizer, **options).fit(DataLoader(data, 10), epochs=2)
    assert rates.rates == expected
    plateau = optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, scheduler=plateau, progress="none")
    history = trainer.fit(DataLoader(data, 10), DataLoader(data, 50), epochs=3)
    assert plateau.best == min(history["val_loss"])


def test_ema_gives_the_average_at_the_end():
    ema, weights = EMAWeights(decay=0.1), []  # so little that there is no warm-up

    class Note(Callback):
        def on_batch_end(self, trainer):
            weights.append(trainer.model.state_dict()["0.weight"])

    trainer = make(callbacks=[ema, Note()])
    average = trainer.model.state_dict()["0.weight"]
    trainer.fit(DataLoader(problem(), 10), epochs=2)
    for value in weights:
        average = average + 0.9 * (value - average)
    np.testing.assert_allclose(trainer.model.state_dict()["0.weight"], average, rtol=1e-5, atol=1e-7)


def test_a_time_limit_ends_in_good_order(capsys):
    start = time.monotonic()
    trainer = make(callbacks=[TimeLimit(0.2)], progress="lines")
    trainer.fit(DataLoader(problem(), 10), epochs=10**6)
    assert time.monotonic() - start < 10
    assert not trainer.history.interrupted
    assert "the time limit of 0.2 s has been reached" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard(tmp_path):
    pytest.importorskip("tensorboardX")
    fit([TensorBoardLogger(tmp_path)], epochs=2)
    (file,) = tmp_path.glob("events.*")
    content = file.read_bytes()
    assert b"train_loss" in content
    assert b"train_accuracy" in content
