"""lr_find, cross_validate, reports and callbacks that watch and write, on ranks."""

import pytest
from comparing import difference

RANKS = pytest.mark.parametrize("ranks", [2, 3])


@RANKS
@pytest.mark.parametrize("name", ["finding_a_rate", "cross_validation"])
def test_what_is_found_is_what_one_process_finds(ranked, ranks, name):
    alone, found = ranked(1, name), ranked(ranks, name)
    assert all(one == found[0] for one in found)
    assert difference(alone, found[0])[0] <= 1e-9


@RANKS
def test_callbacks_see_the_same_steps_and_the_first_rank_writes(ranked, ranks):
    alone, found = ranked(1, "watching"), ranked(ranks, "watching")
    for name in ("gradients", "rates", "layers", "updates"):
        assert all(one[name] == found[0][name] for one in found), name
        assert difference(alone[name], found[0][name])[0] <= 1e-9, name
    for name in ("files", "report"):
        assert all(one[name] == alone[name] for one in found), name
    assert [one["told"] != "" for one in found] == [True] + [False] * (ranks - 1)
    assert found[0]["told"].count("epoch 3/3") == 1


def test_the_first_rank_writes_for_tensorboard(ranked):
    assert ranked(2, "tensorboard") in ([1, 1], [None, None])


def test_callbacks_see_their_part_of_the_step(ranked):
    assert ranked(2, "batches_in_callbacks") == [
        [[[1, True], [3, True]], [[3, True]]],
        [[[3, True]], [[3, True]]],
    ]
