"""The options of ``minidl train``: one entry for each of them in OPTIONS, and tests that run over the table."""

import argparse
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

import minidl
from minidl.cli import main
from minidl.cli.options import add_flags
from minidl.cli.recipe import Recipe
from minidl.cli.run import Run


@dataclass
class Option:
    """A value that is not the default, as it is written on the command line; what is refused, with which message."""

    value: str
    refused: dict = field(default_factory=dict)
    trains_otherwise: bool = True  # whether one epoch on the digits with this value gives other weights


OPTIONS = {
    "data": Option("mnist", {"cifar": "--data must be one of digits, mnist,"}, trains_otherwise=False),
    "root": Option("somewhere", {"x": "--root is not for --data digits, which comes with"}, trains_otherwise=False),
    "download": Option("", trains_otherwise=False),
    "size": Option("8", {"8": "--size is for --data folder", "-1": "--size must be"}, trains_otherwise=False),
    "channels": Option(
        "grey",
        {"grey": "--channels is for --data folder", "4": "--channels must be one of grey, rgb, got '4'"},
        trains_otherwise=False,
    ),
    "fit": Option(
        "pad",
        {"pad": "--fit is for --data folder", "fill": "--fit must be one of stretch, pad, crop, got 'fill'"},
        trains_otherwise=False,
    ),
    "skip_broken": Option("", trains_otherwise=False),
    "split": Option("letters", {"letters": "--split is for --data emnist"}, trains_otherwise=False),
    "val_fraction": Option(
        "0.2", {"1": "--val-fraction must be from 0 to less than 1, got 1.0", "-0.1": "--val-fraction must be from 0"}
    ),
    "model": Option("tiny_net:tiny_net", {"nothing": "--model: there is no 'nothing'; known: all_cnn_c"}),
    "init": Option(
        "/beginning.npz",
        {"none.npz": "[Errno 2] No such file", "x.pt": "unknown file format '.pt'"},
        trains_otherwise=False,
    ),
    "augment": Option(
        "crop", {"twist": "--augment must be one of none, crop, crop_flip, shift_flip, affine, got 'twist'"}
    ),
    "mixup": Option("0.4", {"-1": "--mixup must be at least 0, got -1.0"}),
    "cutmix": Option("1", {"-1": "--cutmix must be at least 0, got -1.0"}),
    "class_weights": Option("balanced", {"much": "--class-weights must be one of none, balanced, got 'much'"}),
    "patience": Option("3", {"-1": "--patience must be at least 0, got -1"}, trains_otherwise=False),
    "ema": Option("0.9", {"1": "--ema must be from 0 to less than 1, got 1.0"}),
    "optimizer": Option("adam", {"x": "--optimizer must be one of sgd, adam"}),
    "lr": Option("0.01", {"-1": "SGD: lr must be at least 0.0, got -1.0", "inf": "SGD: lr must be finite, got inf"}),
    "momentum": Option("0.5", {"1": "--momentum must be from 0 to less than 1, got 1.0"}),
    "weight_decay": Option("0.1", {"-1": "SGD: weight_decay must be at least 0.0, got -1.0"}),
    "label_smoothing": Option(
        "0.3",
        {
            "1.5": "--label-smoothing must be from 0 to 1, got 1.5",
            "-0.1": "--label-smoothing must be from 0 to 1, got -0.1",
            "nan": "--label-smoothing must be from 0 to 1, got nan",
            "much": "argument --label-smoothing: invalid float value: 'much'",
        },
    ),
    "schedule": Option("cosine", {"x": "--schedule must be one of none, onecycle"}),
    "epochs": Option("2", {"0": "--epochs must be at least 1, got 0"}),
    "batch_size": Option("16", {"0": "--batch-size must be at least 1, got 0"}),
    "accumulate": Option("2", {"0": "--accumulate must be at least 1, got 0"}),
    "clip_grad_norm": Option("0.01", {"-1": "Trainer: clip_grad_norm must be at least"}),
    "health": Option("", trains_otherwise=False),
    "seed": Option("1", {"-1": "manual_seed: seed must not be negative, got -1"}),
    "threads": Option("1", {"-1": "--threads must be at least 0, got -1"}, trains_otherwise=False),
    "engine": Option("im2col", {"x": "--engine must be one of numpy, im2col, fast, got 'x'"}, trains_otherwise=False),
}
REFUSED = [(name, value, message) for name, entry in OPTIONS.items() for value, message in entry.refused.items()]


