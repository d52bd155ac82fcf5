"""Launches ranks for the tests: all checks of the package `ranked` in one launch for each number of ranks."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
SLOW = 240  # seconds that one launch of checks may take


def mpiexec():
    """The launcher beside this Python, as that of the package mpich, or another one; None if there is none."""
    return shutil.which("mpiexec", path=os.path.dirname(sys.executable)) or shutil.which("mpiexec")


def need_mpi():
    """Skip the test where ranks cannot be started."""
    pytest.importorskip("mpi4py", reason="several processes need the extra 'mpi'")
    if mpiexec() is None:
        pytest.skip("there is no mpiexec")


def environment(**more):
    """The environment of a rank: minidl and the tests are found, and no thread waits for a core."""
    path = os.pathsep.join([str(TESTS.parent), str(TESTS), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", **more}


def command(ranks, *arguments):
    """The command line that runs Python on a number of ranks."""
    return [mpiexec(), "-n", str(ranks), sys.executable, "-m", "mpi4py", *map(str, arguments)]


class Ended:
    """How a launch has ended: its exit code, what it has printed, and how long it took."""

    def __init__(self, code, out, err, seconds):
        self.code, self.out, self.err, self.seconds = code, out, err, seconds

    def __repr__(self):
        return f"exit code {self.code} after {self.seconds:.1f} s\n{self.out}\n{self.err}"


def launch(ranks, *arguments, timeout=60, **more):
    """Run Python with some arguments on ranks; kill them all if it takes longer than the timeout."""
    start = time.monotonic()
    line = command(ranks, *arguments) if ranks > 1 else [sys.executable, *map(str, arguments)]
    process = subprocess.Popen(
        line,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**more),
        cwd=TESTS,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        err += f"\nkilled after {timeout} s"
    return Ended(process.returncode, out, err, time.monotonic() - start)


class Ranked:
    """What the checks have found, by the number of ranks and the name; each number is launched once, when first asked.

    A check that hangs ends its launch; the ones behind it get another.
    """

    def __init__(self, folder):
        self._folder, self._found = folder, {}

    def __call__(self, ranks, name):
        """What a check returned on each rank, a list; in one process the value itself."""
        if ranks not in self._found:
            self._found[ranks] = self._launch(ranks)
        found = self._found[ranks]
        if name not in found:
            pytest.fail(f"{name} was not run on {ranks} ranks")
        if isinstance(found[name], str):
            pytest.fail(f"{name} on {ranks} ranks: {found[name]}")
        if wrong := [f"rank {rank}: {one['error']}" for rank, one in enumerate(found[name]) if "error" in one]:
            pytest.fail(f"{name} on {ranks} ranks failed\n" + "\n".join(wrong))
        values = [one["found"] for one in found[name]]
        return values if ranks > 1 else values[0]

    def _launch(self, ranks):
        from ranked import (
            CHECKS,
            __main__,  # noqa: F401 - registers the checks
        )

        left, found, launches = [name for name, (_, sizes) in CHECKS.items() if ranks in sizes], {}, 0
        while left:
            launches += 1
            folder = self._folder / f"{ranks}-{launches}"
            folder.mkdir()
            ended = launch(ranks, "-m", "ranked", folder, *left, timeout=SLOW)
            lines = (folder / "found").read_text().splitlines() if (folder / "found").exists() else []
            for name, everyone, seconds in map(json.loads, lines):
                found[name] = everyone
                print(f"{ranks} ranks, {name}: {seconds:.2f} s")
            left = [name for name in left if name not in found]
            if left:  # the one that was running has ended everything
                begun = (folder / "begun").read_text() if (folder / "begun").exists() else left[0]
                found[begun] = f"did not end as it should\n{ended}"
                left = [name for name in left if name != begun]
                if launches > 5:
                    found.update(dict.fromkeys(left, f"not run, too much went wrong before\n{ended}"))
                    break
        return found
