"""Curves as SVG, for notebooks and reports: letters have the page's colour, so that they fit a light and a dark one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from .._core import PALETTE, html_text

__all__ = ["curve_charts"]

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 440, 260, 56, 12, 26, 30
Point = tuple[float, float]


def curve_charts(columns: Mapping[str, Sequence[float]]) -> list[str]:
    """Return a chart for each measure of training and validation, and one for the learning rate.

    Args:
        columns: numbers by epoch, as `History.to_dict` returns them; what is not finite is left out.
    """
    measures = dict.fromkeys(n.partition("_")[2] for n in columns if n.startswith(("train_", "val_")))
    charts = []
    for measure in [*measures, "lr"]:
        names = (
            {"lr": "learning rate"}
            if measure == "lr"
            else {f"train_{measure}": "training", f"val_{measure}": "validation"}
        )
        lines = {}
        for column, name in names.items():
            pairs = zip(columns.get("epoch", ()), columns.get(column, ()), strict=False)
            points = [(float(x), float(y)) for x, y in pairs if math.isfinite(y)]
            if points:
                lines[name] = points
        if lines:
            charts.append(_chart("learning rate" if measure == "lr" else measure, lines))
    return charts


def _chart(title: str, lines: dict[str, list[Point]]) -> str:
    """Draw lines of (epoch, value)."""
    points = [point for line in lines.values() for point in line]
    first, last = min(x for x, _ in points), max(x for x, _ in points)
    values = [y for _, y in points] + ([0.0] if title == "learning rate" else [])
    ticks = _ticks(min(values), max(values))
    low, high = ticks[0], ticks[-1]

    def place(x: float, y: float) -> Point:
        across = (x - first) / (last - first) if last > first else 0.5
        down = (high - y) / (high - low)
        return _LEFT + across * (_WIDTH - _LEFT - _RIGHT), _TOP + down * (_HEIGHT - _TOP - _BOTTOM)

    marks = []
    for tick in ticks:
        _, y = place(first, tick)
        marks.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="currentColor" '
            'stroke-opacity=".15"/>'
        )
        marks.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    names = {first: f"{first:g}", last: f"{last:g}", (first + last) / 2: "epoch"}
    for epoch, name in names.items() if last > first else [(first, f"epoch {first:g}")]:
        x, _ = place(epoch, low)
        marks.append(f'<text x="{x:.1f}" y="{_HEIGHT - 10}" text-anchor="middle">{name}</text>')
    for number, (name, line) in enumerate(lines.items()):
        colour = PALETTE.get(name, PALETTE["muted"])
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in line))
        marks.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for epoch, value in line:
            x, y = place(epoch, value)
            about = f"{name}, epoch {epoch:g}: {value:.6g}"
            marks.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"><title>{about}</title></circle>')
        if name in PALETTE:
            side = _WIDTH - _RIGHT - 72 * (len(lines) - 1 - number)
            marks.append(f'<text x="{side}" y="14" text-anchor="end" fill="{colour}" opacity="1">{name}</text>')
    return (
        f'<svg width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        'style="max-width:100%;height:auto;font:12px system-ui,sans-serif" fill="currentColor">'
        f'<title>{html_text(title)}</title><text x="{_LEFT}" y="14" font-weight="600">{html_text(title)}</text>'
        f"{''.join(marks)}</svg>"
    )


def _ticks(low: float, high: float) -> list[float]:
    """Return round numbers from at most ``low`` to at least ``high``."""
    span = (high - low) or abs(high) or 1.0
    step = 10 ** math.floor(math.log10(span / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if span / (step * factor) <= 5)
    begin = math.floor(low / step)
    count = max(1, math.ceil(high / step - 1e-9) - begin)
    return [float(f"{(begin + number) * step:.12g}") for number in range(count + 1)]
