"""``--seeds N``: the same training with several seeds, the mean of what they reach and the spread."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from statistics import mean, stdev
from typing import Any

from .._core import user_path
from .output import say

__all__ = ["Outcome", "with_seeds"]

# What a training gives: exit code, result for --json, and the line that is the result otherwise; "" if there is none.
Outcome = tuple[int, dict[str, Any], str]


def with_seeds(
    train: Callable[[argparse.Namespace], Outcome],
    first_seed: Callable[[argparse.Namespace], int],
    options: argparse.Namespace,
) -> Outcome:
    """Train with ``options.seeds`` seeds, each in a folder of its own: in that of --run, or a new one.

    Args:
        train: does what the options say.
        first_seed: returns the seed that they say; the next ones follow.
        options: of the command.

    Raises:
        ValueError: an option does not go with it.
    """
    if options.seeds < 2:
        raise ValueError(f"--seeds must be at least 2, got {options.seeds}")
    for name in ("resume", "out"):
        if getattr(options, name) is not None:
            raise ValueError(f"--seeds trains several models: --{name} is for one of them")
    seed, results = first_seed(options), list[dict[str, Any]]()
    for own in range(seed, seed + options.seeds):
        folder = None if options.folder is None else str(user_path(options.folder) / f"seed-{own}")
        say(options, f"seed {own}, {own - seed + 1} of {options.seeds}")
        code, result, line = train(argparse.Namespace(**{**vars(options), "seed": own, "folder": folder}))
        if code:
            return code, {"runs": [*results, result]}, line
        results.append({"seed": own, **result})
    accuracies = [result["accuracy"] for result in results]
    middle, spread = mean(accuracies), stdev(accuracies)
    line = (
        f"{results[0]['images']} accuracy of {options.seeds} seeds: {100 * middle:.2f} ± {100 * spread:.2f} % "
        f"(mean and standard deviation), from {100 * min(accuracies):.2f} to {100 * max(accuracies):.2f} %"
    )
    say(options, line)
    return 0, {"runs": results, "accuracy": middle, "accuracy_std": spread}, line
