"""The three methods of a correlation: which one is taken, and the scratch memory that it counts on, by hand."""

import numpy as np
import pytest

from minidl.engine import correlation, depthwise, lowered_rows, row_products
from minidl.engine.im2col import correlate, input_grad, weight_grad
from minidl.engine.window import Geometry

X = np.zeros((5, 8, 7, 2), np.float32)  # (H, C, W, N)
OUT = np.zeros((4, 16, 6, 2), np.float32)  # (OH, F, OW, N)


@pytest.mark.parametrize(
    ("method", "shape", "stride", "dilation", "groups"),
    [
        (depthwise, (8, 1, 3, 3), (2, 2), (2, 1), 8),
        (lowered_rows, (16, 1, 3, 3), (1, 1), (1, 1), 8),  # two filters for each channel
        (lowered_rows, (8, 4, 3, 3), (1, 1), (1, 1), 2),
        (row_products, (16, 8, 3, 3), (2, 1), (1, 2), 1),
        (row_products, (1, 8, 3, 3), (1, 1), (1, 1), 1),
        (lowered_rows, (16, 8, 3, 3), (1, 2), (1, 1), 1),
        (lowered_rows, (16, 8, 3, 3), (1, 1), (2, 1), 1),
    ],
)
def test_the_method_by_shape(method, shape, stride, dilation, groups):
    geometry = Geometry(shape[2:], stride, (0, 0), dilation, groups)
    assert correlation._method(X, shape, geometry) is method


@pytest.mark.parametrize(
    ("method", "shape", "row_in", "row_out"),
    [
        (depthwise, (16, 1, 3, 2), 8 * 7 * 4, 16 * 6 * 4),  # a copy of the input; a product
        (row_products, (16, 8, 3, 2), 8 * 7 * 4, 16 * 2 * 7 * 4),  # a copy of the input; a product for each column
        (lowered_rows, (16, 8, 3, 2), 8 * 2 * 6 * 4, 16 * 6 * 4),  # the input once for each column; a product
    ],
)
def test_the_scratch_memory_of_a_row(method, shape, row_in, row_out):
    assert method.scratch(X, shape, OUT) == (row_in, row_out)
    assert method.scratch(X.astype(np.float64), shape, OUT.astype(np.float64)) == (2 * row_in, 2 * row_out)


def pieces(method, images, rows, kernel, stride):
    """The pieces of a correlation of 8 channels to 16, 64 wide, as (bytes of scratch memory, images, output rows)."""
    shape, geometry = (16, 8, kernel, 1), Geometry((kernel, 1), (stride, 1), (0, 0), (1, 1))
    zero = np.float32(0)  # one number in memory, however large the arrays
    x = np.broadcast_to(zero, ((rows - 1) * stride + kernel, 8, 64, images))
    out = np.broadcast_to(zero, (rows, 16, 64, images))
    row_in, row_out = method.scratch(x, shape, out)
    return [
        (piece.out.shape[3] * (len(piece.x) * row_in + len(piece.out) * row_out), piece.out.shape[3], len(piece.out))
        for piece in correlation._pieces(x, shape, geometry, out, method)
    ]


@pytest.mark.parametrize("method", [row_products, lowered_rows])
@pytest.mark.parametrize("images", [1, 300, 3000])
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (3, 2), (1, 3), (40, 1)])
def test_pieces_take_the_workspace_and_no_more(method, images, kernel, stride):
    for rows in (1, 500, 2000):
        found = pieces(method, images, rows, kernel, stride)
        assert sum(n * taken for _, n, taken in found) == images * rows
        assert max(scratch for scratch, _, _ in found) <= correlation.WORKSPACE
        if len(found) > 8:  # more than threads can use: there only for the memory
            half = [scratch for scratch, _, _ in found if scratch < correlation.WORKSPACE / 2]
            assert len(half) <= len(found) / 2


@pytest.mark.parametrize(("rows", "count"), [(1023, 1), (2048, 2), (3072, 3), (8192, 8), (9216, 8)])
def test_a_piece_is_worth_eight_million_products(rows, count):
    assert 1024 * 16 * 64 * 8 == 2**23  # the products of 1024 rows with one tap
    assert len(pieces(row_products, 1, rows, 1, 1)) == count


def test_im2col_of_an_empty_batch():
    x, w = np.zeros((0, 4, 5, 6), np.float32), np.zeros((6, 2, 3, 3), np.float32)
    geometry = Geometry((3, 3), (1, 1), (1, 1), (1, 1), 2)
    out = correlate(x, w, None, geometry, (5, 6))
    assert out.shape == (0, 6, 5, 6)
    assert input_grad(out, w, geometry, (5, 6)).shape == x.shape
    dw, db = weight_grad(x, out, w.shape, geometry, has_bias=True)
    assert not dw.any()
    assert not db.any()
