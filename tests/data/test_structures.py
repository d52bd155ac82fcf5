"""Samples that are, or hold, tuples and dicts of arrays: batches of the same structure."""

from collections import namedtuple

import numpy as np
import pytest

from minidl import nn
from minidl.data import ArrayDataset, DataLoader, Dataset, Subset
from minidl.data.split import labels_of

LEFT, RIGHT = np.arange(12.0).reshape(6, 2), np.arange(18.0).reshape(6, 3)
SAME = np.array([0, 1, 1, 0, 1, 0])


class Samples(Dataset):
    def __init__(self, make):
        self.make = make

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return self.make(index)


def same(one, other):
    """Whether two structures are of one kind and hold equal arrays of one dtype."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        return all(same(one[key], other[key]) for key in one)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    np.testing.assert_array_equal(one, other)
    return one.dtype == other.dtype


STRUCTURES = [
    ((LEFT, RIGHT), SAME),
    (LEFT, (RIGHT, SAME)),
    ({"left": LEFT, "right": RIGHT}, SAME),
    (LEFT, {"same": SAME, "more": (RIGHT, {"deep": LEFT})}),
    {"left": LEFT, "right": (LEFT, RIGHT), "label": SAME},
]


def at(structure, index):
    return nn.structure.rebuild(structure, lambda a: a[index])


@pytest.mark.parametrize("structure", STRUCTURES)
def test_batches_have_the_structure_of_the_samples(structure):
    arrays = ArrayDataset(structure) if isinstance(structure, dict) else ArrayDataset(*structure)
    assert len(arrays) == 6
    for data in (Samples(lambda i: at(structure, i)), arrays, Subset(arrays, range(6))):
        for number, batch in enumerate(DataLoader(data, 4)):
            assert same(batch, at(structure, slice(4 * number, 4 * number + 4)))
    assert same(arrays.batch(np.array([5, 0])), at(structure, [5, 0]))


def test_lists_and_named_tuples_of_arrays_become_tuples_and_numbers_an_array():
    pair = namedtuple("Pair", "left right")
    for make in (lambda i: ([LEFT[i], RIGHT[i]], 0), lambda i: (pair(LEFT[i], RIGHT[i]), 0)):
        assert same(next(iter(DataLoader(Samples(make), 6)))[0], (LEFT, RIGHT))
    for make in (lambda i: ([1.5, i], 0), lambda i: ((1.5, i), 0), lambda i: ([[np.float64(1.5)], [i]], 0)):
        assert next(iter(DataLoader(Samples(make), 6)))[0].dtype == np.float64


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda i: ((LEFT[i], RIGHT[i])[: 1 + (i != 2)], (LEFT[i],)), "one sample has 2 parts.*another one 1 part"),
        (lambda i: (0, {"a": LEFT[i], "bc"[i > 2]: 1}), "part 1 of one sample has the keys a, b, .*samples 0 and 3"),
        (lambda i: (0, {"a": LEFT[i][: 1 + (i < 3)]}), "same shape.*part 1.a of samples 0 and 3"),
        (lambda i: {"x": (LEFT[i], "text"), "y": 0}, "x.1 of sample 0 is text"),
        (lambda i: (LEFT[i], (RIGHT[i], None)), "part 1.1 of sample 0 is not a number"),
    ],
)
def test_samples_that_differ_are_refused_and_the_part_is_named(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        next(iter(DataLoader(Samples(make), 6)))


def test_a_tuple_of_arrays_that_may_be_samples_is_never_guessed():
    images = tuple(np.ones((6, 1, 2)) for _ in range(6))
    with pytest.raises(ValueError, match="ArrayDataset: 6 arrays .* may be several inputs, or samples: give a dict"):
        ArrayDataset(images, SAME)
    with pytest.raises(ValueError, match="may be several inputs"):
        ArrayDataset((LEFT, LEFT))
    assert ArrayDataset(images[:2], SAME[:2]).arrays[0].shape == (2, 6, 1, 2)  # two samples
    assert len(ArrayDataset(images[:2], SAME).arrays[0]) == 2  # two inputs
    assert len(ArrayDataset({"left": LEFT, "right": LEFT})) == 6
    with pytest.raises(ValueError, match=r"the same length, got \[6, 5, 6\]"):
        ArrayDataset({"left": LEFT, "right": LEFT[:5]}, SAME)


def test_transforms_and_labels_need_an_array():
    data = ArrayDataset((LEFT, RIGHT), SAME)
    with pytest.raises(TypeError, match=r"transform needs samples \(image, ...\), got a tuple first"):
        next(iter(DataLoader(data, 2, transform=np.negative)))
    np.testing.assert_array_equal(labels_of(data), SAME)
    with pytest.raises(TypeError, match="the labels of a ArrayDataset are not known"):
        labels_of(ArrayDataset(LEFT, {"label": SAME}))
