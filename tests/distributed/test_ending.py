"""How processes end, of which one has failed, was killed or interrupted; and what they print."""

import random
import re

import numpy as np
import pytest
from launching import launch, need_mpi


@pytest.fixture(autouse=True)
def mpi():
    need_mpi()


def end(mode, *arguments, ranks=2, **more):
    """Run a mode of ranked/ending.py, which must end in time."""
    ended = launch(ranks, "-m", "ranked.ending", mode, *arguments, **more)
    print(ended)
    assert "killed after" not in ended.err
    return ended


@pytest.mark.parametrize(
    ("mode", "ranks"), [("in_a_callback", 3), ("at_the_end", 2), ("while_others_compute", 2), ("between_fits", 2)]
)
def test_an_error_on_one_rank_ends_all_and_is_printed_once(mode, ranks):
    ended = end(mode, ranks=ranks)
    assert ended.code != 0
    assert ended.err.count("ValueError: broken here") == 1
    assert "RankError" not in ended.err
    assert ended.seconds < 30  # 10, and the start and end of Python on a busy machine


def test_a_difference_is_printed_once():
    ended = end("another_rate")
    assert ended.code != 0
    assert ended.err.count("ValueError: Trainer.fit: rank 1 is not like rank 0: optimizer.0.lr is 0.06") == 1


def test_data_that_only_the_first_rank_can_read(tmp_path):
    ended = end("before_the_fit", tmp_path)
    assert ended.code != 0
    assert ended.err.count("FileNotFoundError") == 1
    assert ended.seconds < 30


def test_an_interrupt_is_told_once():
    ended = end("an_interrupt")
    assert ended.code == 0
    assert ended.out.count("interrupted in epoch 2; 1 epoch is finished") == 1
    told = re.findall(r"rank \d interrupted (?:True|False)", ended.out)  # the ranks' lines may be run together
    assert sorted(told) == [f"rank {rank} interrupted True" for rank in (0, 1)]


@pytest.mark.parametrize("mode", ["lines", "a_bar"])
def test_only_the_first_rank_prints(mode):
    ended = end(mode)
    assert ended.code == 0
    lines = [line for line in ended.out.splitlines() if line.startswith("epoch ")]
    assert [line.split("/")[0] for line in lines] == ["epoch 1", "epoch 2", "epoch 3"]
    assert ended.out.count("the layers in epoch 3") == (mode == "lines")
    assert (ended.err.count("epoch 1/3: ") > 0) == (mode == "a_bar")
    assert ended.err.count("100%") <= 8


def test_only_the_first_rank_warns():
    ended = end("warnings_of_the_first")
    assert ended.code == 0
    assert ended.err.count("nothing counted in validation") == 1


def test_a_killed_rank_ends_all_and_the_fit_goes_on_to_the_same_bits(tmp_path):
    whole = end("a_kill", tmp_path / "whole")
    assert whole.code == 0
    seed = random.SystemRandom().randrange(10**6)
    killed = end("a_kill", tmp_path / "killed", seed)
    assert "is killed after" in killed.out, seed
    assert killed.code != 0, seed
    assert killed.seconds < 30, seed
    assert end("a_kill", tmp_path / "killed").code == 0, seed
    first, second = (np.load(tmp_path / name / "weights.npz") for name in ("whole", "killed"))
    assert set(first) == set(second)
    assert all((first[name] == second[name]).all() for name in first), seed
