"""Starting the ranks of a benchmark: mpiexec, and what to do if there is none."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from turns import HERE

FIX = 'pip install "minidl[mpi]" mpich'


def mpiexec() -> str:
    """Return the path of mpiexec: of the environment of this Python, or on the path.

    Raises:
        SystemExit: there is none.
    """
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    found = shutil.which("mpiexec", path=places)
    if found is None:
        sys.exit(f"mpiexec was not found; {FIX}, or put your cluster's MPI on the path (module load openmpi)")
    return found


def check_mpi() -> str:
    """Return the version of MPI, after two ranks have met.

    Raises:
        SystemExit: mpi4py is missing, finds no MPI, or another one than mpiexec's.
    """
    command = [mpiexec(), "-n", "2", sys.executable, "-c"]
    code = "from mpi4py import MPI; c = MPI.COMM_WORLD; c.rank or print(c.size, MPI.Get_library_version())"
    run = subprocess.run([*command, code], capture_output=True, text=True, check=False)
    if "No module named 'mpi4py'" in run.stderr:
        sys.exit(f"mpi4py is not installed; {FIX}")
    if run.returncode:
        sys.exit(f"mpi4py does not run under {command[0]}; {FIX}, or set MPI4PY_LIBMPI to its library:\n{run.stderr}")
    met, *version = run.stdout.splitlines()[0].split()
    if met != "2":
        sys.exit(
            f"{command[0]} starts ranks that do not find each other: it belongs to another MPI than mpi4py's; {FIX}"
        )
    return " ".join(version)


def program(script: str, ranks: int, within: Sequence[str] = ()) -> list[str]:
    """Return the command that starts a script of this folder on some ranks, each by the command ``within``."""
    return [mpiexec(), "-n", str(ranks), *within, sys.executable, "-m", "mpi4py", str(HERE / script)]


def output(command: Sequence[str], variables: Mapping[str, str]) -> Any:
    """Run a command; return what it prints as JSON in its last line.

    Raises:
        RuntimeError: it failed; its own message is on standard error.
    """
    run = subprocess.run(command, env=variables, stdout=subprocess.PIPE, text=True, check=False)
    if run.returncode:
        raise RuntimeError(f"it ended with exit code {run.returncode}: {' '.join(command)}")
    return json.loads(run.stdout.splitlines()[-1])
