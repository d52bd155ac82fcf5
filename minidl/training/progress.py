"""Progress: a bar on a terminal and in a notebook, one line per epoch everywhere."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from .._core import check_choice

__all__ = ["Progress"]


class Progress:
    """Shows how far a loop has come.

    Args:
        style: 'bar' (and a line per epoch), 'lines' (only a line per epoch), 'none', or 'auto': a bar if standard error
            is a terminal or this is a notebook, lines otherwise. The environment variable TQDM_DISABLE=1 hides bars.
    """

    def __init__(self, style: str = "auto") -> None:
        self.style = check_choice("Trainer", "progress", style, ("auto", "bar", "lines", "none"))

    @property
    def shows_bar(self) -> bool:
        """Whether bars are shown; determined when needed, because standard error may be redirected."""
        if self.style == "auto":
            return "ipykernel" in sys.modules or (sys.stderr is not None and sys.stderr.isatty())
        return self.style == "bar"

    def track(
        self, batches: Iterable[Any], label: str, *, first: int = 0, total: int | None = None
    ) -> Iterator[tuple[Any, Any]]:
        """Yield (batch, bar) for each batch; call ``bar.set_postfix_str(text, refresh=False)`` to show numbers.

        Args:
            batches: what is iterated over.
            label: text in front of the bar.
            first: how many batches were done earlier.
            total: how many there are, including those; None: ``len(batches)``, if it has a length.
        """
        from tqdm.auto import tqdm  # noqa: PLC0415 - keeps `import minidl` fast

        # not disable=None, with which tqdm looks for a terminal: a notebook has none, but it can show a bar
        disabled: dict[str, Any] = {} if self.shows_bar else {"disable": True}
        disabled.update({} if total is None else {"total": total, "initial": first})
        with tqdm(batches, desc=label, leave=False, unit="batch", dynamic_ncols=True, **disabled) as bar:
            for batch in bar:
                yield batch, bar

    def line(self, text: str) -> None:
        """Print one line, above a bar if there is one. A closed pipe does not end the training."""
        if self.style == "none" or sys.stdout is None:
            return
        from tqdm.auto import tqdm  # noqa: PLC0415

        try:
            tqdm.write(text, file=sys.stdout)
            sys.stdout.flush()
        except BrokenPipeError:
            self.style = "none"

    def note(self, text: str) -> None:
        """Tell the user something that matters: as a line, or as a RuntimeWarning if the style is 'none'."""
        if self.style == "none":
            warnings.warn(text, RuntimeWarning, stacklevel=3)
        self.line(text)
