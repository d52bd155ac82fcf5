"""SIGKILL at any moment of a fit with checkpoints, of a resume and of saving: nothing is lost, not a bit differs."""

from __future__ import annotations

import json
import signal
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np

import minidl
from minidl.training.checkpoint import latest_checkpoint

from .command_lines import minidl_main, options_drawn, started, write_mnist
from .frame import attack
from .processes import killed_after, killed_at_write, whole
from .trainings import Plan


def _look_at(folder: Path, names: set[str], counts: Counter[str], what: object) -> None:
    """Count a kill by what it left in a run's folder, whose last checkpoint must be whole."""
    counts["kills"] += 1
    left = {path.name for path in folder.iterdir()} - names if folder.exists() else set()
    counts["in a write"] += bool(left)
    state, notes = latest_checkpoint(folder) if folder.exists() else (None, [])
    assert not notes, f"{what}: {notes}"
    counts["in the first epoch"] += state is None or not state["history"]


@attack(limit=60)
def fit(rng: np.random.Generator, counts: Counter[str]) -> None:
    """A fit with checkpoints is killed, perhaps its resumes too, and resumed to its end."""
    plan, here = Plan.drawn(rng), Path.cwd()
    length = whole(lambda: plan.fit(here / "whole", here / "whole.json"))
    folder, remains = here / "run", here / "run.json"
    names = {path.name for path in (here / "whole").iterdir()}
    kills = int(rng.integers(1, 4))
    for _ in range(kills):
        work = lambda: plan.fit(folder, remains)  # noqa: E731
        aim = rng.choice(["any", "write", "first"])
        if aim == "write":
            operation, delay = int(rng.integers(1, 20)), float(rng.choice([0, 0.003 * rng.random()]))
            dead = killed_at_write(work, folder, operation, delay)
        else:
            dead = killed_after(work, rng.random() * length / (plan.epochs if aim == "first" else 1))
        if not dead:
            break
        _look_at(folder, names, counts, plan)
    whole(lambda: plan.fit(folder, remains))
    expected, got = (json.loads((here / name).read_text()) for name in ("whole.json", "run.json"))
    different = [name for name in expected if got.get(name) != expected[name]]
    assert not different, f"{plan}: after {kills} kills {', '.join(different)} differ"
    left = sorted({path.name for path in folder.iterdir()} - names - {"last.new"})  # not yet last.ckpt, but as good
    assert not left, f"{plan}: {left} left"
    counts["bit-equal"] += 1


@attack(needs=("safetensors",))
def save(rng: np.random.Generator, counts: Counter[str]) -> None:
    """Saving over a file is killed: it is the old one or the new one."""
    sizes, folder = (1, 3, 200, 1000), Path.cwd()
    path = folder / str(rng.choice(["weights.npz", "weights.safetensors"]))
    width = int(rng.choice(sizes))

    def state(number: int) -> dict[str, np.ndarray]:
        return {"a": np.full((width, width), number, np.float32), "b": np.array(number)}

    minidl.save(state(0), path)

    def saves() -> None:
        for number in range(1, 30):
            minidl.save(state(number), path)

    if rng.random() < 0.5:
        dead = killed_after(saves, 0.05 * rng.random())
    else:
        dead = killed_at_write(saves, folder, int(rng.integers(1, 60)), float(rng.choice([0, 0.002 * rng.random()])))
    counts["kills"] += dead
    counts["in a write"] += len(list(folder.iterdir())) > 1
    held = minidl.load(path)
    number = int(held["b"])
    assert 0 <= number < 30
    assert np.array_equal(held["a"], state(number)["a"]), f"half of number {number}"
    counts["whole"] += 1


@attack(limit=90)
def train(rng: np.random.Generator, counts: Counter[str]) -> None:
    """``minidl train`` is killed, forked or as a process of its own, and resumed to its end."""
    here = Path.cwd()
    write_mnist(here / "data", rng)
    options = options_drawn(rng, here / "data")
    length = whole(lambda: minidl_main(["train", "--quiet", *options, "--run", here / "whole"]))
    folder, names = here / "run", {path.name for path in (here / "whole").iterdir()}

    def arguments() -> list[object]:
        begun = (folder / "config.toml").exists()
        return ["train", "--quiet", *(["--resume", folder] if begun else [*options, "--run", folder])]

    for _ in range(int(rng.integers(1, 4))):
        aim, asked = rng.choice(["any", "write", "first", "process"], p=[0.35, 0.3, 0.3, 0.05]), arguments()
        if aim == "write":
            operation, delay = int(rng.integers(1, 20)), float(rng.choice([0, 0.003 * rng.random()]))
            dead = killed_at_write(lambda: minidl_main(asked), folder, operation, delay)  # noqa: B023
        elif aim == "process":
            dead = _process_killed(asked, 2 * rng.random())
            counts["processes of their own"] += 1
        else:
            dead = killed_after(lambda: minidl_main(asked), rng.random() * length / (3 if aim == "first" else 1))  # noqa: B023
        if not dead:
            break
        _look_at(folder, names, counts, options)
    asked = arguments()
    whole(lambda: minidl_main(asked))
    expected, got = (dict(minidl.load(run / "weights.npz")) for run in (here / "whole", folder))
    different = [name for name in expected if expected[name].tobytes() != got[name].tobytes()]
    assert not different, f"{options}: weights differ: {different}"
    expected, got = ((run / "history.csv").read_text().splitlines() for run in (here / "whole", folder))
    assert [_timeless(line) for line in expected] == [_timeless(line) for line in got], f"{options}: {expected}, {got}"
    left = sorted({path.name for path in folder.iterdir()} - names - {"last.new"})
    assert not left, f"{options}: {left} left"
    counts["bit-equal"] += 1


def _process_killed(arguments: list[object], seconds: float) -> bool:
    process = started(arguments)
    try:
        _, told = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return process.returncode == -signal.SIGKILL
    assert process.returncode == 0, told
    return False


def _timeless(line: str) -> str:
    """Return a line of history.csv without its last column, the seconds."""
    return line.rpartition(",")[0]
