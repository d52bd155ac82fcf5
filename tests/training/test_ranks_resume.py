"""Checkpoints of several ranks: the same number goes on bit for bit, another one from the same sample."""

import pytest
from comparing import difference


@pytest.mark.parametrize(("ranks", "step"), [(2, 5), (2, 7), (2, 8), (2, 9), (2, 12), (3, 7)])
def test_the_same_number_of_ranks_goes_on_bit_for_bit(ranked, ranks, step):
    found = ranked(ranks, f"resumed after step {step}" + " on 3" * (ranks == 3))
    for rank, (whole, first, again) in enumerate(found):
        assert len(first["losses"]) == step
        saved = max(step // 3 * 3, (step - 1) // 4 * 4)  # every three steps, and at the end of an epoch
        assert again["losses"] == whole["losses"][saved:]
        assert again["weights"] == whole["weights"] == found[0][0]["weights"]
        assert again["history"] == whole["history"]
        assert again["norms"] == whole["norms"]
        assert "bits differ" not in again["told"]
        assert bool(again["told"]) == (rank == 0)


@pytest.mark.parametrize(("before", "after"), [(2, 3), (3, 2), (2, 1), (1, 2), (3, 1)])
def test_another_number_goes_on_from_the_same_sample(ranked, before, after):
    found = ranked(3, f"{before} to {after}")
    whole = found[0][0]
    for rank in range(after):
        again = found[rank][2]
        assert difference(whole["losses"][6:], again["losses"])[0] <= 1e-10
        assert difference(whole["history"], again["history"])[0] <= 1e-10
        assert difference(whole["weights"], again["weights"])[0] <= 1e-10
        assert (f"it was made by {before}: it goes on from the same sample, but the bits differ" in again["told"]) == (
            rank == 0
        )


def test_not_exactly_it_goes_on_at_the_next_epoch(ranked):
    found = ranked(3, "3 to 2, not exactly")
    again = [one[2] for one in found[:2]]
    assert again[0]["losses"] == again[1]["losses"]
    assert len(again[0]["losses"]) == 16  # the second epoch had not ended
    assert "not exactly" in again[0]["told"]
    assert [row["epoch"] for row in again[0]["history"]] == [1, 2, 3, 4, 5]


def test_the_first_rank_finds_a_folder_of_another_fit(ranked):
    own, other = ranked(2, "a_folder_of_another_fit")
    assert own[0] == "ValueError"
    assert "holds the checkpoints of another fit" in own[1]
    assert other[0] == "RankError"
    assert "rank 0 has failed: ValueError: ModelCheckpoint" in other[1]


def test_a_damaged_checkpoint_is_found_by_the_first_rank(ranked):
    own, other = ranked(2, "a_damaged_checkpoint")
    assert own[0] == "ValueError"
    assert other[0] == "RankError"


def test_a_second_fit_of_one_trainer_goes_on_together(ranked):
    found = ranked(2, "a_fit_after_a_fit")
    assert found[0] == found[1]
