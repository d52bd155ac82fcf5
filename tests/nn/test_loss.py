"""Losses at the edges; their numbers against PyTorch are in the table of cases."""

import numpy as np
import pytest

from minidl import functional as f
from minidl import nn


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_gradient_of_a_saturated_softmax_does_not_vanish(dtype):
    """Frameworks that form log(softmax) lose it: p underflows, and the gradient with it."""
    logits = np.array([[1e4, -1e4]], dtype)
    loss, cache = f.cross_entropy_forward(logits, np.array([1]))
    assert loss == dtype(2e4)
    np.testing.assert_array_equal(f.cross_entropy_backward(1.0, cache), np.array([[1, -1]], dtype))


def test_the_mean_divides_by_the_sum_of_the_labels_weights():
    logits, weight = np.zeros((3, 2)), np.array([1.0, 3])
    loss, _ = f.cross_entropy_forward(logits, np.array([0, 1, 1]), weight=weight)
    assert np.isclose(loss, np.log(2))


def test_ignored_labels_add_nothing():
    logits = np.random.default_rng(0).standard_normal((4, 3))
    loss, cache = f.cross_entropy_forward(logits, np.array([0, -100, 2, -100]))
    expected, _ = f.cross_entropy_forward(logits[[0, 2]], np.array([0, 2]))
    assert np.isclose(loss, expected)
    grad = f.cross_entropy_backward(1.0, cache)
    assert (grad[[1, 3]] == 0).all()
    assert (grad[[0, 2]] != 0).all()


def test_nothing_but_ignored_labels_is_nan_as_in_pytorch():
    loss, cache = f.cross_entropy_forward(np.zeros((2, 3)), np.array([-100, -100]))
    assert np.isnan(loss)
    assert (f.cross_entropy_backward(1.0, cache) == 0).all()
    assert f.cross_entropy_forward(np.zeros((2, 3)), np.array([-100, -100]), reduction="sum")[0] == 0


def test_a_class_ruled_out_by_an_infinite_logit_costs_nothing():
    logits = np.array([[0.0, -np.inf, 0]])
    loss, cache = f.cross_entropy_forward(logits, np.array([0]))
    assert np.isclose(loss, np.log(2))
    np.testing.assert_allclose(f.cross_entropy_backward(1.0, cache), [[-0.5, 0, 0.5]])


def test_one_hot_probabilities_equal_labels():
    logits, labels = np.random.default_rng(0).standard_normal((5, 4)), np.array([0, 3, 1, 1, 2])
    by_label, label_cache = f.cross_entropy_forward(logits, labels, label_smoothing=0.1)
    by_one_hot, one_hot_cache = f.cross_entropy_forward(logits, np.eye(4)[labels], label_smoothing=0.1)
    assert np.isclose(by_label, by_one_hot)
    np.testing.assert_allclose(f.cross_entropy_backward(2.0, label_cache), f.cross_entropy_backward(2.0, one_hot_cache))


def test_float32_stays_float32_with_float64_weights_and_targets():
    logits = np.zeros((2, 3), np.float32)
    loss, cache = f.cross_entropy_forward(logits, np.full((2, 3), 1 / 3), weight=np.ones(3))
    assert loss.dtype == f.cross_entropy_backward(1.0, cache).dtype == np.float32
    loss, cache = f.mse_loss_forward(logits, np.ones((2, 3)))
    assert loss.dtype == f.mse_loss_backward(1.0, cache).dtype == np.float32


def test_mse_by_hand():
    loss, cache = f.mse_loss_forward(np.array([[1.0, 2], [3, 4]]), np.array([[0, 0], [0, 0]]))
    assert loss == 7.5
    assert f.mse_loss_backward(1.0, cache).tolist() == [[0.5, 1], [1.5, 2]]


def test_wrong_weight_and_reduction_are_refused():
    with pytest.raises(ValueError, match="one weight for each of 3 classes"):
        f.cross_entropy_forward(np.zeros((2, 3)), np.array([0, 1]), weight=np.ones(2))
    with pytest.raises(ValueError, match="cross_entropy: reduction must be one of"):
        f.cross_entropy_forward(np.zeros((2, 3)), np.array([0, 1]), reduction="max")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_slope_of_bce_at_the_edge_is_pytorchs(dtype, torch):
    x, t = np.array([0, 0, 1, 1, 1e-13, 0.5], dtype), np.array([0, 1, 0, 1, 1, 0.5], dtype)
    loss, cache = f.bce_loss_forward(x, t, reduction="none")
    tensor = torch.from_numpy(x).requires_grad_()
    expected = torch.nn.functional.binary_cross_entropy(tensor, torch.from_numpy(t), reduction="none")
    expected.sum().backward()
    np.testing.assert_allclose(loss, expected.detach().numpy(), rtol=1e-6)
    np.testing.assert_allclose(f.bce_loss_backward(np.ones_like(x), cache), tensor.grad.numpy(), rtol=1e-6)
    assert f.bce_loss_backward(np.ones_like(x), cache)[1] == dtype(-1e12)


@pytest.mark.parametrize("loss", ["CrossEntropyLoss", "NLLLoss"])
def test_an_ignore_index_must_be_an_integer(loss):
    with pytest.raises(TypeError, match=f"{loss}: ignore_index must be an integer, got 'x'"):
        getattr(nn, loss)(ignore_index="x")
