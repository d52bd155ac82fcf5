"""Batch normalisation, random layers and random transforms on ranks."""

import pytest
from comparing import difference

RANKS = pytest.mark.parametrize("ranks", [2, 3])


@RANKS
@pytest.mark.parametrize("name", ["", "_of_a_training_step", "_with_ignored_labels"])
def test_a_converted_net_has_the_numbers_of_one_process(ranked, ranks, name):
    alone, together = (ranked(count, f"sync_batch_norm{name}") for count in (1, ranks))
    assert all(one == together[0] for one in together)
    assert difference(alone, together[0])[0] <= 1e-10


@RANKS
def test_running_statistics_are_the_same_on_every_rank_after_each_step(ranked, ranks):
    found = ranked(ranks, "batch_norm_buffers")
    assert len(found[0]["seen"]) == 9
    assert all(one == found[0] for one in found)
    # of equal means of shares the mean of all
    assert difference(found[0]["seen"][0][:2], found[0]["first mean"])[0] <= 1e-12


@RANKS
@pytest.mark.parametrize("name", ["masks", "crops"])
def test_each_rank_draws_a_stream_of_its_own_from_the_one_seed(ranked, ranks, name):
    found = ranked(ranks, name)
    for first, again, other in found:
        assert first == again
        assert first[0] != other[0]
    drawn = [own[0][0] for own in found]
    assert all(one != other for number, one in enumerate(drawn) for other in drawn[:number])
    states = [own[0][1] for own in found]
    assert all(one == states[0] for one in states)
