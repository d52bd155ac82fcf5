"""Datasets and splits."""

import numpy as np
import pytest

from minidl.data import ArrayDataset, DataLoader, Dataset, Subset, random_split


class Squares(Dataset):
    """A user's dataset, sample by sample."""

    def __len__(self):
        return 10

    def __getitem__(self, index):
        return np.full((1, 2, 2), index, np.float32), index * index


def test_a_users_dataset_is_batched_by_stacking():
    images, labels = next(iter(DataLoader(Squares(), batch_size=4)))
    assert images.shape == (4, 1, 2, 2)
    assert images.dtype == np.float32
    assert labels.tolist() == [0, 1, 4, 9]
    assert labels.dtype == np.int64


def test_array_dataset():
    data = ArrayDataset([[1.0], [2.0], [3.0]], [0, 1, 0])
    assert len(data) == 3
    assert data[1][0].tolist() == [2.0]
    assert [part.tolist() for part in data.batch(np.array([2, 0]))] == [[[3.0], [1.0]], [0, 0]]
    assert repr(data) == "ArrayDataset((3, 1) float64, (3,) int64)"


def test_arrays_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match=r"the arrays must have the same length, got \[3, 2\]"):
        ArrayDataset(np.zeros(3), np.zeros(2))
    with pytest.raises(ValueError, match="at least one array"):
        ArrayDataset()
    with pytest.raises(ValueError, match="with a sample axis"):
        ArrayDataset(3)


def test_random_split_is_a_partition_and_repeats_with_its_seed():
    data = ArrayDataset(np.arange(10))
    first = random_split(data, [7, 3], rng=np.random.default_rng(0))
    again = random_split(data, [0.7, 0.3], rng=np.random.default_rng(0))
    values = [[int(part[i][0]) for i in range(len(part))] for part in first]
    assert [len(part) for part in first] == [7, 3]
    assert sorted(values[0] + values[1]) == list(range(10))
    assert values == [[int(part[i][0]) for i in range(len(part))] for part in again]
    assert [len(p) for p in random_split(data, [1 / 3, 1 / 3, 1 / 3])] == [4, 3, 3]


def test_lengths_that_do_not_add_up_are_refused():
    data = ArrayDataset(np.arange(10))
    with pytest.raises(ValueError, match="lengths must add up to the dataset's 10"):
        random_split(data, [5, 4])
    with pytest.raises(ValueError, match="lengths must add up"):
        random_split(data, [4.5, 5.5])
    with pytest.raises(ValueError, match="must not be negative"):
        random_split(data, [11, -1])


def test_a_subset_of_a_subset():
    data = Subset(Subset(Squares(), [5, 6, 7]), [2, 0])
    assert data[0][1] == 49
    assert repr(Subset(ArrayDataset(np.zeros(3)), [0, 2])) == "Subset(2 of ArrayDataset((3,) float64))"
    assert data.batch(np.array([1]))[1].tolist() == [25]
    for wrong in (np.arange(10) > 7, [0.6, 1.9], [[1]]):
        with pytest.raises(TypeError, match=r"a mask becomes indices with np.flatnonzero\(mask\)"):
            Subset(Squares(), wrong)
    assert len(Subset(Squares(), [])) == 0
    with pytest.raises(IndexError, match="indices must be from 0 to 9"):
        Subset(Squares(), [10])
