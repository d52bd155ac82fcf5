"""Plain arrays and datasets where a loader is taken: `fit`, `evaluate`, `predict`."""

import numpy as np
import pytest

import minidl
from minidl import nn, optim
from minidl.data import ArrayDataset, DataLoader, Subset
from minidl.training import ModelCheckpoint, Trainer

RNG = np.random.default_rng(5)
X = RNG.standard_normal((90, 4)).astype(np.float32)
Y = np.repeat([0, 1, 2], [60, 20, 10])  # as unequal as classes are


def make(loss=None, outputs=3, **options):
    minidl.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, outputs))
    optimizer = optim.SGD(model.params(), lr=0.1, momentum=0.9)
    return Trainer(model, loss or nn.CrossEntropyLoss(), optimizer, progress="none", **options)


def without_seconds(history):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history.rows]


def same(one, other):
    return all(np.array_equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


@pytest.mark.parametrize("data", [(X, Y), ArrayDataset(X, Y), [(X, Y)]], ids=["arrays", "dataset", "list"])
def test_a_fit_is_that_with_the_loader_made_by_hand(data):
    own = make()
    val = (X[:30], Y[:30])
    options = {} if isinstance(data, list) else {"batch_size": 16}
    history = own.fit(data, val, epochs=2, **options)
    by_hand = make()
    loader = data if isinstance(data, list) else DataLoader(ArrayDataset(X, Y), 16, shuffle=True)
    expected = by_hand.fit(loader, DataLoader(ArrayDataset(*val), options.get("batch_size", 32)), epochs=2)
    assert without_seconds(history) == without_seconds(expected)
    assert same(own.model, by_hand.model)


def test_the_order_of_a_fit_comes_from_the_generator_that_is_given():
    first = make()
    first.fit((X, Y), rng=np.random.default_rng(3))
    second = make()
    second.fit(DataLoader(ArrayDataset(X, Y), 32, shuffle=True, rng=np.random.default_rng(3)))
    other = make()
    other.fit((X, Y), rng=np.random.default_rng(4))
    assert same(first.model, second.model)
    assert not same(first.model, other.model)


def test_evaluate_and_predict_take_what_fit_takes():
    trainer = make()
    expected = trainer.evaluate(DataLoader(ArrayDataset(X, Y), 256))
    assert trainer.evaluate((X, Y)) == trainer.evaluate(ArrayDataset(X, Y)) == trainer.evaluate([(X, Y)]) == expected
    outputs = trainer.predict(X)
    np.testing.assert_array_equal(trainer.predict(ArrayDataset(X, Y)), outputs)
    np.testing.assert_allclose(trainer.predict(X, batch_size=7), outputs, rtol=1e-5, atol=1e-6)


def test_lists_of_numbers_structures_and_weights_are_data_too():
    weights = RNG.random(90).astype(np.float32)
    weighted = make(sample_weights=True)
    assert weighted.evaluate((X, Y.tolist(), weights)) == weighted.evaluate([(X, Y, weights)])
    named = make(targets="label")
    assert named.evaluate({"x": X, "label": Y}) == make().evaluate((X, Y))


@pytest.mark.parametrize("engine_of_order", [None, 7], ids=["minidl's generator", "a generator of one's own"])
def test_a_fit_of_arrays_resumes_bit_for_bit(tmp_path, engine_of_order):
    def fit(folder, epochs):
        trainer = make(callbacks=[ModelCheckpoint(folder)])
        rng = None if engine_of_order is None else np.random.default_rng(engine_of_order)
        trainer.fit((X, Y), epochs=epochs, batch_size=16, validation_split=0.2, rng=rng, resume=folder)
        return trainer

    whole = fit(tmp_path / "whole", 3)
    fit(tmp_path / "parts", 1)
    parts = fit(tmp_path / "parts", 3)
    assert same(whole.model, parts.model)
    assert without_seconds(whole.history) == without_seconds(parts.history)


def split_of(trainer, data, share, **options):
    trainer.fit(data, validation_split=share, **options)
    return trainer.state.loader.dataset, trainer.state.val.dataset


@pytest.mark.parametrize(
    ("loss", "outputs", "target"),
    [
        (nn.CrossEntropyLoss(), 3, Y),
        (nn.BCEWithLogitsLoss(), 1, (Y > 0).astype(np.float32)[:, None]),
    ],
    ids=["classes", "decisions"],
)
def test_the_share_set_apart_is_that_of_every_class(loss, outputs, target):
    train, val = split_of(make(loss, outputs), (X, target), 0.2)
    assert sorted([*train.indices, *val.indices]) == list(range(90))
    for label in np.unique(target):
        members = np.flatnonzero(target.reshape(-1) == label)
        assert len(np.intersect1d(val.indices, members)) == round(0.2 * len(members))


def test_the_share_of_a_part_of_a_dataset_is_of_its_own_classes():
    part = Subset(ArrayDataset(X, Y), np.arange(50, 90))
    _, val = split_of(make(), part, 0.5)
    assert np.bincount(Y[50 + val.indices]).tolist() == [5, 10, 5]


def test_numbers_are_set_apart_at_random():
    targets = RNG.standard_normal((90, 1)).astype(np.float32)
    train, val = split_of(make(nn.MSELoss(), 1), (X, targets), 0.1)
    assert (len(train), len(val)) == (81, 9)
    assert not np.array_equal(np.sort(val.indices), np.arange(81, 90))


def test_a_second_fit_does_not_train_on_what_the_first_was_judged_by():
    trainer = make()
    _, first = split_of(trainer, (X, Y), 0.2)
    minidl.manual_seed(99)
    _, second = split_of(trainer, (X, Y), 0.2, rng=np.random.default_rng(8))
    np.testing.assert_array_equal(first.indices, second.indices)


LOADER = DataLoader(ArrayDataset(X, Y), 10)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda t: t.fit(LOADER, batch_size=8), ValueError, r"fit: batch_size are for arrays .* \(DataLoader\)"),
        (
            lambda t: t.fit([(X, Y)], batch_size=8, validation_split=0.1),
            ValueError,
            r"batch_size and validation_split are for arrays and datasets, but these are batches \(list\)",
        ),
        (lambda t: t.fit(LOADER, rng=np.random.default_rng()), ValueError, "fit: rng are for"),
        (lambda t: t.evaluate(LOADER, batch_size=8), ValueError, "evaluate: batch_size are for arrays and datasets"),
        (lambda t: t.predict(LOADER, batch_size=8), ValueError, "predict: batch_size are for arrays and datasets"),
        (lambda t: t.fit((X, Y), (X, Y), validation_split=0.1), ValueError, "data or validation_split, not both"),
        (lambda t: t.fit((X, Y), validation_split=1), ValueError, "validation_split must be greater than 0 and less"),
        (lambda t: t.fit((X, Y), validation_split="a"), TypeError, "Trainer.fit: validation_split must be a number"),
        (lambda t: t.fit((X[:1], Y[:1]), validation_split=0.1), ValueError, "needs two samples or more, got 1"),
        (lambda t: t.fit((X, Y), batch_size=0), ValueError, "Trainer.fit: batch_size must be at least 1, got 0"),
        (lambda t: t.evaluate((X, Y), batch_size=0), ValueError, "evaluate: batch_size must be at least 1, got 0"),
        (
            lambda t: t.fit((X, Y[:-1])),
            ValueError,
            r"fit: \(ndarray \(90, 4\), ndarray \(89,\)\) is taken for arrays .*: the arrays must have the same length",
        ),
        (
            lambda t: t.fit((LOADER, LOADER)),
            ValueError,
            r"fit: \(DataLoader, DataLoader\) is taken for arrays such as \(x, y\): expected at least one array",
        ),
        (lambda t: t.fit((X,)), ValueError, r"expected batches \(input, target\), got the input alone"),
        (lambda t: t.fit({"x": X, "y": Y}), ValueError, "a dict of 'x', 'y', which does not say what is the target"),
        (lambda t: t.fit(X), TypeError, r"fit: expected arrays in a tuple, \(x, y\), .*; got ndarray \(90, 4\)"),
        (lambda t: t.fit((X, Y), rng=3), TypeError, "rng"),
    ],
)
def test_errors_name_what_was_given(call, error, message):
    trainer = make()
    before = trainer.model.state_dict()["0.weight"].copy()
    with pytest.raises(error, match=message):
        call(trainer)
    np.testing.assert_array_equal(trainer.model.state_dict()["0.weight"], before)