def flags(name, value):
    flag = f"--{name.replace('_', '-')}"
    return [flag, value] if value else [flag]


@pytest.fixture
def in_tmp(tmp_path, monkeypatch):
    shutil.copy(Path(__file__).with_name("old_run") / "tiny_net.py", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    """The weights of a run with the default options."""
    folder = tmp_path_factory.mktemp("usual")
    assert main(["train", "--epochs", "1", "--quiet", "--run", str(folder / "run")]) == 0
    return np.load(folder / "run" / "weights.npz")


def test_every_option_has_an_entry():
    assert set(OPTIONS) == set(Recipe.options())


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_comes_from_its_flag_and_is_kept_in_the_run(name, tmp_path):
    entry = Recipe.options()[name]
    parser = argparse.ArgumentParser()
    add_flags(parser, Recipe.options().values())
    value = getattr(parser.parse_args(flags(name, OPTIONS[name].value)), name)
    assert type(value) is entry.kind
    assert value != getattr(Recipe(), name)
    assert entry.help in " ".join(parser.format_help().split())
    recipe = Recipe().with_values({name: value})
    assert getattr(recipe, name) == value
    Run(tmp_path, recipe, ["a", "b"], (1, 8, 8)).write()
    assert Run.read(tmp_path).recipe == recipe


@pytest.mark.parametrize("name", [name for name, entry in OPTIONS.items() if entry.trains_otherwise])
def test_an_option_changes_the_training(name, in_tmp, usual):
    assert main(["train", "--epochs", "1", "--quiet", "--run", "r", *flags(name, OPTIONS[name].value)]) == 0
    weights = np.load("r/weights.npz")
    assert weights.files != usual.files or any(not np.array_equal(weights[key], usual[key]) for key in usual.files)


@pytest.mark.parametrize(("name", "value", "message"), REFUSED, ids=lambda value: str(value)[:30])
def test_a_wrong_value_is_refused_before_anything_is_written(name, value, message, in_tmp, capsys):
    before = sorted(in_tmp.iterdir())
    try:
        code = main(["train", f"{flags(name, value)[0]}={value}"])
    except SystemExit as stop:  # argparse's own
        code = stop.code
    err = capsys.readouterr().err
    assert code == 2
    assert err.startswith(f"minidl train: error: {message}")
    assert err.count("\n") == 1
    assert sorted(in_tmp.iterdir()) == before


@pytest.mark.parametrize("name", OPTIONS)
def test_a_config_file_with_a_wrong_value_is_named(name, in_tmp, capsys):
    Path("c.toml").write_text(f"{name} = []\n")
    assert main(["train", "--config", "c.toml"]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"minidl train: error: c.toml: {name} must be of type ")
    Path("c.toml").write_text("label_smoothing = 2.0\n")
    assert main(["train", "--config", "c.toml"]) == 2
    assert "c.toml: label_smoothing must be from 0 to 1, got 2.0" in capsys.readouterr().err


def test_only_some_options_can_be_changed_when_a_run_is_resumed(in_tmp, capsys):
    before = minidl.get_num_threads()
    assert main(["train", "--epochs", "1", "--quiet", "--model", "tiny_net:tiny_net", "--run", "r"]) == 0
    for name, entry in OPTIONS.items():
        if not Recipe.options()[name].resumable and name != "model":  # which is named again to be imported
            assert main(["train", "--resume", "r", *flags(name, entry.value)]) == 2
            assert (
                f"only --download, --engine, --epochs, --root and --threads can be changed, not {name}"
                in capsys.readouterr().err
            )
    try:
        assert main(["train", "--resume", "r", "--epochs", "2", "--threads", "1", "--quiet", "--trust"]) == 0
    finally:
        minidl.set_num_threads(before)


def test_the_loss_of_smoothed_labels_is_in_the_history_and_that_of_the_labels_is_measured(in_tmp, capsys):
    assert main(["train", "--epochs", "3", "--quiet", "--label-smoothing", "0.5", "--run", "r"]) == 0
    target = np.array([0.55] + [0.05] * 9)
    entropy = -(target * np.log(target)).sum()  # no prediction has a smaller loss
    assert float(Run.read("r").history()[-1]["val_loss"]) > entropy
    capsys.readouterr()
    assert main(["evaluate", "r", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["loss"] < entropy
