"""Times of sums over all ranks, and of messages, as JSON: pairs of bytes and a list of seconds.

    mpiexec -n N python -m mpi4py benchmarks/mpi_times.py allreduce COUNT ...    the sum of COUNT float32, in place
    mpiexec -n N python -m mpi4py benchmarks/mpi_times.py meeting                minidl's meeting: a maximum of integers
    mpiexec -n 2 python -m mpi4py benchmarks/mpi_times.py exchange COUNT ...     COUNT float32 both ways at once

Each number is the mean over a block of calls, one right after the other. Behind a barrier one rank may begin later than
the other by what a message takes, and finds a message there already: then every other call takes no time, the rest
twice as long. So the calls of a block are an even number.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import numpy as np
from mpi4py import MPI

BLOCKS = 20
BLOCK = 0.003  # seconds of a block, about
INTEGERS = 3  # of a meeting


def times(call: Callable[[], object], comm: MPI.Intracomm) -> list[float]:
    """Return the mean seconds of a call, for each of some blocks."""
    comm.Barrier()
    start = time.perf_counter()
    for _ in range(3):
        call()
    calls = 2 * comm.bcast(max(1, min(100, round(1.5 * BLOCK / (time.perf_counter() - start)))))
    found = []
    for _ in range(BLOCKS):
        comm.Barrier()
        start = time.perf_counter()
        for _ in range(calls):
            call()
        found.append((time.perf_counter() - start) / calls)
    return found


def operation(task: str, count: int, comm: MPI.Intracomm) -> tuple[int, Callable[[], object]]:
    """Return how many bytes a task is about, and a function that does it once."""
    numbers, others = np.zeros(count, np.float32), np.zeros(count, np.float32)
    if task == "allreduce":
        return numbers.nbytes, lambda: comm.Allreduce(MPI.IN_PLACE, numbers)
    if task == "exchange":
        return numbers.nbytes, lambda: comm.Sendrecv(numbers, 1 - comm.rank, recvbuf=others)
    integers = np.zeros(INTEGERS, np.int64)
    return integers.nbytes, lambda: comm.Iallreduce(MPI.IN_PLACE, integers, op=MPI.MAX).Wait()


def main() -> None:
    """Print the times of a task."""
    comm, task = MPI.COMM_WORLD, sys.argv[1]
    found = []
    for count in map(int, sys.argv[2:] or ["0"]):
        size, call = operation(task, count, comm)
        found.append([size, times(call, comm)])
    if comm.rank == 0:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
