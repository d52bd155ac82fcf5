"""Where figures are drawn: a new Figure or the user's Axes; sizes of what must not collide."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .._core import printable

__all__ = ["cut", "label_size", "panels", "plain", "size_in_points", "text_width"]

_CHARACTER = 0.64  # width of a digit, and of an average letter, as a share of the font size


def panels(
    owner: str,
    count: int,
    columns: int,
    default: tuple[float, float],
    ax: Any = None,
    figsize: tuple[float, float] | None = None,
) -> tuple[Any, list[Any]]:
    """Return a figure and ``count`` Axes in it, row by row.

    Args:
        owner: the function's name, for errors.
        count: how many Axes.
        columns: how many in a row.
        default: size of a new figure in inches.
        ax: None for a new figure; Axes, of which there must be enough; or a single one, whose place is divided.
        figsize: size of a new figure instead of the default.

    Raises:
        ValueError: both a size and Axes are given, or too few Axes.
        ImportError: the extra ``plot`` is not installed.
    """
    rows = -(-count // columns)
    if ax is None:
        try:
            from .sharp import SharpFigure  # noqa: PLC0415 - an extra, imported where it is used
        except ImportError as error:
            raise ImportError("minidl.plotting needs an extra: pip install 'minidl[plot]'") from error
        figure = SharpFigure(figsize=default if figsize is None else figsize, layout="constrained")
        return figure, _first(figure.subplots(rows, columns, squeeze=False).flat, count)
    if figsize is not None:
        raise ValueError(f"{owner}: figsize is for a new figure; the one that ax is in has a size")
    if isinstance(ax, Iterable):
        given = list(np.ravel(np.asarray(ax, dtype=object)))
        if len(given) < count:
            raise ValueError(f"{owner}: {count} Axes are needed, got {len(given)}; one alone would be divided")
        return given[0].figure, _first(given, count)
    if count == 1:
        return ax.figure, [ax]
    from matplotlib.gridspec import GridSpec  # noqa: PLC0415 - whoever has Axes has matplotlib

    ax.axis("off")
    place, box = ax.get_subplotspec(), ax.get_position()
    edges = {"left": box.x0, "right": box.x1, "bottom": box.y0, "top": box.y1}
    grid = GridSpec(rows, columns, ax.figure, **edges) if place is None else place.subgridspec(rows, columns)
    return ax.figure, [ax.figure.add_subplot(grid[number // columns, number % columns]) for number in range(count)]


def _first(axes: Iterable[Any], count: int) -> list[Any]:
    """Return the first ``count`` Axes; what is left over shows nothing."""
    every = list(axes)
    for rest in every[count:]:
        rest.axis("off")
    return every[:count]


def plain(name: object) -> str:
    """Return a name that matplotlib shows as it is: a dollar sign would start a formula."""
    return printable(name).replace("$", r"\$")


def size_in_points(axes: Any) -> tuple[float, float]:
    """Return width and height of Axes in points, 1/72 inch, as they are before the layout is adjusted."""
    box = axes.get_position()
    width, height = axes.figure.get_size_inches()
    return 72 * box.width * width, 72 * box.height * height


def text_width(characters: int, fontsize: float) -> float:
    """Return the width of a text in points, about."""
    return _CHARACTER * fontsize * characters


def cut(name: str, points: float, fontsize: float) -> str:
    """Return a name, cut so that it is at most ``points`` points wide."""
    room = max(2, int(points / text_width(1, fontsize)))
    return name if len(name) <= room else f"{name[: room - 1]}…"


def label_size(points: float, characters: int = 1, largest: float = 9.0) -> float:
    """Return the font size at which ``characters`` characters fit into ``points`` points, in width and in height."""
    return max(1.0, min(largest, 0.8 * points, 0.8 * points / text_width(characters, 1.0)))
