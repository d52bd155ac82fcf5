"""Progress bars: tqdm's, without its lock among processes, its thread and the wall clock."""

from __future__ import annotations

import functools
import os
import threading
import time
from typing import Any

__all__ = ["bar", "bar_class"]


@functools.cache
def bar_class() -> Any:
    """Return tqdm's class for a terminal or a notebook, with a lock of its own.

    tqdm's own lock is one among processes: making it fixes multiprocessing's start method, and a worker that is killed
    while it holds it leaves everyone else waiting. Ours is the part of it that is among threads, so that lines and bars
    of a program that uses tqdm itself are not torn. The thread that tqdm starts to redraw bars is not needed when the
    time is looked at in every step, and a clock that is set back must not stop a bar.
    """
    from tqdm.auto import tqdm  # noqa: PLC0415 - keeps `import minidl` fast
    from tqdm.std import TqdmDefaultWriteLock  # noqa: PLC0415

    class Bar(tqdm):  # type: ignore[misc]
        monitor_interval = 0
        _lock = TqdmDefaultWriteLock.th_lock or threading.RLock()
        _time = property(lambda self: time.monotonic, lambda self, _: None)

        def __bool__(self) -> bool:  # pooch asks before it knows the length of a download
            return True

    if hasattr(os, "register_at_fork"):  # in the child nobody would release what another thread holds
        os.register_at_fork(after_in_child=lambda: Bar.set_lock(threading.RLock()))
    return Bar


def bar(*iterable: Any, **options: Any) -> Any:
    """Return a bar that is shown, as ``tqdm(iterable, **options)`` does."""
    return bar_class()(*iterable, miniters=1, **options)
