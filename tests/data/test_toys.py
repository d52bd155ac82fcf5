"""Toy data: scikit-learn's points where it has them, the formula elsewhere."""

import numpy as np
import pytest

from minidl import data, nn, optim
from minidl.data import ArrayDataset, DataLoader
from minidl.training import Trainer


def rng(seed=0):
    return np.random.default_rng(seed)


def in_order(points, labels):
    rows = np.column_stack([labels, np.asarray(points, np.float32)])
    return rows[np.lexsort(rows.T[::-1])]


@pytest.mark.parametrize("count", [2, 3, 7, 100])
@pytest.mark.parametrize(
    ("name", "options"), [("make_moons", {}), ("make_circles", {}), ("make_circles", {"factor": 0.3})]
)
def test_the_points_are_those_of_scikit_learn(name, options, count):
    datasets = pytest.importorskip("sklearn.datasets")
    points, labels = getattr(data, name)(count, rng=rng(), **options)
    expected = in_order(*getattr(datasets, name)(count, **options))
    np.testing.assert_allclose(in_order(points, labels), expected, atol=1e-6)


def test_spirals_are_what_the_formula_says():
    points, labels = data.make_spirals(91, classes=3, turns=1.5, rng=rng())
    assert np.bincount(labels).tolist() == [30, 30, 31]
    for (x, y), label in zip(points.astype(float), labels, strict=True):
        r = np.hypot(x, y)
        t = 2 * np.pi * (1.5 * r + label / 3)
        np.testing.assert_allclose((x, y), (r * np.cos(t), r * np.sin(t)), atol=1e-6)
    radii = np.sort(np.hypot(*points[labels == 2].T))
    np.testing.assert_allclose(radii, np.arange(1, 32) / 31, atol=1e-6)


def test_xor_is_what_it_says():
    points, labels = data.make_xor(1000, rng=rng())
    assert [int((x > 0) != (y > 0)) for x, y in points] == labels.tolist()
    assert abs(points).max() <= 1
    assert 400 < labels.sum() < 600


@pytest.mark.parametrize("name", ["make_moons", "make_circles", "make_spirals", "make_xor"])
def test_what_all_have_in_common(name):
    make = getattr(data, name)
    points, labels = make(50, noise=0.1, rng=rng(3))
    assert (points.shape, points.dtype, labels.shape, labels.dtype) == ((50, 2), np.float32, (50,), np.int64)
    again = make(50, noise=0.1, rng=rng(3))
    assert np.array_equal(points, again[0])
    assert np.array_equal(labels, again[1])
    assert not np.array_equal(points, make(50, noise=0.1, rng=rng(4))[0])
    clean, kept = make(5000, rng=rng(3))
    noisy, same = make(5000, noise=0.1, rng=rng(3))
    assert np.array_equal(kept, same)
    assert np.std(noisy - clean) == pytest.approx(0.1, rel=0.05)
    assert len(np.unique(np.diff(kept))) > 1, "the classes are mixed"
    assert len(ArrayDataset(points, labels)) == 50
    for options, message in (
        ({"n_samples": 0}, f"{name}: n_samples must be"),
        ({"noise": -1}, f"{name}: noise must be"),
        ({"rng": 3}, f"{name}: "),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            make(**options)


def test_other_options_are_checked():
    with pytest.raises(ValueError, match="make_circles: factor must be"):
        data.make_circles(factor=1.5)
    with pytest.raises(ValueError, match="make_spirals: classes must be"):
        data.make_spirals(classes=0)


@pytest.mark.parametrize(("name", "options"), [("make_moons", {}), ("make_circles", {"factor": 0.4}), ("make_xor", {})])
def test_a_small_network_learns_them_and_a_line_does_not(name, options):
    points, labels = getattr(data, name)(300, rng=rng(), **options)

    def accuracy(*layers):
        model = nn.Sequential(*layers)
        trainer = Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.params(), lr=0.02), progress="none")
        loader = DataLoader(ArrayDataset(points, labels), 50, shuffle=True, rng=rng())
        return trainer.fit(loader, epochs=60)["train_accuracy"][-1]

    assert accuracy(nn.Linear(2, 32, rng=rng()), nn.ReLU(), nn.Linear(32, 2, rng=rng())) > 0.95
    assert accuracy(nn.Linear(2, 2, rng=rng())) < 0.93
