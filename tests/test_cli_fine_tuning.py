"""Going on with other options, and beginning with the weights of another model: --inexact and --init."""

import csv
import re

import numpy as np
import pytest

import minidl
from minidl import models, nn
from minidl.cli import main


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def begun(here, capsys):
    """A run of two epochs of four, as if it had been stopped."""
    assert main(["train", "--epochs", "2", "--run", "r", "--schedule", "step", "--quiet"]) == 0
    capsys.readouterr()
    return here / "r"


def rows(folder):
    with open(folder / "history.csv", newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_run_goes_on_with_other_options_if_that_is_asked_for(begun, capsys):
    before = rows(begun)
    files = {path.name: path.read_bytes() for path in begun.iterdir()}
    change = ["train", "--resume", "r", "--epochs", "4", "--lr", "0.01", "--batch-size", "64", "--augment", "crop"]
    assert main(change) == 2
    assert re.search(r"--resume: only .* can be changed, not augment, batch_size, lr|not .*lr", capsys.readouterr().err)
    assert {path.name: path.read_bytes() for path in begun.iterdir()} == files
    assert main([*change, "--inexact"]) == 0
    out = capsys.readouterr().out
    assert "resumed after epoch 2 from r/last.ckpt, not exactly: weights, the optimizer's state and the history" in out
    assert "resumed with optimizer.0.lr 0.01; it was 0.05" in out
    assert rows(begun)[:2] == before
    assert [row["epoch"] for row in rows(begun)] == ["1", "2", "3", "4"]
    config = (begun / "config.toml").read_text()
    assert "lr = 0.01\n" in config
    assert "batch_size = 64\n" in config
    assert minidl.load_run("r").predict(np.zeros((1, 1, 8, 8), np.float32)).probabilities.shape == (1, 10)


def test_the_schedule_is_where_it_would_be_and_the_run_can_be_resumed_exactly(begun, capsys):
    more = ["train", "--resume", "r", "--quiet"]
    assert main([*more, "--inexact", "--epochs", "6", "--lr", "0.01"]) == 0
    # a third of six epochs each, in which the rate falls to a tenth
    assert [float(row["lr"]) for row in rows(begun)[2:]] == pytest.approx([0.001, 0.001, 0.0001, 0.0001])
    assert main([*more, "--epochs", "7"]) == 0
    assert len(rows(begun)) == 7


def test_inexact_and_a_finished_run_change_nothing(begun, capsys):
    config = (begun / "config.toml").read_text()
    assert main(["train", "--resume", "r", "--inexact", "--lr", "0.01", "--quiet"]) == 0
    assert (begun / "config.toml").read_text() == config
    assert len(rows(begun)) == 2


def test_inexact_is_for_a_run(here, capsys):
    assert main(["train", "--inexact"]) == 2
    assert "--inexact says how a run goes on: give --resume DIR, too" in capsys.readouterr().err


def net(classes, path=None):
    model = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(512, classes))
    if path is not None:
        minidl.save(model, path)
    return model


NETS = "from minidl import nn\ndef make(num_classes):\n" + (
    "    return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(512, num_classes))\n"
)


@pytest.mark.parametrize("suffix", [".npz", ".minidl"])
def test_a_run_begins_with_the_weights_that_fit_and_names_the_others(suffix, here, capsys):
    (here / "nets_for_init.py").write_text(NETS)
    old = net(4)
    (minidl.save if suffix == ".npz" else minidl.save_model)(old, f"old{suffix}")
    command = ["train", "--model", "nets_for_init:make", "--epochs", "1", "--lr", "1e-12", "--weight-decay", "0"]
    assert main([*command, "--init", f"old{suffix}", "--run", "r"]) == 0
    out = capsys.readouterr().out
    assert (
        f"initial weights from {here}/old{suffix}: 2 of 4 tensors; left fresh: 3.weight (10, 512), there (4, 512); "
        "3.bias (10,), there (4,)" in out
    )
    state = dict(minidl.load("r/weights.npz"))
    np.testing.assert_allclose(state["0.weight"], old[0].weight.data, atol=1e-6)
    assert state["3.weight"].shape == (10, 512)
    assert main(["train", "--resume", "r", "--epochs", "2", "--quiet"]) == 2  # its model is of one's own
    assert main(["train", "--resume", "r", "--epochs", "2", "--quiet", "--trust"]) == 0
    assert "initial weights" not in capsys.readouterr().out  # the checkpoint's have been trained since


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            lambda: minidl.save(nn.Linear(3, 4), "w.npz"),
            "none of its tensors fits the model, which has 0.weight (32, 1, 3",
        ),
        (lambda: minidl.save({"epoch": 3}, "w.npz"), "this is no file of weights by name, as model.state_dict() gives"),
        (lambda: np.savez("w.npz", np.zeros(3)), "none of its tensors fits the model"),
    ],
)
def test_weights_that_cannot_be_used_are_refused_before_there_is_a_run(content, message, here, capsys):
    content()
    assert (
        main(
            ["train", "--epochs", "1", "--init", "w.npz", "--model", "mnist_cnn", "--model", "digits_cnn", "--run", "r"]
        )
        == 2
    )
    error = capsys.readouterr().err
    assert error.startswith(f"minidl train: error: --init {here}/w.npz: ")
    assert message.split(" which has")[0] in error
    assert not (here / "r").exists()


def test_what_is_not_used_is_named(here, capsys):
    state = models.digits_cnn().state_dict()
    minidl.save({**state, "head.weight": np.zeros(3, np.float32)}, "w.npz")
    assert main(["train", "--epochs", "1", "--init", "w.npz", "--run", "r"]) == 0
    out = capsys.readouterr().out
    assert f"{len(state)} of {len(state)} tensors; not used: head.weight" in out
    assert "left fresh" not in out
