"""``minidl sweep``: what is tried, what becomes of runs that fail, are killed or interrupted, and what is refused."""

import contextlib
import csv
import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import minidl
from minidl.cli import main
from minidl.cli.recipe import Recipe
from minidl.cli.run import Run
from minidl.cli.sweep import _shares, run_sweep
from minidl.cli.sweep_plan import Plan
from minidl.cli.sweep_results import Results
from minidl.cli.sweep_run import Job, is_finished, train_in_process
from minidl.training.folder_lock import FolderLock

joblib = pytest.importorskip("joblib")

# one thread each, so that a sweep is as fast as it can be beside other tests
QUICK = 'epochs = 2\naugment = "none"\nmodel = "digits_cnn"\nlr = [0.02, 0.1]\n'
NETS = """import os, signal, sys
from minidl import nn
def tiny():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
def killed():
    if sys.argv[1:2] == ["train"]:
        os.kill(os.getpid(), signal.SIGKILL)
    return tiny()
def infinite():
    net = tiny()
    net[1].weight.data[:] = float("inf")
    return net
"""


@pytest.fixture
def in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "swept_nets.py").write_text(NETS)
    return tmp_path


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a sweep that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "c.toml").write_text(QUICK)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        assert main(["sweep", str(folder / "c.toml"), "--run", str(folder / "sweep")]) == 0
    (folder / "said.txt").write_text(said.getvalue())
    return folder / "sweep"


def assert_same(first, second):
    for name in ("run-1", "run-2"):
        a, b = (np.load(folder / name / "weights.npz") for folder in (first, second))
        assert a.files == b.files
        for key in a.files:
            np.testing.assert_array_equal(a[key], b[key])
        rows = [Run(folder / name, None, [], ()).history() for folder in (first, second)]
        for own in rows:
            for row in own:
                del row["seconds"]
        assert rows[0] == rows[1]


def started(arguments):
    """Start a command in a process group of its own, in which Ctrl-C is not ignored as it is in the background."""
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from minidl.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(minidl.__file__).parents[1])}
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )


