"""The engine that a command runs with: the one of its option, else of the variable MINIDL_ENGINE, else NumPy's."""

from __future__ import annotations

from .. import get_engine, set_engine
from .recipe import Recipe

__all__ = ["describe_engine", "faster_engine", "use_engine"]


def use_engine(name: str | None) -> None:
    """Choose the engine that an option names; None or "" for an option that is not given.

    Raises:
        ImportError: the engine's extra is not installed.
        ValueError: there is no such engine.
    """
    if name:
        set_engine(Recipe.options()["engine"].convert(name, None))
    else:
        get_engine()


def describe_engine() -> str:
    """Return the engine in use, and whether the compiled one could be."""
    found = _numba()
    return f"{get_engine()} ('fast' needs the extra fast)" if found is None else f"{get_engine()} (numba {found})"


def faster_engine() -> str | None:
    """Return a line that says how to choose the compiled engine, if it is installed and the default one is in use."""
    if get_engine() != "numpy" or _numba() is None:
        return None
    return "a faster engine is installed: --engine fast, or MINIDL_ENGINE=fast, chooses it"


def _numba() -> str | None:
    """Return numba's version, or None; it is not imported, which takes a while."""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - for a few commands only

    try:
        return version("numba")
    except PackageNotFoundError:
        return None
