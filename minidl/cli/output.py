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
    if options.quiet or options.json:
        return
    try:
        print(text, flush=True)
    except OSError:
        _to_nowhere()


def show(options: argparse.Namespace, data: dict[str, Any], text: str) -> None:
    """Print a command's result: as JSON with --json, else as text, also with --quiet."""
    try:
        print(json.dumps(data, default=float) if options.json else text, flush=True)
    except BrokenPipeError:
        _to_nowhere()
    except OSError:
        _to_nowhere()
        raise


def _to_nowhere() -> None:
    """Let what follows, and what Python flushes at its end, go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
