"""What the commands print: lines, or JSON; and silence where it is wanted."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

__all__ = ["say", "show"]


def say(options: argparse.Namespace, text: str) -> None:
    """Print a line, unless --quiet or --json. When nobody reads any more the work goes on in silence."""
    if not options.quiet and not options.json:
        _print(text)


def show(options: argparse.Namespace, data: dict[str, Any], text: str) -> None:
    """Print a command's result: as JSON with --json, else as text, also with --quiet."""
    _print(json.dumps(data, default=float) if options.json else text)


def _print(text: str) -> None:
    try:
        print(text, flush=True)
    except OSError:
        # what follows, and what Python flushes at its end, goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
