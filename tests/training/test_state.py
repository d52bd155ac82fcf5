"""FitState: a refused resume leaves no trace, and a checkpoint holds what all callbacks did."""

import numpy as np
import pytest
from fits import make, problem

import minidl
from minidl import nn, optim
from minidl.data import DataLoader
from minidl.training import Callback, ModelCheckpoint, StopTraining, Trainer
from minidl.training.callbacks import EarlyStopping, EMAWeights
from minidl.training.checkpoint import read_checkpoint, write_checkpoint


class Number(Callback):
    """Has a state of its own, by which two of one class can be told apart."""

    def __init__(self, number):
        self.number, self.loaded = number, None

    def state_dict(self):
        return {"number": self.number}

    def load_state_dict(self, state):
        self.loaded = state["number"]


def test_callbacks_find_their_states_in_any_order_of_classes(tmp_path):
    def fit(order, epochs):
        minidl.manual_seed(0)
        model = nn.Linear(4, 3)
        numbers, stopping = [Number(1), Number(2)], EarlyStopping("train_loss")
        callbacks = {"n": numbers, "s": [stopping], "c": [ModelCheckpoint(tmp_path)]}
        trainer = Trainer(
            model,
            nn.CrossEntropyLoss(),
            optim.SGD(model.params(), lr=0.1),
            callbacks=[callback for letter in order for callback in callbacks[letter]],
            progress="none",
        )
        trainer.fit(DataLoader(problem(), 10), epochs=epochs, resume=tmp_path)
        return numbers, stopping

    fit("cns", 2)
    numbers, stopping = fit("snc", 3)
    assert [callback.loaded for callback in numbers] == [1, 2]
    assert stopping.best_epoch == 3
    with pytest.raises(ValueError, match="cannot resume: callbacks of the checkpoint: .*'Number'.*, of this Trainer: "):
        fit("sc", 4)


@pytest.mark.parametrize("error", [ValueError("it is broken"), RuntimeError("it is broken"), KeyboardInterrupt()])
@pytest.mark.parametrize("first", [True, False])
def test_a_resume_that_fails_leaves_everything_as_it_was(error, first, tmp_path):
    class Broken(Callback):
        def __init__(self, error=None):
            self.error = error

        def load_state_dict(self, state):
            if self.error is not None:
                error, self.error = self.error, None
                raise error

    def setup(error=None):
        model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))
        model[2].rng = np.random.default_rng(7)
        optimizer = optim.Adam(model.params(), lr=0.01)
        loader = DataLoader(problem(), 10, shuffle=True, rng=np.random.default_rng(3))
        number, ema, stopping = Number(5), EMAWeights(0.5), EarlyStopping("train_accuracy")
        callbacks = [ema, stopping, number]
        callbacks.insert(0 if first else 3, Broken(error))
        trainer = Trainer(
            model,
            nn.CrossEntropyLoss(),
            optimizer,
            scheduler=optim.lr_scheduler.ExponentialLR(optimizer, 0.5),
            callbacks=callbacks,
            progress="none",
        )
        return trainer, loader

    trainer, loader = setup()
    trainer.fit(loader, epochs=2)
    write_checkpoint(tmp_path / "a.ckpt", trainer.state_dict())

    minidl.manual_seed(1)
    trainer, loader = setup(error)
    before = trainer.model.state_dict()
    schedule = trainer.scheduler.state_dict()
    rngs = [minidl._core.default_rng(), trainer.model[2].rng, loader.rng]
    drawn = [str(rng.bit_generator.state) for rng in rngs]
    if isinstance(error, KeyboardInterrupt):
        assert trainer.fit(loader, epochs=3, resume=tmp_path / "a.ckpt").interrupted
    else:
        with pytest.raises(ValueError, match="Trainer: cannot resume: it is broken"):
            trainer.fit(loader, epochs=3, resume=tmp_path / "a.ckpt")
    for name, value in trainer.model.state_dict().items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)
    assert trainer.optimizer.state_dict()["state"] == {}
    assert trainer.optimizer.param_groups[0]["lr"] == 0.01
    assert trainer.scheduler.state_dict() == schedule
    assert [str(rng.bit_generator.state) for rng in rngs] == drawn
    assert loader.state_dict()["batch"] == 0
    assert (trainer.epoch, trainer.steps, len(trainer.history)) == (0, 0, 0)
    assert trainer.callbacks[1 if first else 0].ema.average["0.bias"].tolist() == before["0.bias"].tolist()
    assert trainer.callbacks[2 if first else 1].best_epoch == 0


