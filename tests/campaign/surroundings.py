"""Clocks that jump, memory that ends, threads that cannot be started."""

from __future__ import annotations

import faulthandler
import gc
import json
import os
import resource
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

import minidl
from minidl import nn, optim
from minidl.cli import main, parser  # noqa: F401 - imports all that a command needs
from minidl.training import Trainer
from minidl.training.checkpoint import latest_checkpoint

from .command_lines import write_mnist
from .frame import attack
from .processes import check, ended, forked, killed, whole
from .trainings import Plan


def _jumping(rng: np.random.Generator, clock: Callable[[], float]) -> Callable[[], float]:
    """Return a clock that is set to another time now and then, since 1970."""
    offset = -clock()

    def read() -> float:
        nonlocal offset
        if rng.random() < 0.1:
            offset = rng.choice([-1, 1]) * 10 ** float(rng.uniform(0, 10))
        return max(0.0, clock() + offset)

    return read


@attack(limit=60)
def clocks(rng: np.random.Generator, counts: Counter[str]) -> None:
    """The clock says 1970, or jumps to and fro, during a fit and its resume."""
    plan, here = Plan.drawn(rng), Path.cwd()
    whole(lambda: plan.fit(here / "whole", here / "whole.json"))

    def work() -> None:
        time.time = _jumping(rng, time.time)
        folder = here / "run"
        trainer, loader, val = plan.trainer(folder)
        trainer.progress.style = str(rng.choice(["bar", "lines"]))
        sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
        trainer.fit(loader, val, epochs=1)
        for path in folder.iterdir():
            os.utime(path, (0, float(rng.choice([0, 2**31, 1]))))
        plan.fit(folder, here / "run.json")
        rows = json.loads(json.dumps(latest_checkpoint(folder)[0]["history"]))  # type: ignore[index]
        assert all(row["seconds"] >= 0 for row in rows), rows

    whole(work)
    expected, got = (json.loads((here / name).read_text()) for name in ("whole.json", "run.json"))
    # the first part was a fit of one epoch, which the description of the fit, and its schedule, may tell
    different = [name for name in ("weights",) if got[name] != expected[name]]
    assert not different, f"{plan}: {different} differ"
    counts["fits"] += 1


def _limit_memory(more: int) -> None:
    """Limit this process's address space to what it uses now and ``more`` bytes, after its stack has grown.

    Where a stack cannot grow, the system ends a process with a segmentation fault, whatever the program.
    """
    _grow_stack(200)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))


def _grow_stack(depth: int) -> int:
    """Call as many functions inside each other, through C, which takes stack."""
    return max(map(_grow_stack, [depth - 1])) if depth else 0


def _ended(process: int, told: Path, counts: Counter[str]) -> int | None:
    """Return the exit code of a process with little memory; None if BLAS, which then ends its process, did so."""
    code = ended(process, 25)
    if code is None:
        killed(process)
        check(None, 25)
    if "OpenBLAS error: Memory allocation" in told.read_text():
        counts["ended by BLAS"] += 1
        return None
    return code


@attack(limit=60)
def memory(rng: np.random.Generator, counts: Counter[str]) -> None:
    """Memory ends while training, predicting, saving and loading: MemoryError, and what was there is as it was."""
    if not Path("/proc/self/statm").exists():
        return
    minidl.set_num_threads(int(rng.integers(1, 3)))
    width, more = int(rng.choice([100, 1000, 2000])), int(10 ** rng.uniform(5.5, 8))
    what, path = str(rng.choice(["step", "predict", "save", "load"])), Path.cwd() / "weights.npz"
    told = Path.cwd() / "told.txt"

    def work() -> None:
        model = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width), nn.Linear(width, 4))
        x = np.ones((64, 64), np.float32)
        trainer = Trainer(model, nn.CrossEntropyLoss(), progress="none")
        expected = trainer.predict(x)
        minidl.save(model, path)
        works = {
            "step": lambda: model.backward(np.ones_like(model(np.ones((4000, 64), np.float32)))),
            "predict": lambda: trainer.predict(np.ones((4000, 64), np.float32)),
            "save": lambda: minidl.save(model, path),
            "load": lambda: minidl.load(model, path),
        }
        os.dup2(os.open(told, os.O_WRONLY | os.O_CREAT), 2)
        _limit_memory(more)
        try:
            works[what]()
            code = 0
        except MemoryError:
            code = 7
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert np.array_equal(trainer.predict(x), expected), f"{what}: other numbers afterwards"
        minidl.load(model, path)
        assert np.array_equal(trainer.predict(x), expected), f"{what}: another file"
        os._exit(code)

    code = _ended(forked(work), told, counts)
    if code is None:
        return
    if code != 7:
        check(code, 25)
    counts[f"{what}: {'MemoryError' if code else 'enough'}"] += 1


@attack(limit=60)
def memory_of_commands(rng: np.random.Generator, counts: Counter[str]) -> None:
    """Memory ends during a command line: one line says so."""
    if not Path("/proc/self/statm").exists():
        return
    here, more = Path.cwd(), int(10 ** rng.uniform(4, 8))
    write_mnist(here / "data", rng, (60, 20))
    told = here / "told.txt"

    def work() -> None:
        np.ones((100, 100)) @ np.ones((100, 100))
        os.dup2(os.open(told, os.O_WRONLY | os.O_CREAT), 2)
        faulthandler.enable(2)
        _limit_memory(more)
        options = ["--data", "mnist", "--root", str(here / "data"), "--epochs", "1", "--run", str(here / "run")]
        code = main(["train", "--quiet", *options])
        sys.stderr.flush()
        os._exit(code)

    code = _ended(forked(work), told, counts)
    if code is None:
        return
    text = told.read_text()
    if code != 2:
        assert code == 0, f"exit code {code}: {text}"
    assert "Traceback" not in text, text
    assert bool(code) == ("error:" in text), f"exit code {code}: {text}"
    counts["enough" if code == 0 else "one line"] += 1


@attack(limit=60)
def no_threads(rng: np.random.Generator, counts: Counter[str]) -> None:
    """Threads cannot be started, from the beginning or now and then: slower, the same numbers, nothing piles up."""
    share, start = float(rng.choice([0.5, 1])), threading.Thread.start

    def refused(thread: threading.Thread) -> None:
        if rng.random() < share:
            raise RuntimeError("can't start new thread")
        start(thread)

    def numbers() -> list[bytes]:
        minidl.manual_seed(0)
        model = nn.Sequential(nn.Linear(64, 1024), nn.ReLU(), nn.Linear(1024, 256))
        optimizer = optim.Adam(model.params())
        x = np.ones((256, 64), np.float32)
        for _ in range(4):
            optimizer.zero_grad()
            model.backward(np.ones_like(model(x)))
            optimizer.step()
        return [p.data.tobytes() for p in model.params()]

    def work() -> None:
        minidl.set_num_threads(1)
        expected = numbers()
        minidl.set_num_threads(int(rng.integers(2, 9)))
        threading.Thread.start = refused  # type: ignore[method-assign]
        assert numbers() == expected, "other numbers"
        gc.collect()
        before = _resident()
        for _ in range(8):
            assert numbers() == expected, "other numbers"
        gc.collect()
        more = _resident() - before
        assert more < 30 * 2**20, f"{more / 2**20:.0f} MB more after eight times the same"

    whole(work)
    counts["without threads" if share == 1 else "now and then"] += 1


def _resident() -> int:
    """Return how much memory this process takes now, where the system tells."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0
