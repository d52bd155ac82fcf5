"""``minidl train --lr find``: the run is the one with the rate that was found, and its picture is in the folder."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from minidl.cli import main
from minidl.cli.lr_search import lr_picture
from minidl.cli.run import Run
from minidl.data import DataLoader
from minidl.training import LRFind


@pytest.fixture
def in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_trains_as_with_the_rate_that_it_found(in_tmp, capsys):
    assert main(["train", "--lr", "find", "--epochs", "2", "--run", "found"]) == 0
    out = capsys.readouterr().out
    rate = re.match(r"learning rate: (\S+), a tenth of that with the smallest loss; see found/lr.svg", out).group(1)
    assert 0.001 < float(rate) < 1
    assert Run.read("found").recipe.lr == float(rate)
    assert f"lr {rate}," in out
    assert main(["train", "--lr", rate, "--epochs", "2", "--run", "given", "--quiet"]) == 0
    first, second = (np.load(f"{name}/weights.npz") for name in ("found", "given"))
    for name in first.files:
        np.testing.assert_array_equal(first[name], second[name])
    ElementTree.parse("found/lr.svg")
    assert not Path("given/lr.svg").exists()
    assert main(["train", "--resume", "found", "--epochs", "3", "--quiet"]) == 0


def test_other_words_are_no_rates(in_tmp, capsys):
    for arguments in (["--lr", "fnd"], ["--momentum", "find"]):
        with pytest.raises(SystemExit):
            main(["train", *arguments])
        assert f"argument {arguments[0]}: invalid float value: '{arguments[1]}'" in capsys.readouterr().err
    Path("c.toml").write_text('lr = "find"\n')
    assert main(["train", "--config", "c.toml"]) == 2
    assert "c.toml: lr must be of type float, got 'find'" in capsys.readouterr().err


def test_it_is_said_as_json_and_not_with_quiet(in_tmp, capsys):
    assert main(["train", "--lr", "find", "--epochs", "1", "--json"]) == 0
    json.loads(capsys.readouterr().out)
    assert main(["train", "--lr", "find", "--epochs", "1", "--quiet"]) == 0
    assert "learning rate" not in capsys.readouterr().out


def test_ctrl_c_leaves_nothing(in_tmp, capsys, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(DataLoader, "__iter__", interrupt)
    assert main(["train", "--lr", "find"]) == 130
    assert capsys.readouterr().err == "minidl: interrupted\n"
    assert not list(in_tmp.iterdir())


@pytest.mark.parametrize("losses", [[2.0] * 9, [3.0, 2.0, 1.0, 1.0, 1.0, 1.0, 2.0, 9.0, 1e9]])
def test_the_picture_has_the_loss_at_each_rate(losses):
    found = LRFind(list(np.geomspace(1e-6, 1e2, 9)), losses)
    tree = ElementTree.fromstring(lr_picture(found, 0.01))
    (line,) = [part for part in tree if part.tag.endswith("polyline")]
    points = np.array([point.split(",") for point in line.get("points").split()], float)
    np.testing.assert_allclose(np.diff(points[:, 0]), np.ptp(points[:, 0]) / 8, atol=0.11)
    assert np.argmax(points[:, 1]) == np.argmin(found.smooth)  # y points down
    assert (points >= 0).all()
    assert np.ptp(points[:6, 1]) > 90 or len(set(losses)) == 1  # however large the last losses are
    assert [part.text for part in tree.iter() if part.text and part.text.startswith("1e")] == [
        f"1e{power}" for power in range(-6, 3)
    ]
