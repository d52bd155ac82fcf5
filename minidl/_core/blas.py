"""The threads of NumPy's own BLAS: how many there are, and how to limit them to one.

threadpoolctl finds the library, OpenBLAS, MKL or BLIS, once. Its two functions are then called directly,
around every product, where threadpoolctl's own context manager would cost more than a small product.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Blas", "find_blas"]


class Blas(NamedTuple):
    """The library's functions, and whether its number of threads is set per thread rather than globally."""

    get: Callable[[], int]
    set: Callable[[int], Any]
    by_thread: bool


# library -> the names of its functions, without the prefix and suffix that builds of OpenBLAS add
_FUNCTIONS = {
    "openblas": ("openblas_get_num_threads", "openblas_set_num_threads"),
    "mkl": ("MKL_Get_Max_Threads", "MKL_Set_Num_Threads"),
    "blis": ("bli_thread_get_num_threads", "bli_thread_set_num_threads"),
}
_OPENMP = ("omp_get_max_threads", "omp_set_num_threads")


@cache
def find_blas() -> Blas | None:
    """Return NumPy's BLAS; None if its threads cannot be set (Apple's Accelerate, or a build without threads).

    If several are loaded, the one next to NumPy is chosen, as in its wheels: SciPy and PyTorch bring their own.
    """
    from threadpoolctl import ThreadpoolController  # noqa: PLC0415 - only when the first product is computed

    found = ThreadpoolController().select(user_api="blas").lib_controllers
    bundled = Path(np.__file__).parent.parent / "numpy.libs"
    for library in sorted(found, key=lambda library: bundled not in Path(library.filepath).parents):
        functions = _bind(library)
        if functions is not None:
            return functions
    return None


def _bind(library: Any) -> Blas | None:
    """Look up the two functions of a library that threadpoolctl found."""
    by_thread = getattr(library, "threading_layer", None) == "openmp" and library.internal_api == "openblas"
    names = _OPENMP if by_thread else _FUNCTIONS.get(library.internal_api, ())
    for prefix, suffix in [(prefix, suffix) for prefix in ("", "scipy_") for suffix in ("", "64_", "_64")]:
        there = [f"{prefix}{name}{suffix}" for name in names if hasattr(library.dynlib, f"{prefix}{name}{suffix}")]
        if len(there) == 2:
            return Blas(getattr(library.dynlib, there[0]), getattr(library.dynlib, there[1]), by_thread)
    return None
