"""Runs checks: mpiexec -n K python -m mpi4py -m ranked FOLDER [CHECK ...]; what they give is written to the folder."""

import faulthandler
import json
import sys
import time
import traceback
import warnings
from pathlib import Path

import minidl

from . import CHECKS, evaluating, exact, failing, groups, judging, layers, resuming, stopping, tools  # noqa: F401

_PATIENCE = 100  # seconds that one check may take


def main(folder, names):
    comm = None
    if "mpi4py" in sys.modules:
        from mpi4py import MPI

        comm = MPI.COMM_WORLD
    rank, size = (0, 1) if comm is None else (comm.rank, comm.size)
    warnings.simplefilter("error")
    for name in names or [name for name, (_, sizes) in CHECKS.items() if size in sizes]:
        if rank == 0:
            (folder / "begun").write_text(name)
        faulthandler.dump_traceback_later(_PATIENCE, exit=True)
        minidl.manual_seed(0)
        start = time.monotonic()
        try:
            found = {"found": CHECKS[name][0](comm)}
        except Exception:
            found = {"error": traceback.format_exc()}
        everyone = [found] if comm is None else comm.allgather(found)
        faulthandler.cancel_dump_traceback_later()
        if rank == 0:
            with (folder / "found").open("a") as file:
                print(
                    json.dumps([name, everyone, time.monotonic() - start], default=lambda array: array.tolist()),
                    file=file,
                )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
