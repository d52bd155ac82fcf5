"""``minidl info``: show versions, BLAS, engine and threads."""

from __future__ import annotations

import argparse
from typing import Any

from .command import add_command
from .environment import environment
from .output import show

__all__ = ["add_info"]


def add_info(commands: Any) -> None:
    """Add the command."""
    add_command(
        commands,
        info,
        text="show versions, BLAS, engine and threads",
        description="Show the versions, BLAS, CPUs, engine and threads that minidl runs with here.",
        example="minidl info",
    )


def info(options: argparse.Namespace) -> int:
    """Run the command."""
    facts = environment()
    show(options, facts, "\n".join(f"{name + ':':<12}{value}" for name, value in facts.items()))
    return 0
