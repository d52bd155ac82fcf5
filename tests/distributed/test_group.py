"""Ranks meet, add up, fail and go on together."""

import pytest

RANKS = pytest.mark.parametrize("ranks", [2, 3])


@RANKS
def test_what_the_operations_give(ranked, ranks):
    total = ranks * (ranks - 1) // 2
    for found in ranked(ranks, "operations"):
        assert found["active"] and found["after"] and found["same"]
        assert found["found"] == [
            True,
            [float(ranks * number + total) for number in range(3)],
            [[rank] for rank in range(ranks)],
            [[ranks] * 2, [[total] * 2] * 2],
            [str(rank) for rank in range(ranks)],
            0,
            [[0] * 3, [[0.0, 0.0]]],
        ]


@RANKS
def test_ranks_that_do_not_do_the_same_find_out(ranked, ranks):
    for mixed, many, after in ranked(ranks, "other_operations"):
        assert mixed[:2] == many[:2] or "the end" in many[1]
        for kind, text, seconds in (mixed, many):
            assert kind == "RuntimeError"
            assert text.startswith("the ranks do not do the same: one is at ")
            assert seconds < 5
        assert after == [1] * ranks


@RANKS
def test_each_of_several_errors_is_raised_where_it_was(ranked, ranks):
    found = ranked(ranks, "errors_of_several")
    assert [one[:2] for one in found] == [["ValueError", f"rank {rank}"] for rank in range(ranks)]


@RANKS
def test_streams_diverge_and_join_again(ranked, ranks):
    found = ranked(ranks, "streams")
    own = [tuple(one[0]) for one in found]
    assert len(set(own)) == ranks
    assert all(one[1] == found[0][1] for one in found)


@RANKS
def test_a_rank_takes_its_share_of_the_cpus(ranked, ranks):
    for sharing, usual, share, asked in ranked(ranks, "shares_of_the_cpus"):
        assert sharing == ranks
        assert usual == share
        assert asked == 3


@RANKS
def test_a_group_in_another_thread(ranked, ranks):
    for found in ranked(ranks, "another_thread"):
        assert found == list(range(ranks))
