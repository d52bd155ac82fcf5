"""Streams: random numbers of its own for each rank, all derived from those of the first."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import numpy as np

from .group import Group

__all__ = ["diverge", "rejoin"]


def diverge(group: Group, generators: Sequence[np.random.Generator]) -> None:
    """Let the generators of every rank but the first draw from streams of their own, derived from the first rank's.

    Args:
        group: whose ranks have the same generators, whatever their states.
        generators: in the same order on every rank.
    """
    states = group.from_first([generator.bit_generator.state for generator in generators])
    for generator, state in zip(generators, states, strict=True):
        if group.rank:
            generator.bit_generator.state = _derived(generator.bit_generator, state, group.rank)


def rejoin(group: Group, generators: Sequence[np.random.Generator]) -> None:
    """Let the generators of every rank go on as the first rank's: what is drawn from now on is the same everywhere."""
    states = group.from_first([generator.bit_generator.state for generator in generators])
    for generator, state in zip(generators, states, strict=True):
        generator.bit_generator.state = state


def _derived(kind: Any, state: Any, rank: int) -> Any:
    """Return the state of a new stream of the same kind that follows from a state and a rank."""
    text = json.dumps(state, sort_keys=True, default=lambda array: np.asarray(array).tolist())
    seed = np.random.SeedSequence(int.from_bytes(sha256(text.encode()).digest()), spawn_key=(rank,))
    return type(kind)(seed).state
