"""wilson_interval: how far a measured share may be from the true one."""

from __future__ import annotations

import math
from statistics import NormalDist

from ..._core import check_int, check_number

__all__ = ["wilson_interval"]


def wilson_interval(successes: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the interval in which the true share lies, of which ``successes / total`` was measured on a sample.

        low, high = wilson_interval(349, 355)

    With z the normal quantile of (1 + confidence) / 2 and p = successes / total it is

        (p + z^2 / (2 total) -+ z * sqrt(p * (1 - p) / total + z^2 / (4 total^2))) / (1 + z^2 / total)

    Unlike p -+ 2 standard errors it stays within [0, 1] and holds for shares near 1 and small samples. The samples must
    be independent; what it does not tell is how training would turn out again, with another seed.

    Args:
        successes: how many of the samples.
        total: number of samples, at least 1.
        confidence: between 0 and 1.

    Raises:
        ValueError: a number is out of range.
        TypeError: a number is not an integer.

    Source: Wilson 1927, Probable inference, the law of succession, and statistical inference.
    """
    total = check_int("wilson_interval", "total", total)
    successes = check_int("wilson_interval", "successes", successes, minimum=0)
    if successes > total:
        raise ValueError(f"wilson_interval: successes must be at most total, got {successes} of {total}")
    if not 0 < check_number("wilson_interval", "confidence", confidence, maximum=1.0) < 1:
        raise ValueError(f"wilson_interval: confidence must be between 0 and 1, got {confidence}")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    p, whole = successes / total, 1 + z * z / total
    middle = (p + z * z / (2 * total)) / whole
    half = z * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total)) / whole
    return (0.0 if successes == 0 else middle - half), (1.0 if successes == total else middle + half)
