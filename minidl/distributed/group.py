"""Group: the ranks of a communicator, which meet, add up and stop together.

Every operation of a group begins with a meeting, an Iallreduce of three integers of which the maximum is taken. Whoever
leaves, because of an exception, Ctrl-C or a wish to stop, takes part in one more meeting and says so; all the others
learn it where they meet next, and leave as well. So no rank waits for one that has gone. The integers also say which
operation follows: ranks that are not in the same one find out instead of mixing up their numbers. Meetings do not
block in MPI's terms, though they wait, because who leaves waits for a limited time, and MPI matches no other kind.
"""

from __future__ import annotations

import atexit
import os
import platform
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, TypeVar

import numpy as np

from .._core import Array, share_cpus
from .communicator import Communicator

__all__ = ["Group", "RankError", "active_group", "group_of", "is_told_elsewhere", "mark_told"]

Object = TypeVar("Object")

_GO, _STOP, _INTERRUPT, _FAIL = range(4)
_PATIENCE = 5.0  # seconds that a rank that leaves waits for the others, before it ends them
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_ONCE = 0.5  # seconds within which several interrupts are one
_SILENCE = 30.0  # seconds after which a rank says for whom it waits at the first meeting
_OPERATIONS = (
    "the end", "an exchange of objects", "an object from rank 0", "a sum", "a gathering of numbers",
    "a step", "a checkpoint", "the beginning of a fit", "an order of samples", "measures", "predictions",
    "the end of the program",
)  # fmt: skip


class RankError(RuntimeError):
    """Another rank has failed; its own message and traceback are printed there.

    Attributes:
        rank: its number.
    """

    def __init__(self, rank: int, message: str) -> None:
        super().__init__(f"rank {rank} has failed: {message}")
        self.rank = rank


