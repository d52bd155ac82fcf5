"""user_path: every path that a user gives goes through here."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["user_path"]


def user_path(path: str | os.PathLike[str]) -> Path:
    """Return a path that a user gave, in Python, on the command line or in a file, with "~" and "~user" expanded.

    Raises:
        TypeError: it is not a path.
        ValueError: it holds control characters, which come from backslashes, or begins with "~" and an unknown user.
    """
    text = str(Path(path)) if not isinstance(path, str) else path  # Path turns "./~x" into "~x", which is not the same
    if any(ord(character) < 32 for character in text):
        raise ValueError(
            f"the path {text!r} holds control characters: a backslash in double quotes is an escape, as \\t is; write "
            "the path with /, in single quotes in a TOML file, or as r'...' in Python"
        )
    expanded = os.path.expanduser(text)  # unlike Path.expanduser, it leaves an unknown user alone
    if expanded.startswith("~"):
        first = Path(expanded).parts[0]
        raise ValueError(
            f"the path {text} begins with {first}, but there is no such user; a file of that name is ./{first}"
        )
    # a name that begins with "~" gets its folder, so that it is not expanded when it is passed on
    return Path(expanded) if not str(Path(expanded)).startswith("~") else Path(os.path.abspath(expanded))
