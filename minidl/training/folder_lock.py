"""FolderLock: a folder in which one fit writes at a time, whichever process or thread it runs in."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from pathlib import Path
from types import TracebackType

if sys.platform == "win32":
    import msvcrt

    _REFUSED: type[OSError] = PermissionError
else:
    import fcntl

    _REFUSED = BlockingIOError

__all__ = ["LOCK", "FolderLock"]

LOCK = ".lock"  # on Windows, where a folder itself cannot be locked


class FolderLock:
    """Hold a folder until `release`, or the end of a with block.

    The thread that holds it may hold it again, so that a command can hold the folder of its fit. The system releases
    what a process held when it dies, and forked children neither hold nor release it. Where the file system has no
    locks only the threads of this process are kept apart; on network file systems it may be those of one machine.

    Args:
        folder: an existing folder.

    Raises:
        RuntimeError: another process or thread holds it.
        OSError: there is no such folder.
    """

    def __init__(self, folder: Path) -> None:
        self._name = os.path.normcase(os.path.realpath(folder))
        with _guard:
            held = _held.get(self._name)
            if held is not None and held.thread != threading.get_ident():
                raise _in_use(folder)
            if held is None:
                held = _held[self._name] = _lock(folder)
            held.count += 1
        self._holds: _Held | None = held

    def release(self) -> None:
        """Let the folder go; a second call does nothing."""
        held, self._holds = self._holds, None
        with _guard:
            if held is None or _held.get(self._name) is not held:  # a child has none of its parent's
                return
            held.count -= 1
            if not held.count:
                del _held[self._name]
                held.unlock()

    def __enter__(self) -> FolderLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class _Held:
    """A lock of this process: how often its thread holds it."""

    def __init__(self, descriptor: int | None, file: Path | None = None) -> None:
        self.descriptor, self.file, self.thread, self.count = descriptor, file, threading.get_ident(), 0

    def unlock(self) -> None:
        """End the lock at once, though a child that was just forked may still have its descriptor."""
        if sys.platform != "win32" and self.descriptor is not None:
            fcntl.flock(self.descriptor, fcntl.LOCK_UN)
        self.close()

    def close(self) -> None:
        """Close the descriptor, which does not end the lock while another process has it."""
        descriptor, self.descriptor = self.descriptor, None
        if descriptor is not None:
            os.close(descriptor)
        if self.file is not None:
            with contextlib.suppress(OSError):  # another process has opened it since
                self.file.unlink()


_held: dict[str, _Held] = {}
_guard = threading.Lock()


def _lock(folder: Path) -> _Held:
    """Lock a folder for this process, if the file system has locks: otherwise its fit goes on without one."""
    file = folder / LOCK if sys.platform == "win32" else None
    held = _Held(os.open(folder, os.O_RDONLY) if file is None else os.open(file, os.O_RDWR | os.O_CREAT), file)
    assert held.descriptor is not None
    try:
        if sys.platform == "win32":
            msvcrt.locking(held.descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(held.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except _REFUSED:
        held.close()
        raise _in_use(folder) from None
    except OSError:  # there are no locks
        held.close()
    except BaseException:
        held.close()
        raise
    return held


def _in_use(folder: Path) -> RuntimeError:
    return RuntimeError(f"another fit is writing to {folder}; wait until it has ended, or choose another folder")


def _before_fork() -> None:
    """Wait until every descriptor is known, so that a child can close it."""
    _guard.acquire()


def _after_fork() -> None:
    _guard.release()


def _in_child() -> None:
    """Close the parent's descriptors, which releases nothing, and hold nothing."""
    for held in _held.values():
        held.close()
    _held.clear()
    _guard.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_child)
