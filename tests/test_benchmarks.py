"""The benchmark's parts run; how fast, no test asks."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from minidl import models, nn

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
nets = __import__("nets")


@pytest.mark.parametrize("name", ["lenet5", "mnist_cnn"])
def test_the_benchmarks_networks_are_the_packages(name):
    ours, theirs = nets.build(name, nn), getattr(models, name)()
    assert repr(ours) == repr(theirs)


def test_small_vgg_has_its_shapes():
    assert nets.build("small_vgg", nn).output_shape((1, *nets.SHAPES["small_vgg"])) == (1, 10)


@pytest.mark.parametrize("task", ["train", "infer"])
@pytest.mark.parametrize("side", ["minidl", "torch"])
def test_a_worker_serves_steps_and_tells_its_memory(side, task, request):
    if side == "torch":
        request.getfixturevalue("torch")
    command = [sys.executable, str(BENCHMARKS / "worker.py"), side, "lenet5", task, "4"]
    run = subprocess.run(command, input="2\n1\n", capture_output=True, text=True, check=True)
    first, second, peak = (json.loads(line) for line in run.stdout.splitlines())
    assert (len(first), len(second)) == (2, 1)
    assert peak > 2**20


def test_the_profile_has_a_row_for_each_layer(monkeypatch, capsys):
    import profile_layers

    profile_layers.profile("lenet5", 2, rounds=1)
    out = capsys.readouterr().out
    assert "| 0 Conv2d |" in out
    assert "| 11 Linear |" in out
    assert "GFLOP/s" in out
