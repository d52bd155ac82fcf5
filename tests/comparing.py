"""Compares what two fits have given."""

import math


def difference(one, other, where=""):
    """The largest difference between the numbers in two structures, and where it is."""
    if isinstance(one, dict):
        assert set(one) == set(other), (where, set(one) ^ set(other))
        return max((difference(one[key], other[key], f"{where}.{key}") for key in one), default=(0.0, where))
    if isinstance(one, list):
        assert len(one) == len(other), (where, len(one), len(other))
        pairs = enumerate(zip(one, other, strict=True))
        return max((difference(*pair, f"{where}[{number}]") for number, pair in pairs), default=(0.0, where))
    if one is None or isinstance(one, str):
        assert one == other, where
        return 0.0, where
    if one == other or (math.isnan(one) and math.isnan(other)):
        return 0.0, where
    return (abs(one - other) if math.isfinite(one - other) else math.inf), where