def alive(group):
    """Whether a process of a group is left, other than those that have ended and wait to be told of."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, pgrp = path.read_text().rpartition(")")[2].split()[:3]
            if int(pgrp) == group and state != "Z":
                return True
    return False


def wait_for(condition):
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.02)


def assert_nobody_is_left(group):
    end = time.monotonic() + 30
    while alive(group):
        assert time.monotonic() < end, "a process is left behind"
        time.sleep(0.05)


def checkpoints(folder):
    """How many epochs of all runs are saved."""
    return sum(len(list(Path(folder).glob(f"run-*/{name}.ckpt"))) for name in ("last", "previous"))


# What is tried


def test_a_grid_is_every_combination(in_tmp):
    Path("c.toml").write_text('lr = [0.1, 0.2]\nepochs = 3\noptimizer = ["sgd", "adam"]\nmomentum = [0.5]\n')
    plan = Plan.of("c.toml")
    assert plan.varied == ["lr", "optimizer"]
    assert [(recipe.lr, recipe.optimizer) for recipe in plan.recipes] == [
        (0.1, "sgd"),
        (0.1, "adam"),
        (0.2, "sgd"),
        (0.2, "adam"),
    ]
    assert {(recipe.epochs, recipe.momentum, recipe.seed) for recipe in plan.recipes} == {(3, 0.5, 0)}
    assert plan.names == ["run-1", "run-2", "run-3", "run-4"]


def test_the_table_and_its_file_have_the_best_run_first(whole, capsys):
    lines = (whole.parent / "said.txt").read_text().splitlines()
    assert re.fullmatch(rf"2 runs, a grid: lr; \d at a time, \d threads? each; {whole}", lines[0])
    assert all(
        re.match(rf"{n}/2  run-[12]  lr = 0\.\d+: val accuracy \d\d\.\d\d %, 2 epochs, ", lines[n]) for n in (1, 2)
    )
    assert re.fullmatch(rf"best: {whole}/run-2, val accuracy \d\d\.\d\d %", lines[-1])
    assert lines[-4].split() == ["run", "lr", "epochs", "val_accuracy", "val_loss", "seconds"]
    assert [line.split()[:3] for line in lines[-3:-1]] == [["run-2", "0.1", "2"], ["run-1", "0.02", "2"]]
    rows = list(csv.DictReader((whole / "results.csv").read_text().splitlines()))
    assert [(row["run"], row["lr"]) for row in rows] == [(f"{whole}/run-2", "0.1"), (f"{whole}/run-1", "0.02")]
    for row in rows:  # an ordinary run, whose numbers these are
        history = Run.read(row["run"]).history()
        assert max(float(epoch["val_accuracy"]) for epoch in history) == float(row["val_accuracy"])
        assert min(float(epoch["val_loss"]) for epoch in history) == float(row["val_loss"])
    assert main(["compare", rows[0]["run"], rows[1]["run"]]) == 0
    assert main(["evaluate", rows[0]["run"]]) == 0
    assert (whole / "sweep.toml").read_text() == QUICK


def test_a_run_is_the_one_that_minidl_train_makes(whole, in_tmp):
    flags = ["--epochs", "2", "--augment", "none", "--lr", "0.1"]
    assert main(["train", *flags, "--run", "own", "--quiet"]) == 0
    a, b = np.load("own/weights.npz"), np.load(whole / "run-2" / "weights.npz")
    for name in a.files:
        np.testing.assert_array_equal(a[name], b[name])
    command = json.loads((whole / "run-2" / "environment.json").read_text())["command"]
    assert command[:3] == ["minidl", "train", "--run"]


def test_a_picture_is_drawn_if_matplotlib_is_there(whole, in_tmp, capsys, monkeypatch):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    assert (whole / "sweep.png").read_bytes().startswith(b"\x89PNG")
    (whole / "sweep.png").unlink()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.delitem(sys.modules, "minidl.plotting.sharp", raising=False)
    assert main(["sweep", "--resume", str(whole)]) == 0
    out = capsys.readouterr().out
    assert "there is no picture: minidl.plotting needs an extra: pip install 'minidl[plot]'\n" in out
    assert "best: " in out
    monkeypatch.undo()
    assert main(["sweep", "--resume", str(whole), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["picture"] == str(whole / "sweep.png")
    assert Path(result["picture"]).exists()


RANGES = """lr = {low = 1e-4, high = 1e-1, log = true}
batch_size = {low = 16, high = 128, log = true}
momentum = {low = 0.5, high = 0.95}
optimizer = ["sgd", "adam"]
epochs = 3
[sweep]
draws = 200
"""


def test_draws_are_those_of_the_seed_and_fill_their_ranges(in_tmp):
    Path("c.toml").write_text(RANGES)
    Path("other.toml").write_text(RANGES + "seed = 1\n")
    plan, again, other = Plan.of("c.toml"), Plan.of("c.toml"), Plan.of("other.toml")
    assert plan == again
    assert plan.recipes != other.recipes
    assert (plan.kind, other.kind) == ("drawn with seed 0", "drawn with seed 1")
    assert plan.varied == ["lr", "batch_size", "momentum", "optimizer"]
    assert len(set(plan.recipes)) == 200
    lr = np.log10([recipe.lr for recipe in plan.recipes])
    assert -4 <= lr.min() < -3.8
    assert -1.2 < lr.max() <= -1
    assert abs(np.median(lr) + 2.5) < 0.3
    sizes = [recipe.batch_size for recipe in plan.recipes]
    assert {type(size) for size in sizes} == {int}
    assert 16 <= min(sizes) <= 18
    assert 110 <= max(sizes) <= 128
    assert 35 < np.median(sizes) < 60
    momentum = [recipe.momentum for recipe in plan.recipes]
    assert 0.5 <= min(momentum) < 0.52
    assert 0.93 < max(momentum) <= 0.95
    assert 70 < sum(recipe.optimizer == "adam" for recipe in plan.recipes) < 130
    assert {(recipe.epochs, recipe.seed) for recipe in plan.recipes} == {(3, 0)}
    assert plan.recipes[0].lr == 0.03414  # Python's generator, the same in all versions


def test_draws_from_lists_are_different(in_tmp):
    Path("c.toml").write_text('lr = [0.1, 0.2]\noptimizer = ["sgd", "adam"]\n[sweep]\ndraws = 4\nseed = 5\n')
    assert len(set(Plan.of("c.toml").recipes)) == 4


def test_every_dataset_and_model_has_its_usual_options(in_tmp, fake_mnist):
    Path("c.toml").write_text(
        f'data = "mnist"\nroot = "{fake_mnist}"\nmodel = ["lenet5", "mnist_cnn"]\nseed = [3, 4]\n'
    )
    plan = Plan.of("c.toml")
    assert [(recipe.model, recipe.seed, recipe.epochs, recipe.batch_size) for recipe in plan.recipes] == [
        ("lenet5", 3, 15, 128),
        ("lenet5", 4, 15, 128),
        ("mnist_cnn", 3, 15, 128),
        ("mnist_cnn", 4, 15, 128),
    ]


def test_a_long_table_is_cut_and_failed_runs_are_last(in_tmp):
    Path("c.toml").write_text(f"seed = {list(range(40))}")
    results = Results(Plan.of("c.toml"), Path("s"))
    for number in range(40):
        assert results.add(number, "it is full" if number == 0 else "").startswith(
            f"{number + 1}/40  run-{number + 1:02}"
        )
    lines = results.table().splitlines()
    assert len(lines) == 33
    assert lines[1].split() == ["run-02", "1", "0", "-", "-", "0"]
    assert lines[-2:] == ["and 10 more: s/results.csv", "best: s/run-02, no validation"]
    assert results.rows[-1]["failed"] == "it is full"
    assert results.draw() is None


@pytest.mark.parametrize(
    ("runs", "jobs", "configured", "expected"),
    [
        (20, None, None, (8, 1)),
        (3, None, None, (3, 2)),
        (20, 2, None, (2, 4)),
        (2, 100, None, (2, 4)),
        (20, 100, None, (20, 1)),
        (20, None, 4, (4, 2)),
        (0, None, None, (1, 8)),
    ],
)
def test_runs_share_the_cpus(runs, jobs, configured, expected, monkeypatch):
    for name in ("available_cpus", "get_num_threads"):
        monkeypatch.setattr(f"minidl.cli.sweep.{name}", lambda: 8)
    with contextlib.nullcontext() if configured is None else joblib.parallel_config("threading", n_jobs=configured):
        assert _shares(runs, jobs) == expected


# Runs that fail, are killed, are interrupted


def test_a_run_that_fails_does_not_end_the_others(in_tmp, capsys):
    Path("c.toml").write_text(
        'epochs = 1\naugment = "none"\nmodel = ["swept_nets:tiny", "swept_nets:infinite", "swept_nets:killed"]\n'
    )
    assert main(["sweep", "c.toml", "--run", "s", "--trust"]) == 1
    out = capsys.readouterr().out
    assert "2 of 3 runs failed; their .log files say more; minidl sweep --resume s --trust tries them again\n" in out
    assert out.splitlines()[-1].startswith("best: s/run-1, ")
    rows = {row["run"]: row for row in csv.DictReader(Path("s/results.csv").read_text().splitlines())}
    assert next(iter(rows)) == "s/run-1"
    assert rows["s/run-1"]["failed"] == ""
    assert rows["s/run-2"]["failed"].startswith("the loss is nan in epoch 1, batch 1")
    assert rows["s/run-3"]["failed"] == "the process was ended by signal SIGKILL; perhaps the memory was full"
    before = Path("s/run-1/weights.npz").stat().st_mtime_ns
    Path("swept_nets.py").write_text(NETS.replace('["train"]', "None"))  # there is more memory now
    assert main(["sweep", "--resume", "s", "--json", "--trust"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert [bool(row["failed"]) for row in result["runs"]] == [False, False, True]
    assert (result["failed"], result["interrupted"]) == (1, False)
    assert Path("s/run-1/weights.npz").stat().st_mtime_ns == before  # it is not done again


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
@pytest.mark.parametrize("seed", range(5))
def test_after_sigkill_at_any_moment_it_ends_with_the_same_bits(seed, whole, in_tmp):
    """After some of the epochs of all runs, and a little later; or before the first one, perhaps of the whole."""
    rng = random.Random(seed)
    epochs, later = rng.choice([0, 1, 1, 2, 3]), rng.uniform(0, 0.2)
    print(f"seed {seed}: killed {later:.2f} s after {epochs} epochs")
    Path("c.toml").write_text(QUICK)
    with started(["sweep", "c.toml", "--run", "s", "--quiet"]) as process:
        wait_for(lambda: process.poll() is not None or checkpoints("s") >= epochs)
        time.sleep(later)
        process.kill() if seed % 2 else os.killpg(process.pid, signal.SIGKILL)  # the sweep, or its runs with it
        process.communicate()
    assert_nobody_is_left(process.pid)
    begun = Path("s/sweep.json").exists()
    rows = run_sweep(resume="s") if begun else run_sweep("c.toml", "s")
    assert [row["failed"] for row in rows] == ["", ""]
    assert_same(whole, Path("s"))


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
@pytest.mark.parametrize("how", ["Ctrl-C", "SIGINT to the sweep", "SIGKILL of the sweep"])
def test_no_run_is_left_behind_its_sweep(how, in_tmp):
    Path("c.toml").write_text(QUICK.replace("epochs = 2", "epochs = 1000"))
    jobs = ["--jobs", "1"] if how == "SIGINT to the sweep" else []
    with started(["sweep", "c.toml", "--run", "a sweep", *jobs]) as process:
        wait_for(lambda: checkpoints("a sweep"))
        number = signal.SIGKILL if "KILL" in how else signal.SIGINT
        (os.killpg if how == "Ctrl-C" else os.kill)(process.pid, number)
        out, err = process.communicate(timeout=60)
    assert_nobody_is_left(process.pid)
    if "KILL" not in how:
        assert (process.returncode, err) == (130, "")
        assert out.splitlines()[-1] == "0 of 2 runs have ended; go on with minidl sweep --resume 'a sweep'"
        assert not list(Path("a sweep").glob(".going-*"))


def test_what_a_killed_run_left_before_its_first_file_is_in_nobodys_way(whole, in_tmp):
    shutil.copytree(whole, "s")
    shutil.rmtree("s/run-1")
    Path("s/run-1").mkdir()
    Path("s/run-1/test_images.json").write_text("{}")
    Path("s/.going-1").touch()
    assert [row["failed"] for row in run_sweep(resume="s")] == ["", ""]
    assert_same(whole, Path("s"))
    assert not list(Path("s").glob(".going-*"))


def test_it_runs_on_dask(whole, in_tmp):
    pytest.importorskip("distributed")
    code = (
        "import joblib\nfrom dask.distributed import Client, LocalCluster\nfrom minidl.cli.sweep import run_sweep\n"
        "options = {'n_workers': 1, 'threads_per_worker': 2, 'dashboard_address': None, 'processes': False}\n"
        "with LocalCluster(**options) as cluster, Client(cluster), joblib.parallel_config(backend='dask'):\n"
        "    rows = run_sweep('c.toml', 's')\n"
        "print(len(rows), cluster.scheduler.tasks == {})\n"
    )
    Path("c.toml").write_text(QUICK)
    environment = {**os.environ, "PYTHONPATH": str(Path(minidl.__file__).parents[1])}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert run.stdout.split()[0] == "2"
    assert_same(whole, Path("s"))


def test_a_worker_that_a_launcher_has_started_does_runs_that_are_alone(in_tmp, monkeypatch):
    for name, value in {"PMI_SIZE": "2", "PMI_RANK": "0", "SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_ID": "0"}.items():
        monkeypatch.setenv(name, value)
    Path("going").touch()
    recipe = Recipe(epochs=1, model="swept_nets:tiny")
    assert train_in_process(Job(3, "r", str(in_tmp), recipe, 1, str(in_tmp / "going"))) == (3, "")
    assert is_finished(Path("r"))


def test_a_run_whose_sweep_is_over_is_not_begun(in_tmp):
    assert train_in_process(Job(3, "r", str(in_tmp), Recipe(), 1, str(in_tmp / "going"))) == (3, None)
    assert not Path("r").exists()


# What is refused


def test_mpiexec_is_refused(in_tmp, capsys, monkeypatch):
    monkeypatch.setenv("PMI_SIZE", "4")
    Path("c.toml").write_text(QUICK)
    assert main(["sweep", "c.toml"]) == 2
    assert "mpiexec or srun has started 4 of these sweeps, but one starts its runs itself" in capsys.readouterr().err


BAD = {
    "lr = [0.1, 0.2": "c.toml is not a TOML file",
    "lrr = [0.1, 0.2]": "c.toml: there is no entry 'lrr'; known: data, root",
    "lr = [0.1, 'a']": "c.toml: lr must be of type float, got 'a'",
    "epochs = [1, 0]": "c.toml: epochs must be at least 1, got 0",
    "lr = [0.1, [0.2]]": "c.toml: lr must be of type float, got [0.2]",
    "lr = [0.1, -1]": "c.toml: the run with lr = -1.0: SGD: lr must be",
    "lr = [0.1, 0.2]\nepochs = 0": "c.toml: epochs must be at least 1, got 0",
    "lr = []": "c.toml: lr is an empty list; give it the values to try, or leave it out",
    "lr = [0.1, 0.2, 0.1]": "c.toml: lr has the value 0.1 twice; leave one out",
    "lr = 0.1": "c.toml: nothing varies; give an entry several values, such as lr = [0.01, 0.1]",
    "lr = [0.1]\n[sweep]\ndraws = 3": "c.toml: nothing varies; give an entry several values",
    "": "c.toml: nothing varies",
    "lr = {low = 0.1, high = 1.0}": "c.toml: lr is a range, from which values are drawn: add [sweep] with draws = 20",
    "lr = {low = 0.1}": "c.toml: lr must be a value, a list, or a range such as {low = 1, high = 100, log = true}, got "
    "a table with low",
    "lr = {low = 0.1, high = 1.0, step = 2}": "c.toml: lr must be a value, a list, or a range",
    "lr = {low = 0.1, high = 1.0, log = 1}": "c.toml: lr must be a value, a list, or a range",
    "lr = {}": "got a table with nothing",
    "lr = {low = 1.0, high = 0.1}": "c.toml: lr must have a range whose low is less than its high, got 1.0 and 0.1",
    "lr = {low = nan, high = 0.1}": "c.toml: lr must have a range whose low is less than its high, got nan and 0.1",
    "lr = {low = 0.0, high = inf}": "c.toml: lr must have a range whose low is less than its high, got 0.0 and inf",
    "lr = {low = 0, high = 0.1, log = true}": "c.toml: lr must have a low above 0 if log = true, got 0.0; leave",
    "epochs = {low = 1.5, high = 3}": "c.toml: epochs must be of type int, got 1.5",
    "epochs = {low = 0, high = 3}": "c.toml: epochs must be at least 1, got 0",
    "model = {low = 1, high = 3}": "c.toml: model is not a number and has no range; give a list of the values to try",
    "health = {low = 0, high = 1}": "c.toml: health is not a number and has no range",
    "lrr = {low = 1, high = 3}": "c.toml: there is no entry 'lrr'",
    f"seed = {list(range(40))}\nepochs = {list(range(1, 31))}": "c.toml: the grid has 1,200 runs, and a sweep at most "
    "1,000; leave values out, or draw from them: [sweep] with draws = 100",
    "lr = [0.1, 0.2]\n[sweep]\ndraws = 3": "c.toml: [sweep] draws = 3: only 2 different runs were found; draw fewer",
    "lr = [0.1, 0.2]\n[sweep]\ndraws = 0": "c.toml: [sweep]: draws must be at least 1, got 0",
    "lr = [0.1, 0.2]\n[sweep]\ndraws = 2.0": "c.toml: [sweep]: draws must be an integer, got 2.0",
    "lr = [0.1, 0.2]\n[sweep]\ndraws = 2000": "c.toml: [sweep] draws must be at most 1,000, got 2,000",
    "lr = [0.1, 0.2]\n[sweep]\ndraws = 1\nseed = -1": "c.toml: [sweep]: seed must be at least 0, got -1",
    "lr = [0.1, 0.2]\n[sweep]\nseed = 1": "c.toml: [sweep] seed is for random draws: give draws = 20, too, or leave it",
    "[sweep]\ndraws = 2\nlr = [0.1, 0.2]": "c.toml: [sweep] has draws and seed, not 'lr'; entries of the runs go above",
    "sweep = 3\nlr = [0.1, 0.2]": "c.toml: sweep must be a table, [sweep], with draws and seed, got 3",
    "model = ['digits_cnn', 'lenet5']": "c.toml: the run with model = 'lenet5': --model lenet5 is for images of 28",
    "model = ['digits_cnn', 'nothing']": "c.toml: the run with model = 'nothing': --model: there is no 'nothing'",
    "model = ['digits_cnn', 'swept_nets:tiny']": "c.toml names the model swept_nets:tiny, which would import",
    "data = ['digits', 'mnist']": "c.toml: the run with data = 'mnist': --data mnist needs --root DIR",
    "size = [8, 16]": "c.toml: the run with size = 8: --size is for --data folder",
    "val_fraction = [0.1, 0.0]": "the run with val_fraction = 0.0: val_fraction = 0: a sweep compares its runs by",
    "mixup = [0.0, 0.2]\ncutmix = 1": "c.toml: the run with mixup = 0.2: --mixup and --cutmix: give one of them",
    "lr = [0.1, 0.2]\ninit = 'none.npz'": "none.npz",
    "seed = [0, -1]": "c.toml: the run with seed = -1: seed must not be negative, got -1",
}


@pytest.mark.parametrize("content", BAD, ids=lambda content: content.replace("\n", "; ")[:40])
def test_what_it_refuses_in_the_file(content, in_tmp, capsys):
    Path("c.toml").write_text(content)
    assert main(["sweep", "c.toml"]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("minidl sweep: error: ")
    assert BAD[content] in said.err
    assert said.out == ""
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either CONFIG.toml, which says what to try, or --resume DIR"),
        (["c.toml", "--resume", "s"], "give either CONFIG.toml, which says what to try, or --resume DIR"),
        (["none.toml"], "there is no file none.toml"),
        (["c.toml", "--jobs", "0"], "error: --jobs must be at least 1, got 0"),
        (["c.toml", "--run", "full"], "--run full: this is not an empty folder; continue a run with --resume full"),
        (["--resume", "s", "--run", "x"], "--resume goes on with a sweep where it is: give no --run"),
        (["--resume", "full"], "full is not the folder of a sweep: it holds no sweep.json"),
        (["--resume", "nowhere"], "nowhere is not the folder of a sweep: it holds no sweep.json"),
        (["--resume", "damaged"], "damaged/sweep.json is damaged"),
    ],
)
def test_what_it_refuses_on_the_command_line(arguments, message, in_tmp, capsys):
    Path("c.toml").write_text(QUICK)
    for name in ("full", "damaged"):
        Path(name).mkdir()
        Path(name, "a.txt").touch()
    Path("damaged/sweep.json").write_text('{"kind": "a grid", "varied": ["lr"]}')
    assert main(["sweep", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not Path("runs").exists()


@pytest.mark.parametrize("content", ["", "[]", '{"kind": 1, "varied": ["x"], "runs": [{}]}', "[" * 100_000])
def test_a_damaged_plan_is_refused(content, in_tmp, capsys):
    Path("sweep.json").write_text(content)
    assert main(["sweep", "--resume", "."]) == 2
    assert "sweep.json is damaged" in capsys.readouterr().err


def test_a_sweep_from_somebody_else_imports_nothing_unless_it_is_trusted(in_tmp, capsys):
    Path("c.toml").write_text(QUICK)
    plan = json.loads(Plan.of("c.toml").as_json())
    plan["runs"][1]["model"] = "swept_nets:tiny"
    Path("sweep.json").write_text(json.dumps(plan))
    assert main(["sweep", "--resume", "."]) == 2
    assert "sweep.json names the model swept_nets:tiny, which would import and run code" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="links are followed here")
def test_a_link_in_the_folder_of_a_sweep_is_not_followed(whole, in_tmp):
    shutil.copytree(whole, "s")
    shutil.rmtree("s/run-1")
    Path("s/run-1.log").unlink()
    Path("s/run-1.log").symlink_to(in_tmp / "mine.txt")
    Path("mine.txt").write_text("mine")
    failed = {row["run"]: row["failed"] for row in run_sweep(resume="s")}
    assert failed["s/run-2"] == ""
    assert "symbolic link" in failed["s/run-1"] or "run-1.log" in failed["s/run-1"]
    assert Path("mine.txt").read_text() == "mine"


def test_without_joblib_it_says_what_to_install(in_tmp, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "joblib", None)
    Path("c.toml").write_text(QUICK)
    assert main(["sweep", "c.toml"]) == 2
    assert capsys.readouterr().err == "minidl sweep: error: minidl sweep needs an extra: pip install 'minidl[sweep]'\n"


def test_one_sweep_at_a_time_has_a_folder(whole, in_tmp, capsys):
    held, done = threading.Event(), threading.Event()

    def hold():
        with FolderLock(whole):
            held.set()
            done.wait()

    other = threading.Thread(target=hold)
    other.start()
    held.wait()
    try:
        assert main(["sweep", "--resume", str(whole)]) == 2
    finally:
        done.set()
        other.join()
    assert f"another fit is writing to {whole}" in capsys.readouterr().err
