"""Training on ranks has the numbers of one process."""

import pytest
from comparing import difference
from ranked.exact import CASES, TOLERANCE


@pytest.mark.parametrize(("ranks", "seed", "dtype"), CASES)
def test_a_random_problem_gives_the_numbers_of_one_process(ranked, ranks, seed, dtype):
    name = f"problem {seed} {dtype}"
    alone, together = ranked(1, name), ranked(ranks, name)
    assert len(alone["losses"]) >= 60  # of 100 steps: in some, nothing counts
    found = [difference(alone[what], together[0][what], what) for what in ("losses", "history", "weights")]
    print(f"{ranks} ranks, {alone['told']}: {max(found)}")
    assert all(one == together[0] for one in together), "the ranks differ"
    assert difference(alone["predicted"], together[0]["predicted"])[0] <= 10 * TOLERANCE[dtype]  # they may be large
    assert max(found)[0] <= TOLERANCE[dtype], found


@pytest.mark.parametrize("ranks", [2, 3])
def test_the_same_number_of_ranks_gives_the_same_bits(ranked, ranks):
    for first, second in ranked(ranks, "the_same_bits_again"):
        assert first == second


@pytest.mark.parametrize("ranks", [2, 3])
def test_a_training_step_is_weighted_by_what_its_loss_was_divided_by(ranked, ranks):
    name = "a_training_step_with_ignored_labels"
    alone, found = ranked(1, name), ranked(ranks, name)
    assert all(one == found[0] for one in found)
    assert difference(alone, found[0])[0] <= 1e-10
