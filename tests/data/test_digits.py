"""The digits that come with the package."""

import numpy as np

from minidl.data import load_digits


def test_shapes_range_and_stratified_split():
    train, test = load_digits()
    assert (len(train), len(test)) == (1442, 355)
    for part in (train, test):
        images, labels = part.arrays
        assert images.shape[1:] == (1, 8, 8)
        assert images.dtype == np.float32
        assert (images.min(), images.max()) == (0, 1)
        assert labels.dtype == np.int64
    counts = [np.bincount(part.arrays[1], minlength=10) for part in (train, test)]
    assert counts[1].tolist() == [n // 5 for n in (counts[0] + counts[1]).tolist()]


def test_the_split_is_fixed_and_disjoint():
    (train, test), (again, _) = load_digits(), load_digits()
    np.testing.assert_array_equal(train.arrays[0], again.arrays[0])
    images = {image.tobytes() for image in train.arrays[0]}
    assert not images & {image.tobytes() for image in test.arrays[0]}
