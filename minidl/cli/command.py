"""add_command: how every command of the command line is declared."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

__all__ = ["add_command"]


def add_command(
    commands: Any, run: Callable[[argparse.Namespace], int], *, text: str, description: str, example: str
) -> argparse.ArgumentParser:
    """Add a command, named as the function that runs it.

    Args:
        commands: what argparse's `add_subparsers` returned.
        run: is given the parsed options, and returns the exit code.
        text: what the command does, for the list of commands.
        description: the same in full, for its own help.
        example: a command line that works.

    Returns:
        The command's parser.
    """
    name = run.__name__
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=description, epilog=f"example: {example}"
    )
    parser.set_defaults(run=run)
    return parser
