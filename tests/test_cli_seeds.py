"""``minidl train --seeds N``, and the interval of an accuracy wherever it is printed."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from minidl.cli import main
from minidl.training.callbacks import CSVLogger
from minidl.training.metrics import wilson_interval

TRAIN = ["train", "--epochs", "1"]


@pytest.fixture
def in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_runs_are_those_of_the_seeds_with_their_mean_and_spread(in_tmp, capsys):
    assert main([*TRAIN, "--seeds", "3", "--seed", "7", "--run", "all"]) == 0
    out = capsys.readouterr().out
    accuracies = [int(count) / 355 for count in re.findall(r"test accuracy: .* % \((\d+) of 355;", out)]
    assert len(accuracies) == 3
    middle = sum(accuracies) / 3
    spread = (sum((one - middle) ** 2 for one in accuracies) / 2) ** 0.5
    assert out.splitlines()[-1] == (
        f"test accuracy of 3 seeds: {100 * middle:.2f} ± {100 * spread:.2f} % (mean and standard deviation), from "
        f"{100 * min(accuracies):.2f} to {100 * max(accuracies):.2f} %"
    )
    assert sorted(path.name for path in Path("all").iterdir()) == ["seed-7", "seed-8", "seed-9"]
    assert main([*TRAIN, "--seed", "8", "--run", "one", "--quiet"]) == 0
    several, one = (np.load(f"{name}/weights.npz") for name in ("all/seed-8", "one"))
    for name in one.files:
        np.testing.assert_array_equal(one[name], several[name])


def test_without_a_folder_they_are_numbered_and_quiet_is_one_line(in_tmp, capsys):
    assert main([*TRAIN, "--seeds", "2", "--quiet"]) == 0
    assert re.fullmatch(r"test accuracy of 2 seeds: .*\n", capsys.readouterr().out)
    assert sorted(path.name for path in Path("runs").iterdir()) == ["digits-1", "digits-2"]
    assert "seed = 1\n" in Path("runs/digits-2/config.toml").read_text()


def test_as_json(in_tmp, capsys):
    assert main([*TRAIN, "--seeds", "2", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [run["seed"] for run in result["runs"]] == [0, 1]
    assert result["accuracy"] == pytest.approx(np.mean([run["accuracy"] for run in result["runs"]]))
    assert result["accuracy_std"] == pytest.approx(np.std([run["accuracy"] for run in result["runs"]], ddof=1))


def test_the_first_seed_may_come_from_a_file(in_tmp, capsys):
    Path("c.toml").write_text("seed = 5\n")
    assert main([*TRAIN, "--seeds", "2", "--config", "c.toml", "--run", "r", "--quiet"]) == 0
    assert sorted(path.name for path in Path("r").iterdir()) == ["seed-5", "seed-6"]


def test_ctrl_c_ends_them_all_and_prints_what_goes_on(in_tmp, capsys, monkeypatch):
    def interrupt(self, trainer):
        if "seed-1" in str(self.path):
            raise KeyboardInterrupt

    monkeypatch.setattr(CSVLogger, "on_epoch_start", interrupt)
    assert main([*TRAIN, "--seeds", "3", "--run", "r"]) == 130
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == "no epoch is finished; begin again with minidl train --resume r/seed-1"
    assert "of 3 seeds" not in out.splitlines()[-2]
    assert not Path("r/seed-2").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", "1"], "--seeds must be at least 2, got 1"),
        (["--seeds", "3", "--resume", "r"], "--seeds trains several models: --resume is for one of them"),
        (["--seeds", "3", "--out", "m.npz"], "--seeds trains several models: --out is for one of them"),
        (["--seeds", "3", "--seed", "-1"], "manual_seed: seed must not be negative, got -1"),
    ],
)
def test_what_it_refuses(arguments, message, in_tmp, capsys):
    assert main(["train", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not list(in_tmp.iterdir())


def test_the_interval_is_in_the_results_and_the_report(in_tmp, capsys):
    assert main([*TRAIN, "--run", "r", "--json"]) == 0
    trained = json.loads(capsys.readouterr().out)
    low, high = wilson_interval(round(355 * trained["accuracy"]), 355)
    assert trained["accuracy_interval"] == pytest.approx([low, high])
    text = f"95 % interval {100 * low:.2f} to {100 * high:.2f} %"
    assert text in Path("r/report.html").read_text()
    assert main(["evaluate", "r"]) == 0
    assert text in capsys.readouterr().out
    assert main(["evaluate", "r", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy_interval"] == pytest.approx([low, high])