class Group:
    """The ranks of a communicator.

    Args:
        comm: is duplicated, so that messages of the program's own are not mixed up with minidl's.

    Attributes:
        rank, size: the number of this process, and of all.
        stopping: exceptions that are no failure but a wish to stop, made of one text.
    """

    stopping: tuple[type[Exception], ...] = ()

    def __init__(self, comm: Communicator) -> None:
        from mpi4py import MPI  # noqa: PLC0415 - whoever has a communicator has imported it

        self.comm: Communicator = comm.Dup()
        self.rank, self.size = comm.rank, comm.size
        self.interrupted = False
        self._round = 0  # how often the ranks have begun something together
        self._sum, self._max, self._here, self._finalized = MPI.SUM, MPI.MAX, MPI.IN_PLACE, MPI.Is_finalized
        self._message = np.zeros(3, np.int64)
        self._met, self._left, self._obeyed = False, False, 0.0
        self._last: threading.Timer | None = None  # ends what does not end by itself
        self._handlers: dict[int, Any] = {}  # outside of what is done together
        share_cpus(_sharing(self.comm))
        atexit.register(self._end)
        _install_hook(self)

    # Meeting, and leaving

    def meet(self, operation: str) -> None:
        """Wait until every rank is here.

        Raises:
            RankError: one has left because of an exception.
            KeyboardInterrupt: one was interrupted.
            StopTraining: one wants to stop; whatever `stopping` says.
            RuntimeError: they are not in the same operation.
        """
        self._say(_INTERRUPT if self.interrupted else _GO, operation)
        request = self.comm.Iallreduce(self._here, self._message, op=self._max)
        if self._met:
            request.Wait()
        else:
            self._wait_first(request)
        self._obey(None)

    def leave(self, error: BaseException) -> None:
        """Tell the other ranks, where they meet next, that this one goes, and why; end them all if they do not come.

        What was raised by `meet` is known to all already.

        Raises:
            RankError, KeyboardInterrupt: others leave at the same time, for a weightier reason than this one's.
        """
        if getattr(error, "_minidl_round", None) == self._round:
            return
        code = _FAIL
        if isinstance(error, SystemExit):  # which Python does not print
            print(f"minidl: rank {self.rank} has ended the program: SystemExit({error})", file=sys.stderr, flush=True)
        if isinstance(error, KeyboardInterrupt):
            code = _INTERRUPT
        elif isinstance(error, self.stopping):
            code = _STOP
        self._say(code, _OPERATIONS[0])
        request = self.comm.Iallreduce(self._here, self._message, op=self._max)
        if not _done(request, _PATIENCE):
            self.abort(error)
        try:
            self._obey(f"{type(error).__name__}: {error}" if code == _FAIL else str(error))
        except (RankError, KeyboardInterrupt) as told:
            if code == _FAIL:  # its own error is as good
                self._told(error, quiet=True)
            elif not isinstance(told, type(error)):
                raise told from error
        except self.stopping:
            pass
        self._told(error, quiet=is_told_elsewhere(error))

    def _told(self, error: Any, *, quiet: bool = False) -> Any:
        """Note that every rank knows of an error, this time: one object may be raised again in another fit."""
        error._minidl_round = self._round
        return mark_told(error, quiet=quiet)

    def _end(self) -> None:
        """Meet once more when the program ends: a rank that still waits for this one learns that it does not come."""
        gone = self not in _groups  # in a forked child
        if gone or self._left or self._finalized():
            return
        self._say(_GO, _OPERATIONS[-1])
        request = self.comm.Iallreduce(self._here, self._message, op=self._max)
        with suppress(Exception, KeyboardInterrupt):  # the others raise what is to be said
            while not _done(request, _SILENCE):
                pass
            self._obey("")

    def abort(self, error: BaseException) -> None:
        """Print an error and end the processes of all ranks at once."""
        if not is_told_elsewhere(error):
            traceback.print_exception(type(error), error, error.__traceback__)
        _flush()
        self.comm.Abort(1)

    def _say(self, code: int, operation: str) -> None:
        number = _OPERATIONS.index(operation)
        # of several that leave, the one with the highest code, then the lowest rank, is the one whose reason counts
        self._message[0] = code and code * self.size + self.size - 1 - self.rank
        self._message[1:] = (number, -number) if code == _GO else (0, -len(_OPERATIONS))

    def _obey(self, reason: str | None) -> None:
        """Raise what the meeting has decided; ``reason`` is why this rank leaves, if it does."""
        told, highest, lowest = (int(number) for number in self._message)
        if not told:
            if highest != -lowest:
                own = [_OPERATIONS[number] for number in (-lowest, highest)]
                self._left = own[1] == _OPERATIONS[-1]  # others have gone
                raise self._told(
                    RuntimeError(
                        f"the ranks do not do the same: one is at {own[0]}, another at {own[1]}; call fit, evaluate, "
                        "predict and state_dict on every rank, not only on the first, and give every rank the same "
                        "callbacks"
                    ),
                    quiet=self.rank > 0 and not self._left,
                )
            return
        code, rank = told // self.size, self.size - 1 - told % self.size
        if code == _INTERRUPT:
            self.interrupted, self._obeyed = False, time.monotonic()
            if self._last is not None:
                self._last.cancel()
            raise self._told(KeyboardInterrupt())
        text = self.comm.bcast(reason, root=rank)
        if code == _STOP:
            raise self._told(self.stopping[0](text))
        if rank != self.rank:
            raise self._told(RankError(rank, text), quiet=True)

    def _wait_first(self, request: Any) -> None:
        """Wait for the first meeting: if a rank does not come, because its script has ended before, this is told."""
        while not _done(request, _SILENCE):
            print(
                f"minidl: rank {self.rank} of {self.size} waits for the others to begin. If one of them has ended with "
                "an error, end this with Ctrl-C; started by 'mpiexec -n N python -m mpi4py SCRIPT', an error ends all",
                file=sys.stderr,
                flush=True,
            )
        self._met = True

    @contextmanager
    def together(self) -> Iterator[None]:
        """Surround what all ranks do together: an exception of one, or Ctrl-C, ends it on all of them.

        Ctrl-C takes effect at the next meeting, a second one at once; so does SIGTERM, which launchers send instead.
        """
        if self in _active:  # within another one
            with self.leaving():
                yield
            return
        self.interrupted, self._round = False, self._round + 1
        if threading.current_thread() is threading.main_thread():
            self._handlers = {number: signal.getsignal(number) for number in _SIGNALS}
        _active.append(self)
        self._listen(self._interrupt)
        try:
            with self.leaving():
                yield
                self.meet("the end")
        finally:
            self._listen(None)
            self._handlers = {}
            _active.remove(self)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Surround what one rank does while the others wait for it: there Ctrl-C takes effect at once."""
        self._listen(None)
        try:
            yield
        finally:
            self._listen(self._interrupt)

    def _listen(self, handler: Callable[[int, Any], None] | None) -> None:
        """Handle signals that are handled at all, or, with None, let them be handled as before."""
        if handler is None and self._last is not None:
            self._last.cancel()
        for number, before in self._handlers.items():
            if before not in (signal.SIG_IGN, None):
                signal.signal(number, before if handler is None else handler)

    def _interrupt(self, number: int, frame: Any) -> None:
        """Note that the user wants to stop; at once if it is the second time."""
        now = time.monotonic()
        if now - self._obeyed < _ONCE:  # the launcher passes on what the terminal has sent already
            return
        if self.interrupted:
            signal.signal(number, self._handlers[number])
            signal.raise_signal(number)
        self.interrupted, self._obeyed = True, now
        if number == signal.SIGTERM:  # whose sender waits for some time only
            self._last = threading.Timer(_PATIENCE, os.kill, (os.getpid(), number))
            self._last.daemon = True
            self._last.start()

    @contextmanager
    def leaving(self) -> Iterator[None]:
        """Tell the others of an exception that leaves a with block."""
        try:
            yield
        except BaseException as error:
            self.leave(error)
            raise

    # Operations, which every rank must call

    def sum(self, array: Array, operation: str = "a sum") -> Array:
        """Replace an array by the sum of all ranks' arrays, of the same shape and dtype, in place; return it."""
        self.sums([array], operation)
        return array

    def sums(self, arrays: list[Array], operation: str = "a sum") -> None:
        """Replace several arrays as `sum` does, after one meeting."""
        self.meet(operation)
        with self._unbroken():
            for array in arrays:
                self.comm.Allreduce(self._here, array, op=self._sum)

    def gather(self, array: Array) -> Array:
        """Return the arrays of all ranks, of the same shape and dtype, stacked along a new first axis (ranks, ...)."""
        self.meet("a gathering of numbers")
        array = np.ascontiguousarray(array)
        found = np.empty((self.size, *array.shape), array.dtype)
        with self._unbroken():
            self.comm.Allgather(array, found)
        return found

    def collect(self, value: Object, operation: str = "an exchange of objects") -> list[Object]:
        """Return the objects of all ranks in their order; they are pickled."""
        self.meet(operation)
        return self.comm.allgather(value)

    def from_first(self, value: Object, operation: str = "an object from rank 0") -> Object:
        """Return rank 0's object; it is pickled."""
        self.meet(operation)
        return self.comm.bcast(value, root=0)  # type: ignore[no-any-return]

    def copy_first(self, arrays: list[Array]) -> None:
        """Replace C-contiguous arrays by rank 0's, in place."""
        self.meet("an object from rank 0")
        with self._unbroken():
            for array in arrays:
                self.comm.Bcast(array, root=0)

    @contextmanager
    def _unbroken(self) -> Iterator[None]:
        """Surround what follows a meeting: whoever fails in here cannot tell the others any more, and ends them."""
        try:
            yield
        except BaseException as error:
            self.abort(error)
            raise


