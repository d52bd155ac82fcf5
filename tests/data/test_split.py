import numpy as np
import pytest
from numpy.testing import assert_array_equal

from minidl.data import ArrayDataset, Dataset, Subset, stratified_split
from minidl.data.split import labels_of


def dataset(counts, dtype=np.int64):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts)).astype(dtype)
    return ArrayDataset(np.arange(len(labels), dtype=np.float32)[:, None], labels), labels


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int64, np.uint64])
def test_each_class_gives_its_share_and_nothing_is_lost_or_doubled(dtype):
    whole, labels = dataset([10, 25, 4, 2, 1, 101], dtype)
    rest, apart = stratified_split(whole, labels, 0.2, rng=np.random.default_rng(3))
    assert_array_equal(np.bincount(labels[apart.indices].astype(int), minlength=6), [2, 5, 1, 1, 0, 20])
    assert_array_equal(np.sort(np.concatenate([rest.indices, apart.indices])), np.arange(143))
    assert_array_equal(apart.indices, np.sort(apart.indices))


@pytest.mark.parametrize(("share", "expected"), [(0.001, 1), (0.5, 5), (0.999, 9)])
def test_at_least_one_and_never_all(share, expected):
    whole, labels = dataset([10])
    assert len(stratified_split(whole, labels, share)[1]) == expected


def test_every_sample_can_be_chosen_and_the_generator_decides():
    whole, labels = dataset([20, 20])
    seen = [stratified_split(whole, labels, 0.3, rng=np.random.default_rng(s))[1].indices for s in range(60)]
    assert set(np.concatenate(seen)) == set(range(40))
    assert_array_equal(seen[5], stratified_split(whole, labels, 0.3, rng=np.random.default_rng(5))[1].indices)


def test_labels_are_found():
    whole, labels = dataset([3, 3])
    assert_array_equal(labels_of(whole), labels)
    inner = Subset(Subset(whole, [5, 3, 1, 0]), [2, 0])
    assert_array_equal(labels_of(inner), labels[[1, 5]])
    for other in (ArrayDataset(labels), ArrayDataset(labels, labels, labels), Dataset()):
        with pytest.raises(TypeError, match="labels of a .*Dataset are not known"):
            labels_of(other)


@pytest.mark.parametrize(
    ("labels", "share", "error", "message"),
    [
        ([0, 1, 0], 0.0, ValueError, "fraction must be greater than 0 and less than 1, got 0"),
        ([0, 1, 0], 1, ValueError, "fraction must be greater than 0 and less than 1, got 1"),
        ([0, 1, 0], 1.5, ValueError, "fraction must be"),
        ([0, 1, 0], float("nan"), ValueError, "fraction must be"),
        ([0.0, 1.0, 0.0], 0.5, TypeError, "labels must be integers, got float64"),
        ([0, 1], 0.5, ValueError, r"one label for each of 3 samples, got shape \(2,\)"),
        ([0, 1, 2], 0.5, ValueError, "there is no class with two samples or more"),
    ],
)
def test_refused(labels, share, error, message):
    with pytest.raises(error, match=f"stratified_split: .*{message}"):
        stratified_split(ArrayDataset(np.zeros(3)), labels, share)
    with pytest.raises(TypeError, match="stratified_split: dataset must be a Dataset"):
        stratified_split(np.zeros(3), [0, 0, 0], 0.5)
