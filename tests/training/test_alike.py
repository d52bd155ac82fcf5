"""Ranks that are not alike find out before the first step."""

import pytest
from ranked.failing import DIFFERENT

NAMED = {
    "data": "data.",
    "validation": "validation.",
    "no validation": "validation is",
    "samples": "data.",
    "dtype": "data.",
    "width": "model.",
    "layers": "model.",
    "dtype of the model": "parameters.0 is 0.weight (8, 6) float32",
    "frozen": "model.",
    "lr": "optimizer.0.lr is 0.01, on rank 0 0.05",
    "optimizer": "optimizer.kind is Adam, on rank 0 SGD",
    "loss": "loss.self.label_smoothing is 0.1, on rank 0 0.0",
    "version": "minidl is 0.0.1",
    "epochs": "epochs is 4, on rank 0 3",
    "callbacks": "LearningRateMonitor",
    "batch_size": "data.batch_size is 8, on rank 0 6",
    "clip_grad_norm": "clip_grad_norm is 1.0, on rank 0 None",
    "accumulate": "accumulate is 2, on rank 0 1",
    "on_nonfinite": "on_nonfinite is skip, on rank 0 raise",
    "no fit": "the ranks do not do the same",
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_a_difference_is_named_on_every_rank(ranked, what):
    for error, epochs in ranked(2, f"other {what}"):
        assert error is not None, "not found"
        assert error[0] == ("RuntimeError" if what == "no fit" else "ValueError")
        assert NAMED[what] in error[1]
        assert what == "no fit" or error[1].startswith("Trainer.fit: rank 1 is not like rank 0: ")
        assert error[2] < 10
        assert epochs == 1


@pytest.mark.parametrize("ranks", [2, 3])
def test_other_weights_become_those_of_the_first_rank(ranked, ranks):
    assert all(ranked(ranks, "other_weights"))
