"""An error on one rank ends the fit on all, at once, and they can go on together; bad input is said by each rank."""

import pytest
from ranked.failing import BAD
from ranked.stopping import HOOKS

RANKS = pytest.mark.parametrize("ranks", [2, 3])


def check_failed(found, kind, text):
    """The last rank has raised its error, all others that it has failed; all have trained on afterwards."""
    *others, last = [error for error, _ in found]
    assert (last[0], text in last[1]) == (kind, True), last
    for error in others:
        assert error[0] == "RankError", error
        assert error[1].startswith(f"rank {len(others)} has failed: {kind}: "), error
        assert text in error[1]
    assert all(error[2] < 10 for error, _ in found)
    assert all(epochs == 1 for _, epochs in found)


@pytest.mark.parametrize("hook", HOOKS)
def test_an_error_in_a_hook(ranked, hook):
    check_failed(ranked(2, f"error in {hook}"), "ValueError", "broken here")


@RANKS
@pytest.mark.parametrize("name", ["in_a_loss", "in_a_metric", "in_compute_of_a_metric", "in_a_layer_between_exchanges"])
def test_an_error_in_a_part_of_the_fit(ranked, ranks, name):
    found = ranked(ranks, name)
    if name == "in_compute_of_a_metric":  # of what all have measured
        assert any(error[0] == "ValueError" for error, _ in found)
        assert all(epochs == 1 for _, epochs in found)
    else:
        check_failed(found, "ValueError", "broken here")


@RANKS
@pytest.mark.parametrize("name", ["in_a_dataset", "in_the_prefetching_of_a_dataset", "in_a_validation", "in_predict"])
def test_an_error_in_a_dataset(ranked, ranks, name):
    check_failed(ranked(ranks, name), "OSError", "sample 20 cannot be read")


@RANKS
def test_an_error_on_every_rank_is_raised_there(ranked, ranks):
    for error, epochs in ranked(ranks, "on_all"):
        assert error[:2] == ["ValueError", "broken here"]
        assert epochs == 1


@RANKS
def test_weights_that_drift_apart_are_found_after_the_epoch(ranked, ranks):
    for error, epochs in ranked(ranks, "weights_that_drift_apart"):
        assert error[0] == "RuntimeError"
        assert f"after epoch 1 the weights of rank {ranks - 1} are not those of rank 0" in error[1]
        assert epochs == 1


SAID = {
    "more ranks than samples in a batch": (
        "ValueError",
        "batch_size is 1, that of all ranks together, but there",
    ),
    "a dataset smaller than the ranks": ("ValueError", "the dataset has 1 samples, but there are 2 ranks"),
    "layers without a size": ("ValueError", "with several ranks the layers must have their sizes before the fit"),
    "a DistributedSampler": ("ValueError", "give a loader of all samples, with the batch_size of all ranks together"),
    "batches in an order of their own": ("ValueError", "rank 1 has another batch than rank 0"),
    "batches of another number": ("RuntimeError", "the ranks do not do the same"),
    "a loader of another length": ("ValueError", "batches is 3, on rank 0 2"),
    "epochs=0": ("ValueError", "epochs"),
    "no optimizer": ("ValueError", "there is no optimizer"),
    "a manual step": ("ValueError", "with several ranks the Trainer makes the steps"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_an_error_on_every_rank(ranked, what):
    kind, text = SAID[what]
    for error, epochs in ranked(2, f"bad: {what}"):
        assert error is not None
        assert error[0] in (kind, "RankError"), error
        assert text in error[1]
        assert error[2] < 10
        assert epochs == 1


def test_a_comm_of_the_wrong_type(ranked):
    for errors in ranked(2, "a comm of the wrong type"):
        assert [error[0] for error in errors] == ["TypeError"] * 4
        assert all("Trainer: comm must be a communicator of mpi4py" in error[1] for error in errors)


def test_a_loader_of_ones_own_shares_out_each_batch(ranked):
    (parts, length, error), (others, other_length, _) = ranked(2, "a_loader_of_ones_own")
    assert length == other_length == 6
    for own, theirs in zip(parts, others, strict=True):
        assert [len(batch) for batch in own] == [2, 2, 2, 2, 2, 2]
        assert [len(batch) for batch in theirs] == [2, 2, 2, 2, 2, 1]
        samples = [number for batch in (*own, *theirs) for number in batch]
        assert len(set(samples)) == 23
    assert parts[0] != parts[1]
    assert error[0] == "ValueError"
    assert "mpiexec -n 1" in error[1]
