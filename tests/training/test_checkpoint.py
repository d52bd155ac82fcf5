"""Checkpoints: going on bit for bit, damage, kill -9."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from fits import problem
from hypothesis import given, settings
from hypothesis import strategies as st

import minidl
from minidl import nn, optim
from minidl.data import DataLoader, StratifiedSampler
from minidl.training import Callback, ModelCheckpoint, StopTraining, Trainer
from minidl.training.callbacks import EarlyStopping, EMAWeights, GradientMonitor, LearningRateMonitor
from minidl.training.checkpoint import latest_checkpoint, read_checkpoint, set_damaged_aside, write_checkpoint
from minidl.training.metrics import TopK


class StopAt(Callback):
    """End the fit after so many steps, as a process that is killed right after it."""

    def __init__(self, steps):
        self.at = steps

    def on_batch_end(self, trainer):
        if trainer.steps == self.at:
            raise StopTraining


def run(folder, stop_at=None, epochs=3, every=1, batch_size=8, accumulate=1, drop_last=False, prefetch=0, seed=3):
    minidl.manual_seed(seed)
    data = problem(50)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))
    model[3].rng = np.random.default_rng(1)
    optimizer = optim.Adam(model.params(), lr=0.01)
    loader = DataLoader(
        data,
        batch_size,
        drop_last=drop_last,
        prefetch=prefetch,
        rng=np.random.default_rng(5),
        sampler=StratifiedSampler(data.arrays[1]),
    )
    trainer = Trainer(
        model,
        nn.CrossEntropyLoss(),
        optimizer,
        metrics=[TopK(2)],
        scheduler=optim.lr_scheduler.ExponentialLR(optimizer, 0.9),
        accumulate=accumulate,
        callbacks=[
            ModelCheckpoint(folder, every=every),
            EarlyStopping(patience=10),
            LearningRateMonitor(),
            GradientMonitor(),
            EMAWeights(apply=False),
        ],
        progress="none",
    )
    if stop_at is not None:
        trainer.callbacks.append(StopAt(stop_at))  # after the checkpoint
        state = trainer.state_dict
        trainer.state_dict = lambda: without_last(state())
    history = trainer.fit(loader, DataLoader(data, 25), epochs=epochs, resume=folder)
    return trainer, history


def without_last(state):
    """The state of a fit without StopAt."""
    made_of = {**state["made_of"], "callbacks": state["made_of"]["callbacks"][:-1]}
    options = made_of["options"]
    made_of["options"] = {**options, "callbacks": {k: v for k, v in options["callbacks"].items() if k != "StopAt"}}
    return {**state, "callbacks": state["callbacks"][:-1], "made_of": made_of}


def assert_same(a, b):
    (one, first), (other, second) = a, b
    for name, value in one.model.state_dict().items():
        np.testing.assert_array_equal(other.model.state_dict()[name], value, err_msg=name)
    columns = [name for name in first.columns() if name != "seconds"]
    assert columns == [name for name in second.columns() if name != "seconds"]
    for name in columns:
        assert first[name] == second[name]
    for mine, theirs in zip(one.callbacks, other.callbacks, strict=True):
        if isinstance(mine, (LearningRateMonitor, GradientMonitor)):
            assert mine.state_dict() == theirs.state_dict()


@pytest.fixture(scope="module", autouse=True)
def quick_disk():
    """What survives a power cut is not tested here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@settings(deadline=None, max_examples=25)
