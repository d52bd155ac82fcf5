"""Options: a dataclass whose fields are both flags of a command and entries of a TOML file.

Everything about an option is declared in its field: name, default, type (that of the default), help and check.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Iterable
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

__all__ = ["Check", "Option", "add_flags", "at_least", "between", "one_of", "option", "options_of"]

# Called with the option's name for errors, and the value; raises ValueError.
Check = Callable[[str, Any], None]


def option(
    default: Any,
    text: str,
    check: Check | None = None,
    *,
    before: Any = MISSING,
    resumable: bool = False,
    word: str = "",
) -> Any:
    """Declare an option, as the default of a dataclass's field.

    Args:
        default: its type is the option's: str, int, float or bool.
        text: the help text.
        check: rejects values that are not allowed.
        before: the value for a stored run that lacks the option because it was made before the option existed: the one
            that gives the behaviour of that time. By default, the default.
        resumable: whether ``minidl train --resume`` may change it.
        word: what may stand for a value on the command line; the command finds the value.
    """
    before = default if before is MISSING else before
    told = {"help": text, "check": check, "before": before, "resumable": resumable, "word": word}
    return field(default=default, metadata=told)


@dataclass(frozen=True)
class Option:
    """An option that a field declares with `option`."""

    name: str
    kind: type
    help: str
    check: Check | None
    before: Any
    resumable: bool
    word: str

    @property
    def flag(self) -> str:
        """The option as written on the command line."""
        return f"--{self.name.replace('_', '-')}"

    def convert(self, value: Any, source: str | None) -> Any:
        """Return a value in the option's type, or raise.

        Args:
            value: from a TOML file or the command line.
            source: the file, for errors; None means the command line.

        Raises:
            TypeError: it has another type.
            ValueError: the option's check rejects it.
        """
        name = self.flag if source is None else f"{source}: {self.name}"
        expected = (int, float) if self.kind is float else (self.kind,)
        if not isinstance(value, expected) or (isinstance(value, bool) and self.kind is not bool):
            raise TypeError(f"{name} must be of type {self.kind.__name__}, got {value!r}")
        if self.check is not None:
            self.check(name, value)
        return self.kind(value)


def options_of(kind: type) -> dict[str, Option]:
    """Return the options of a dataclass by name."""
    return {entry.name: Option(entry.name, type(entry.default), **entry.metadata) for entry in fields(kind)}


def add_flags(parser: argparse.ArgumentParser, options: Iterable[Option]) -> None:
    """Add a flag for each option; flags that are not given are None."""
    for one in options:
        if one.kind is bool:
            parser.add_argument(one.flag, action="store_const", const=True, help=one.help)
        else:
            metavar = "N" if one.kind is int else "X"
            parser.add_argument(one.flag, type=_reader(one), metavar=metavar, help=one.help)


def _reader(one: Option) -> Callable[[str], Any]:
    """Return what reads an option's value; argparse calls it by its name."""

    def read(text: str) -> Any:
        return text if one.word and text == one.word else one.kind(text)

    read.__name__ = one.kind.__name__
    return read


def at_least(least: int) -> Check:
    """Return a check that rejects smaller numbers."""

    def check(name: str, value: Any) -> None:
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")

    return check


def between(low: float, high: float, *, below: bool = False) -> Check:
    """Return a check that rejects numbers outside [low, high], or [low, high) if ``below``."""

    def check(name: str, value: Any) -> None:
        if not low <= value <= high or (below and value == high):
            raise ValueError(f"{name} must be from {low} to {'less than ' * below}{high}, got {value}")

    return check


def one_of(choices: Collection[str]) -> Check:
    """Return a check that rejects names that are not among ``choices``."""

    def check(name: str, value: Any) -> None:
        if value not in choices:
            raise ValueError(f"{name} must be one of {', '.join(filter(None, choices))}, got {value!r}")

    return check
