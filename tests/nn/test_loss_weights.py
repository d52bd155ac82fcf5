"""Weights of losses: what is refused, infinity for what is absent, and what is multiplied by zero."""

import numpy as np
import pytest

from minidl import nn
from minidl.nn import functional as f
from minidl.nn.batch_loss import batch_loss

# many cases here are numbers that no model gives
pytestmark = pytest.mark.filterwarnings("ignore:(NLLLoss. it takes|CrossEntropyLoss. the predictions look):UserWarning")

INF, NAN = np.inf, np.nan
LABELS = {"CrossEntropyLoss": nn.CrossEntropyLoss, "NLLLoss": nn.NLLLoss, "MultiMarginLoss": nn.MultiMarginLoss}
WEIGHTED = {**LABELS, "BCELoss": nn.BCELoss, "BCEWithLogitsLoss": nn.BCEWithLogitsLoss}


@pytest.mark.parametrize("bad", [-1.0, NAN, -INF])
@pytest.mark.parametrize("name", WEIGHTED)
def test_negative_weights_and_nan_are_refused_whenever_they_come(name, bad):
    make = WEIGHTED[name]
    message = rf"{name}: weight must not be negative or NaN, got {bad} at index \[1\]"
    with pytest.raises(ValueError, match=message):
        make(weight=[1.0, bad])
    call = (np.full((2, 2), 0.5), np.array([0, 1]) if name in LABELS else np.full((2, 2), 0.5))
    loss = make(weight=[1.0, 0.0])
    loss(*call)
    loss.weight[1] = bad
    with pytest.raises(ValueError, match=message):
        loss(*call)
    other = make(weight=[1.0, INF])
    other.load_state_dict({"weight": np.array([1.0, bad])})
    with pytest.raises(ValueError, match=message):
        other(*call)


