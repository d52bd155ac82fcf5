"""minidl's own generator."""

import os
import subprocess
import sys

import numpy as np
import pytest

import minidl
from minidl._core.random import default_rng


def test_seeding_repeats_and_leaves_numpy_alone():
    np.random.seed(1)  # noqa: NPY002 - the point is that this is not used
    minidl.manual_seed(7)
    first = default_rng().random(3)
    assert minidl.manual_seed(7) is default_rng()
    np.testing.assert_array_equal(default_rng().random(3), first)
    minidl.manual_seed(np.int64(8))
    assert not np.array_equal(default_rng().random(3), first)


def test_an_explicit_generator_is_passed_through():
    rng = np.random.default_rng(0)
    assert default_rng(rng) is rng
    with pytest.raises(TypeError, match=r"rng must be a numpy.random.Generator \(np.random.default_rng\(0\)\), got 3"):
        default_rng(3)


def test_without_a_seed_it_is_made_at_the_first_use(monkeypatch):
    monkeypatch.setattr("minidl._core.random._generator", None)
    assert default_rng() is default_rng()


@pytest.mark.parametrize(("seed", "error"), [(-1, ValueError), (1.5, TypeError), (True, TypeError), ("a", TypeError)])
def test_bad_seeds_are_refused(seed, error):
    with pytest.raises(error, match="manual_seed: seed must"):
        minidl.manual_seed(seed)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_forked_children_draw_numbers_of_their_own_and_the_same_in_the_next_run():
    code = """
import os, sys
import minidl
from minidl import nn
minidl.manual_seed(3)
for child in range(3):
    if os.fork() == 0:
        print(child, nn.Linear(2, 2).weight.data[0, 0], minidl.default_rng().integers(1000), flush=True)
        os._exit(0)
    os.wait()
print("parent", minidl.default_rng().random())
"""
    runs = [
        subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert runs[0] == runs[1]
    *children, parent = runs[0].splitlines()
    assert len({line.split(" ", 1)[1] for line in children}) == 3
    assert parent == f"parent {minidl.manual_seed(3).random()}"


CHILD = """
import os, sys, threading
import numpy as np
import minidl
from minidl import data, nn, optim
minidl.manual_seed(3)
dataset = data.ArrayDataset(np.arange(40, dtype=np.float32).reshape(40, 1))
loader = data.DataLoader(dataset, 40, shuffle=True)
noise = data.DataLoader(dataset, 40, sampler=data.WeightedSampler(np.ones(40)))
dropout = nn.Dropout(0.5)
own = nn.Dropout(0.5, rng=np.random.default_rng(5))
WHAT = {
    "weights": lambda: nn.Linear(4, 4).weight.data,
    "dropout": lambda: dropout(np.ones((8, 8), np.float32)),
    "shuffle": lambda: next(iter(loader))[0],
    "sampler": lambda: next(iter(noise))[0],
    "split": lambda: data.random_split(dataset, [0.5, 0.5])[0].batch(np.arange(20))[0],
    "init": lambda: nn.init.normal_(nn.Parameter(np.zeros((3, 3), np.float32))).data,
    "own": lambda: own(np.ones((8, 8), np.float32)),
}
for child in range(3):
    if os.fork() == 0:
        print(repr(WHAT[sys.argv[1]]().ravel().tolist()), flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize("what", ["weights", "dropout", "shuffle", "sampler", "split", "init", "own"])
def test_forked_children_share_nothing_but_generators_of_the_users_own(what):
    command = [sys.executable, "-W", "ignore", "-c", CHILD, what]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(lines) == 3
    assert len(set(lines)) == (1 if what == "own" else 3)  # `manual_seed` says what to do about one's own
