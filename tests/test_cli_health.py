"""``minidl train --health``: the table in the terminal and in report.html; the run stays what it was."""

import html

import numpy as np
import pytest

from minidl.cli import main


@pytest.fixture
def in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dead.py").write_text(
        "from minidl import nn\ndef make():\n"
        "    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10))\n"
        "    model[1].bias.data[:6] = -1000\n    return model\n"
    )
    return tmp_path


def test_a_healthy_run_says_so_and_trains_as_without(in_tmp, capsys):
    assert main(["train", "--epochs", "2", "--run", "plain"]) == 0
    capsys.readouterr()
    assert main(["train", "--epochs", "2", "--run", "watched", "--health"]) == 0
    out = capsys.readouterr().out
    assert "the layers in epoch 2:\nlayer  kind " in out
    assert "\nnothing is out of the ordinary\n" in out
    page = (in_tmp / "watched" / "report.html").read_text()
    assert "<h2>Health of the layers</h2><p>Nothing is out of the ordinary.</p>" in page
    assert "<td>0</td><td>Conv2d</td>" in page
    assert "Health" not in (in_tmp / "plain" / "report.html").read_text()
    first, second = (np.load(f"{name}/weights.npz") for name in ("plain", "watched"))
    for name in first.files:
        np.testing.assert_array_equal(first[name], second[name])


def test_an_illness_is_told_in_the_terminal_and_in_the_report(in_tmp, capsys):
    options = ["--epochs", "1", "--model", "dead:make", "--lr", "0.001", "--schedule", "none", "--run", "r"]
    assert main(["train", *options, "--health"]) == 0
    out = capsys.readouterr().out
    (told,) = [line for line in out.splitlines() if line.startswith('dead: "2": ')]
    assert int(told.split(": ")[2].split(" %")[0]) >= 75
    assert "\ndead: units that are 0 for every sample get no gradient: lower the learning rate" in out
    page = (in_tmp / "r" / "report.html").read_text()
    assert f"<li><b>dead</b>: {html.escape(told.removeprefix('dead: '))}".replace("&quot;", '"') in page


def test_a_resumed_run_has_the_health_of_all_its_epochs(in_tmp, capsys):
    options = ["--health", "--schedule", "none"]
    assert main(["train", "--epochs", "2", "--run", "whole", *options]) == 0
    whole = capsys.readouterr().out
    assert main(["train", "--epochs", "1", "--run", "parts", *options, "--quiet"]) == 0
    assert "layer" not in capsys.readouterr().out
    assert main(["train", "--epochs", "2", "--resume", "parts"]) == 0
    out = capsys.readouterr().out
    begin = "the layers in epoch 2:"
    assert out[out.index(begin) : out.index("weights of")] == whole[whole.index(begin) : whole.index("weights of")]
