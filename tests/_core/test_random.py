"""minidl's own generator."""

import numpy as np
import pytest

import minidl
from minidl._core.random import default_rng


def test_seeding_repeats_and_leaves_numpy_alone():
    np.random.seed(1)  # noqa: NPY002 - the point is that this is not used
    minidl.manual_seed(7)
    first = default_rng().random(3)
    assert minidl.manual_seed(7) is default_rng()
    np.testing.assert_array_equal(default_rng().random(3), first)
    minidl.manual_seed(np.int64(8))
    assert not np.array_equal(default_rng().random(3), first)


def test_an_explicit_generator_is_passed_through():
    rng = np.random.default_rng(0)
    assert default_rng(rng) is rng
    with pytest.raises(TypeError, match=r"rng must be a numpy.random.Generator \(np.random.default_rng\(0\)\), got 3"):
        default_rng(3)


def test_without_a_seed_it_is_made_at_the_first_use(monkeypatch):
    monkeypatch.setattr("minidl._core.random._generator", None)
    assert default_rng() is default_rng()


@pytest.mark.parametrize(("seed", "error"), [(-1, ValueError), (1.5, TypeError), (True, TypeError), ("a", TypeError)])
def test_bad_seeds_are_refused(seed, error):
    with pytest.raises(error, match="manual_seed: seed must"):
        minidl.manual_seed(seed)
