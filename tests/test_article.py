"""The six worked examples of the article, exactly."""

import numpy as np
import pytest

from minidl import functional as f
from minidl import reference

both = pytest.mark.parametrize("module", [f, reference], ids=["fast", "direct loops"])


def test_1_sizes_of_alexnets_first_layer():
    x, w = np.ones((1, 3, 227, 227), np.float32), np.ones((96, 3, 11, 11), np.float32)
    cols = f.im2col(x, 11, stride=4)
    assert cols.shape == (1, 363, 3025)
    assert w.reshape(96, -1).shape == (96, 363)
    assert (w.reshape(96, -1) @ cols[0]).shape == (96, 3025)
    out, _ = f.conv2d_forward(x, w, stride=4)
    assert out.shape == (1, 96, 55, 55)
    assert (out == 363).all()


@both
def test_2_the_computational_graph_and_its_reverse(module):
    rng = np.random.default_rng(0)
    x, w = rng.integers(-4, 5, (1, 3, 4, 4)) * 1.0, rng.integers(-4, 5, (1, 3, 2, 2)) * 1.0
    b, grad = np.array([3.0]), rng.integers(-4, 5, (1, 1, 3, 3)) * 1.0
    cols, row, flat = f.im2col(x, 2), w.reshape(1, 12), grad.reshape(1, 9)
    assert cols.shape == (1, 12, 9)
    out, cache = module.conv2d_forward(x, w, b)
    np.testing.assert_array_equal(out, (row @ cols[0] + b[:, None]).reshape(1, 1, 3, 3))
    dx, dw, db = module.conv2d_backward(grad, cache)
    np.testing.assert_array_equal(dw, (flat @ cols[0].T).reshape(w.shape))
    np.testing.assert_array_equal(dx, f.col2im((row.T @ flat)[None], (4, 4), 2))
    np.testing.assert_array_equal(db, flat.sum(axis=1))


@both
def test_3_three_by_three_by_hand(module):
    x, w = np.arange(1.0, 10).reshape(1, 1, 3, 3), np.array([[[[1.0, 2], [3, 4]]]])
    out, cache = module.conv2d_forward(x, w, np.array([10.0]))
    assert out[0, 0].tolist() == [[47, 57], [77, 87]]
    dx, dw, db = module.conv2d_backward(np.array([[[[1.0, 2], [3, 4]]]]), cache)
    assert dx[0, 0].tolist() == [[1, 4, 4], [6, 20, 16], [9, 24, 16]]
    assert dw[0, 0].tolist() == [[37, 47], [67, 77]]
    assert db.tolist() == [10]


@both
def test_4_one_dimension(module):
    x, w, grad = np.array([1.0, 2, 3, 4, 5]), np.array([1.0, 0, -1]), np.array([1.0, 10, 100])
    out, cache = module.conv2d_forward(x.reshape(1, 1, 1, 5), w.reshape(1, 1, 1, 3), np.zeros(1))
    assert out.ravel().tolist() == [-2, -2, -2]
    dx, dw, db = module.conv2d_backward(grad.reshape(1, 1, 1, 3), cache)
    full = [sum(([0, 0, *grad, 0, 0])[i + k] * w[::-1][k] for k in range(3)) for i in range(5)]
    assert dx.ravel().tolist() == full == np.convolve(grad, w).tolist()
    assert dw.ravel().tolist() == [sum(x[k + i] * grad[i] for i in range(3)) for k in range(3)]
    assert db.tolist() == [111]


@pytest.mark.parametrize(("size", "kernel", "stride"), [(224, 2, 2), (7, 3, 2), (9, 3, 3), (6, 1, 5)])
def test_5_pooling_sizes(size, kernel, stride):
    x = np.zeros((1, 3, size, size + stride))
    out, _ = f.max_pool2d_forward(x, kernel, stride=stride)
    assert out.shape == (1, 3, (size - kernel) // stride + 1, (size + stride - kernel) // stride + 1)


@both
def test_6_dropped_rows_get_a_zero_gradient(module):
    x = np.ones((1, 1, 6, 6))
    out, cache = module.conv2d_forward(x, np.ones((1, 1, 3, 3)), stride=(2, 2))
    assert out.shape == (1, 1, 2, 2)
    dx, _, _ = module.conv2d_backward(np.ones_like(out), cache)
    rows = [1, 1, 2, 1, 1, 0]
    assert dx[0, 0].tolist() == [[a * b for b in rows] for a in rows]


def test_the_example_prints_them(capsys):
    import runpy
    from pathlib import Path

    runpy.run_path(str(Path(__file__).parents[1] / "examples" / "article.py"), run_name="__main__")
    out = capsys.readouterr().out
    for line in (
        "column matrix: 363 x 3025",
        "weight matrix: 96 x 363",
        "product:       96 x 3025 = 55x55x96",
        "the same as conv2d_forward: True",
        "the same as conv2d_backward: True",
        "y11 = 1*1 + 2*2 + 4*3 + 5*4 = 37",
        "dL/dx22 = 4*1 + 3*2 + 2*3 + 1*4 = 20",
        "(1, 64, 224, 224) -> (1, 64, 112, 112)",
    ):
        assert line in out
