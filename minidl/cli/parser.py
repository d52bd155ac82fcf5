"""The parser of the command line, and what happens to errors."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import warnings
from collections.abc import Sequence
from typing import NoReturn

from .._core import printable
from .._version import __version__
from ..data.unreadable import UnreadableImagesError
from ..distributed import group_of, is_told_elsewhere, world
from .compare import add_compare
from .evaluate import add_evaluate
from .export import add_export
from .info import add_info
from .inspect import add_inspect
from .output import complain, is_muted, mute
from .predict import add_predict
from .summary import add_summary
from .sweep import add_sweep
from .train import add_train

__all__ = ["run_command"]

# In the order in which --help lists them.
_COMMANDS = (
    add_inspect,
    add_train,
    add_sweep,
    add_evaluate,
    add_predict,
    add_summary,
    add_export,
    add_compare,
    add_info,
)


class _UsageError(Exception):
    """The command line is wrong; the text is the whole line to be printed."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Raise what is wrong, in one line."""
        raise _UsageError(printable(f"{self.prog}: error: {message} (try '{self.prog} --help')"))


def run_command(arguments: Sequence[str] | None) -> int:
    """Run a command line, as `minidl.cli.main` says."""
    parser = _Parser(prog="minidl", description="A tiny PyTorch in pure Python on NumPy.")
    parser.add_argument("--version", action="version", version=f"minidl {__version__}")
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for add in _COMMANDS:
        add(commands)
    for command in commands.choices.values():
        command.add_argument("--quiet", action="store_true", help="print results only")
        command.add_argument("--json", action="store_true", help="print results as JSON")
    options = _parsed(parser, arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):  # names that the terminal cannot show
        sys.stdout.reconfigure(errors="replace")
    if options.run is None:
        parser.print_help()
        return 0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always")

            def tell(message: Warning | str, *_: object) -> None:
                complain(f"minidl {options.command}", message)

            warnings.showwarning = tell  # type: ignore[assignment]
            return int(options.run(options))
    except KeyboardInterrupt:
        if is_muted():
            return 130
        raise
    except Exception as error:
        if is_told_elsewhere(error):  # on another rank
            return 2
        if os.environ.get("MINIDL_TRACEBACK"):
            raise
        _complain_of(error, f"minidl {options.command}: error")
        return 2


def _complain_of(error: Exception, who: str) -> None:
    mute(False)
    if isinstance(error, UnreadableImagesError):
        complain(who, error.head, error.files)
    else:
        complain(who, str(error) or type(error).__name__)


def _parsed(parser: _Parser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line; of several ranks that do not understand it one says so."""
    try:
        return parser.parse_args(arguments)
    except _UsageError as error:
        with contextlib.suppress(ImportError, RuntimeError):  # without MPI each has met with it by itself
            _tell_ranks(error, arguments)
        if not is_told_elsewhere(error):
            print(error, file=sys.stderr)
        sys.exit(2)


def _tell_ranks(error: _UsageError, arguments: Sequence[str] | None) -> None:
    """Tell the other ranks of a training that this one has not understood the command line: they may have."""
    given = sys.argv[1:] if arguments is None else arguments
    group = group_of(world()) if given[:1] == ["train"] else None
    if group is not None:
        group.leave(error)
