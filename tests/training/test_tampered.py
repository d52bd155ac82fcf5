"""A checkpoint may have been tampered with: it is refused by a ValueError that changes nothing, or the fit goes on."""

import collections
import shutil

import numpy as np
import pytest
from tampering import attempt, checkpoint, tampered


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")
@pytest.mark.parametrize("kind", range(4))
def test_what_was_tampered_with_is_refused_and_changes_nothing_or_works(kind, tmp_path):
    state = checkpoint(tmp_path, kind)
    assert attempt(state, tmp_path, kind, 5) == "resumed"
    counts = collections.Counter()
    for seed in range(30):
        shutil.rmtree(tmp_path / "again")
        rng = np.random.default_rng([kind, seed])
        changed, what = tampered(state, rng)
        try:
            counts[attempt(changed, tmp_path, kind, seed)] += 1
        except BaseException as error:
            error.add_note(f"kind {kind}, seed {seed}: {what}") if hasattr(error, "add_note") else print(what)
            raise
        (tmp_path / "again").mkdir(exist_ok=True)
    assert counts["refused"] > 10
