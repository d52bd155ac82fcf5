"""The parts of the benchmarks run; no test asks how fast."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minidl import models, nn

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
nets, random_nets, turns = (__import__(name) for name in ("nets", "random_nets", "turns"))


@pytest.mark.parametrize("name", ["lenet5", "mnist_cnn"])
def test_the_benchmarks_networks_are_the_packages(name):
    ours, theirs = nets.build(name, nn), getattr(models, name)()
    assert repr(ours) == repr(theirs)


def test_small_vgg_has_its_shapes():
    assert nets.build("small_vgg", nn).output_shape((1, *nets.SHAPES["small_vgg"])) == (1, 10)


@pytest.mark.parametrize("task", ["train", "infer", "compile"])
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


def test_random_networks_run_and_are_the_same_for_the_same_name():
    kinds, batches = set(), []
    for number in range(60):
        name = f"random-3-{number}"
        drawn = random_nets.draw(name)
        assert drawn == random_nets.draw(name) != random_nets.draw(f"random-4-{number}")
        kinds |= {kind for kind, _, _ in drawn.layers}
        batches.append(drawn.batch)
        assert 2 <= [kind for kind, _, _ in drawn.layers].count("Conv2d") <= 4
        model, batch = nets.build(name, nn), min(drawn.batch, 2)
        out = model(np.random.default_rng(0).standard_normal((batch, *nets.shape(name)), dtype=np.float32))
        assert out.shape == (batch, 10)
        assert np.isfinite(model.backward(out)).all()
    assert kinds >= {"BatchNorm2d", "GroupNorm", "InstanceNorm2d", "MaxPool2d", "AvgPool2d", *random_nets.ACTIVATIONS}
    assert min(batches) == 1
    assert 64 < max(batches) <= 128


def compare_commits(old, new, options=""):
    command = [sys.executable, str(BENCHMARKS / "compare_commits.py"), str(old), str(new), *options.split()]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_two_checkouts_are_compared_in_turns():
    root = BENCHMARKS.parent
    tiny = "--nets lenet5 --batches 2 --random 1 --seed 5 --pairs 2 --rounds 2 --seconds 0.001"
    run = compare_commits(root, root, tiny)
    assert run.returncode == 0, run.stderr
    rows = re.findall(r"^\| (\S+) \| (\d+) \| [\d.]+ \| [\d.]+ \| [\d.]+ \| [\d.]+ \|$", run.stdout, re.MULTILINE)
    drawn = random_nets.draw("random-5-0")
    assert rows == [("lenet5", "2"), ("random-5-0", str(drawn.batch))]
    assert f"random networks, seed 5:\n  random-5-0 {drawn}" in run.stdout
    assert re.search(r"minima: geometric mean [\d.]+, lowest tenth [\d.]+, worst [\d.]+ \((lenet5|random)", run.stdout)


def test_the_summary_of_two_checkouts():
    from compare_commits import fastest_tenth, summary

    ratios = {**{f"net {n}": 1.0 for n in range(18)}, "slow": 2.0, "fast": 0.5}
    assert summary("times", ratios) == "times: geometric mean 1.000, lowest tenth 1.000, worst 2.000 (slow)"
    assert fastest_tenth([3.0, 1.0, 2.0]) == 1.0
    assert fastest_tenth([float(n) for n in range(30, 0, -1)]) == 2.0


def test_each_side_imports_its_own_checkout(tmp_path):
    from compare_commits import imported_from

    (tmp_path / "minidl").mkdir()
    (tmp_path / "minidl" / "__init__.py").write_text("")
    assert imported_from(tmp_path) == tmp_path / "minidl" / "__init__.py"
    assert imported_from(BENCHMARKS.parent).parent == BENCHMARKS.parent / "minidl"
    run = compare_commits(BENCHMARKS.parent, tmp_path / "none")
    assert run.returncode == 2
    assert "none is not a checkout of minidl: " in run.stderr


def test_workers_take_turns_and_a_failing_one_is_named():
    class Fake:
        def __init__(self, name):
            self.name = name

        def run(self, steps):
            log.append((self.name, steps))
            return [0.1] * steps

        def finish(self):
            return 1

    log = []
    result = turns.measure({"a": Fake("a"), "b": Fake("b")}, rounds=3, seconds=0.5)
    assert log == [("a", 3), ("b", 3), *((side, 5) for side in "abbaab")]
    assert result.seconds == {"a": [0.1] * 15, "b": [0.1] * 15}
    with turns.Worker("minidl", ("no_such_net", "train", 1), turns.environment(1)) as worker:
        worker.process.wait()
        with pytest.raises(RuntimeError, match=r"the worker failed: .*worker.py minidl no_such_net train 1"):
            worker.run(1)
