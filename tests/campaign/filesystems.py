"""Disks that are full, folders that vanish or are read-only, several writers, planted links."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

import minidl
from minidl.training import Trainer

from .command_lines import options_drawn, started, write_mnist
from .concurrency import at_once
from .frame import attack
from .processes import check, ended, forked, killed, whole
from .trainings import Plan, digests

NOBODY = 65534


def _state(number: int, width: int) -> dict[str, np.ndarray]:
    return {"a": np.full((width, width), number, np.float32), "b": np.array(number)}


def _number(path: Path) -> int:
    """Return which state a file holds; all of it must be of one."""
    held = minidl.load(path)
    number = int(held["b"])
    assert (held["a"] == number).all(), f"{path.name} is torn"
    return number


@attack(needs=("safetensors",))
def full(rng: np.random.Generator, counts: Counter[str]) -> None:
    """Saving to a disk that is full: the error names the file, the old file stays, nothing else is left."""
    path = Path.cwd() / str(rng.choice(["weights.npz", "weights.safetensors"]))
    width, way = int(rng.integers(1, 300)), str(rng.choice(["limit", "sync"]))
    minidl.save(_state(0, width), path)
    size = path.stat().st_size

    def no_space(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def work() -> None:
        if way == "limit":
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        else:
            os.fsync = no_space
        try:
            minidl.save(_state(1, width), path)
        except OSError as error:
            assert str(path) in str(error), error
        else:
            raise AssertionError("no error")

    limit = int(rng.integers(0, size))
    whole(work)
    assert _number(path) == 0
    assert [found.name for found in Path.cwd().iterdir()] == [path.name], list(Path.cwd().iterdir())
    counts[f"full: {way}"] += 1


def _at_step(trainer: Trainer, number: int, work: Callable[[], object]) -> None:
    """Do something in a step of the optimiser."""
    step, count = trainer.optimizer.step, 0

    def counted() -> None:
        nonlocal count
        count += 1
        if count == number:
            work()
        step()

    trainer.optimizer.step = counted


def _importable() -> bool:
    """Return whether any user can import what is imported here; root's own folders may be closed to others."""
    files = [Path(module.__file__).resolve() for module in (minidl, np, os)]
    return all(folder.stat().st_mode & 0o005 == 0o005 for file in files for folder in file.parents)


@attack(limit=60)
def vanishing(rng: np.random.Generator, counts: Counter[str]) -> None:
    """A folder is removed, made read-only or full during a fit: a clear error, and later the fit goes on."""
    plan, here = Plan.drawn(rng), Path.cwd()
    here.chmod(0o755)
    here.parent.chmod(0o755)
    step, way = int(rng.integers(1, 6)), str(rng.choice(["removed", "read-only", "full"]))
    if way == "read-only" and os.getuid() == 0 and not _importable():
        way = "removed"  # nobody but root could go on
    folder = here / "run"
    folder.mkdir()
    if os.getuid() == 0:
        os.chown(folder, NOBODY, NOBODY)

    def vanish() -> None:
        if way == "removed":
            shutil.rmtree(folder)
        elif way == "read-only":
            folder.chmod(0o555)
        else:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))

    def work() -> None:
        if way == "read-only" and os.getuid() == 0:
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        trainer, loader, val = plan.trainer(folder)
        _at_step(trainer, step, vanish)
        try:
            trainer.fit(loader, val, epochs=plan.epochs, resume=folder)
        except OSError as error:
            assert str(folder) in str(error), error
        else:
            assert trainer.steps < step, "no error"

    whole(lambda: plan.fit(here / "whole", here / "whole.json"))
    whole(work)
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    if os.getuid() == 0:
        for path in (folder, *folder.iterdir()):
            os.chown(path, 0, 0)
    whole(lambda: plan.fit(folder, here / "run.json"))
    expected, got = (json.loads((here / name).read_text()) for name in ("whole.json", "run.json"))
    different = [name for name in expected if got.get(name) != expected[name]]
    assert not different, f"{plan}: {way} at step {step}: {different} differ"
    counts[way] += 1


