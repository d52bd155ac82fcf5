"""The parts of the benchmarks run; no test asks how fast."""

import ast
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
nets, random_nets, turns, machine = (__import__(name) for name in ("nets", "random_nets", "turns", "machine"))
compare_peers, profile_layers = (__import__(name) for name in ("compare_peers", "profile_layers"))


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


def test_the_profile_has_a_row_for_each_layer_and_its_share_of_the_peak(monkeypatch, capsys):
    monkeypatch.setattr(profile_layers, "direct_peak", lambda: 1e12)
    profile_layers.profile("lenet5", 2, rounds=1)
    out = capsys.readouterr().out
    assert "| layer | forward ms | GFLOP/s | of the peak | backward ms | GFLOP/s | of the peak |" in out
    assert len(re.findall(r"^\| \d+ (?:Conv2d|Linear) (?:\| [\d.]+ \| \d+ \| \d+% ){2}\|$", out, re.MULTILINE)) == 5
    assert len(re.findall(r"^\| \d+ \w+ (?:\| [\d.]+ \|  \|  ){2}\|$", out, re.MULTILINE)) == 7
    assert re.search(r"Outside the layers.*: loss [\d.]+, optimiser [\d.]+, between the layers [\d.]+ ", out)


def test_without_numba_the_profile_says_why_there_is_no_share(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "peak", None)  # what an import that fails leaves to be seen
    profile_layers.profile("lenet5", 2, rounds=1)
    out = capsys.readouterr().out
    assert 'numba, pip install "minidl[fast]"' in out.splitlines()[0]
    assert "| layer | forward ms | GFLOP/s | backward ms | GFLOP/s |" in out
    assert "%" not in out


def test_a_share_of_the_peak_by_hand():
    # 2e9 operations in 10 ms are 200 GFLOP/s, half of 400
    assert profile_layers.cells(10**9, 0.01, 4e11) == ["10.00", "200", "50%"]
    assert profile_layers.cells(10**9, 0.01, None) == ["10.00", "200"]
    assert profile_layers.cells(0, 0.01, 4e11) == ["10.00", "", ""]


def test_a_watched_layer_computes_as_before_and_is_timed_where_the_model_calls_it():
    x = np.random.default_rng(0).standard_normal((2, 3, 6, 6))
    model = nn.Sequential(nn.Conv2d(3, 4, 3, dtype=np.float64), nn.ReLU())
    plain = model(x), model.backward(np.ones((2, 4, 4, 4))), model[0].weight.grad.copy()
    model.zero_grad()
    watched = [profile_layers.Watched(layer) for layer in model]
    again = model(x), model.backward(np.ones((2, 4, 4, 4))), model[0].weight.grad
    for before, after in zip(plain, again, strict=True):
        np.testing.assert_array_equal(after, before)
    assert all(seconds > 0 for layer in watched for seconds in layer.seconds)
    assert [layer.multiply_adds for layer in watched] == [2 * 4 * 4 * 4 * 3 * 3 * 3, 0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_peak_is_measured(dtype):
    pytest.importorskip("numba")
    from peak import peak

    assert 1e8 < peak(dtype, rounds=2) < 1e13


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model name\t: Some CPU 9\nflags\t\t: fpu avx2 avx512f\nmodel name\t: Some CPU 9\n", "Some CPU 9, AVX-512"),
        ("model name\t: Some CPU 5\nflags\t\t: fpu avx avx2\n", "Some CPU 5, AVX2"),
        ("model name\t: Some CPU 1\nflags\t\t: fpu avx\n", "Some CPU 1"),
    ],
)
def test_the_processor_is_described(text, expected, tmp_path):
    (tmp_path / "cpuinfo").write_text(text)
    assert machine.processor(tmp_path / "cpuinfo") == expected
    assert machine.processor(tmp_path / "none")


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


@pytest.mark.parametrize("name", compare_peers.PEERS)
def test_a_peer_has_a_file_and_pinned_versions(name):
    source = ast.parse((BENCHMARKS / "peers" / f"{name}.py").read_text())
    functions = {node.name for node in source.body if isinstance(node, ast.FunctionDef)}
    assigned = {ast.unparse(node.targets[0]) for node in source.body if isinstance(node, ast.Assign)}
    assert "make" in functions
    assert "DIFFERS" in assigned
    assert all("==" in package for package in compare_peers.PEERS[name].packages)


def test_a_peers_environment_is_made_once_and_a_failure_is_told(monkeypatch, tmp_path):
    def run(command, what, variables=None):
        commands.append(command)
        if "pip" in command and "good==1" not in command:
            raise compare_peers.Unavailable(f"{what}: no such package")
        if "venv" in command:
            Path(command[-1]).mkdir(exist_ok=True)

    commands = []
    monkeypatch.setattr(compare_peers, "run", run)
    good, bad = (compare_peers.Peer((f"{name}==1",)) for name in ("good", "bad"))
    python = compare_peers.install("good", good, tmp_path)
    assert Path(python).is_relative_to(tmp_path / "good")
    assert [command[0] for command in commands] == [sys.executable, python]
    assert compare_peers.install("good", good, tmp_path) == python
    assert len(commands) == 2
    for _ in range(2):  # it is tried again
        with pytest.raises(compare_peers.Unavailable, match="it was not installed: no such package"):
            compare_peers.install("bad", bad, tmp_path)
    assert len(commands) == 6
    with pytest.raises(compare_peers.Unavailable, match="needs Python 4.9 or later, and none is on the path"):
        compare_peers.interpreter((4, 9))


def test_what_differs_in_a_peers_net(monkeypatch):
    answer = {"parameters": 61706, "losses": [2.3, 2.2, 2.1, 2.0, 1.9, 1.8], "differs": ""}
    monkeypatch.setattr(compare_peers, "run", lambda *_: f"a line of the peer's own\n{json.dumps(answer)}\n")

    def differs():
        return compare_peers.differs("flax", "lenet5", "python", {})

    assert differs() == ""  # LeNet-5 has 156 + 2,416 + 48,120 + 10,164 + 850 parameters
    answer.update(parameters=7, differs="Adam")
    assert differs() == "Adam; 7 parameters, not 61,706"
    answer.update(losses=[2.3] * 6)
    with pytest.raises(compare_peers.Unavailable, match=r"does not learn, its losses are 2.3, 2.3"):
        differs()


def test_a_peer_that_fails_is_named_and_the_table_goes_on(capfd):
    variables = turns.environment(1)
    sides = {
        "minidl numpy": compare_peers.Side("minidl", sys.executable, variables),
        "nobody": compare_peers.Side("nobody", sys.executable, variables),
        "twin": compare_peers.Side("minidl", sys.executable, variables, "nothing"),
    }
    left_out = compare_peers.compare(("lenet5", "train", 2), sides, rounds=1, seconds=0.001)
    assert len(left_out) == 1
    assert left_out[0].startswith("nobody, batch 2: the worker failed: ")
    out, err = capfd.readouterr()
    assert "No module named 'peers.nobody'" in err
    time = r"[\d.]+ \([\d.]+\)"
    first, second = out.splitlines()
    assert re.fullmatch(rf"\| lenet5, 2 \| minidl numpy \| {time} \|  \| 1.00 \|  \|", first)
    assert re.fullmatch(rf"\| lenet5, 2 \| twin \| {time} \|  \| [\d.]+ \| nothing \|", second)
