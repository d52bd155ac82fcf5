"""The three methods of a correlation: which one is taken, and the scratch memory that it counts on, by hand."""

import numpy as np
import pytest

from minidl.engine import correlation, depthwise, lowered_rows, row_products
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
