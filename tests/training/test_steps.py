"""Steps: accumulation, sample weights, clipping, what is not finite."""

import math

import numpy as np
import pytest
from fits import problem
from hypothesis import given, settings
from hypothesis import strategies as st

import minidl
from minidl import nn, optim
from minidl.data import ArrayDataset, DataLoader
from minidl.training import NonFiniteLossError, Trainer
from minidl.training.metrics import Accuracy, ConfusionMatrix, MeanLoss, TopK


def plain(loss=None, dtype=np.float64, **options):
    minidl.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8, dtype=dtype), nn.Tanh(), nn.Linear(8, 3, dtype=dtype))
    optimizer = optim.SGD(model.params(), lr=0.1, momentum=0.9)
    return Trainer(model, loss or nn.CrossEntropyLoss(), optimizer, progress="none", **options)


def assert_same(a, b, tolerance=1e-12):
    for name, value in a.model.state_dict().items():
        np.testing.assert_allclose(b.model.state_dict()[name], value, rtol=tolerance, atol=tolerance)


@settings(deadline=None, max_examples=25)
@given(
    samples=st.integers(2, 40),
    size=st.integers(1, 12),
    accumulate=st.integers(1, 5),
    drop_last=st.booleans(),
    reduction=st.sampled_from(["mean", "sum"]),
    weighted=st.booleans(),
)
def test_accumulated_batches_are_one_large_batch(samples, size, accumulate, drop_last, reduction, weighted):
    data = problem(samples, np.float64)
    weight = np.array([0.5, 1.0, 2.0]) if weighted else None
    kept = samples // size * size if drop_last else samples
    if not kept:
        return
    whole = ArrayDataset(*(a[:kept] for a in data.arrays))
    one, other = (
        plain(nn.CrossEntropyLoss(weight, reduction=reduction), accumulate=n, clip_grad_norm=1.0)
        for n in (accumulate, 1)
    )
    first = one.fit(DataLoader(data, size, drop_last=drop_last), epochs=2)
    second = other.fit(DataLoader(whole, size * accumulate), epochs=2)
    assert_same(one, other, 1e-9)
    assert one.steps == other.steps
    assert math.isclose(first["train_loss"][0], second["train_loss"][0], rel_tol=1e-9)


def test_accumulation_in_float32_to_1e_6():
    data = problem(64)
    one, other = (plain(dtype=np.float32, accumulate=n) for n in (4, 1))
    one.fit(DataLoader(data, 8), epochs=3)
    other.fit(DataLoader(data, 32), epochs=3)
    assert_same(one, other, 1e-6)


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), nn.MSELoss(), nn.CrossEntropyLoss(reduction="sum")])
def test_a_sample_of_weight_2_counts_twice(loss):
    data = problem(12, np.float64)
    x, labels = data.arrays
    target = np.eye(3)[labels] if isinstance(loss, nn.MSELoss) else labels
    weights = np.array([1, 2, 0] * 4)
    twice = np.repeat(np.arange(12), weights)
    one, other = plain(loss, sample_weights=True), plain(loss)
    first = one.fit([(x, target, weights)], [(x, target, weights)], epochs=3)
    second = other.fit([(x[twice], target[twice])], [(x[twice], target[twice])], epochs=3)
    assert_same(one, other, 1e-9)
    assert math.isclose(first["val_loss"][-1], second["val_loss"][-1], rel_tol=1e-9)
    with pytest.raises(ValueError, match=r"expected sample weights of shape \(12,\), got \(3,\)"):
        one.fit([(x, target, weights[:3])])


def test_gradients_are_clipped_and_their_norm_is_told():
    norms = []

    class Note(minidl.training.Callback):
        def on_batch_end(self, trainer):
            grads = [p.grad for p in trainer.model.params()]
            norms.append((trainer.grad_norm, math.sqrt(sum((g**2).sum() for g in grads))))

    plain(clip_grad_norm=0.01, callbacks=[Note()]).fit(DataLoader(problem(20, np.float64), 5))
    assert len(norms) == 4
    for before, after in norms:
        assert before > 0.01
        assert after < 0.01 + 1e-9


