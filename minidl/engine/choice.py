"""The choice of engine, and the functions that an engine consists of."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from .._core import Array, check_choice, uninterrupted
from . import correlation, elementwise, normalising, pooling
from .bound import Bound, numpy_steps
from .im2col import correlate, input_grad, weight_grad

__all__ = ["ENGINES", "Engine", "current_engine", "get_engine", "set_engine"]


class Engine(NamedTuple):
    """The functions that can be computed in several ways, on arrays of shape (N, C, H, W) in any memory layout.

    `correlation.py`, `pooling.py`, `normalising.py` and `elementwise.py` document what each takes and returns. An
    engine replaces the ones it computes differently and keeps the others. The cache of a forward pass remembers its
    engine.
    """

    name: str
    correlate: Callable[..., Array] = correlation.correlate
    input_grad: Callable[..., Array] = correlation.input_grad
    weight_grad: Callable[..., tuple[Array, Array | None]] = correlation.weight_grad
    max_pool: Callable[..., Array] = pooling.max_pool
    max_pool_grad: Callable[..., Array] = pooling.max_pool_grad
    avg_pool: Callable[..., Array] = pooling.avg_pool
    avg_pool_grad: Callable[..., Array] = pooling.avg_pool_grad
    adaptive_avg_pool: Callable[..., Array] = pooling.adaptive_avg_pool
    adaptive_avg_pool_grad: Callable[..., Array] = pooling.adaptive_avg_pool_grad
    normalise: Callable[..., tuple[Array, Any]] = normalising.normalise
    normalise_grad: Callable[..., tuple[Array, Array | None, Array | None]] = normalising.normalise_grad
    dropout_mask: Callable[..., Array] = elementwise.dropout_mask
    cross_entropy: Callable[..., tuple[Array, Array, Array, int] | None] | None = None  # None: by `nn/label_loss.py`
    cross_entropy_grad: Callable[..., Array] | None = None
    activate: Callable[..., Array] | None = None  # None: by what the activation's class says in NumPy
    activate_grad: Callable[..., Array] | None = None
    update: Callable[..., bool] | None = None  # None: by what the optimiser's class says in NumPy
    bound: Bound = numpy_steps


ENGINES = {
    "numpy": lambda: Engine("numpy"),
    "im2col": lambda: Engine("im2col", correlate, input_grad, weight_grad),
    "fast": lambda: Engine("fast", **_compiled()),
}
_current: Engine | None = None


def set_engine(name: str) -> None:
    """Choose the engine that layers use from now on; backward uses the engine of its forward pass.

    Args:
        name: 'numpy', the default; 'fast', compiled for this machine by numba (extra ``fast``), whose last bits differ;
            or 'im2col', convolution as in the textbook, slower and easy to follow.

    Raises:
        ValueError: there is no such engine.
        ImportError: the extra is not installed.
    """
    global _current  # noqa: PLW0603 - this module exists to hold this one variable
    _current = _made(check_choice("set_engine", "name", name, tuple(ENGINES)))


def get_engine() -> str:
    """Return the name of the engine in use: from `set_engine`, else from the variable MINIDL_ENGINE, else 'numpy'.

    Raises:
        ValueError: MINIDL_ENGINE does not name an engine.
    """
    return current_engine().name


def current_engine() -> Engine:
    """Return the engine in use."""
    if _current is not None:
        return _current
    name = os.environ.get("MINIDL_ENGINE", "numpy")
    set_engine(check_choice("MINIDL_ENGINE", "engine", name, tuple(ENGINES)))
    return current_engine()


@cache
def _made(name: str) -> Engine:
    return ENGINES[name]()


def _compiled() -> dict[str, Any]:
    """Return the functions of the compiled engine by name."""
    with uninterrupted():  # half imported, numba would not work until the process ends
        try:
            import numba  # noqa: F401, PLC0415 - an extra, imported where it is used
        except ModuleNotFoundError as error:
            raise ImportError("the engine 'fast' needs an extra: pip install 'minidl[fast]'") from error
        except ImportError as error:  # such as a version of NumPy that it does not know
            raise ImportError(f"the engine 'fast' cannot use the numba that is installed: {error}") from error
        from .fast import functions  # noqa: PLC0415 - it imports numba

    return functions()
