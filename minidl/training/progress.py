"""Progress: a bar on a terminal and in a notebook, one line per epoch everywhere."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from .._core import bar, bar_class, check_choice, printable
from .callback import StopTraining
from .history import History
from .live_table import LiveTable

__all__ = ["Progress"]


class _NoBar:
    """Stands in for a bar where none is shown."""

    def set_postfix_str(self, text: str, refresh: bool = True) -> None:
        """Do nothing."""


_NO_BAR = _NoBar()


class Progress:
    """Shows how far a loop has come.

    Args:
        style: 'bar' (and a line per epoch), 'lines' (only a line per epoch), 'none', or 'auto': a bar if standard error
            is a terminal or this is a notebook, lines otherwise. A fit in a notebook has one table instead of bars and
            lines. The environment variable TQDM_DISABLE=1 hides bars and tables.
        rank: of several processes the first alone shows anything.
    """

    def __init__(self, style: str = "auto", rank: int = 0) -> None:
        self.style = check_choice("Trainer", "progress", style, ("auto", "bar", "lines", "none"))
        self._shows = rank == 0
        if not self._shows:
            self.style = "none"
        self._table: LiveTable | None = None
        self._held: list[str] | None = None

    @property
    def shows_bar(self) -> bool:
        """Whether bars are shown; determined when needed, because standard error may be redirected."""
        if self.style == "auto":
            return "ipykernel" in sys.modules or (sys.stderr is not None and sys.stderr.isatty())
        return self.style == "bar"

    @property
    def _shows_table(self) -> bool:
        return self.style in ("auto", "bar") and LiveTable.wanted()

    @contextmanager
    def table(self, history: Callable[[], History]) -> Iterator[None]:
        """Surround a fit: in a notebook a table of its epochs takes the place of bars and lines."""
        if self._shows_table:
            self._table = LiveTable(history)
        try:
            yield
        finally:
            table, self._table = self._table, None
            if table is not None:
                table.draw()

    @contextmanager
    def epoch(self, text: str) -> Iterator[None]:
        """Surround what saves an epoch: only then tell that it is finished, by a line or in the table.

        Lines from within follow that line. An epoch that could not be saved is not told of.
        """
        self._held, saved = [], False
        try:
            yield
            saved = True
        except StopTraining:  # raised once all callbacks were called
            saved = True
            raise
        finally:
            held, self._held = self._held, None
            if self._table is not None:
                self._table.draw()
            elif saved:
                held.insert(0, text)
            for line in held:
                self.line(line)

    def track(
        self, batches: Iterable[Any], label: str, *, first: int = 0, total: int | None = None, unit: str = "batch"
    ) -> Iterator[tuple[Any, Any]]:
        """Yield (batch, bar) for each batch; call ``bar.set_postfix_str(text, refresh=False)`` to show numbers.

        Args:
            batches: what is iterated over.
            label: text in front of the bar.
            first: how many batches were done earlier.
            total: how many there are, including those; None: ``len(batches)``, if it has a length.
            unit: what one is called.
        """
        if self._shows_table and self._table is None:
            with self.table(History):  # outside of a fit it has no rows, and is empty in the end
                yield from self.track(batches, label, first=first, total=total, unit=unit)
            return
        if self._table is not None:
            for batch in self._table.track(batches, label, first, total):
                yield batch, self._table
            return
        if not self.shows_bar:
            yield from ((batch, _NO_BAR) for batch in batches)
            return
        done = {} if total is None else {"total": total, "initial": first}
        with bar(batches, desc=label, leave=False, unit=unit, dynamic_ncols=True, **done) as shown:
            for batch in shown:
                yield batch, shown

    def line(self, text: str) -> None:
        """Print one line, above a bar if there is one. A closed pipe does not end the training."""
        if self.style == "none" or sys.stdout is None:
            return
        if self._held is not None:
            self._held.append(text)
            return
        text = printable(text, keep="\n")
        try:
            if self.shows_bar or "tqdm" in sys.modules:  # there may be bars, ours or the program's own
                bar_class().write(text, file=sys.stdout)
                sys.stdout.flush()
            else:
                print(text, flush=True)
        except BrokenPipeError:
            self.style = "none"

    def note(self, text: str) -> None:
        """Tell the user something that matters: as a line, or as a RuntimeWarning if the style is 'none'."""
        if self.style == "none" and self._shows:
            warnings.warn(printable(text, keep="\n"), RuntimeWarning, stacklevel=3)
        self.line(text)
