"""Threads: how many, and how the pieces of one operation are shared among them.

The arithmetic cuts its work into pieces that fit a core's cache, and `run` shares the pieces among threads: products,
copies and elementwise passes alike. Products are inside ``with one_blas_thread``: BLAS's own threads spin while
they wait for work, on the cores that the pieces need.

Results do not depend on the number of threads: pieces depend on shapes alone, and sums over pieces are taken in order.
"""

from __future__ import annotations

import math
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import pairwise
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

import numpy as np

from .blas import find_blas
from .checks import check_int

__all__ = [
    "available_cpus",
    "blas_threads",
    "cpu_quota",
    "cut",
    "get_num_threads",
    "one_blas_thread",
    "run",
    "set_num_threads",
    "share_cpus",
]

_WORTH = 150_000  # nanoseconds; two threads break even at 90,000 (EPYC, Zen 5, virtual), later where they had slept

Item = TypeVar("Item")
Result = TypeVar("Result")


class _State:
    """The process's state: the number of threads, the workers and their jobs, who is inside `one_blas_thread`."""

    def __init__(self) -> None:
        self.threads: int | None = None
        self.asked = False  # whether set_num_threads was called
        self.sharing = 1  # processes that share the CPUs
        self.jobs: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self.workers = 0
        self.inside: dict[int, int] = {}
        self.outside_blas = 1
        self.lock = threading.RLock()  # reentrant: the garbage collector may run inside, and a finaliser compute

    def after_fork(self) -> None:
        """A forked child has none of its parent's threads, and BLAS the setting that they had limited."""
        self.lock = threading.RLock()
        self.jobs = SimpleQueue()
        self.workers = 0
        blas = find_blas() if self.inside else None
        if blas is not None and self.outside_blas > 1 and not blas.by_thread:
            blas.set(self.outside_blas)
        self.inside = {}


_state = _State()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_state.after_fork)


def set_num_threads(n: int) -> None:
    """Let minidl use n threads from now on; results are the same for every n.

    This concerns minidl's own operations only: outside of them NumPy's BLAS keeps its setting.

    Args:
        n: number of threads, at least 1.

    Raises:
        TypeError, ValueError: n is not an integer of at least 1.
    """
    _state.threads, _state.asked = check_int("set_num_threads", "n", n), True


