"""A run that an earlier version wrote stays readable: tests/old_run holds one of commit dd2e027, made there by

    minidl train --epochs 1 --lr 0.1 --batch-size 8 --model tiny_net:tiny_net --augment crop --run digits-1

and resumed.npz, the weights which that version reached from there with --resume --epochs 2.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from minidl.cli import main
from minidl.cli.options import option
from minidl.cli.recipe import Recipe
from minidl.cli.run import Run
from minidl.data import load_digits

OLD = Path(__file__).with_name("old_run")
# options that did not exist then
NEW = ["label_smoothing", "split", "val_fraction", "channels", "fit", "skip_broken", "mixup", "cutmix", "class_weights"]
NEW += ["patience", "ema", "health"]


@pytest.fixture
def old(tmp_path, monkeypatch):
    shutil.copytree(OLD, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def result(arguments, capsys):
    assert main([*arguments, "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return json.loads(out)


def test_it_lacks_every_new_option(old):
    text = (old / "digits-1" / "config.toml").read_text()
    assert not [name for name in NEW if name in text]
    assert "label_smoothing" in Recipe.options()
    recipe = Run.read("digits-1").recipe
    assert (recipe.label_smoothing, recipe.split, recipe.lr) == (0.0, "", 0.1)


def test_evaluate(old, capsys):
    measured = result(["evaluate", "digits-1", "--trust"], capsys)
    assert measured["accuracy"] == pytest.approx(227 / 355)
    assert measured["loss"] == pytest.approx(1.3714909, abs=1e-5)


def test_predict(old, capsys):
    images, labels = load_digits()[1].arrays
    np.save("images.npy", images)
    predictions = result(["predict", "digits-1", "images.npy", "--model", "tiny_net:tiny_net"], capsys)["predictions"]
    assert sum(int(one["top"][0]["class"]) == label for one, label in zip(predictions, labels, strict=True)) == 227


def test_resume_reaches_what_was_reached_then(old, capsys):
    assert result(["train", "--resume", "digits-1", "--epochs", "2", "--trust"], capsys)["accuracy"] == pytest.approx(
        256 / 355
    )
    now, then = np.load("digits-1/weights.npz"), np.load("resumed.npz")
    assert now.files == then.files
    for name in then.files:
        np.testing.assert_allclose(now[name], then[name], rtol=1e-4, atol=1e-5)
    rows = Run.read("digits-1").history()
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[1]["val_loss"]) == pytest.approx(1.0561815, abs=1e-4)
    assert "label_smoothing = 0.0\n" in (old / "digits-1" / "config.toml").read_text()


def test_its_config_is_a_config(old, capsys):
    result(["train", "--config", "digits-1/config.toml", "--val-fraction", "0", "--run", "again", "--trust"], capsys)
    first, second = (np.load(f"{run}/weights.npz") for run in ("digits-1", "again"))
    for name in first.files:
        np.testing.assert_allclose(first[name], second[name], rtol=1e-4, atol=1e-5)


def test_summary_and_export(old, capsys):
    assert result(["summary", "tiny_net:tiny_net", "--input-shape", "1,8,8"], capsys)["params"] == 410
    pytest.importorskip("onnx")
    assert result(["export", "digits-1", "old.onnx", "--trust"], capsys)["input_shape"] == ["N", 1, 8, 8]


def test_compare_with_a_new_run(old, capsys):
    options = ["--epochs", "1", "--model", "tiny_net:tiny_net", "--label-smoothing", "0.2"]
    result(["train", *options, "--run", "new"], capsys)
    compared = result(["compare", "digits-1", "new"], capsys)
    assert compared["label_smoothing"] == [0.0, 0.2]
    assert compared["epochs done"] == [1, 1]
    assert compared["val_accuracy, last"][0] == pytest.approx(227 / 355)
    assert "split" not in compared


@dataclass(frozen=True)
class Later(Recipe):
    """The recipe of a later version: new runs are loud, those made before were quiet."""

    mood: str = option("loud", "of the run", before="quiet")


def test_what_an_option_means_for_runs_made_before_it_can_differ_from_its_default(old):
    entries = Run.read("digits-1").recipe.as_dict()
    assert Later().mood == "loud"
    assert Later.stored(entries, "config.toml").mood == "quiet"
    assert Later.stored({**entries, "mood": "sad"}, "config.toml").mood == "sad"


def test_entries_that_every_version_writes_are_missed(old, capsys):
    path = old / "digits-1" / "config.toml"
    lines = path.read_text().splitlines(keepends=True)
    for line in lines:
        path.write_text("".join(other for other in lines if other != line))
        assert main(["evaluate", "digits-1"]) == 2
        name = line.split(" ")[0]
        assert f"config.toml is damaged: it has no {name}\n" in capsys.readouterr().err
