"""What a table of figures says of the machine that it was measured on."""

from __future__ import annotations

import os
import platform
import re
from contextlib import suppress
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")  # Linux
VECTORS = {"avx512f": "AVX-512", "avx2": "AVX2", "asimd": "NEON"}  # the widest first


def processor(cpuinfo: Path = CPUINFO) -> str:
    """Return the model of the processor and its widest vectors."""
    text = ""
    with suppress(OSError):
        text = cpuinfo.read_text()
    model = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*: (.+)$", text, re.MULTILINE)
    known = flags[1].split() if flags else []
    vectors = [name for flag, name in VECTORS.items() if flag in known][:1]
    return ", ".join([model[1] if model else platform.processor() or platform.machine(), *vectors])


def describe() -> str:
    """Return a line about the machine, with the load of the last minute: figures of a busy one are provisional."""
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{processor()}; {os.cpu_count()} CPUs{load}; {platform.system()}, Python {platform.python_version()}"