_groups: list[Group] = []
_active: list[Group] = []
_key: list[int] = []  # under which MPI keeps the group of a communicator, as long as there is that communicator


def group_of(comm: Communicator | None) -> Group | None:
    """Return the group of a communicator, the same one each time; None if there is none, or one rank only.

    A group's own communicator leads to that group: whoever leaves says so in one place. The first call for a
    communicator must be made by all of its ranks.
    """
    if comm is None or comm.size == 1:
        return None
    if not _key:
        _key.append(comm.Create_keyval())
    group: Group | None = comm.Get_attr(_key[0])
    if group is None:
        group = Group(comm)
        _groups.append(group)
        for one in (comm, group.comm):
            one.Set_attr(_key[0], group)
    return group


def active_group() -> Group | None:
    """Return the group that is doing something together now, such as a fit; None outside."""
    return _active[-1] if _active else None


# Errors that are printed once


def mark_told(error: Any, *, quiet: bool = False) -> Any:
    """Note that every rank knows of an error; and that this rank need not print it."""
    error._minidl_known, error._minidl_quiet = True, quiet
    return error


def _known(error: BaseException) -> bool:
    return getattr(error, "_minidl_known", False)


def is_told_elsewhere(error: BaseException) -> bool:
    """Return whether another rank prints this error, or the one from which it has come."""
    return any(getattr(one, "_minidl_quiet", False) for one in _chain(error))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


_hooked: list[Group] = []


def _install_hook(group: Group) -> None:
    """Let an exception that nobody catches end all ranks, printed once."""
    _hooked.append(group)
    if len(_hooked) > 1:
        return
    previous = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not is_told_elsewhere(error):
            previous(kind, error, trace)
        _flush()
        if not any(map(_known, _chain(error))):
            group.comm.Abort(1)

    sys.excepthook = hook


def _sharing(comm: Communicator) -> int:
    """Return how many ranks, this one included, may use the CPUs that this one may use: those of its machine, unless
    the launcher has bound each to CPUs of its own.
    """
    cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    own = platform.node(), cpus
    return comm.allgather(own).count(own)


def _done(request: Any, seconds: float) -> bool:
    """Wait for a request; return whether it was completed in time."""
    end = time.monotonic() + seconds
    pause = 1e-5
    while not request.Test():
        if time.monotonic() > end:
            return False
        time.sleep(pause)
        pause = min(2 * pause, 0.01)
    return True


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


def _after_fork() -> None:
    """A forked child is no rank."""
    for own in (_groups, _active, _hooked):
        own.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