def get_num_threads() -> int:
    """Return how many threads minidl uses.

    Unless `set_num_threads` was called, it is the number NumPy's BLAS is set to (OPENBLAS_NUM_THREADS and the like are
    respected), but no more than the CPUs that this process may use, whether its affinity or its container's quota
    limits them. It is one if NumPy was built with a BLAS whose threads cannot be limited (such as Apple's Accelerate).
    Each of several ranks of a training on one machine takes its share of the CPUs.
    """
    if _state.threads is None:
        _state.threads = min(blas_threads() or 1, max(1, available_cpus() // _state.sharing))
    return _state.threads


def share_cpus(processes: int) -> None:
    """Share the CPUs that this process may use with others: unless asked for more, it takes so much fewer threads."""
    _state.sharing = processes
    if not _state.asked:
        _state.threads = None


def available_cpus() -> int:
    """Return how many CPUs this process may use: its affinity, or a container's quota (rounded up) if that is less."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    return usable if quota is None else max(1, min(usable, math.ceil(quota)))


def cpu_quota(group: Path = Path("/sys/fs/cgroup")) -> float | None:
    """Return how many CPUs' time the container may use, from its control group (version 2 or 1); None if unlimited."""
    try:
        if (group / "cpu.max").exists():
            quota, period = (group / "cpu.max").read_text().split()[:2]
        else:
            quota = (group / "cpu/cpu.cfs_quota_us").read_text()
            period = (group / "cpu/cpu.cfs_period_us").read_text()
        return int(quota) / int(period) if int(quota) > 0 else None
    except (OSError, ValueError):  # no control groups here, or "max": no limit
        return None


def blas_threads() -> int | None:
    """Return how many threads NumPy's BLAS uses outside of minidl; None if they cannot be set."""
    blas = find_blas()
    if blas is None:
        return None
    if blas.by_thread:
        return _state.inside.get(threading.get_ident()) or blas.get()
    return _state.outside_blas if _state.inside else blas.get()


def run(function: Callable[[Item], Result], pieces: Sequence[Item], cost: float = math.inf) -> list[Result]:
    """Call ``function`` on every piece, several at a time; return the results in the order of the pieces.

    ``cost`` is about how many nanoseconds all pieces take in one thread: waking others for little work takes longer
    than it saves.

    The pieces must not write to the same memory. The calling thread takes part. After an error or an interrupt
    (Ctrl-C) no further piece is started, and it is raised once the pieces that other threads have started are finished:
    nothing is written afterwards.
    """
    if len(pieces) == 1 or cost < _WORTH or get_num_threads() == 1:
        return [function(piece) for piece in pieces]
    threads = min(get_num_threads(), len(pieces))
    results: list[Any] = [None] * len(pieces)
    # neighbouring pieces go to one thread, the same ones in the next layer: they are in its core's cache
    left = [deque(range(part.start, part.stop)) for part in cut(len(pieces), -(-len(pieces) // threads))]
    team = _Team()
    errstate = np.geterr()  # the caller's np.errstate applies in the other threads too

    def help_out(own: int) -> None:
        team.begun.append(own)
        try:
            # only where it differs: NumPy 1.26 counts the threads that do not have the default, and counts this wrongly
            with nullcontext() if np.geterr() == errstate else np.errstate(**errstate):
                while (index := _next(left, own)) is not None:
                    results[index] = function(pieces[index])
        except BaseException as error:
            _drop(left)
            team.errors.append(error)
        finally:
            team.ended.append(own)
            team.wake.put(None)

    try:
        _employ(threads - 1, [partial(help_out, own) for own in range(1, len(left))])
        while (index := _next(left, 0)) is not None:
            results[index] = function(pieces[index])
        team.wait()
    except BaseException:
        _leave(left, team)
        raise
    if team.errors:
        raise team.errors[0]
    return results


class _Team:
    """The other threads that take part in one `run`: who has begun, who has ended, and with what errors.

    A thread that begins after the pieces are gone finds none, and is not waited for. Each list only grows, by single
    operations in C: whatever an interrupt cuts short, the two lengths tell who is still at work.
    """

    def __init__(self) -> None:
        self.begun: deque[int] = deque()
        self.ended: deque[int] = deque()
        self.errors: deque[BaseException] = deque()
        self.wake: SimpleQueue[None] = SimpleQueue()

    def wait(self) -> None:
        """Wait until all that have begun have ended."""
        while len(self.ended) < len(self.begun):
            self.wake.get()


def _leave(left: list[deque[int]], team: _Team) -> None:
    """Drop what has not been started, and wait for what has, however often Ctrl-C is pressed."""
    while True:
        try:
            _drop(left)
            return team.wait()
        except KeyboardInterrupt:
            continue


def _employ(workers: int, jobs: list[Callable[[], Any]]) -> None:
    """Hand out jobs to threads, which are started when first needed; fewer jobs where no more threads can be started.

    SimpleQueue's operations are atomic, written in C: an interrupt cannot leave it locked, unlike the standard pool.
    """
    if _state.workers < workers:
        find_blas()  # here, where an error would be seen
        with _state.lock:
            while _state.workers < workers and _start_worker():
                _state.workers += 1
    for job in jobs[: _state.workers]:
        _state.jobs.put(job)


def _start_worker() -> bool:
    """Start a thread; return False if the system has none left to give: those that there are do all the work."""
    try:
        threading.Thread(target=_work, args=(_state.jobs,), name="minidl", daemon=True).start()
    except (RuntimeError, MemoryError):
        return False
    return True


def _work(jobs: SimpleQueue[Callable[[], None]]) -> None:
    blas = find_blas()
    if blas is not None and blas.by_thread:
        blas.set(1)
    while True:
        job = jobs.get()
        job()
        del job  # it holds the arrays


def _drop(left: list[deque[int]]) -> None:
    """Drop the pieces that have not been started."""
    for queue in left:
        queue.clear()


def _next(left: list[deque[int]], own: int) -> int | None:
    """Take the next of this thread's own pieces, or the last of another thread's; None if there are none left."""
    for queue, take in ((left[own], deque.popleft), *((other, deque.pop) for other in left)):
        try:
            return take(queue)
        except IndexError:  # empty, or another thread was quicker
            continue
    return None


class _OneBlasThread:
    """Limits BLAS to one thread, and restores its setting when the last thread leaves.

    ``inside`` maps the threads that are inside to BLAS's earlier setting, from before it is changed until after it is
    restored: if an interrupt keeps a thread from leaving, it leaves on its next pass. Where the number is set per
    thread, each thread has its own value to restore.
    """

    def __enter__(self) -> None:
        blas = find_blas()
        if blas is None:
            return
        try:
            with _state.lock:
                if not _state.inside:
                    _state.outside_blas = blas.get()
                before = blas.get() if blas.by_thread else _state.outside_blas
                _state.inside.setdefault(threading.get_ident(), before)
                if before > 1:
                    blas.set(1)
        except BaseException:  # __exit__ is called for those only who have entered
            self._leave()
            raise

    def __exit__(self, *_: object) -> None:
        try:
            self._leave()
        except BaseException:
            self._leave()
            raise

    def _leave(self) -> None:
        blas = find_blas()
        if blas is None:
            return
        with _state.lock:
            own = threading.get_ident()
            before = _state.inside.get(own, 1)
            if before > 1 and (blas.by_thread or _state.inside.keys() == {own}):
                blas.set(before)
            _state.inside.pop(own, None)


one_blas_thread = _OneBlasThread()


def cut(count: int, size: int) -> list[slice]:
    """Cut ``range(count)`` into slices of at most ``size``, as even as possible; at least one."""
    if size >= count:
        return [slice(0, count)]
    parts = -(-count // max(1, size))
    bounds = [count * part // parts for part in range(parts + 1)]
    return [slice(begin, end) for begin, end in pairwise(bounds)]
