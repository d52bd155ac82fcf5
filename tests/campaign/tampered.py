"""Checkpoints that are whole and lie: one entry was replaced, removed or renamed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from tampering import attempt, checkpoint, tampered

from .frame import attack


@attack()
def resume(rng: np.random.Generator, counts: Counter[str]) -> None:
    """A fit is resumed from checkpoints that were tampered with: refused with nothing changed, or it goes on."""
    here, kind = Path.cwd(), int(rng.integers(4))
    state = checkpoint(here, kind)
    for number in range(10):
        (here / str(number)).mkdir()
        changed, what = tampered(state, rng)
        try:
            counts[attempt(changed, here / str(number), kind, number)] += 1
        except Exception as error:
            raise AssertionError(f"kind {kind}, {what}") from error
