"""Embedding and Bilinear: rows that occur twice, the padding row, nets that begin with integers."""

import numpy as np
import pytest

from minidl import functional as f
from minidl import nn


def test_a_row_that_occurs_twice_gets_both_gradients():
    weight = np.arange(6.0).reshape(3, 2)
    out, cache = f.embedding_forward(np.array([2, 0, 2]), weight)
    np.testing.assert_array_equal(out, [[4, 5], [0, 1], [4, 5]])
    dw = f.embedding_backward(np.array([[1.0, 2], [3, 4], [5, 6]]), cache)
    np.testing.assert_array_equal(dw, [[3, 4], [0, 0], [6, 8]])


def test_the_padding_row_is_zero_and_gets_no_gradient():
    layer = nn.Embedding(4, 3, padding_idx=-1)
    assert layer.padding_idx == 3
    assert not layer.weight.data[3].any()
    out = layer(np.array([[3, 1]]))
    assert layer.backward(np.ones_like(out)) is None
    np.testing.assert_array_equal(layer.weight.grad, [[0] * 3, [1] * 3, [0] * 3, [0] * 3])


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_any_integers_are_indices(dtype):
    layer = nn.Embedding(200, 2)
    np.testing.assert_array_equal(layer(np.array([199], dtype)), layer.weight.data[199:])


def test_a_net_that_begins_with_integers_has_a_summary_and_trains():
    net = nn.Sequential(nn.Embedding(10, 4), nn.Flatten(), nn.Linear(12, 2))
    assert net.output_shape((5, 3), dtype=int) == (5, 2)
    assert net.summary((5, 3), dtype=np.int64).total_params == 40 + 26
    with pytest.raises(TypeError, match='Embedding "0": expected an array of integers, got float32'):
        net.output_shape((5, 3))
    loss_fn = nn.CrossEntropyLoss()
    loss_fn(net(np.array([[1, 2, 3], [4, 5, 6]])), np.array([0, 1]))
    assert net.backward(loss_fn.backward()) is None
    assert net[0].weight.grad.any()


def test_bilinear_by_hand():
    x1, x2, w = np.array([[1.0, 2]]), np.array([[3.0, 5]]), np.array([[[1.0, 0], [0, 2]]])
    out, cache = f.bilinear_forward(x1, x2, w, np.array([10.0]))
    np.testing.assert_array_equal(out, [[1 * 3 + 2 * 2 * 5 + 10]])
    dx1, dx2, dw, db = f.bilinear_backward(np.array([[2.0]]), cache)
    np.testing.assert_array_equal(dx1, [[6, 20]])
    np.testing.assert_array_equal(dx2, [[2, 8]])
    np.testing.assert_array_equal(dw, [[[6, 10], [12, 20]]])
    np.testing.assert_array_equal(db, [2])
