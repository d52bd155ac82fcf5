"""Batches of which nothing counts: no error, no step, nothing in the means; the same in fit and in evaluate."""

import math

import numpy as np
import pytest
from fits import problem

import minidl
from minidl import nn, optim
from minidl.training import Callback, ModelCheckpoint, Trainer
from minidl.training.callbacks import EarlyStopping
from minidl.training.metrics import ConfusionMatrix, F1Score, MeanLoss, TopK

# random numbers stand for logarithms of probabilities
pytestmark = pytest.mark.filterwarnings("ignore:NLLLoss. it takes:UserWarning")

X, LABELS = problem(12, np.float64).arrays
GOOD = (X[:8], LABELS[:8])
IGNORED = (X[8:], np.full(4, -100))
WORTHLESS = (X[8:], np.full(4, 2))  # of a class of weight 0
WEIGHT = [1.0, 2, 0]
KEPT = LABELS[:8] < 2  # what counts of the good batch with these weights


def make(loss=None, accumulate=1, **options):
    minidl.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)).astype(np.float64)
    optimizer = optim.SGD(model.params(), lr=0.1, momentum=0.9, weight_decay=0.1)
    loss = loss or nn.CrossEntropyLoss()
    metrics = [TopK(2), ConfusionMatrix(), F1Score(), MeanLoss(nn.NLLLoss(ignore_index=0), "nll")]
    return Trainer(model, loss, optimizer, accumulate=accumulate, metrics=metrics, progress="none", **options)


def assert_same(one, other):
    for name, value in one.model.state_dict().items():
        np.testing.assert_array_equal(other.model.state_dict()[name], value, err_msg=name)
    mine, theirs = one.history.to_dict(), other.history.to_dict()
    assert mine.pop("seconds")
    assert theirs.pop("seconds")
    assert mine == theirs
    assert one.steps == other.steps


@pytest.mark.parametrize(
    ("loss", "empty"),
    [
        (nn.CrossEntropyLoss(), IGNORED),
        (nn.CrossEntropyLoss(reduction="sum"), IGNORED),
        (nn.CrossEntropyLoss(WEIGHT), WORTHLESS),
        (nn.CrossEntropyLoss(WEIGHT, reduction="sum"), WORTHLESS),
        (nn.CrossEntropyLoss(label_smoothing=0.1), IGNORED),
        (nn.NLLLoss(WEIGHT), WORTHLESS),
        (nn.NLLLoss(), IGNORED),
    ],
    ids=repr,
)
def test_it_is_left_out(loss, empty):
    with_it, without = make(loss), make(loss)
    with_it.fit([empty, GOOD, empty], [empty, GOOD], epochs=2)
    without.fit([GOOD], [GOOD], epochs=2)
    assert_same(with_it, without)
    result, expected = with_it.evaluate([empty, GOOD, empty]), without.evaluate([GOOD])
    for name, value in expected.items():
        np.testing.assert_array_equal(result[name], value, err_msg=name)


def test_what_counts_does_not_depend_on_the_batches():
    """Labels of a class of weight 0 are left out one by one too."""
    x, labels = np.concatenate([X, X]), np.concatenate([LABELS, np.full(12, 2)])
    trainer = make(nn.CrossEntropyLoss(WEIGHT))
    whole, parts = trainer.evaluate([(x, labels)]), trainer.evaluate([(x[:12], labels[:12]), (x[12:], labels[12:])])
    for name, value in whole.items():
        np.testing.assert_allclose(parts[name], value, err_msg=name)
    assert whole["confusion"].sum() == (LABELS < 2).sum()


def test_nothing_of_an_accumulated_step_is_lost():
    with_it, alone = make(accumulate=3), make(accumulate=2)
    halves = [(X[:3], LABELS[:3]), (X[3:8], LABELS[3:8])]
    for trainer in (with_it, alone):
        for module in trainer.model.modules():
            module.momentum = 0.0  # statistics of the batches do not differ then, as they would with an empty one
    with_it.fit([halves[0], IGNORED, halves[1]], epochs=1)
    alone.fit(halves, epochs=1)
    for name, value in alone.model.named_params():
        np.testing.assert_array_equal(dict(with_it.model.named_params())[name].data, value.data)
    assert with_it.history["train_loss"] == alone.history["train_loss"]
    assert with_it.steps == 1


def test_images_of_labels():
    minidl.manual_seed(0)
    x, labels = np.random.default_rng(0).standard_normal((4, 2, 3, 3)), np.full((4, 3, 3), -1)
    labels[2:] = np.random.default_rng(1).integers(-1, 2, (2, 3, 3))
    model = nn.Conv2d(2, 2, 1, dtype=np.float64)
    trainer = Trainer(
        model,
        nn.CrossEntropyLoss(ignore_index=-1),
        optim.SGD(model.params(), lr=0.1),
        metrics=[ConfusionMatrix()],
        progress="none",
    )
    parts, whole = trainer.evaluate([(x[:2], labels[:2]), (x[2:], labels[2:])]), trainer.evaluate([(x, labels)])
    assert parts["loss"] == pytest.approx(whole["loss"])
    assert parts["accuracy"] == whole["accuracy"]
    assert parts["confusion"].sum() == (labels >= 0).sum()
    assert len(trainer.fit([(x[:2], labels[:2]), (x[2:], labels[2:])])) == 1
    assert trainer.steps == 1


def test_running_statistics_and_momentum_stay_as_they_were():
    trainer = make()
    trainer.fit([GOOD])
    before, velocity = trainer.model.state_dict(), trainer.optimizer.state_dict()
    with pytest.warns(RuntimeWarning, match="nothing counted"):
        trainer.fit([IGNORED])
    for name, value in trainer.model.state_dict().items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)
    for number, slots in trainer.optimizer.state_dict()["state"].items():
        for name, value in slots.items():
            np.testing.assert_array_equal(value, velocity["state"][number][name])


def test_an_epoch_in_which_nothing_counted_is_nan_and_says_so(tmp_path):
    class Change(list):
        def __iter__(self):
            return iter([IGNORED] if trainer.epoch == 2 else [GOOD])

    calls = []

    class Note(Callback):
        def on_batch_end(self, trainer):
            calls.append(trainer.epoch)

    trainer = make(callbacks=[EarlyStopping("val_accuracy", mode="max"), ModelCheckpoint(tmp_path), Note()])
    train, val = Change([GOOD]), Change([GOOD])
    with pytest.warns(RuntimeWarning) as told:
        history = trainer.fit(train, val, epochs=3)
    assert [str(warning.message) for warning in told if warning.category is RuntimeWarning] == [
        "epoch 2: nothing counted in training, because every label is ignored or every weight is 0; train_loss is NaN, "
        "and no step was made",
        "epoch 2: nothing counted in validation, because every label is ignored or every weight is 0; val_loss is NaN",
    ]
    assert [math.isnan(value) for value in history["train_loss"]] == [False, True, False]
    assert [math.isnan(value) for value in history["val_accuracy"]] == [False, True, False]
    assert calls == [1, 3]


def test_without_ignored_labels_an_error_stays_an_error():
    """A mean that is NaN although something counts."""
    with pytest.raises(minidl.training.NonFiniteLossError, match="the loss is nan in epoch 1, batch 1"):
        make().fit([(X * np.nan, LABELS)])
    with pytest.raises(minidl.training.NonFiniteLossError, match="every loss or gradient of epoch 1 was not finite"):
        make(on_nonfinite="skip").fit([(X * np.nan, LABELS), IGNORED])