@given(
    stop_at=st.integers(1, 30),
    batch_size=st.integers(3, 20).filter(lambda size: 50 % size != 1),  # BatchNorm wants two
    accumulate=st.integers(1, 3),
    drop_last=st.booleans(),
    prefetch=st.integers(0, 2),
)
def test_going_on_is_as_never_having_stopped(stop_at, batch_size, accumulate, drop_last, prefetch, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    options = {"batch_size": batch_size, "accumulate": accumulate, "drop_last": drop_last}
    whole = run(folder / "whole", prefetch=prefetch, **options)
    run(folder / "parts", stop_at=stop_at, **options)
    # the numbers come from the checkpoint, not from the seed
    assert_same(whole, run(folder / "parts", seed=99, **options))


# Written by run(folder, stop_at=9) when the Trainer still moved checkpoints behind the other callbacks.
FORMAT_1 = Path(__file__).with_name("format_1.ckpt")


def test_a_checkpoint_of_format_1_still_loads(tmp_path):
    whole, expected = run(tmp_path / "whole")
    (tmp_path / "old").mkdir()
    shutil.copy(FORMAT_1, tmp_path / "old" / "last.ckpt")
    trainer, history = run(tmp_path / "old", seed=99)
    old = read_checkpoint(FORMAT_1)
    assert set(read_checkpoint(tmp_path / "old" / "last.ckpt")) == set(old)
    assert history.rows[0] == old["history"][0]
    assert trainer.steps == whole.steps == 21
    assert history.columns() == expected.columns()
    for name in ("train_loss", "train_accuracy", "train_top2", "lr"):
        np.testing.assert_allclose(history[name], expected[name], rtol=1e-4, err_msg=name)
    noise = {"0.bias", "1.running_mean"}  # the gradient of a bias before BatchNorm is rounding, which Adam scales up
    for name, value in whole.model.state_dict().items():
        if name not in noise:
            np.testing.assert_allclose(trainer.model.state_dict()[name], value, rtol=1e-3, atol=1e-5, err_msg=name)


def test_two_and_two_epochs_are_four(tmp_path):
    whole = run(tmp_path / "whole", epochs=4, every=None)
    run(tmp_path / "parts", epochs=2, every=None)
    assert_same(whole, run(tmp_path / "parts", epochs=4, every=None))
    trainer, history = run(tmp_path / "parts", epochs=4, every=None)  # nothing is left to do
    assert len(history) == 4
    assert trainer.epoch == 4


def test_another_fits_checkpoints_are_not_overwritten(tmp_path):
    run(tmp_path, epochs=1)
    before = (tmp_path / "last.ckpt").read_bytes()
    model = nn.Linear(4, 3)
    optimizer = optim.SGD(model.params(), lr=0.1)
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, callbacks=[ModelCheckpoint(tmp_path)], progress="none")
    with pytest.raises(ValueError, match="holds the checkpoints of another fit; continue it with fit"):
        trainer.fit(DataLoader(problem(), 10))
    assert (tmp_path / "last.ckpt").read_bytes() == before


def test_the_best_weights_are_saved_for_load(tmp_path):
    trainer, history = run(tmp_path)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))
    minidl.load(model, tmp_path / "best.npz")
    other = Trainer(model, nn.CrossEntropyLoss(), progress="none")
    assert other.evaluate(DataLoader(problem(50), 25))["loss"] == min(history["val_loss"])
    assert not list(tmp_path.glob(".*"))
    assert next(c for c in trainer.callbacks if isinstance(c, ModelCheckpoint)).best == min(history["val_loss"])