class Poison(nn.Module):
    """Pass everything on, but for one backward pass whose gradient is infinite."""

    def __init__(self, at):
        super().__init__()
        self.at, self.count = at, 0

    def forward(self, x):
        self.save_for_backward(None)
        return x

    def backward(self, grad_output):
        self.take_saved()
        self.count += 1
        return grad_output * (np.inf if self.count == self.at else 1)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_gradient_that_is_not_finite():
    trainer = plain()
    trainer.model[1:2][0].eval()
    minidl.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), Poison(3), nn.Linear(8, 3))
    make = lambda **options: Trainer(  # noqa: E731
        model, nn.CrossEntropyLoss(), optim.SGD(model.params(), lr=0.1), progress="none", **options
    )
    with pytest.raises(NonFiniteLossError, match=r"a gradient is not finite in epoch 1, batch 3.*\"0.bias\"; norms"):
        make().fit(DataLoader(problem(), 10))
    assert all(np.isfinite(p.data).all() for p in model.params())
    model[2].count = 0
    history = make(on_nonfinite="skip").fit(DataLoader(problem(), 10), epochs=2)
    assert history["skipped"] == [1]
    assert all(np.isfinite(p.data).all() for p in model.params())


def test_skipping_everything_is_an_error():
    bad = np.full((10, 4), np.nan)
    with pytest.raises(NonFiniteLossError, match="every loss or gradient of epoch 1 was not finite"):
        plain(on_nonfinite="skip").fit([(bad, np.zeros(10, int))])


def test_metrics_are_columns_and_results():
    data = problem(50, np.float64)
    trainer = plain(metrics=[TopK(2), ConfusionMatrix()])
    history = trainer.fit(DataLoader(data, 10), DataLoader(data, 25), epochs=2)
    assert {"train_top2", "val_top2"} <= set(history.columns())
    assert "val_confusion" not in history.columns()
    result = trainer.evaluate(DataLoader(data, 25))
    assert result["confusion"].sum() == 50
    assert np.trace(result["confusion"]) == round(result["accuracy"] * 50)


@pytest.mark.parametrize("options", [{"ignore_index": 2}, {"weight": np.array([1.0, 5.0, 2.0])}])
def test_weights_of_1_change_nothing(options):
    x, labels = problem(30, np.float64).arrays
    one = plain(nn.CrossEntropyLoss(**options), sample_weights=True)
    other = plain(nn.CrossEntropyLoss(**options))
    first = one.fit([(x, labels, np.ones(30))], epochs=2)
    second = other.fit([(x, labels)], epochs=2)
    assert_same(one, other)
    assert first["train_loss"] == pytest.approx(second["train_loss"])


def test_batchmean_is_a_mean():
    x = problem(40, np.float64).arrays[0]
    log_p = np.log(np.abs(x) / np.abs(x).sum(axis=1, keepdims=True))
    target = np.full((40, 4), 0.25)
    loss = nn.KLDivLoss(reduction="batchmean")
    trainer = Trainer(nn.Identity(), loss, progress="none")
    assert trainer.evaluate([(log_p, target)])["loss"] == pytest.approx(loss(log_p, target))
    halves = [(log_p[:30], target[:30]), (log_p[30:], target[30:])]
    assert trainer.evaluate(halves)["loss"] == pytest.approx(loss(log_p, target))
    one, other = (plain(nn.KLDivLoss(reduction="batchmean"), accumulate=n) for n in (4, 1))
    data = ArrayDataset(x, np.full((40, 3), 1 / 3))
    one.fit(DataLoader(data, 10), epochs=2)
    other.fit(DataLoader(data, 40), epochs=2)
    assert_same(one, other, 1e-9)


