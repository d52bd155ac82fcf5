"""``mpiexec -n 2 minidl train``: the command of one process on several ranks; what fails on one ends all, told once."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import launching
import pytest

import minidl

# a model without random layers, with batch normalisation; its name is that of no other module of the tests
NET = """
import minidl.nn as nn

def net(num_classes, channels):
    layers = [nn.Conv2d(channels, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(36, num_classes))
"""
# 1,299 images: of the last batch of three ranks one gets nothing; of that of two each gets one
OPTIONS = ["--model", "net_of_ranks:net", "--augment", "none", "--batch-size", "649", "--lr", "0.02"]
SECONDS = 10  # after which a failure on one rank must have ended all


@pytest.fixture
def folder(tmp_path):
    launching.need_mpi()
    (tmp_path / "net_of_ranks.py").write_text(NET)
    return tmp_path


class Command:
    """``minidl train`` on some ranks, as a user starts it: without mpi4py's own runner."""

    def __init__(self, ranks, folder, *options, **more):
        launcher = [] if ranks == 1 else [launching.mpiexec(), "-n", str(ranks)]
        self.start = time.monotonic()
        self.process = subprocess.Popen(
            [*launcher, sys.executable, "-m", "minidl", "train", *options],
            cwd=folder,
            env=launching.environment(**more),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def end(self, timeout=100):
        """Wait; return exit code, lines of output, lines of errors."""
        try:
            out, err = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise
        self.seconds = time.monotonic() - self.start
        return self.process.returncode, out.splitlines(), [line for line in err.splitlines() if line]

    def ranks(self):
        """The processes of the ranks; they have sessions of their own."""
        found = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
        table = [line.split(None, 2) for line in found.splitlines()[1:]]
        family = {str(self.process.pid)}
        while more := {pid for pid, parent, _ in table if parent in family} - family:
            family |= more
        return sorted(
            int(pid) for pid, _, args in table if pid in family and "minidl" in args and "mpiexec" not in args
        )


def train(ranks, folder, *options, **more):
    return Command(ranks, folder, *options, **more).end()


def rows(folder):
    """The history of a run, without the seconds."""
    found = csv.DictReader((folder / "history.csv").read_text().splitlines())
    return [{name: float(value) for name, value in row.items() if name != "seconds"} for row in found]


def wait_for(path, timeout=60):
    end = time.monotonic() + timeout
    while not path.exists():
        assert time.monotonic() < end, f"{path} was not written"
        time.sleep(0.02)


def test_it_gives_the_numbers_of_one_process(folder):
    code, out, err = train(1, folder, *OPTIONS, "--epochs", "2", "--run", "one")
    assert (code, err) == (0, [])
    for ranks in (2, 3):
        code, own, err = train(ranks, folder, *OPTIONS, "--epochs", "2", "--run", f"on-{ranks}")
        assert (code, err) == (0, []), err
        assert len(own) == len(out)  # each line once
        assert f"{ranks} ranks" in own[0]
        for expected, row in zip(rows(folder / "one"), rows(folder / f"on-{ranks}"), strict=True):
            assert row == pytest.approx(expected, abs=1e-4)
        assert {path.name for path in (folder / f"on-{ranks}").iterdir()} == {
            p.name for p in (folder / "one").iterdir()
        }
        one, more = (minidl.load(folder / name / "weights.npz") for name in ("one", f"on-{ranks}"))
        for name, value in one.items():
            assert more[name] == pytest.approx(value, abs=1e-4), name
    more = ["--epochs", "3", "--trust"]
    assert train(1, folder, "--resume", "on-2", *more)[0] == 0
    code, out, _ = train(2, folder, "--resume", "one", *more, "--json")
    assert json.loads(out[-1])["epochs"] == 3


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_bit_for_bit(folder):
    options = [*OPTIONS[2:], "--epochs", "6", "--batch-size", "32"]  # with dropout
    assert train(2, folder, *options, "--run", "whole")[0] == 0
    begun = Command(2, folder, *options, "--run", "killed")
    wait_for(folder / "killed" / "previous.ckpt")
    os.kill(begun.ranks()[-1], signal.SIGKILL)
    killed = time.monotonic()
    code, *_ = begun.end(timeout=SECONDS)
    assert code != 0
    assert time.monotonic() - killed < SECONDS
    code, _, err = train(2, folder, "--resume", "killed")
    assert (code, err) == (0, []), err
    assert rows(folder / "killed") == rows(folder / "whole")
    assert (folder / "killed" / "weights.npz").read_bytes() == (folder / "whole" / "weights.npz").read_bytes()


def test_ctrl_c_ends_all_and_says_how_to_go_on(folder):
    begun = Command(2, folder, *OPTIONS, "--epochs", "1000", "--run", "long")
    wait_for(folder / "long" / "last.ckpt")
    begun.process.send_signal(signal.SIGINT)  # which mpiexec passes on
    code, out, err = begun.end(timeout=60)
    assert code == 130
    assert sum(line.startswith("interrupted in epoch") for line in out) == 1
    assert "go on with mpiexec -n 2 minidl train --resume long --model net_of_ranks:net" in out
    assert not [line for line in err if "Traceback" in line]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--batch-size", "1"], "batch_size is 1, that of all ranks together, but there are 2 ranks"),
        (["--data", "folder", "--root", "nowhere"], "there is no folder"),
        (["--lr", "-1"], "lr must be at least 0"),
        (["--no-such-option"], "unrecognized arguments"),
    ],
    ids=["batch", "data", "value", "flag"],
)
def test_an_error_is_told_once(folder, options, message):
    begun = Command(2, folder, "--epochs", "1", *options)
    code, _, err = begun.end()
    assert code == 2
    assert sum(message in line for line in err) == 1, err
    assert "Traceback" not in "".join(err)
    assert not (folder / "runs").exists()