@pytest.mark.parametrize("checkpoint_first", [True, False])
def test_a_checkpoint_sees_the_column_and_the_weights_of_every_callback(checkpoint_first, tmp_path):
    class Score(Callback):
        def __init__(self):
            self.biases = []

        def on_epoch_end(self, trainer):
            trainer.history.rows[-1]["val_score"] = [1, 3, 2][trainer.epoch - 1]
            trainer.model[0].bias.data += 1
            self.biases.append(trainer.model[0].bias.data.copy())

    checkpoints, score = [ModelCheckpoint(tmp_path / name, monitor="val_score", mode="max") for name in "ab"], Score()
    order = [*checkpoints, score] if checkpoint_first else [score, *checkpoints]
    trainer = make(callbacks=order)
    trainer.fit(DataLoader(problem(), 10), epochs=3)
    for checkpoint in checkpoints:
        assert checkpoint.best == 3
        state = read_checkpoint(checkpoint.folder / "last.ckpt")
        assert [own["best"] for own in state["callbacks"] if own] == [3, 3]
        np.testing.assert_array_equal(state["model"]["0.bias"], score.biases[2])
        best = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 3))
        minidl.load(best, checkpoint.folder / "best.npz")
        np.testing.assert_array_equal(best[0].bias.data, score.biases[1])


@pytest.mark.parametrize("error", [RuntimeError("a fault"), KeyboardInterrupt()])
def test_a_step_that_fails_leaves_the_buffers_as_they_were(error):
    class Fail(nn.Identity):
        calls = 0

        def forward(self, x):
            self.calls += 1
            if self.calls == 4:  # the second batch of the second step
                raise error
            return super().forward(x)

    model = nn.Sequential(nn.BatchNorm1d(4), Fail(), nn.Linear(4, 3))
    optimizer, seen = optim.SGD(model.params(), lr=0.1), []

    class Note(Callback):
        def on_batch_end(self, trainer):
            seen.append(model.state_dict())

    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, accumulate=2, callbacks=[Note()], progress="none")
    if isinstance(error, KeyboardInterrupt):
        assert trainer.fit(DataLoader(problem(), 10)).interrupted
    else:
        with pytest.raises(RuntimeError, match="a fault"):
            trainer.fit(DataLoader(problem(), 10))
    assert len(seen) == 1
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, seen[-1][name], err_msg=name)


def test_the_place_in_an_epoch_survives_two_resumes_and_a_callback_that_uses_the_loader(tmp_path):
    class Peek(Callback):
        def __init__(self, loader, stop_at):
            self.loader, self.stop_at = loader, stop_at

        def on_batch_end(self, trainer):
            if trainer.steps == self.stop_at:
                raise StopTraining

        def on_epoch_end(self, trainer):
            next(iter(self.loader))

    def fit(folder, epochs, stop_at=None):
        minidl.manual_seed(0)
        model, loader = nn.Linear(4, 3), DataLoader(problem(), 10, shuffle=True, rng=np.random.default_rng(1))
        callbacks = [Peek(loader, stop_at), ModelCheckpoint(folder, every=1)]
        optimizer = optim.SGD(model.params(), lr=0.1)
        trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, callbacks=callbacks, progress="none")
        trainer.fit(loader, epochs=epochs, resume=folder)
        return model.state_dict()

    whole = fit(tmp_path / "whole", 3)
    fit(tmp_path / "parts", 3, stop_at=5)  # after the last batch, before the end of the epoch
    fit(tmp_path / "parts", 1)  # only that is left of the epoch
    assert read_checkpoint(tmp_path / "parts" / "last.ckpt")["loader"]["batch"] == 0
    for name, value in fit(tmp_path / "parts", 3).items():
        np.testing.assert_array_equal(value, whole[name])
