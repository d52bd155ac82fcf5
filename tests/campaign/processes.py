"""Processes for the attacks: forked from this one, which has imported minidl already, and killed at some moment."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

Work = Callable[[], object]


def forked(work: Work) -> int:
    """Start a process that does some work and exits, with 1 after an exception; return its id.

    The traceback is written to error.txt in the current folder.
    """
    error = Path.cwd() / "error.txt"
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        error.write_text(traceback.format_exc())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def ended(process: int, seconds: float) -> int | None:
    """Wait for a process; return its exit code, negative after a signal, or None if the time was up."""
    end = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= end:
            return None
        time.sleep(min(0.001, max(0.0, end - time.monotonic())))


def whole(work: Work, seconds: float = 25.0) -> float:
    """Do some work in a process of its own, to its end; return how long it took."""
    start = time.monotonic()
    process = forked(work)
    code = ended(process, seconds)
    if code is None:
        killed(process)
    check(code, time.monotonic() - start)
    return time.monotonic() - start


def check(code: int | None, seconds: float = 0.0) -> None:
    """Raise if a forked process ended with an exit code other than 0, or (None) did not end in so many seconds."""
    error = Path("error.txt")
    text = error.read_text() if code == 1 and error.exists() else ""
    assert code == 0, f"no end in {seconds:.1f} s" if code is None else f"exit code {code}\n{text}"


def killed(process: int) -> bool:
    """Send SIGKILL to a process; return whether it was still there."""
    os.kill(process, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGKILL


def killed_after(work: Work, seconds: float) -> bool:
    """Do some work in a process that is killed after so many seconds; return False if it was done before."""
    process = forked(work)
    code = ended(process, seconds)
    check(code or 0, seconds)
    return code is None and killed(process)


def killed_at_write(work: Work, folder: Path, number: int, delay: float) -> bool:
    """Do some work in a process that is killed at its so many-th operation on a file in a folder.

    Operations are opening for writing, renaming and deleting. Without delay it is killed just before.

    Returns:
        False if it was done before.
    """
    reading, writing = os.pipe()
    count = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event not in ("open", "os.rename", "os.remove") or not str(arguments[0]).startswith(str(folder)):
            return
        if event == "open" and not int(arguments[2]) & (os.O_WRONLY | os.O_RDWR):  # type: ignore[call-overload]
            return
        count += 1
        if count == number:
            if not delay:
                os.kill(os.getpid(), signal.SIGKILL)
            os.write(writing, b"x")

    def watched() -> None:
        sys.addaudithook(hook)
        work()

    process = forked(watched)
    os.close(writing)
    try:
        while not select.select([reading], [], [], 25.0)[0]:
            killed(process)
            raise AssertionError("no end after 25 s")
        if os.read(reading, 1):
            time.sleep(delay)
            return killed(process)
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        if code != -signal.SIGKILL:
            check(code)
        return code != 0
    finally:
        os.close(reading)
