"""The direct peak of one core: the fast engine's own micro-kernel on numbers that stay in the first-level cache.

    python benchmarks/peak.py

No direct convolution can be faster; Winograd's method, which multiplies less, can. Needs the extra "fast".
"""

from __future__ import annotations

import time
from typing import Any

import numba
import numpy as np
from machine import describe

from minidl.engine.fast import direct
from minidl.engine.fast.vectors import BYTES, multiply_add

ROWS, COLUMNS, TAPS = direct._BLOCK, 2, direct._TAPS  # as in `direct.products`


@numba.njit(nogil=True)
def _repeat(times: int, x: int, taps: int, w: int, out: int, step: int, like: Any) -> None:
    for _ in range(times):
        multiply_add(ROWS, COLUMNS, 1, x, taps, TAPS, w, 0, out, step, like)


def peak(dtype: Any = np.float32, rounds: int = 30) -> float:
    """Return the floating point operations per second of the micro-kernel, the best of some rounds of milliseconds."""
    zero = np.dtype(dtype).type(0)
    vector = BYTES // zero.itemsize
    x, w = np.ones((TAPS + COLUMNS) * vector, dtype), np.ones(TAPS * ROWS, dtype)
    taps, out = np.arange(TAPS) * vector, np.empty((ROWS, COLUMNS * vector), dtype)
    places = [array.ctypes.data for array in (x, taps, w, out)]
    times, best = 1000, np.inf
    _repeat(1, *places, COLUMNS * vector, zero)  # compiles
    for _ in range(rounds):
        start = time.perf_counter()
        _repeat(times, *places, COLUMNS * vector, zero)
        best = min(best, time.perf_counter() - start)
    assert (out == TAPS).all()
    return 2 * times * TAPS * out.size / best


if __name__ == "__main__":
    print(describe())
    for dtype in (np.float32, np.float64):
        print(f"{np.dtype(dtype)}: {peak(dtype) / 1e9:.0f} GFLOP/s on one core")
