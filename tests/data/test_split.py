import numpy as np
import pytest
from numpy.testing import assert_array_equal

from minidl.data import ArrayDataset, Dataset, Subset, class_weights, random_split, stratified_folds, stratified_split
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


def test_class_weights_are_those_of_scikit_learn():
    sk = pytest.importorskip("sklearn.utils.class_weight")
    for seed in range(20):
        rng = np.random.default_rng(seed)
        labels = rng.choice(rng.integers(2, 9), size=rng.integers(1, 60), p=None)
        present = np.unique(labels)
        expected = np.zeros(10)
        expected[present] = sk.compute_class_weight("balanced", classes=present, y=labels)
        weights = class_weights(labels, 10)
        assert weights.dtype == np.float32
        np.testing.assert_allclose(weights, expected, rtol=1e-6, err_msg=f"seed {seed}")
        np.testing.assert_allclose(class_weights(labels), expected[: labels.max() + 1], rtol=1e-6)
        assert weights[labels].mean() == pytest.approx(1)


@pytest.mark.parametrize(
    ("labels", "classes", "kind", "message"),
    [
        ([0.5], None, TypeError, "class_weights: labels must be integers, got float64"),
        (np.zeros(0, int), None, ValueError, "at least one"),
        ([[0]], None, ValueError, r"got shape \(1, 1\)"),
        ([0, 3], 3, ValueError, "labels must be from 0 to 2, got 0 to 3"),
        ([-1], None, ValueError, "got -1 to -1"),
        ([0], 0, ValueError, "num_classes must be at least 1, got 0"),
    ],
)
def test_class_weights_refuse(labels, classes, kind, message):
    with pytest.raises(kind, match=message):
        class_weights(labels, classes)


def drawn(seed):
    """Labels of some classes, whose sizes are very different."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 40, rng.integers(2, 8))
    labels = rng.permutation(np.repeat(rng.permutation(20)[: len(counts)], counts))
    return ArrayDataset(np.arange(len(labels), dtype=np.float32)[:, None], labels), labels, rng


def table(labels, parts):
    """How many samples of each class (columns) each part has."""
    return np.array([[np.count_nonzero(labels[part.indices] == own) for own in np.unique(labels)] for part in parts])


@pytest.mark.parametrize("seed", range(20))
def test_folds_have_the_proportions_of_scikit_learns(seed):
    sk = pytest.importorskip("sklearn.model_selection")
    whole, labels, rng = drawn(seed)
    folds = int(rng.integers(2, min(10, len(labels)) + 1))
    made = stratified_folds(whole, labels, folds, rng=rng)
    counts = table(labels, [apart for _, apart in made])
    assert len(made) == folds
    assert np.ptp(counts, axis=0).max() <= 1
    assert np.ptp(counts.sum(axis=1)) <= 1
    if np.unique(labels, return_counts=True)[1].min() >= folds:  # otherwise it warns
        splits = sk.StratifiedKFold(folds, shuffle=True, random_state=seed).split(labels, labels)
        theirs = np.array([np.unique(labels[apart], return_counts=True)[1] for _, apart in splits])
        assert_array_equal(np.sort(counts, axis=0), np.sort(theirs, axis=0))
    for train, apart in made:
        assert_array_equal(np.sort(np.concatenate([train.indices, apart.indices])), np.arange(len(labels)))
    assert_array_equal(np.sort(np.concatenate([apart.indices for _, apart in made])), np.arange(len(labels)))


def test_some_folds_are_compared_with_scikit_learns():
    assert sum(np.unique(drawn(seed)[1], return_counts=True)[1].min() >= 5 for seed in range(20)) >= 3


@pytest.mark.parametrize("seed", range(20))
def test_a_stratified_random_split_has_the_sizes_and_nearly_the_proportions(seed):
    whole, labels, rng = drawn(seed)
    share = rng.dirichlet(np.ones(3))
    plain = random_split(whole, list(share), rng=np.random.default_rng(seed))
    parts = random_split(whole, list(share), stratify=labels, rng=np.random.default_rng(seed))
    assert [len(part) for part in parts] == [len(part) for part in plain]
    assert_array_equal(np.sort(np.concatenate([part.indices for part in parts])), np.arange(len(labels)))
    expected = np.outer([len(part) for part in parts], np.unique(labels, return_counts=True)[1]) / len(labels)
    assert np.abs(table(labels, parts) - expected).max() < 2
    again = random_split(whole, list(share), stratify=labels, rng=np.random.default_rng(seed))
    assert all(np.array_equal(a.indices, b.indices) for a, b in zip(parts, again, strict=True))


def test_every_sample_can_be_in_every_fold():
    whole, labels = dataset([10, 12])
    seen = [stratified_folds(whole, labels, 4, rng=np.random.default_rng(s))[0][1].indices for s in range(60)]
    assert set(np.concatenate(seen)) == set(range(22))


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda d, y: stratified_folds(d, y, 1), ValueError, "stratified_folds: folds must be at least 2, got 1"),
        (lambda d, y: stratified_folds(d, y, 23), ValueError, "23 folds need as many samples, got 22"),
        (
            lambda d, y: stratified_folds(d, y[:-1], 2),
            ValueError,
            r"one label for each of 22 samples, got shape \(21,\)",
        ),
        (lambda d, y: stratified_folds(d, y / 2, 2), TypeError, "labels must be integers, got float64"),
        (lambda d, y: stratified_folds(3, y, 2), TypeError, "stratified_folds"),
        (lambda d, y: random_split(d, [11, 11], stratify=y[1:]), ValueError, "random_split: expected one label"),
        (lambda d, y: random_split(d, [11, 11], stratify=y + 0.5), TypeError, "random_split: labels must be integers"),
    ],
)
def test_folds_and_splits_refuse(call, kind, message):
    with pytest.raises(kind, match=message):
        call(*dataset([10, 12]))
