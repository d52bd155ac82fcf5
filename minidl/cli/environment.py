"""environment: what minidl runs on."""

from __future__ import annotations

import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from .._core import available_cpus, blas_threads, cpu_quota, get_num_threads
from .._version import __version__
from .engines import describe_engine

__all__ = ["environment"]


def environment() -> dict[str, str]:
    """Return versions, BLAS, CPUs, engine and threads by name."""
    config: dict[str, Any] = np.show_config(mode="dicts")  # type: ignore[assignment]
    blas = config.get("Build Dependencies", {}).get("blas", {})
    quota = cpu_quota()
    return {
        "minidl": __version__,
        "Python": f"{platform.python_version()} ({platform.python_implementation()})",
        "NumPy": np.__version__,
        "Platform": platform.platform(),
        "BLAS": f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip(),
        "CPUs": f"{os.cpu_count()}, usable {available_cpus()}" + (f", container quota {quota:g}" if quota else ""),
        "Engine": describe_engine(),
        "MPI": _mpi(),
        "Threads": f"{get_num_threads()}, BLAS by itself {blas_threads() or 'unknown'}",
    }


def _mpi() -> str:
    """Return what there is for training on several processes, without starting MPI."""
    try:
        found = f"mpi4py {version('mpi4py')}"
    except PackageNotFoundError:
        return "mpi4py is not installed (pip install 'minidl[mpi]' mpich)"
    mpiexec = shutil.which("mpiexec")
    return f"{found}, {mpiexec}" if mpiexec else f"{found}, but there is no mpiexec on the PATH (pip install mpich)"
