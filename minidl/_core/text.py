"""printable: names from files and folders go through here before they are shown."""

from __future__ import annotations

import re

__all__ = ["printable"]

# control characters, with which a name could command a terminal; the marks that turn the direction of what follows;
# the separators that begin a new line; the halves of characters that stand for bytes that are no text
_NOT_SHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(value: object, keep: str = "") -> str:
    r"""Return a value as text that a terminal, a page or a figure shows as it is: ``\x1b`` becomes ``\\x1b``.

    Args:
        value: a name, a path, or a whole message.
        keep: characters that are left, such as the end of a line in a table.
    """
    return _NOT_SHOWN.sub(lambda found: found[0] if found[0] in keep else ascii(found[0])[1:-1], str(value))
