"""The frame of the campaign: draw after draw, each from a seed of its own, in a process that may hang or die.

The process of an attack is forked from one that has imported minidl. It writes into a pipe which draw it begins, and
what it has counted. A draw that takes too long, kills its process or takes more memory than `MEMORY` is a finding, too.
After a finding the attack goes on with the next draw in a new process.
"""

from __future__ import annotations

import faulthandler
import importlib
import importlib.util
import json
import os
import pkgutil
import resource
import select
import signal
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np

MEMORY = 2**30  # bytes; more than that in one process is a finding
FINDINGS = 10  # after which an attack is given up
Draw = Callable[[np.random.Generator, "Counter[str]"], None]


class Attack(NamedTuple):
    """An attack: its name, KIND.FUNCTION; one draw of it; how long that may take; what must be installed."""

    name: str
    draw: Draw
    limit: float
    needs: tuple[str, ...]

    @property
    def missing(self) -> str:
        """What is not installed."""
        return ", ".join(name for name in self.needs if importlib.util.find_spec(name) is None)


ATTACKS: dict[str, Attack] = {}


def attack(limit: float = 30.0, needs: tuple[str, ...] = ()) -> Callable[[Draw], Draw]:
    """Decorate the function that makes one draw of an attack; a draw longer than ``limit`` seconds is a hang."""

    def register(draw: Draw) -> Draw:
        name = f"{draw.__module__.rpartition('.')[2]}.{draw.__name__}"
        ATTACKS[name] = Attack(name, draw, limit, needs)
        return draw

    return register


def discover() -> dict[str, Attack]:
    """Import every file of this package, and return the attacks by name."""
    package = __package__ or ""
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if not module.name.startswith(("__main__", "test_")):
            importlib.import_module(f"{package}.{module.name}")
    return dict(sorted(ATTACKS.items()))


@dataclass
class Result:
    """What became of an attack."""

    attack: Attack
    draws: int = 0
    seconds: float = 0.0
    memory: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    found: dict[int, str] = field(default_factory=dict)

    def __str__(self) -> str:
        counted = ", ".join(f"{count:,} {name}" for name, count in self.counts.items())
        memory = f"{self.memory / 2**20:.0f} MB"
        return f"{self.attack.name}: {self.draws:,} draws in {self.seconds:.0f} s, {memory}: {counted or 'nothing'}"


def generator(attack: Attack, seed: int, number: int) -> np.random.Generator:
    """Return the generator of a draw."""
    return np.random.default_rng([seed, zlib.crc32(attack.name.encode()), number])


def run(
    attack: Attack, seconds: float, seed: int, only: int | None = None, tell: Callable[[Result], None] = lambda _: None
) -> Result:
    """Draw for so many seconds, at least once; or ``only`` the draw of a number."""
    result, number = Result(attack), 0 if only is None else only
    with tempfile.TemporaryDirectory(prefix="campaign-", ignore_cleanup_errors=True) as folder:
        _run(result, seconds, seed, number, only is not None, folder, tell)
    return result


def _run(
    result: Result, seconds: float, seed: int, number: int, alone: bool, folder: str, tell: Callable[[Result], None]
) -> None:
    start = time.monotonic()
    end = start + seconds
    while len(result.found) < FINDINGS:
        reading, writing = os.pipe()
        process = os.fork()
        if process == 0:
            os.close(reading)
            _work(result.attack, seed, number, alone, end, writing, folder)
        os.close(writing)
        try:
            number, ended = _listen(reading, process, result, number, start, tell)
        finally:
            os.close(reading)
        result.seconds = time.monotonic() - start
        if ended or alone:
            break
        number += 1
        if time.monotonic() > end:
            break


def _listen(
    pipe: int, process: int, result: Result, number: int, start: float, tell: Callable[[Result], None]
) -> tuple[int, bool]:
    """Take down what a process reports; return the number of its last draw, and whether it is done with its time."""
    limit, rest, ended = result.attack.limit, b"", False
    begun = time.monotonic()
    try:
        while True:
            if not select.select([pipe], [], [], max(0.0, begun + limit - time.monotonic()))[0]:
                os.kill(process, signal.SIGUSR1)  # faulthandler: where is it?
                time.sleep(0.5)
                result.found[number] = f"no end after {limit:g} s; where it was stands above"
                result.draws += 1
                break
            piece = os.read(pipe, 2**16)
            if not piece:
                break
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                report = json.loads(line)
                begun = time.monotonic()
                if isinstance(report, int):
                    number = report
                    continue
                result.draws += report["draws"]
                result.counts.update(report["counts"])
                result.memory = max(result.memory, report["memory"])
                if report["found"]:
                    result.found[number] = report["found"]
                ended = report["ended"]
            result.seconds = time.monotonic() - start
            tell(result)
    finally:
        if ended:
            os.waitpid(process, 0)
            status = 0
        else:
            _end_group(process)
            _, status = os.waitpid(process, 0)
    if not ended and number not in result.found:
        result.found[number] = f"its process died, status {os.waitstatus_to_exitcode(status)}"
        result.draws += 1
    return number, ended


def _end_group(process: int) -> None:
    """End a process and what it has started, as far as it is left."""
    for kill in (os.killpg, os.kill):
        try:
            kill(process, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _work(attack: Attack, seed: int, number: int, alone: bool, end: float, pipe: int, folder: str) -> NoReturn:
    """Make draws and report them; in a process of its own, which ends here."""
    os.setsid()  # Ctrl-C is for the campaign; and all that is started here can be ended together
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    warnings.simplefilter("ignore")  # of fits that were stopped, forks beside threads: they are meant here
    signal.signal(signal.SIGINT, signal.default_int_handler)
    reported, draws, counts = time.monotonic(), 0, Counter[str]()
    code = 1
    try:
        while True:
            os.write(pipe, f"{number}\n".encode())
            found = _made(attack, generator(attack, seed, number), counts, folder)
            draws += 1
            memory = _memory()
            if not found and memory > MEMORY:
                found = f"{memory / 2**20:.0f} MB of memory"
            now = time.monotonic()
            ended = alone or (now > end and not found)
            if found or ended or now > reported + 0.5:
                report = {"draws": draws, "counts": counts, "memory": memory, "found": found, "ended": ended}
                os.write(pipe, f"{json.dumps(report)}\n".encode())
                reported, draws, counts = now, 0, Counter()
            if found or ended:
                break
            number += 1
        code = 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _made(attack: Attack, rng: np.random.Generator, counts: Counter[str], above: str) -> str:
    """Make a draw in an empty folder of its own; return the traceback if something was found."""
    with tempfile.TemporaryDirectory(dir=above, ignore_cleanup_errors=True) as folder:
        os.chdir(folder)
        try:
            attack.draw(rng, counts)
        except BaseException:
            return traceback.format_exc()
        finally:
            os.chdir("/")
    return ""


def _memory() -> int:
    """Return the most memory that this process, or one that it has waited for, ever had; in bytes."""
    most = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return most if sys.platform == "darwin" else 1024 * most