def test_a_damaged_checkpoint_is_refused_and_the_one_before_it_used(tmp_path, capsys):
    run(tmp_path, epochs=2)
    before = read_checkpoint(tmp_path / "previous.ckpt")
    content = bytearray((tmp_path / "last.ckpt").read_bytes())
    for damage in (content[: len(content) // 2], b"", b"<html>", content[:-1], _flipped(content)):
        (tmp_path / "last.ckpt").write_bytes(bytes(damage))
        state, notes = latest_checkpoint(tmp_path)
        assert (state["epoch"], state["batch"]) == (before["epoch"], before["batch"])
        assert "last.ckpt is not a whole checkpoint" in notes[0]
        assert "the checkpoint before it is used" in notes[0]
        assert (tmp_path / "last.ckpt").read_bytes() == bytes(damage), "reading changes nothing"
        set_damaged_aside(tmp_path)
        assert not (tmp_path / "last.ckpt").exists()
        assert (tmp_path / "last.ckpt.damaged").read_bytes() == bytes(damage)
    for name in ("last.ckpt", "previous.ckpt"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(ValueError, match=r"no checkpoint in .* is whole: .*last.ckpt.*previous.ckpt"):
        run(tmp_path)


def test_a_refused_resume_leaves_a_damaged_file_where_it_is(tmp_path):
    run(tmp_path, epochs=2)
    (tmp_path / "last.ckpt").write_bytes(b"damage")
    with (
        pytest.warns(RuntimeWarning, match="the checkpoint before it is used"),
        pytest.raises(ValueError, match="cannot resume"),
    ):
        run(tmp_path, batch_size=10)
    assert (tmp_path / "last.ckpt").read_bytes() == b"damage"
    with pytest.warns(RuntimeWarning, match="the checkpoint before it is used"):
        resumed = run(tmp_path)
    assert (tmp_path / "last.ckpt.damaged").read_bytes() == b"damage"
    assert latest_checkpoint(tmp_path)[1] == []
    assert read_checkpoint(tmp_path / "previous.ckpt")["epoch"] == 3  # not the damaged file
    assert_same(run(tmp_path / "whole"), resumed)


def _flipped(content):
    changed = bytearray(content)
    changed[200] ^= 255
    return changed


def test_every_truncation_is_noticed(tmp_path):
    path = tmp_path / "a.ckpt"
    state = {"a": np.arange(3), 1: [None, True, 2.5, float("inf"), "text", np.float32(1.5)], "big": 2**100}
    write_checkpoint(path, state)
    again = read_checkpoint(path)
    np.testing.assert_array_equal(again.pop("a"), state["a"])
    assert again == {1: [None, True, 2.5, float("inf"), "text", 1.5], "big": 2**100}
    content = path.read_bytes()
    for size in range(len(content)):
        path.write_bytes(content[:size])
        with pytest.raises(ValueError, match="is not a whole checkpoint"):
            read_checkpoint(path)
    for place in range(len(content)):  # what holds a number is summed; the rest of a zip file does no harm
        path.write_bytes(content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :])
        try:
            again = read_checkpoint(path)
        except ValueError:
            continue
        np.testing.assert_array_equal(again.pop("a"), state["a"])
        assert again[1][3:5] == [float("inf"), "text"]
    with pytest.raises(TypeError, match="cannot save a set, which state"):
        write_checkpoint(path, {"a": {1, 2}})


def test_a_checkpoint_of_something_else_is_refused_and_changes_nothing(tmp_path):
    run(tmp_path, epochs=1)
    model = nn.Linear(4, 3)
    before = model.state_dict()
    optimizer = optim.SGD(model.params(), lr=0.1)
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, progress="none")
    with pytest.raises(ValueError, match="cannot resume: optimizer of the checkpoint: Adam, of this Trainer: SGD"):
        trainer.fit(DataLoader(problem(), 10), resume=tmp_path)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_an_iterable_without_a_position_is_taken_up_where_it_was(tmp_path):
    data = problem(40)
    batches = list(DataLoader(data, 8))

    def fit(folder, stop=None):
        minidl.manual_seed(0)
        model = nn.Linear(4, 3)
        callbacks = [ModelCheckpoint(folder, every=1)]
        trainer = Trainer(
            model, nn.CrossEntropyLoss(), optim.SGD(model.params(), lr=0.1), callbacks=callbacks, progress="none"
        )
        if stop:
            trainer.callbacks.append(StopAt(stop))
            state = trainer.state_dict
            trainer.state_dict = lambda: without_last(state())
        trainer.fit(batches, epochs=2, resume=folder)
        return model.state_dict()

    whole = fit(tmp_path / "whole")
    fit(tmp_path / "parts", stop=3)
    for name, value in fit(tmp_path / "parts").items():
        np.testing.assert_array_equal(value, whole[name])


SCRIPT = Path(__file__).with_name("killed_fit.py")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_kill_9_at_20_random_moments(tmp_path):
    def command(name):
        return [sys.executable, str(SCRIPT), str(tmp_path / name)]

    start = time.monotonic()
    subprocess.run(command("whole"), check=True)
    length = time.monotonic() - start
    expected = (tmp_path / "whole" / "weights.npz").read_bytes()
    rng = np.random.default_rng(0)
    killed = 0
    for number in range(60):
        if killed == 20:
            break
        name = f"run{number}"
        start = time.monotonic()
        process = subprocess.Popen(command(name))
        try:
            process.wait(timeout=float(rng.uniform(0.3, 1.0)) * length)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += 1
            if (tmp_path / name / "last.ckpt").exists():
                assert latest_checkpoint(tmp_path / name)[0] is not None
        else:
            length = min(length, time.monotonic() - start)
        subprocess.run(command(name), check=True)
        assert (tmp_path / name / "weights.npz").read_bytes() == expected
    assert killed == 20


class Peek(Callback):
    """Look at the loader in the middle of a fit."""

    def __init__(self, loader):
        self.loader = loader

    def on_batch_end(self, trainer):
        next(iter(self.loader))

    def on_epoch_end(self, trainer):
        next(iter(self.loader))


def test_callbacks_may_use_the_loader_and_several_checkpoints_keep_their_best(tmp_path):
    def fit(folder, stop=None):
        minidl.manual_seed(0)
        model, loader = nn.Linear(4, 3), DataLoader(problem(), 8, shuffle=True, rng=np.random.default_rng(1))
        callbacks = [Peek(loader), ModelCheckpoint(folder / "a", every=1), ModelCheckpoint(folder / "b")]
        trainer = Trainer(
            model, nn.CrossEntropyLoss(), optim.SGD(model.params(), lr=0.1), callbacks=callbacks, progress="none"
        )
        if stop:
            trainer.callbacks.append(StopAt(stop))
            state = trainer.state_dict
            trainer.state_dict = lambda: without_last(state())
        history = trainer.fit(loader, epochs=3, resume=folder / "a")
        assert read_checkpoint(folder / "a" / "last.ckpt")["callbacks"][2]["best"] == callbacks[2].best
        return trainer, history

    for stop in (3, 7, 9):
        whole = fit(tmp_path / f"whole{stop}")
        fit(tmp_path / f"parts{stop}", stop)
        assert_same(whole, fit(tmp_path / f"parts{stop}"))


def test_validation_broken_off_is_done_again(tmp_path):
    class Interrupted(list):
        def __iter__(self):
            for number, batch in enumerate(super().__iter__()):
                if number == 1 and self.broken:
                    raise KeyboardInterrupt
                yield batch

    minidl.manual_seed(0)
    data = problem(40)
    model = nn.Linear(4, 3)
    trainer = Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.params(), lr=0.1), progress="none")
    val = Interrupted(DataLoader(data, 20))
    val.broken = True
    assert trainer.fit(list(DataLoader(data, 20)), val, epochs=2).interrupted
    write_checkpoint(tmp_path / "a.ckpt", trainer.state_dict())
    assert np.isnan(trainer.history.to_dict().get("val_loss", [np.nan])[-1])
    val.broken = False
    history = trainer.fit(list(DataLoader(data, 20)), val, epochs=2, resume=tmp_path / "a.ckpt")
    assert history["epoch"] == [1, 2]
    with pytest.raises(FileNotFoundError):
        trainer.fit(val, epochs=1, resume=tmp_path / "none.ckpt")


