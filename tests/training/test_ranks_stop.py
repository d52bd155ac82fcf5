"""What ends a fit on one rank ends it on all, alike: stop, StopTraining, limits, Ctrl-C, what is not finite."""

import pytest
from comparing import difference
from ranked.stopping import HOOKS

RANKS = pytest.mark.parametrize("ranks", [2, 3])


def alike(found):
    """What all ranks have found, once it is the same: error, epochs, epoch, interrupted, weights, history after."""
    assert all(one == found[0] for one in found)
    return found[0]


@RANKS
def test_stop_on_one_rank_ends_all_after_the_epoch(ranked, ranks):
    error, epochs, epoch, interrupted, *_ = alike(ranked(ranks, "stop_on_one"))
    assert (error, epochs, epoch, interrupted) == (None, 2, 2, False)


@pytest.mark.parametrize("hook", HOOKS[:-1])
def test_StopTraining_on_one_rank_ends_all_with_the_same_weights(ranked, hook):
    error, _, epoch, interrupted, *_ = alike(ranked(2, f"StopTraining in {hook}"))
    assert (error, interrupted) == (None, False)
    assert epoch == (0 if hook == "on_fit_start" else 2)


@RANKS
def test_a_time_limit_on_one_rank_ends_all(ranked, ranks):
    error, epochs, epoch, interrupted, *_ = alike(ranked(ranks, "a_limit_on_one"))
    assert (error, epochs, epoch, interrupted) == (None, 0, 1, False)


@RANKS
@pytest.mark.parametrize(
    "name", ["an_interrupt_on_one", "an_interrupt_on_the_first", "an_interrupt_on_all", "two_interrupts_on_all"]
)
def test_an_interrupt_ends_all(ranked, ranks, name):
    error, epochs, epoch, interrupted, *_ = alike(ranked(ranks, name))
    assert (error, epochs, epoch, interrupted) == (None, 1, 2, True)


@RANKS
def test_an_interrupt_of_an_evaluation_is_raised_on_all(ranked, ranks):
    for error, reached in ranked(ranks, "an_interrupt_of_evaluate"):
        assert error[0] == "KeyboardInterrupt"
        assert reached == ranks


@RANKS
def test_what_is_not_finite_on_one_rank_is_raised_on_all(ranked, ranks):
    errors = [one[0] for one in ranked(ranks, "not finite: raise")]
    alone = ranked(1, "not finite: raise")[0]
    for kind, text, seconds in errors:
        assert kind == alone[0] == "NonFiniteLossError"
        assert text == errors[0][1]
        assert text.startswith(alone[1].split(": the input")[0][:50])
        assert "on rank" in text
        assert seconds < 10


@RANKS
@pytest.mark.parametrize("name", ["not finite: skip", "a_gradient_that_is_not_finite"])
def test_a_step_that_is_not_finite_on_one_rank_is_skipped_by_all(ranked, ranks, name):
    if name == "a_gradient_that_is_not_finite" and ranks > 2:
        pytest.skip("two will do")
    alone, found = ranked(1, name), alike(ranked(ranks, name))
    assert found[1][0]["skipped"] == 1
    skipped, alone_skipped = (value[1][0] for value in (found, alone))
    assert difference(alone_skipped, skipped)[0] <= 1e-10 or name == "not finite: skip"
