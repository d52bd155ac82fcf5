"""What a batch counts beside others: custom losses, divisors, sample weights."""

import types

import numpy as np
import pytest

from minidl import nn
from minidl.nn.batch_loss import batch_loss

# many cases here are numbers that no model gives
pytestmark = pytest.mark.filterwarnings("ignore:(NLLLoss. it takes|CrossEntropyLoss. the predictions look):UserWarning")


class Squares(nn.Loss):
    """A custom loss: the mean over the samples, which does not set its divisor."""

    def forward(self, prediction, target):
        difference = prediction - target
        self.save_for_backward(difference)
        return float((difference**2).mean())

    def backward(self, grad_output=1.0):
        difference = self.take_saved()
        return grad_output * 2 * difference / difference.size


class Masked(Squares):
    """A mean over the targets that are not NaN."""

    def forward(self, prediction, target):
        kept = ~np.isnan(target)
        difference = np.where(kept, prediction - target, 0)
        self.save_for_backward((difference, kept.sum()))
        self.divisor = kept.sum()
        return float((difference**2).sum() / kept.sum())

    def backward(self, grad_output=1.0):
        difference, kept = self.take_saved()
        return grad_output * 2 * difference / kept


class Moody(Squares):
    """Says what its divisor is only at its first call."""

    calls = 0

    def forward(self, prediction, target):
        self.calls += 1
        if self.calls == 1:
            self.divisor = 7
        return super().forward(prediction, target)


X = np.arange(6.0).reshape(3, 2)


def test_a_loss_without_a_divisor_counts_its_samples():
    assert batch_loss(Squares(), X, np.zeros((3, 2)))[:2] == (55 / 6, 3)
    assert batch_loss(Masked(), X, np.array([[0, np.nan]] * 3))[:2] == (20 / 3, 3)
    assert batch_loss(Squares("sum"), X, np.zeros((3, 2)))[:2] == (55 / 6 / 3, 3)  # what it calls a sum


def test_a_divisor_of_an_earlier_call_is_forgotten():
    loss = Moody()
    assert loss.divisor is None
    assert batch_loss(loss, X, np.zeros((3, 2))).weight == 7
    assert batch_loss(loss, X, np.zeros((3, 2))).weight == 3
    assert loss.divisor is None


def test_a_negative_divisor_is_refused():
    class Negative(Squares):
        def forward(self, prediction, target):
            self.divisor = -1
            return super().forward(prediction, target)

    with pytest.raises(ValueError, match="the divisor of Negative must not be negative, got -1"):
        batch_loss(Negative(), X, X)


@pytest.mark.parametrize(
    "loss",
    [
        nn.CrossEntropyLoss(),
        nn.CrossEntropyLoss([1, 5], label_smoothing=0.2),
        nn.CrossEntropyLoss(reduction="sum"),
        nn.NLLLoss([1, 5], ignore_index=1),
        nn.MultiMarginLoss(weight=[1, 5]),
        nn.MSELoss(),
        nn.MSELoss(reduction="sum"),
        nn.BCEWithLogitsLoss([1, 5]),
        nn.KLDivLoss(reduction="batchmean"),
        nn.KLDivLoss(reduction="sum"),
        nn.KLDivLoss(reduction="mean"),
    ],
    ids=repr,
)
def test_weights_of_1_change_nothing_and_a_weight_of_2_counts_twice(loss):
    labels = isinstance(loss, (nn.CrossEntropyLoss, nn.NLLLoss, nn.MultiMarginLoss))
    target = np.array([0, 1, 0]) if labels else np.full((3, 2), 0.5)
    plain = batch_loss(loss, X, target)
    gradient = loss.backward(plain.gradient)
    weighted = batch_loss(loss, X, target, np.ones(3))
    np.testing.assert_allclose(loss.backward(weighted.gradient), gradient, rtol=1e-12)
    np.testing.assert_allclose(weighted[:2], plain[:2], rtol=1e-12)
    twice = [0, 1, 1, 2]
    np.testing.assert_allclose(
        batch_loss(loss, X, target, np.array([1.0, 2, 1]))[:2],
        batch_loss(loss, X[twice], target[twice])[:2],
        rtol=1e-12,
    )


def test_sample_weights_need_the_losses_of_the_samples():
    with pytest.raises(ValueError, match=r"need the loss of each sample, Squares gives something of shape \(\)"):
        batch_loss(Squares(), X, X, np.ones(3))


def test_a_sample_of_weight_0_may_be_of_a_class_of_infinite_weight():
    loss = nn.CrossEntropyLoss([1, np.inf])
    done = batch_loss(loss, X, np.array([0, 0, 1]), np.array([1.0, 1, 0]))
    assert done.mean == pytest.approx(np.log1p(np.e))
    assert done.weight == 2
    np.testing.assert_allclose(loss.backward(done.gradient)[2], 0)


def test_a_cache_needs_no_shares():
    class Cached(nn.Loss):
        def forward(self, prediction, target):
            return self.finish(prediction.sum() / 6, types.SimpleNamespace(divisor=6.0))

    assert batch_loss(Cached(), X, X)[:2] == (2.5, 6.0)


def test_a_loss_of_ones_own_with_class_weights_and_sample_weights():
    """By hand: losses 1, 2, 3 of classes of weight 1, 4, 0, for sample weights 2, 1, 1."""

    class Own(nn.Loss):
        def forward(self, prediction, target):
            each, self.shares = prediction[:, 0], np.array([1.0, 4, 0])[target]
            self.save_for_backward(None)
            if self.reduction == "none":
                return each * self.shares
            self.divisor = self.shares.sum()
            return float((each * self.shares).sum() / self.divisor)

    x, labels = np.array([[1.0], [2], [3]]), np.array([0, 1, 2])
    assert batch_loss(Own(), x, labels)[:2] == ((1 + 8) / 5, 5)
    done = batch_loss(Own(), x, labels, np.array([2.0, 1, 1]))
    assert done[:2] == ((2 * 1 + 8) / 6, 6)
    np.testing.assert_array_equal(done.counted, [True, True, False])
    with np.errstate(invalid="ignore"):  # as the Trainer does
        assert batch_loss(Own(), x[2:], labels[2:]).weight == 0
