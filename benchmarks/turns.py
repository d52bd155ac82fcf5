"""Workers that take turns: each side of a comparison runs worker.py in its own process.

When the sides alternate (A B B A ...), a drift in the machine's speed affects all of them alike.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

HERE = Path(__file__).parent
WORKER = str(HERE / "worker.py")
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")

Case = tuple[str, str, int]  # net, task, batch


def environment(threads: int, checkout: Path | None = None) -> dict[str, str]:
    """Return the environment of a process with a number of threads that imports minidl from a checkout."""
    variables = {**os.environ, **dict.fromkeys(THREADS, str(threads))}
    if checkout is not None:
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, [str(checkout.resolve()), os.environ.get("PYTHONPATH")]))
    return variables


class Worker:
    """A running worker; a context manager that ends it. ``program`` is worker.py, with this process's Python."""

    def __init__(
        self,
        side: str,
        case: Case,
        environment: Mapping[str, str],
        program: Sequence[str] = (sys.executable, WORKER),
    ) -> None:
        self.command = [*program, side, *map(str, case)]
        self.process = subprocess.Popen(
            self.command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def run(self, steps: int) -> list[float]:
        """Run some steps; return their durations in seconds.

        Raises:
            RuntimeError: the worker has failed; its own message is on standard error.
        """
        assert self.process.stdin and self.process.stdout
        with suppress(BrokenPipeError):  # it has ended: below there is no line to read, either
            self.process.stdin.write(f"{steps}\n")
            self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker failed: {' '.join(self.command[1:])}")
        seconds: list[float] = json.loads(line)
        return seconds

    def finish(self) -> int:
        """End the process; return its peak memory in bytes."""
        out, _ = self.process.communicate()
        return int(json.loads(out))


@dataclass
class Result:
    """Durations of the steps in seconds and peak memory in bytes, by side."""

    seconds: dict[str, list[float]]
    peak: dict[str, int]


def measure(workers: Mapping[str, Worker], rounds: int, seconds: float) -> Result:
    """Let workers take turns of about ``seconds`` each, in the opposite order every other round; end them.

    All run the same number of steps, so that none has more chances to be fast.
    """
    slowest = max(min(worker.run(3)) for worker in workers.values())
    steps = max(2, min(500, round(seconds / slowest)))
    times: dict[str, list[float]] = {side: [] for side in workers}
    for number in range(rounds):
        for side in list(workers)[:: -1 if number % 2 else 1]:
            times[side] += workers[side].run(steps)
    return Result(times, {side: worker.finish() for side, worker in workers.items()})
