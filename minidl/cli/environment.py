"""environment: what minidl runs on."""

from __future__ import annotations

import os
import platform
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
        "Threads": f"{get_num_threads()}, BLAS by itself {blas_threads() or 'unknown'}",
    }
