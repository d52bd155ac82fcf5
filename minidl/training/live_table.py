"""One table for a whole fit in a notebook, updated while it goes on; elsewhere IPython is not used."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any

from .._core import html_text
from .history import History
from .shown import history_table

__all__ = ["LiveTable", "in_notebook"]

_SECONDS = 0.25  # between updates: a browser draws no faster than one reads


def in_notebook() -> bool:
    """Return whether this runs in a notebook, found as tqdm.auto does: IPython is running, with a kernel."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and "IPKernelApp" in shell.config


class LiveTable:
    """The rows of a history, and below them how far the epoch has come.

    Args:
        history: returns the history, which a resume exchanges.
    """

    def __init__(self, history: Callable[[], History]) -> None:
        import IPython.display  # noqa: PLC0415 - in a notebook it has been imported

        display: Any = IPython.display.display  # without types, and not installed everywhere
        self._history, self._numbers, self._status = history, "", ""
        self._drawn = time.monotonic()
        self._handle = display(self, display_id=True)

    @staticmethod
    def wanted() -> bool:
        """Return whether it is shown: in a notebook, unless TQDM_DISABLE hides what moves."""
        return in_notebook() and not os.environ.get("TQDM_DISABLE")

    def track(self, batches: Iterable[Any], label: str, first: int, total: int | None) -> Iterator[Any]:
        """Yield the batches, and show how many there were."""
        if total is None and isinstance(batches, Sized):
            total = len(batches)
        for number, batch in enumerate(batches, first):
            share = "" if not total else f'<progress value="{number}" max="{total}"></progress> '
            self._status = f"{html_text(label)} {share}{number}/{total or '?'} "
            if time.monotonic() - self._drawn > _SECONDS:
                self.draw()
            yield batch
        self._status = self._numbers = ""

    def set_postfix_str(self, text: str, refresh: bool = True) -> None:
        """Show numbers of the epoch so far."""
        self._numbers = text

    def draw(self) -> None:
        """Update the table."""
        self._drawn = time.monotonic()
        self._handle.update(self)

    def __repr__(self) -> str:
        return repr(self._history()) if self._history().rows else ""

    def _repr_html_(self) -> str:
        history = self._history()
        table = history_table(history) if history.rows else ""
        status = f"<div>{self._status}{html_text(self._numbers)}</div>" if self._status else ""
        return table + status