UNLIKE = {
    "a dataset that only rank 0 can read": (
        "from minidl.cli.recipe import Recipe\n"
        "def broken(self): raise FileNotFoundError('there is no file images.npz')\n"
        "Recipe.load_images = broken\n",
        "there is no file images.npz",
    ),
    "other epochs": (
        "from minidl.training import Trainer\n"
        "fit = Trainer.fit\n"
        "def other(self, *a, **k): return fit(self, *a, **{**k, 'epochs': 7})\n"
        "Trainer.fit = other\n",
        "rank 1 is not like rank 0: epochs is 7, on rank 0 1",
    ),
    "another version": ("import minidl.training.alike as a\na.__version__ = '0.0.1'\n", "minidl is 0.0.1, on rank 0"),
    "a callback that raises": (
        "from minidl.training.callbacks import CSVLogger\n"
        "def broken(self, trainer): raise OSError('no space left')\n"
        "CSVLogger.on_epoch_end = broken\n",
        "no space left",
    ),
}


@pytest.mark.parametrize("case", UNLIKE)
def test_what_is_wrong_on_one_rank_ends_all(folder, case):
    change, message = UNLIKE[case]
    # what Python runs when it starts, on rank 1 only
    (folder / "sitecustomize.py").write_text(
        f"import os\nif os.environ.get('PMI_RANK') == '1':\n    exec({change!r})\n"
    )
    path = os.pathsep.join([str(folder), launching.environment()["PYTHONPATH"]])
    begun = Command(2, folder, *OPTIONS, "--epochs", "1", PYTHONPATH=path)
    code, _, err = begun.end(timeout=60)
    assert code == 2
    assert sum(message in line for line in err) == 1, err
    assert "Traceback" not in "".join(err)


def test_without_mpi4py_it_says_what_to_install(folder):
    (folder / "mpi4py.py").write_text("raise ModuleNotFoundError('no', name='mpi4py')")
    path = os.pathsep.join([str(folder), launching.environment()["PYTHONPATH"]])
    code, _, err = train(2, folder, "--epochs", "1", PYTHONPATH=path)
    assert code == 2
    assert err == ["minidl train: error: several processes need an extra: pip install 'minidl[mpi]' mpich"]


def test_without_an_mpi_it_says_what_to_install(folder):
    code, _, err = train(2, folder, "--epochs", "1", MPI4PY_LIBMPI="/nowhere/libmpi.so")
    assert code == 2
    assert [line for line in err if "install one: pip install mpich" in line] == err[-1:], err
