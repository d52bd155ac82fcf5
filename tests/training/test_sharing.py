"""Validation, evaluate and predict on ranks, and the metrics that they put together."""

import pytest
from comparing import difference

RANKS = pytest.mark.parametrize("ranks", [2, 3])


@RANKS
@pytest.mark.parametrize("name", ["predictions", "several_outputs"])
def test_predictions_have_the_bits_of_one_process_in_order(ranked, ranks, name):
    alone = ranked(1, name)
    for found in ranked(ranks, name):
        assert found == alone


@RANKS
@pytest.mark.parametrize("name", ["evaluations", "a_shuffled_validation_with_a_transform", "metrics"])
def test_measures_are_those_of_one_process_on_every_rank(ranked, ranks, name):
    alone, found = ranked(1, name), ranked(ranks, name)
    assert all(one == found[0] for one in found)
    assert difference(alone, found[0])[0] <= 1e-12


@RANKS
def test_without_samples_every_rank_says_so(ranked, ranks):
    for predicted, evaluated in ranked(ranks, "nothing_to_predict"):
        assert predicted[:2] == ["ValueError", "Trainer.predict: there are no samples"]
        assert evaluated[1].startswith("Trainer.evaluate: there are no batches")


@RANKS
def test_a_metric_that_cannot_be_merged_is_named(ranked, ranks):
    for errors in ranked(ranks, "a_metric_without_sums"):
        for kind, text, _ in errors:
            assert kind == "TypeError"
            assert "Kept keeps what it measures outside of its sums" in text
            assert "let update() call add()" in text


@RANKS
@pytest.mark.parametrize("name", ["early_stopping", "reducing_on_a_plateau"])
def test_decisions_are_those_of_one_process(ranked, ranks, name):
    alone, found = ranked(1, name), ranked(ranks, name)
    assert all(one == found[0] for one in found)
    assert difference(alone, found[0])[0] <= 1e-9
