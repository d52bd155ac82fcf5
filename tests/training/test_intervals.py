"""wilson_interval: published values, the defining equation, and how often it holds."""

import math

import numpy as np
import pytest

from minidl.training.metrics import wilson_interval


def test_the_values_of_newcombe():
    """Newcombe 1998, Statistics in Medicine 17, table I, method 3 (score method without correction), 95 %."""
    for successes, total, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        assert wilson_interval(successes, total) == pytest.approx((low, high), abs=5.1e-5)


@pytest.mark.parametrize(("successes", "total"), [(0, 1), (1, 1), (3, 10), (349, 355), (9_999, 10_000), (500, 1000)])
def test_the_bounds_are_where_the_score_test_just_rejects(successes, total):
    """At each bound b: |p - b| = z * sqrt(b * (1 - b) / n); b = p where nothing is left on that side."""
    p, z = successes / total, 1.959963984540054
    low, high = wilson_interval(successes, total)
    assert 0 <= low <= p <= high <= 1
    for bound in (low, high):
        assert abs(p - bound) == pytest.approx(z * math.sqrt(bound * (1 - bound) / total), abs=1e-9)


def test_a_wider_confidence_is_a_wider_interval_and_the_other_side_is_mirrored():
    widths = [np.subtract(*wilson_interval(30, 40, confidence)[::-1]) for confidence in (0.5, 0.9, 0.95, 0.99)]
    assert widths == sorted(widths)
    low, high = wilson_interval(30, 40)
    assert wilson_interval(10, 40) == pytest.approx((1 - high, 1 - low))
    assert wilson_interval(np.int64(30), np.int64(40)) == (low, high)


def test_it_holds_as_often_as_it_says():
    seed = 5
    rng = np.random.default_rng(seed)
    for share in (0.5, 0.9, 0.98):
        inside = 0
        for successes in rng.binomial(355, share, 2000):
            low, high = wilson_interval(successes, 355)
            inside += low <= share <= high
        assert 0.93 < inside / 2000 < 0.975, f"seed {seed}, share {share}"


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ((1, 0), ValueError, "total must be at least 1, got 0"),
        ((-1, 5), ValueError, "successes must be at least 0"),
        ((6, 5), ValueError, "successes must be at most total, got 6 of 5"),
        ((0.5, 5), TypeError, "successes must be an integer"),
        ((1, 5, 1.0), ValueError, "confidence must be between 0 and 1, got 1.0"),
        ((1, 5, 0.0), ValueError, "confidence must be between 0 and 1, got 0.0"),
    ],
)
def test_what_it_refuses(arguments, kind, message):
    with pytest.raises(kind, match=message):
        wilson_interval(*arguments)
