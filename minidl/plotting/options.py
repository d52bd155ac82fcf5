"""What options have to do with a result: one point for each training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from .._core import PALETTE
from .canvas import cut, panels, plain, size_in_points, text_width

__all__ = ["option_effects"]

_FONT = 9.0
_TICKS = 8  # different numbers that have a mark each
_ROOM = 70.0  # points for a name that is written upwards


def option_effects(
    options: Mapping[str, Sequence[Any]],
    scores: Sequence[float],
    label: str = "accuracy",
    *,
    ax: Any = None,
    figsize: tuple[float, float] | None = None,
) -> Any:
    """Draw the results of several trainings by each option in which they differ; the best one has a ring.

    Numbers that are spread over decades have a logarithmic axis; text and flags have a place each. Results so far below
    the others that these could not be told apart are drawn as triangles at the lower edge.

    Args:
        options: for each option its values, one of each training.
        scores: the results, larger ones are better.
        label: what they are.
        ax: None for a new figure; a matplotlib Axes, whose place is divided among the panels, or one for each panel.
        figsize: width and height of a new figure in inches.

    Returns:
        A matplotlib Figure with a panel for each option.

    Raises:
        ValueError: there are no options or no results, or not a value for each result, or one is not finite.
        ImportError: the extra ``plot`` is not installed.
    """
    if not options or not scores or any(len(values) != len(scores) for values in options.values()):
        raise ValueError(
            "option_effects: expected options, each with as many values as there are results, at least one"
        )
    if not all(map(math.isfinite, scores)):
        raise ValueError("option_effects: the results must be finite; leave out trainings that failed")
    columns = min(len(options), 4)
    size = (3.1 * columns + 0.4, 3.1 * -(-len(options) // columns))
    figure, places = panels("option_effects", len(options), columns, size, ax, figsize)
    low, high = _limits(scores)
    margin = 0.07 * ((high - low) or abs(high) or 1.0)
    best = max(range(len(scores)), key=scores.__getitem__)
    below = [score < low for score in scores]
    edge = low - margin if any(below) else low
    heights = [max(score, edge) for score in scores]
    style = {"s": 36, "color": PALETTE["validation"], "alpha": 0.75 if len(scores) <= 30 else 0.5, "linewidths": 0}
    for number, (axes, (name, values)) in enumerate(zip(places, options.items(), strict=True)):
        across = _scaled(axes, values)
        for marker, wanted in (("o", False), ("v", True)):
            chosen = [index for index, under in enumerate(below) if under == wanted]
            axes.scatter([across[i] for i in chosen], [heights[i] for i in chosen], marker=marker, **style)
        axes.scatter(across[best], scores[best], s=110, facecolors="none", edgecolors=PALETTE["right"], linewidths=2)
        axes.set(xlabel=plain(name), ylim=(edge - margin, high + margin))
        if number % columns == 0:
            axes.set_ylabel(label)
        else:
            axes.tick_params(labelleft=False)
        axes.grid(alpha=0.3)
    if any(below):
        places[0].set_title(f"▼ {sum(below)} below {low:.3g}", fontsize=_FONT, loc="left", color=PALETTE["muted"])
    return figure


def _limits(scores: Sequence[float]) -> tuple[float, float]:
    """Return the lowest result that is drawn where it is, and the highest."""
    lowest, high = min(scores), max(scores)
    low = min(score for score in scores if score >= high - 4 * (high - median(scores)))
    return (low if high - lowest > 3 * (high - low) > 0 else lowest), high


def _scaled(axes: Any, values: Sequence[Any]) -> list[float]:
    """Give the horizontal axis its scale and marks; return where on it the values are."""
    if any(isinstance(value, (str, bool)) for value in values):
        return _categories(axes, [str(value).lower() if isinstance(value, bool) else str(value) for value in values])
    different = sorted(set(values))
    positive = [value for value in different if value > 0]
    if len(positive) > 1 and positive[-1] >= 10 * positive[0] and different[0] >= 0:
        if different[0] == 0:
            axes.set_xscale("symlog", linthresh=positive[0])
        else:
            axes.set_xscale("log")
    if len(different) <= _TICKS:
        _mark(axes, different)
    elif axes.get_xscale() == "linear":
        axes.locator_params(axis="x", nbins=5)
    return list(values)


def _mark(axes: Any, numbers: Sequence[float]) -> None:
    """Put a mark at each number, and write those beside which there is room for it."""
    axes.set_xlim(*_widened(axes, numbers[0], numbers[-1]))
    axes.minorticks_off()
    axes.set_xticks(numbers, [f"{number:g}" for number in numbers], fontsize=_FONT)
    width, _ = size_in_points(axes)
    to_axes, end = axes.transData + axes.transAxes.inverted(), -math.inf
    for number, tick in zip(numbers, axes.get_xticklabels(), strict=True):
        middle = width * float(to_axes.transform((number, 0))[0])
        half = text_width(len(tick.get_text()), _FONT) / 2
        if middle - half < end:
            tick.set_visible(False)
        else:
            end = middle + half


def _widened(axes: Any, low: float, high: float) -> tuple[float, float]:
    """Return limits of the horizontal axis a little beyond two numbers."""
    scale = axes.xaxis.get_transform()
    a, b = (float(scale.transform([number])[0]) for number in (low, high))
    room = 0.08 * (b - a) or 0.5
    ends = scale.inverted().transform([a - room, b + room])
    return float(ends[0]), float(ends[1])


def _categories(axes: Any, names: Sequence[str]) -> list[float]:
    """Give each name a place, in the order in which they come; points with the same name lie a little apart."""
    places = {name: place for place, name in enumerate(dict.fromkeys(names))}
    width, _ = size_in_points(axes)
    fits = all(text_width(len(name) + 1, _FONT) <= width / len(places) for name in places)
    shown = [plain(name if fits else cut(name, _ROOM, _FONT)) for name in places]
    axes.set_xticks(list(places.values()), shown, rotation=0 if fits else 90, fontsize=_FONT)
    axes.set_xlim(-0.6, len(places) - 0.4)
    golden = (5**0.5 - 1) / 2
    return [places[name] + 0.4 * ((number * golden) % 1 - 0.5) for number, name in enumerate(names)]