def test_metrics_leave_out_what_the_loss_ignores():
    x, labels = problem(40, np.float64).arrays
    labels = np.where(np.arange(40) < 15, -1, labels)
    trainer = plain(nn.CrossEntropyLoss(ignore_index=-1), metrics=[ConfusionMatrix(), Accuracy()])
    result = trainer.evaluate([(x, labels)])
    assert result["confusion"].sum() == 25
    assert result["accuracy"] == np.trace(result["confusion"]) / 25
    with pytest.raises(ValueError, match="the metrics must have different names, got"):
        plain(metrics=[TopK(1), TopK(1)])
    with pytest.raises(ValueError, match="ConfusionMatrix: expected outputs of 3 classes, got 10"):
        ConfusionMatrix(3).update(np.zeros((2, 10)), np.zeros(2, int))
    with pytest.raises(ValueError, match="expected labels from 0 to 2, got -1 to 2"):
        Accuracy().update(np.zeros((2, 3)), np.array([-1, 2]))


def test_a_skipped_step_rolls_buffers_and_gradients_back():
    """The forward pass of a batch that is not finite has already moved the running statistics."""
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
    trainer = Trainer(
        model, nn.CrossEntropyLoss(), optim.SGD(model.params(), lr=0.1), on_nonfinite="skip", progress="none"
    )
    x, labels = problem(20).arrays
    trainer.fit([(x, labels)])
    before = {name: value.copy() for name, value in model.named_buffers()}
    broken = x.copy()
    broken[0, 0] = np.inf
    history = trainer.fit([(broken, labels), (x, labels)])
    assert history["skipped"] == [1]
    tracked = dict(model.named_buffers())["1.num_batches_tracked"]
    assert tracked == before["1.num_batches_tracked"] + 1
    assert all(np.isfinite(value).all() for _, value in model.named_buffers())


def test_a_batch_of_samples_without_weight_counts_for_nothing():
    x, labels = problem(30, np.float64).arrays
    halves = [(x[:10], labels[:10], np.zeros(10)), (x[10:], labels[10:], np.ones(20))]
    one, other = plain(accumulate=2, sample_weights=True), plain()
    first, second = one.fit(halves, epochs=2), other.fit([(x[10:], labels[10:])], epochs=2)
    assert first["train_loss"] == pytest.approx(second["train_loss"])
    assert_same(one, other)


class Squares(nn.Loss):
    """A custom loss that does not set its divisor."""

    def forward(self, prediction, target):
        self.save_for_backward(prediction - target)
        return float(((prediction - target) ** 2).mean())

    def backward(self, grad_output=1.0):
        difference = self.take_saved()
        return grad_output * 2 * difference / difference.size


def test_a_loss_of_ones_own_is_a_mean_over_the_samples():
    """By hand: 99 samples with x = 1, t = 0 and one with x = 3, t = 1, for the net w * x with w = 2."""
    batches = [(np.ones((99, 1)), np.zeros((99, 1))), (np.full((1, 1), 3.0), np.ones((1, 1)))]
    mean = (99 * 2.0**2 + (2 * 3 - 1.0) ** 2) / 100
    slope = (99 * 2 * 2.0 + 2 * (2 * 3 - 1.0) * 3) / 100
    model = nn.Linear(1, 1, bias=False, dtype=np.float64)
    model.weight.data[...] = 2
    optimizer = optim.SGD(model.params(), lr=0.1)
    own = MeanLoss(Squares(), "own")
    trainer = Trainer(model, Squares(), optimizer, metrics=[own], accumulate=2, progress="none")
    result = trainer.evaluate(batches)
    assert result["loss"] == result["own"] == pytest.approx(mean, rel=1e-12)
    history = trainer.fit(batches)
    assert history["train_loss"][0] == history["train_own"][0] == pytest.approx(mean, rel=1e-12)
    assert trainer.batch_loss == pytest.approx(mean, rel=1e-12)
    assert model.weight.data[0, 0] == pytest.approx(2 - 0.1 * slope, rel=1e-12)
