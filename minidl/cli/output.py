"""What the commands print: text or JSON, or nothing if so requested."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Sequence
from typing import Any

from .._core import plain, printable

__all__ = ["aligned", "complain", "is_muted", "mute", "say", "show"]

_lost: list[OSError] = []  # why a line could not be written
_muted = [False]  # whether this process is one of several, of which another one prints


def mute(muted: bool = True) -> None:
    """Print nothing from now on; or go on printing."""
    _muted[0] = muted


def is_muted() -> bool:
    """Return whether another process prints."""
    return _muted[0]


def say(options: argparse.Namespace, text: str) -> None:
    """Print a line, unless --quiet or --json. If it cannot be written, the work continues silently."""
    if options.quiet or options.json or is_muted():
        return
    try:
        print(printable(text, keep="\n"), flush=True)
    except OSError as error:
        _to_nowhere()
        if not isinstance(error, BrokenPipeError):
            _lost.append(error)


def show(options: argparse.Namespace, data: dict[str, Any], text: str) -> None:
    """Print a command's result, even with --quiet: as JSON with --json, otherwise as text.

    Raises:
        OSError: it cannot be written, or a line before it could not; a reader who has left a pipe wants none.
    """
    if is_muted():
        return
    if _lost:
        raise _lost.pop()
    try:
        print(json.dumps(_plain(data), allow_nan=False) if options.json else printable(text, keep="\n"), flush=True)
    except BrokenPipeError:
        _to_nowhere()
    except OSError:
        _to_nowhere()
        raise


def complain(who: str, text: object, files: Sequence[str] = ()) -> None:
    """Print a warning or an error, on one line of standard error; files that it is about follow, one on each line."""
    if is_muted():
        return
    head = f"{who}: {printable(' '.join(str(text).split()))}"
    lines = [f"{head}:" if files else head, *(f"  {printable(' '.join(one.split()))}" for one in files)]
    print("\n".join(lines), file=sys.stderr)


def aligned(rows: Sequence[Sequence[Any]]) -> str:
    """Return rows as a table whose columns are as wide as they need to be; None is shown as a dash."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) >= 0.001 or value == 0 else f"{value:.3g}"  # a learning rate is not 0.0000
    return "-" if value is None else printable(value)


def _plain(data: Any) -> Any:
    """Return data as JSON can hold it: a number that is not finite, which JSON does not have, becomes null."""
    if isinstance(data, dict):
        return {name: _plain(value) for name, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_plain(value) for value in data]
    if isinstance(data, str) or data is None:
        return data
    value = plain(data)
    return value if math.isfinite(value) else None


def _to_nowhere() -> None:
    """Discard what follows, and what Python flushes when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
