"""survey: copies of arrays in several parts, and images that cannot be compared."""

import numpy as np
import pytest

from minidl.data import ArrayDataset
from minidl.data.survey import survey


def quiet(steps, label, total):
    return steps


def test_copies_of_arrays_are_found_in_and_between_the_parts(rng):
    train = rng.random((30, 3, 32, 40), np.float32)
    test = rng.random((10, 3, 32, 40), np.float32)
    test[2], test[7], train[9] = train[4], train[5] * np.float32(0.5), train[3]
    labels = np.arange(30) % 2
    parts = {
        "training": ArrayDataset(train, labels, classes=["a", "b"]),
        "test": ArrayDataset(test, labels[:10], classes=["a", "b"]),
    }
    found = survey(parts, quiet)
    assert [[image.name for image in group] for group in found.same] == [
        ["training[3]", "training[9]"],
        ["training[4]", "test[2]"],
    ]
    assert [(one.name, other.name, one.label, other.label) for one, other, _ in found.alike] == [
        ("training[5]", "test[7]", 1, 1)
    ]
    both = np.concatenate([train, test]).astype(np.float64)
    np.testing.assert_allclose(found.mean, both.mean(axis=(0, 2, 3)), rtol=1e-9)
    np.testing.assert_allclose(found.std, both.std(axis=(0, 2, 3)), rtol=1e-9)
    assert (found.heights, found.widths) == ([32] * 40, [40] * 40)
    assert not found.too_small


def test_small_images_are_compared_by_their_pixels_only(rng):
    images = np.repeat(rng.random((1, 1, 31, 64), np.float32), 3, axis=0)
    images[2] *= np.float32(0.5)
    found = survey({"training": ArrayDataset(images, [0, 0, 0], classes=["a"])}, quiet)
    assert found.too_small
    assert [len(group) for group in found.same] == [2]
    assert found.alike == []


def test_labels_are_needed():
    with pytest.raises(TypeError, match="the labels of a ArrayDataset are not known"):
        survey({"training": ArrayDataset(np.zeros((2, 1, 4, 4), np.float32))}, quiet)
