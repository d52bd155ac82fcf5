"""Progress: a bar on a terminal and in a notebook, one line an epoch everywhere."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

from .._core import check_choice

__all__ = ["Progress"]


class Progress:
    """Shows how far a loop is.

    Args:
        style: 'bar' (and a line an epoch), 'lines' (a line an epoch only), 'none', or 'auto': a bar when standard error
            is a terminal or this is a notebook, else lines. The environment variable TQDM_DISABLE=1 hides bars.
    """

    def __init__(self, style: str = "auto") -> None:
        self.style = check_choice("Trainer", "progress", style, ("auto", "bar", "lines", "none"))

    @property
    def shows_bar(self) -> bool:
        """Whether bars are shown; looked up when needed, since standard error may change."""
        if self.style == "auto":
            return "ipykernel" in sys.modules or (sys.stderr is not None and sys.stderr.isatty())
        return self.style == "bar"

    def track(
        self, batches: Iterable[Any], label: str, *, first: int = 0, total: int | None = None
    ) -> Iterator[tuple[Any, Any]]:
        """Yield (batch, bar) for each batch; call ``bar.set_postfix_str(text, refresh=False)`` to show numbers.

        Args:
            batches: what is gone through.
            label: stands before the bar.
            first: how many of them have been done before.
            total: how many there are, those included; None: as many as ``len(batches)`` says.
        """
        from tqdm.auto import tqdm  # noqa: PLC0415 - `import minidl` stays quick

        # disable=None would ask tqdm for a terminal: in a notebook there is none, and there is a bar
        disabled: dict[str, Any] = {} if self.shows_bar else {"disable": True}
        disabled.update({} if total is None else {"total": total, "initial": first})
        with tqdm(batches, desc=label, leave=False, unit="batch", dynamic_ncols=True, **disabled) as bar:
            for batch in bar:
                yield batch, bar

    def line(self, text: str) -> None:
        """Print one line, above a bar if there is one. A reader that has gone away does not end the training."""
        if self.style == "none" or sys.stdout is None:
            return
        from tqdm.auto import tqdm  # noqa: PLC0415

        try:
            tqdm.write(text, file=sys.stdout)
            sys.stdout.flush()
        except BrokenPipeError:
            self.style = "none"