@attack(limit=60)
def writers(rng: np.random.Generator, counts: Counter[str]) -> None:
    """Several processes and threads save to one path: it is always one of theirs, whole."""
    path, width = Path.cwd() / "weights.npz", int(rng.choice([1, 50, 400]))
    minidl.save(_state(0, width), path)

    def work(own: int) -> None:
        def saves(number: int) -> None:
            for _ in range(10):
                minidl.save(_state(number, width), path)

        at_once([lambda: saves(2 * own), lambda: saves(2 * own + 1)])

    children = [forked(lambda own=own: work(own)) for own in range(1, 4)]
    if rng.random() < 0.3:
        time.sleep(0.01 * rng.random())
        killed(children.pop())
        counts["killed"] += 1
    seen = {_number(path) for _ in range(20)}
    for child in children:
        check(ended(child, 20), 20)
    seen.add(_number(path))
    counts["files read whole"] += 21
    counts["saved by several"] += len(seen) > 1


@attack(limit=60)
def one_folder(rng: np.random.Generator, counts: Counter[str]) -> None:
    """Two fits with one folder: one is refused, or comes later; the other is what it would be alone."""
    plan, here = Plan.drawn(rng), Path.cwd()
    whole(lambda: plan.fit(here / "whole", here / "whole.json"))

    def work(own: int) -> None:
        try:
            plan.fit(here / "run", here / f"run{own}.json")
        except RuntimeError as error:
            assert "another fit is writing to" in str(error), error

    children = [forked(lambda own=own: work(own)) for own in range(2)]
    for child in children:
        check(ended(child, 25), 25)
    expected = json.loads((here / "whole.json").read_text())
    got = [json.loads(path.read_text()) for path in here.glob("run?.json")]
    assert got, "both refused"
    assert all(one == expected for one in got), f"{plan}: {got} instead of {expected}"
    counts["refused" if len(got) == 1 else "one after the other"] += 1


@attack(limit=90)
def runs(rng: np.random.Generator, counts: Counter[str]) -> None:
    """Several trainings are started at once from the command line, each gets a folder of its own."""
    here, count = Path.cwd(), 4
    write_mnist(here / "data", rng, (20, 10))
    options = [*options_drawn(rng, here / "data"), "--epochs", "1"]
    processes = [started(["train", "--quiet", *options]) for _ in range(count)]
    told = [process.communicate(timeout=60)[1] for process in processes]
    codes = [process.returncode for process in processes]
    assert codes == [0] * count, (codes, told)
    folders = list((here / "runs").iterdir())
    assert len(folders) == count, folders
    states = [dict(minidl.load(folder / "weights.npz")) for folder in folders]
    assert all((state[name] == states[0][name]).all() for state in states for name in state), "other weights"
    counts["runs"] += count


NAMES = ("last.ckpt", "last.new", "previous.ckpt", "best.npz", "weights.npz", "log.csv")


@attack(limit=60)
def links(rng: np.random.Generator, counts: Counter[str]) -> None:
    """Links planted in a folder, also under the names of temporary files, lead nowhere."""
    plan, here = Plan.drawn(rng), Path.cwd()
    victim, folder = here / "victim", here / "run"
    victim.write_text("untouched")
    folder.mkdir()
    target = victim if rng.random() < 0.7 else here / "nothing"
    chosen = [name for name in ("best.npz", "weights.npz") if rng.random() < 0.5]

    def plant() -> None:
        for name in NAMES:
            (folder / f".{name}.{os.getpid()}.partial").symlink_to(target)

    def work() -> None:
        for name in chosen:
            (folder / name).symlink_to(target)
        trainer, loader, val = plan.trainer(folder)
        _at_step(trainer, 1, plant)
        trainer.fit(loader, val, epochs=plan.epochs)
        minidl.save(trainer.model, folder / "saved.npz")
        (here / "run.json").write_text(json.dumps(digests(trainer)))

    whole(work)
    whole(lambda: plan.fit(here / "whole", here / "whole.json"))
    assert victim.read_text() == "untouched", f"{plan}: written through a link"
    assert not (here / "nothing").exists(), f"{plan}: created through a link"
    expected, got = (json.loads((here / name).read_text()) for name in ("whole.json", "run.json"))
    different = [name for name in expected if got.get(name) != expected[name]]
    assert not different, f"{plan}: {different} differ"
    counts["links"] += len(NAMES) + len(chosen)