def test_the_other_ways_to_give_a_weight():
    with pytest.raises(ValueError, match=r"BCEWithLogitsLoss: pos_weight must not be negative or NaN, got -2.0"):
        nn.BCEWithLogitsLoss(pos_weight=[1.0, -2])
    loss = nn.BCEWithLogitsLoss(pos_weight=1.0)
    loss.pos_weight = np.array(NAN)
    with pytest.raises(ValueError, match=r"pos_weight must not be negative or NaN, got nan at index \[\]"):
        loss(np.zeros((2, 1)), np.zeros((2, 1)))
    zeros, labels = np.zeros((2, 2)), np.array([0, 1])
    for call in (
        lambda w: f.cross_entropy_forward(zeros, labels, weight=w),
        lambda w: f.nll_loss_forward(zeros, labels, weight=w),
        lambda w: f.multi_margin_loss_forward(zeros, labels, weight=w),
        lambda w: f.mse_loss_forward(zeros, zeros, weight=w),
        lambda w: f.bce_with_logits_loss_forward(zeros, zeros, pos_weight=w),
    ):
        call(np.array([0.0, 1]))
        with pytest.raises(ValueError, match="weight must not be negative or NaN"):
            call(np.array([1.0, NAN]))
    for bad in (NAN, -1, INF):
        with pytest.raises(ValueError, match=f"sample weights must be finite and not negative, got {float(bad)} at in"):
            batch_loss(nn.CrossEntropyLoss(), zeros, labels, np.array([1, bad]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", LABELS)
def test_an_infinite_weight_of_an_absent_class_is_pytorchs(name, reduction, dtype, torch):
    x, labels = np.random.default_rng(0).standard_normal((4, 3)).astype(dtype), np.array([0, 1, 1, 0])
    loss = LABELS[name](weight=[1.0, 2, INF], reduction=reduction)
    value = loss(x, labels)
    tensor = torch.from_numpy(x).requires_grad_()
    weight = torch.tensor([1.0, 2, INF], dtype=tensor.dtype)
    expected = getattr(torch.nn, name)(weight=weight, reduction=reduction)(tensor, torch.from_numpy(labels))
    expected.sum().backward()
    np.testing.assert_allclose(value, expected.detach().numpy(), rtol=1e-6)
    gradient = loss.backward(np.ones(4, dtype) if reduction == "none" else 1.0)
    expected_gradient = tensor.grad.numpy()
    assert gradient.dtype == dtype
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-5, atol=1e-7)


def test_the_example_of_the_issue_by_hand():
    """One sample, three equal logits: log(3)."""
    loss = nn.CrossEntropyLoss([1, 1, INF])
    assert loss(np.zeros((1, 3)), np.array([0])) == pytest.approx(1.0986, abs=1e-4)
    np.testing.assert_allclose(loss.backward(), [[-2 / 3, 1 / 3, 1 / 3]])
    one_hot = np.array([[1.0, 0, 0]])
    assert loss(np.zeros((1, 3)), one_hot) == pytest.approx(np.log(3))
    np.testing.assert_allclose(loss.backward(), [[-2 / 3, 1 / 3, 1 / 3]])
    assert nn.CrossEntropyLoss([1, 1, INF], label_smoothing=0.1)(np.zeros((1, 3)), np.array([0])) == INF  # as PyTorch


def test_an_infinite_pos_weight_counts_only_where_there_is_a_positive():
    loss = nn.BCEWithLogitsLoss(pos_weight=[INF, 2])
    x, t = np.array([[0.0, 0], [1, -1]]), np.array([[0.0, 1], [0, 0]])
    by_hand = np.array([np.log(2), 2 * np.log(2), np.log1p(np.exp(1)), np.log1p(np.exp(-1))])
    assert loss(x, t) == pytest.approx(by_hand.mean())
    sigmoid = 1 / (1 + np.exp(-x))
    np.testing.assert_allclose(loss.backward(), np.where(t == 1, 2 * (sigmoid - 1), sigmoid) / 4)


OTHERS = np.array([[0.5, -1.0, 2.0], [1.0, 0.0, -0.5]])
KEPT = np.array([0, 1])
BROKEN = [[NAN, NAN, NAN], [INF, 0, 0], [-INF, 0, 0], [INF, INF, -INF], [0, -INF, -INF]]


@pytest.mark.parametrize("row", BROKEN)
@pytest.mark.parametrize(
    ("make", "label"),
    [
        (nn.CrossEntropyLoss, -100),
        (lambda **o: nn.CrossEntropyLoss(label_smoothing=0.3, **o), -100),
        (lambda **o: nn.CrossEntropyLoss([1, 2, 0], **o), 2),
        (nn.NLLLoss, -100),
        (lambda **o: nn.NLLLoss([INF, 2, 1], ignore_index=0, **o), 0),
        (lambda **o: nn.NLLLoss([1, 2, 0], **o), 2),
        (lambda **o: nn.MultiMarginLoss(2, weight=[1, 2, 0], **o), 2),
        (lambda **o: nn.MultiMarginLoss(1, weight=[1, 2, 0], **o), 2),
    ],
)
def test_a_label_that_does_not_count_adds_nothing_whatever_its_logits_are(make, label, row):
    x, labels = np.concatenate([OTHERS, [row]]), np.array([1, 1, label])
    both = np.array([1, 1])
    for reduction in ("mean", "sum", "none"):
        loss, expected = make(reduction=reduction), make(reduction=reduction)
        value, without = loss(x, labels), expected(OTHERS, both)
        ones = (np.ones(3), np.ones(2)) if reduction == "none" else (1.0, 1.0)
        gradient, expected_gradient = loss.backward(ones[0]), expected.backward(ones[1])
        if reduction == "none":
            assert value[2] == 0
            value = value[:2]
        scale = 2 / 3 if reduction == "mean" and isinstance(loss, nn.MultiMarginLoss) else 1  # it counts all samples
        np.testing.assert_allclose(value, np.multiply(without, scale))
        np.testing.assert_allclose(gradient, np.concatenate([expected_gradient * scale, np.zeros((1, 3))]))


@pytest.mark.parametrize("row", BROKEN)
@pytest.mark.parametrize(
    "loss",
    [
        nn.CrossEntropyLoss(),
        nn.CrossEntropyLoss([1, 2, 3], label_smoothing=0.3),
        nn.NLLLoss(),
        nn.MultiMarginLoss(2),
        nn.MSELoss(),
        nn.MSELoss(reduction="sum"),
        nn.L1Loss(),
        nn.SmoothL1Loss(),
        nn.HuberLoss(),
        nn.BCEWithLogitsLoss(),
        nn.KLDivLoss(reduction="batchmean"),
        nn.KLDivLoss(log_target=True),
    ],
    ids=repr,
)
def test_a_sample_of_weight_0_adds_nothing_whatever_its_logits_are(loss, row):
    x = np.concatenate([OTHERS, [row]])
    labels = isinstance(loss, (nn.CrossEntropyLoss, nn.NLLLoss, nn.MultiMarginLoss))
    target = np.array([0, 1, 2]) if labels else np.full((3, 3), 0.5)
    done = batch_loss(loss, x, target, np.array([1.0, 3, 0]))
    gradient = loss.backward(done.gradient)
    expected = batch_loss(loss, OTHERS, target[:2], np.array([1.0, 3]))
    np.testing.assert_allclose(done[:2], expected[:2])
    np.testing.assert_allclose(gradient, np.concatenate([loss.backward(expected.gradient), np.zeros((1, 3))]))


@pytest.mark.parametrize("bad", [INF, -INF, NAN])
def test_an_element_of_weight_0_adds_nothing(bad):
    x, t, weight = np.array([[0.25, bad]]), np.array([[0.5, 1.0]]), np.array([1.0, 0])
    for forward, backward in (
        (f.mse_loss_forward, f.mse_loss_backward),
        (f.l1_loss_forward, f.l1_loss_backward),
        (f.smooth_l1_loss_forward, f.smooth_l1_loss_backward),
        (f.huber_loss_forward, f.huber_loss_backward),
        (f.bce_with_logits_loss_forward, f.bce_with_logits_loss_backward),
        (f.kl_div_loss_forward, f.kl_div_loss_backward),
    ):
        for reduction in ("sum", "none"):
            value, cache = forward(x, t, weight=weight, reduction=reduction)
            alone, other = forward(x[:, :1], t[:, :1], reduction=reduction)
            gradient = backward(np.ones((1, 2)) if reduction == "none" else 1.0, cache)
            expected = backward(np.ones((1, 1)) if reduction == "none" else 1.0, other)
            np.testing.assert_allclose(np.sum(value), np.sum(alone))
            np.testing.assert_allclose(gradient, [[expected[0, 0], 0]])


def test_zero_times_a_logarithm_of_zero():
    """By hand: t * log(p) is 0 where t is 0, whatever p is."""
    kl = nn.KLDivLoss(reduction="none")
    np.testing.assert_allclose(kl(np.array([-INF, np.log(0.5)]), np.array([0.0, 1])), [0, np.log(2)])
    np.testing.assert_allclose(kl.backward(np.ones(2)), [0, -1])
    logs = nn.KLDivLoss(reduction="none", log_target=True)
    np.testing.assert_allclose(logs(np.array([-INF, -1.0]), np.array([-INF, 0.0])), [0, 1])
    np.testing.assert_allclose(logs.backward(np.ones(2)), [0, -1])
    bce = nn.BCELoss(reduction="none")
    np.testing.assert_array_equal(bce(np.array([0.0, 1.0]), np.array([0.0, 1])), [0, 0])
    np.testing.assert_array_equal(bce.backward(np.ones(2)), [0, 0])
    logits = nn.BCEWithLogitsLoss(reduction="none")
    x, t = np.array([INF, -INF, INF, -INF]), np.array([1.0, 0, 0, 1])
    np.testing.assert_array_equal(logits(x, t), [0, 0, INF, INF])
    np.testing.assert_array_equal(logits.backward(np.ones(4)), [0, 0, 1, -1])
    scores = np.array([[0.0, -INF]])
    assert nn.CrossEntropyLoss()(scores, np.array([[1.0, 0]])) == 0
    assert nn.KLDivLoss(reduction="sum")(np.array(-INF), np.array(0.0)) == 0


def test_bce_of_confident_logits_is_not_lost_in_rounding():
    """By hand: the loss of a logit of -50 for a negative is log(1 + exp(-50)), not 0."""
    assert nn.BCEWithLogitsLoss()(np.full(1, -50.0, np.float32), np.zeros(1)) == pytest.approx(np.exp(-50), rel=1e-5)