def test_what_is_told_and_what_must_be_the_same(tmp_path):
    run(tmp_path, epochs=1)
    (tmp_path / "last.ckpt").write_bytes(b"")
    with pytest.warns(RuntimeWarning, match="last.ckpt is not a whole checkpoint.*the checkpoint before it is used"):
        run(tmp_path, epochs=2)
    for change, message in (
        ({"batch_size": 10}, r"loader of the checkpoint: \[8, False, False\], of this Trainer: \[10, False, False\]"),
        ({"accumulate": 2}, "accumulate of the checkpoint: 1, of this Trainer: 2"),
    ):
        with pytest.raises(ValueError, match=f"cannot resume: {message}"):
            run(tmp_path, epochs=3, **change)
    write_checkpoint(tmp_path / "b.ckpt", {"a": 1})
    model = nn.Linear(4, 3)
    trainer = Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.params(), lr=0.1), progress="none")
    with pytest.raises(ValueError, match="this is not the state of a fit"):
        trainer.fit(DataLoader(problem(), 10), resume=tmp_path / "b.ckpt")


def test_stopping_at_an_epochs_end_saves_it(tmp_path):
    class Enough(Callback):
        def on_epoch_end(self, trainer):
            raise StopTraining

    model = nn.Linear(4, 3)
    callbacks = [Enough(), ModelCheckpoint(tmp_path)]
    trainer = Trainer(
        model, nn.CrossEntropyLoss(), optim.SGD(model.params(), lr=0.1), callbacks=callbacks, progress="none"
    )
    trainer.fit(DataLoader(problem(), 10), epochs=5)
    assert len(read_checkpoint(tmp_path / "last.ckpt")["history"]) == 1
