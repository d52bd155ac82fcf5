"""add_command: declares one command of the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

__all__ = ["add_command"]


def add_command(
    commands: Any, run: Callable[[argparse.Namespace], int], *, text: str, description: str, example: str
) -> argparse.ArgumentParser:
    """Add a command, with the name of the function that runs it.

    Args:
        commands: what argparse's `add_subparsers` returned.
        run: takes the parsed options and returns the exit code.
        text: what the command does, for the list of commands.
        description: the same in more detail, for the command's own help.
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
