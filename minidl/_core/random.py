"""minidl's own random generator. NumPy's global random state is never touched."""

from __future__ import annotations

import os

import numpy as np

__all__ = ["default_rng", "manual_seed"]

_generator: np.random.Generator | None = None


def manual_seed(seed: int) -> np.random.Generator:
    """Seed the generator that layers, initialisers and loaders use when no ``rng`` is passed.

    Same seed, same machine: the same bits. A forked child gets a generator of its own, derived from its parent's state
    and from how often the parent has forked: children draw different numbers, and the same ones in the next run.
    A child started with "spawn" imports minidl again and is unseeded: seed each child differently. Threads share this
    generator, and chance decides which of them draws what: pass ``rng=`` to what runs in threads.

    A generator of your own, passed as ``rng=``, is yours: after a fork, and in a copy or a pickle of the layer that
    holds it, it is copied as it is, and all copies draw the same numbers. ``rng.spawn(n)`` gives n independent ones.
    NumPy's own global state (``np.random.seed``) is neither read nor changed.

    Args:
        seed: a non-negative integer.

    Returns:
        The freshly seeded generator.

    Raises:
        TypeError: the seed is not an integer.
        ValueError: the seed is negative.
    """
    global _generator  # noqa: PLW0603 - this module exists to hold this one variable
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise TypeError(f"manual_seed: seed must be an integer, got {seed!r}")
    if seed < 0:
        raise ValueError(f"manual_seed: seed must not be negative, got {seed}")
    # SFC64 is the fastest of NumPy's bit generators, and dropout masks are drawn in every step.
    _generator = np.random.Generator(np.random.SFC64(int(seed)))
    return _generator


def default_rng(rng: np.random.Generator | None = None) -> np.random.Generator:
    """Return ``rng`` itself, or minidl's own generator when it is None.

    The generator is created on the first call, from the operating system's entropy unless `manual_seed` was called
    before.

    Raises:
        TypeError: ``rng`` is neither None nor a ``numpy.random.Generator``.
    """
    global _generator  # noqa: PLW0603
    if rng is not None:
        if not isinstance(rng, np.random.Generator):
            raise TypeError(f"rng must be a numpy.random.Generator (np.random.default_rng(0)), got {rng!r}")
        return rng
    if _generator is None:
        _generator = np.random.Generator(np.random.SFC64())
    return _generator


_forks = 0


def _before_fork() -> None:
    global _forks  # noqa: PLW0603
    _forks += 1


def _after_fork() -> None:
    """In a child: switch to a stream of its own, or all children would draw what their parent draws."""
    global _generator  # noqa: PLW0603
    if _generator is not None:
        words = np.asarray(_generator.bit_generator.state["state"]["state"]).tolist()
        _generator = np.random.Generator(np.random.SFC64(np.random.SeedSequence([*words, _forks])))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork)
