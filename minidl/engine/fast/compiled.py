"""How functions are compiled: once for a machine, without Python's global lock."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

import numba
from numba.core import event

from ..._core import uninterrupted
from .cache import Cache

__all__ = ["compiled", "summing"]

_Function = TypeVar("_Function", bound=Callable[..., Any])

if numba.config.DISABLE_JIT:
    raise ImportError("the engine 'fast' needs numba's compiler, which NUMBA_DISABLE_JIT turns off")


def compiled(function: _Function) -> _Function:
    """Compile a function at its first call for each dtype."""
    return _compiled(function, {"contract"})


def summing(function: _Function) -> _Function:
    """Compile a function whose sums may be taken in any order, in the lanes of vectors."""
    return _compiled(function, {"contract", "reassoc", "nsz"})


def _compiled(function: _Function, allowed: set[str]) -> _Function:
    # divisions by zero give what IEEE 754 says, not Python's errors
    made: Any = numba.njit(nogil=True, error_model="numpy", fastmath=allowed)(function)
    made._cache = Cache(function)  # what cache=True sets, but for the folder and the check of what lies there
    compile_for = made.compile

    def compile_whole(types: Any) -> Any:
        with uninterrupted():  # left half done, numba's own tables would stay incomplete
            return compile_for(types)

    made.compile = compile_whole
    return made  # type: ignore[no-any-return]


class _Patience(event.Listener):  # type: ignore[misc]
    """Says so once when compiling takes longer than a second altogether; numba calls it only when it compiles."""

    def __init__(self) -> None:
        self.spent, self.began, self.depth, self.told = 0.0, 0.0, 0, False

    def on_start(self, event: Any) -> None:
        """A function is about to be compiled, maybe for one that is being compiled."""
        if not self.told and _is_ours(event):
            if not self.depth:
                self.began = time.monotonic()
            self.depth += 1
            self._look()

    def on_end(self, event: Any) -> None:
        """A function has been compiled, or has failed to be, as after Ctrl-C."""
        if not self.told and _is_ours(event):
            self._look()
            self.depth -= 1
            if not self.depth:
                self.spent += time.monotonic() - self.began

    def _look(self) -> None:
        if self.spent + time.monotonic() - self.began > 1:
            self.told = True
            if sys.stderr is not None:
                with contextlib.suppress(OSError, ValueError):  # nobody is left to read it
                    print("minidl: compiling the fast engine for this machine, once ...", file=sys.stderr, flush=True)


def _is_ours(event: Any) -> bool:
    return isinstance(event.data["dispatcher"]._cache, Cache)


event.register("numba:compile", _Patience())
