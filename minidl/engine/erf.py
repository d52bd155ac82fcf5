"""The error function on arrays, which NumPy lacks.

erf(z) = 1 - exp(-z**2) * g(t),  z >= 0,  t = 2 / (2 + z)

where g, exp(z**2) * erfc(z) as a function of t, is smooth. On first use it is interpolated at Chebyshev nodes from the
standard library's `math.erfc`, for z up to 6, beyond which erf is 1 in float64.
"""

# mypy: disable-error-code="no-any-return"
# (what NumPy computes from arrays of either dtype is Any)
from __future__ import annotations

import math
from functools import cache

import numpy as np

from .._core import Array

__all__ = ["DEGREE", "LIMIT", "coefficients", "erf"]

LIMIT = 6.0
DEGREE = {4: 8, 8: 20}  # by the dtype's size in bytes: the error is below the dtype's own


@cache
def coefficients(degree: int) -> Array:
    """Chebyshev coefficients of g over t from 2/(2 + LIMIT) to 1, mapped to [-1, 1]."""

    def scaled(node: float) -> float:
        z = 2 / _to_t(node) - 2
        return math.exp(z * z) * math.erfc(z)

    return np.polynomial.chebyshev.chebinterpolate(np.vectorize(scaled), degree)  # imported when it is first used


def _to_t(node: float) -> float:
    least = 2 / (2 + LIMIT)
    return least + (node + 1) / 2 * (1 - least)


def erf(x: Array) -> Array:
    """Return the error function of each element, in x's dtype; accurate to its rounding."""
    z = np.minimum(abs(x), x.dtype.type(LIMIT))
    least = 2 / (2 + LIMIT)
    node = 2 * (2 / (2 + z) - least) / (1 - least) - 1
    numbers = coefficients(DEGREE[x.dtype.itemsize]).astype(x.dtype)
    # Clenshaw's recurrence
    above, current = np.zeros_like(z), np.zeros_like(z)
    twice = 2 * node
    for coefficient in numbers[:0:-1]:
        above, current = current, twice * current - above + coefficient
    g = node * current - above + numbers[0]
    return np.copysign(1 - np.exp(-z * z) * g, x)
