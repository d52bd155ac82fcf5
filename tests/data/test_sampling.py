"""Samplers, prefetching, and the loader's position."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minidl
from minidl.data import ArrayDataset, DataLoader, Dataset, StratifiedSampler, WeightedSampler
from minidl.data.transforms import RandomCrop

RNG = np.random.default_rng


def test_weights_are_frequencies():
    labels = np.array([0] * 90 + [1] * 10)
    weights = 1 / np.bincount(labels)[labels]
    drawn = labels[WeightedSampler(weights, 4000).indices(RNG(0))]
    assert 0.45 < drawn.mean() < 0.55
    assert len(WeightedSampler(weights)) == 100
    for bad in ([[1.0]], [1, -1], [0, 0], [np.nan, 1]):
        with pytest.raises(ValueError, match="WeightedSampler"):
            WeightedSampler(bad)


@given(counts=st.lists(st.integers(1, 30), min_size=1, max_size=4), size=st.integers(1, 20), seed=st.integers(0, 50))
def test_every_batch_is_a_small_copy_of_the_whole(counts, size, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    order = StratifiedSampler(labels).indices(RNG(seed))
    assert sorted(order) == list(range(len(labels)))
    for begin in range(0, len(labels), size):
        batch = labels[order[begin : begin + size]]
        for label, count in enumerate(counts):
            expected = count * len(batch) / len(labels)
            assert abs((batch == label).sum() - expected) <= len(counts) + 1


def loader(prefetch=0, rng=None, **options):
    images = np.arange(23 * 16, dtype=np.float32).reshape(23, 1, 4, 4)
    data = ArrayDataset(images, np.arange(23) % 3)
    options = {"shuffle": True, "transform": RandomCrop(4, padding=1), **options}
    return DataLoader(data, 5, prefetch=prefetch, rng=rng or RNG(1), **options)


def assert_same_batches(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("prefetch", [1, 3, 50])
def test_prefetching_changes_nothing(prefetch):
    plain, ahead = loader(), loader(prefetch)
    for _ in range(2):
        assert_same_batches(list(plain), list(ahead))
    assert_same_batches(
        list(loader(sampler=StratifiedSampler(np.arange(23) % 3), shuffle=False)),
        list(loader(2, sampler=StratifiedSampler(np.arange(23) % 3), shuffle=False)),
    )


def threads():
    return [t for t in threading.enumerate() if t.name == "minidl-prefetch"]


def test_the_thread_ends_with_the_pass_also_when_it_is_left():
    passing = iter(loader(2))
    next(passing)
    assert threads()
    passing.close()
    assert not threads()
    for _ in loader(2):
        break
    assert not threads()


class Broken(Dataset):
    def __len__(self):
        return 10

    def __getitem__(self, index):
        if index == 7:
            raise OSError("the disk is gone")
        return (np.zeros(1),)


def test_errors_of_the_thread_arrive():
    batches = iter(DataLoader(Broken(), 2, prefetch=2))
    for _ in range(3):
        next(batches)
    with pytest.raises(OSError, match="the disk is gone"):
        next(batches)
    assert not threads()


@settings(deadline=None)
@given(done=st.integers(0, 5), prefetch=st.integers(0, 3), passes=st.integers(0, 2), seed=st.integers(0, 9))
def test_a_pass_is_taken_up_where_it_was(done, prefetch, passes, seed):
    first = loader(prefetch, RNG(seed))
    for _ in range(passes):
        list(first)
    state = first.state_dict()
    rest = []
    for number, batch in enumerate(first):
        if number == done - 1:
            state = first.state_dict()
        if number >= done:
            rest.append(batch)
    following = list(first)
    second = loader(0, RNG(77))
    second.load_state_dict(state)
    assert second.state_dict() == state
    assert_same_batches(list(second), rest)
    assert_same_batches(list(second), following)


def test_a_pass_that_is_left_is_not_taken_up_by_itself():
    own = loader()
    next(iter(own))
    assert len(list(own)) == 5


def test_what_is_refused():
    with pytest.raises(ValueError, match="give either shuffle or sampler"):
        loader(sampler=StratifiedSampler([0, 1]))
    with pytest.raises(TypeError, match="sampler must be a Sampler"):
        loader(sampler=[1, 2], shuffle=False)
    with pytest.raises(ValueError, match="it belongs to a different loader"):
        loader().load_state_dict({"seed": 1, "batch": 9, "rng": RNG(0).bit_generator.state})
    with pytest.raises(ValueError, match="it belongs to a different loader"):
        loader().load_state_dict({"seed": 1, "batch": 1, "rng": None})
    minidl.manual_seed(0)
    with pytest.raises(ValueError, match=r"the sampler must give 30 indices from 0 to 22, got shape \(30,\), 0 to 29"):
        list(loader(sampler=StratifiedSampler(np.zeros(30, int)), shuffle=False))
