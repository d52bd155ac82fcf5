"""Run folders: who has one, what can be resumed, and what is never overwritten."""

import csv
import shlex
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

import minidl
from minidl import models, nn, optim
from minidl.cli import main
from minidl.cli.claim import claimed
from minidl.data import DataLoader, load_digits
from minidl.training import ModelCheckpoint, Trainer
from minidl.training.callbacks import CSVLogger
from minidl.training.folder_lock import FolderLock

TRAIN = ["train", "--epochs", "2", "--schedule", "cosine", "--augment", "crop", "--quiet"]
TINY = "from minidl import nn\ndef make():\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"


@pytest.fixture
def in_tmp(tmp_path, monkeypatch):
    (tmp_path / "tiny.py").write_text(TINY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that was not stopped."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert main([*TRAIN, "--run", str(folder)]) == 0
    return folder


def assert_same(first, second):
    a, b = (np.load(folder / "weights.npz") for folder in (first, second))
    assert a.files == b.files
    for name in a.files:
        np.testing.assert_array_equal(a[name], b[name])


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# Which run has a folder


def test_a_run_that_begins_while_another_does_has_a_folder_of_its_own(in_tmp):
    (in_tmp / "both.py").write_text(
        "from minidl.cli import main\nfrom minidl import models\ndef make():\n"
        "    assert main(['train', '--epochs', '1', '--quiet', '--seed', '5']) == 0\n    return models.digits_cnn()\n"
    )
    assert main(["train", "--epochs", "1", "--quiet", "--model", "both:make"]) == 0
    assert sorted(path.name for path in (in_tmp / "runs").iterdir()) == ["digits-1", "digits-2"]
    for number, seed in ((1, 0), (2, 5)):
        assert f"seed = {seed}\n" in Path(f"runs/digits-{number}/config.toml").read_text()
        assert Path(f"runs/digits-{number}/weights.npz").exists()


def test_folders_claimed_together_are_different(in_tmp):
    together, claims = threading.Barrier(20), []

    def claim():
        together.wait()
        with claimed(None, "digits") as folder:
            claims.append(folder)

    threads = [threading.Thread(target=claim) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claims) == sorted(Path("runs") / f"digits-{number}" for number in range(1, 21))


@pytest.mark.parametrize("flag", ["--run", "--resume"])
def test_a_folder_that_is_being_written_to_is_refused(flag, in_tmp, capsys):
    if flag == "--resume":
        assert main(["train", "--epochs", "1", "--quiet", "--run", "r"]) == 0
    else:
        (in_tmp / "r").mkdir()
    before, held, done = content(in_tmp / "r"), threading.Event(), threading.Event()

    def hold():
        with FolderLock(Path("r")):
            held.set()
            done.wait()

    other = threading.Thread(target=hold)
    other.start()
    held.wait()
    try:
        assert main(["train", "--epochs", "2", flag, "r"]) == 2
    finally:
        done.set()
        other.join()
    assert "another fit is writing to r; wait until it has ended" in capsys.readouterr().err
    assert content(in_tmp / "r") == before


def test_nothing_is_left_of_a_run_that_cannot_begin(in_tmp):
    assert main(["train", "--lr", "-1"]) == 2
    assert main(["train", "--lr", "-1", "--run", "r"]) == 2
    assert [path.name for path in in_tmp.iterdir()] == ["tiny.py"]


def test_what_a_killed_process_left_of_its_first_file_is_in_nobodys_way(in_tmp):
    (in_tmp / "r").mkdir()
    (in_tmp / "r" / ".config.toml.123.partial").write_text("da")
    assert main(["train", "--epochs", "1", "--quiet", "--run", "r"]) == 0


# What can be resumed


@pytest.mark.parametrize(
    "there",
    [
        ["config.toml"],
        ["config.toml", "environment.json"],
        ["config.toml", "environment.json", "history.csv"],
        ["config.toml", "environment.json", "history.csv", "best.npz"],
        ["config.toml", "last.ckpt", "best.npz"],
    ],
    ids=", ".join,
)
def test_a_run_is_resumed_whatever_it_has_come_to(there, whole, in_tmp, capsys):
    if "history.csv" in there:  # of the first epoch, whose checkpoint is not yet there
        assert main([*TRAIN, "--epochs", "1", "--run", "first"]) == 0
        source = in_tmp / "first"
        shutil.copy(whole / "config.toml", source)
    else:
        source = whole
    (in_tmp / "r").mkdir()
    for name in there:
        shutil.copy(source / name, in_tmp / "r")
    again = "last.ckpt" not in there
    assert main(["train", "--resume", "r"]) == 0
    told = "there is no checkpoint in r yet: the fit begins from the start\n" in capsys.readouterr().out
    assert told == again
    assert_same(whole, in_tmp / "r")
    assert {path.name for path in whole.iterdir()} - {path.name for path in (in_tmp / "r").iterdir()} <= {
        "previous.ckpt",
        "history.csv",
    }


@pytest.mark.parametrize("where", ["batch", "save"])
def test_ctrl_c_in_the_first_epoch_leaves_a_run_that_begins_again(where, whole, in_tmp, monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if where == "batch":
            patch.setattr(DataLoader, "__iter__", interrupt)
        else:
            patch.setattr(ModelCheckpoint, "save", interrupt)
        assert main([*[flag for flag in TRAIN if flag != "--quiet"], "--run", "r", "--out", "m.npz"]) == 130
    assert "weights saved to m.npz; no epoch is finished; begin again with minidl train --resume r --out m.npz\n" in (
        capsys.readouterr().out
    )
    minidl.load(models.digits_cnn(), "m.npz")
    assert main(["evaluate", "r"]) == 2
    assert "r is not finished: continue with minidl train --resume r" in capsys.readouterr().err
    assert main(["train", "--resume", "r", "--quiet"]) == 0
    assert_same(whole, in_tmp / "r")


def test_ctrl_c_prints_the_command_that_goes_on(in_tmp, monkeypatch, capsys):
    """As a shell splits it into words, from a folder with a space, with a model of the user's own."""

    def interrupted(self, trainer):
        if trainer.epoch == 2:
            raise KeyboardInterrupt

    Path("going_on.py").write_text(TINY)  # a name of its own: Python keeps imported modules
    with monkeypatch.context() as patch:
        patch.setattr(CSVLogger, "on_epoch_start", interrupted)
        assert main(["train", "--epochs", "3", "--model", "going_on:make", "--run", "a run", "--out", "m.npz"]) == 130
    command = capsys.readouterr().out.splitlines()[-1].removeprefix("go on with ")
    assert command == "minidl train --resume 'a run' --model going_on:make --out m.npz"
    Path("m.npz").unlink()
    assert main(shlex.split(command)[1:]) == 0
    assert "epoch 3/3" in capsys.readouterr().out
    assert Path("m.npz").exists()


@pytest.mark.parametrize("first", [False, True])
def test_a_second_ctrl_c_prints_the_command_too(first, in_tmp, monkeypatch, capsys):
    """It comes while what has been trained is measured, or, in the first epoch, while its weights are saved."""

    def interrupted(*_):
        raise KeyboardInterrupt

    def in_the_second(self, trainer):
        if first or trainer.epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(CSVLogger, "on_epoch_start", in_the_second)
    monkeypatch.setattr("minidl.cli.train.save" if first else "minidl.cli.train.measure", interrupted)
    assert main([*[flag for flag in TRAIN if flag != "--quiet"], "--run", "r", "--out", "m.npz"]) == 130
    said = capsys.readouterr()
    assert said.out.splitlines()[-1] == "go on with minidl train --resume r --out m.npz"
    assert said.err == "minidl: interrupted\n"
    monkeypatch.undo()
    monkeypatch.chdir(in_tmp)
    assert main(["train", "--resume", "r", "--quiet"]) == 0


def test_ctrl_c_before_the_best_weights_are_kept_names_those_that_are(in_tmp, monkeypatch, capsys):
    """The second epoch is better, but its weights have not been written."""
    real = ModelCheckpoint.on_save

    def interrupted(self, trainer):
        if trainer.state.finished and trainer.epoch == 2:
            raise KeyboardInterrupt
        real(self, trainer)

    monkeypatch.setattr(ModelCheckpoint, "on_save", interrupted)
    assert main([*[flag for flag in TRAIN if flag != "--quiet"], "--run", "r"]) == 130
    out = capsys.readouterr().out
    rows = csv.DictReader(Path("r/history.csv").read_text().splitlines())
    first, second = (float(row["val_accuracy"]) for row in rows)
    assert second > first
    assert f"weights of the best of 2 epochs by validation: accuracy {100 * first:.2f} %" in out


@pytest.mark.parametrize("there", [["weights.npz"], ["weights.npz", "environment.json"], ["best.npz", "history.csv"]])
def test_weights_are_not_overwritten(there, whole, in_tmp, capsys):
    (in_tmp / "r").mkdir()
    for name in ["config.toml", *there]:
        shutil.copy(whole / name, in_tmp / "r")
    if "history.csv" in there:
        shutil.copy(whole / "environment.json", in_tmp / "r")
    before = content(in_tmp / "r")
    assert main(["train", "--resume", "r"]) == 2
    assert "--resume r: its checkpoints are gone" in capsys.readouterr().err
    assert main(["train", "--run", "r"]) == 2
    assert "this is not an empty folder" in capsys.readouterr().err
    assert content(in_tmp / "r") == before


def test_an_unknown_folder_is_not_resumed(in_tmp, capsys):
    (in_tmp / "r").mkdir()
    for name in ("", "environment.json", "last.ckpt"):
        if name:
            (in_tmp / "r" / name).write_text("{}")
        assert main(["train", "--resume", "r"]) == 2
        assert "r is not the folder of a run: it holds no config.toml" in capsys.readouterr().err


def test_the_trainer_does_not_take_a_finished_run_for_a_new_one(whole, in_tmp):
    (in_tmp / "r").mkdir()
    for name in ("config.toml", "weights.npz", "best.npz"):
        shutil.copy(whole / name, in_tmp / "r")
    before = content(in_tmp / "r")
    model = models.digits_cnn()
    optimizer = optim.SGD(model.params(), 0.1)
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, callbacks=[ModelCheckpoint("r")], progress="none")
    with pytest.raises(ValueError, match="its checkpoints are gone, but not its weights.npz"):
        trainer.fit(DataLoader(load_digits()[1], 64), resume="r")
    assert content(in_tmp / "r") == before
