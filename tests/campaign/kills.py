"""SIGKILL at any moment of a fit with checkpoints, of a resume and of saving: nothing is lost, not a bit differs."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np

import minidl
from minidl.training.checkpoint import latest_checkpoint

from .frame import attack
from .processes import killed_after, killed_at_write, whole
from .trainings import Plan


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
        counts["kills"] += 1
        left = {path.name for path in folder.iterdir()} - names if folder.exists() else set()
        counts["in a write"] += bool(left)
        state, notes = latest_checkpoint(folder) if folder.exists() else (None, [])
        assert not notes, f"{plan}: {notes}"
        counts["in the first epoch"] += state is None or not state["history"]
    whole(lambda: plan.fit(folder, remains))
    expected, got = (json.loads((here / name).read_text()) for name in ("whole.json", "run.json"))
    different = [name for name in expected if got.get(name) != expected[name]]
    assert not different, f"{plan}: after {kills} kills {', '.join(different)} differ"
    left = sorted({path.name for path in folder.iterdir()} - names - {"last.new"})  # not yet last.ckpt, but as good
    assert not left, f"{plan}: {left} left"
    counts["bit-equal"] += 1


@attack()
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
