"""``--lr find``: the learning rate is looked for before the training; its picture goes into the run's folder."""

from __future__ import annotations

import argparse
import math
from dataclasses import replace

from .._core import write_atomically
from ..data import DataLoader
from ..training import LRFind, Trainer, lr_find
from .output import say
from .run import Run

__all__ = ["FIND", "find_lr", "lr_picture"]

FIND = "find"
PICTURE = "lr.svg"


def find_lr(run: Run, trainer: Trainer, loader: DataLoader, options: argparse.Namespace) -> Run:
    """Return the run with the learning rate that `lr_find` suggests; draw what it found into lr.svg."""
    found = lr_find(trainer, loader)
    rate = float(f"{found.suggestion:.2g}")  # what is printed is what is used
    if trainer.rank == 0:
        write_atomically(run.folder / PICTURE, lr_picture(found, rate).encode())
    say(options, f"learning rate: {rate:g}, a tenth of that with the smallest loss; see {run.folder / PICTURE}")
    return replace(run, recipe=run.recipe.with_values({"lr": rate}))


def lr_picture(found: LRFind, rate: float) -> str:
    """Return the loss over the learning rate as SVG, the rate on a logarithmic scale, with a mark at ``rate``."""
    width, height, left, right, top, bottom = 520, 300, 56, 16, 28, 40
    low, high = math.log10(found.rates[0]), math.log10(found.rates[-1])
    least, most = found.limits

    def across(value: float) -> float:
        return left + (math.log10(value) - low) / (high - low) * (width - left - right)

    def down(loss: float) -> float:
        return top + (most - min(loss, most)) / (most - least) * (height - top - bottom)

    marks = []
    for power in range(math.ceil(low), math.floor(high) + 1):
        x = across(10.0**power)
        marks.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{height - bottom}" stroke="#8884"/>')
        marks.append(f'<text x="{x:.1f}" y="{height - bottom + 16}" text-anchor="middle">1e{power}</text>')
    for loss in (least, most):
        marks.append(f'<text x="{left - 6}" y="{down(loss) + 4:.1f}" text-anchor="end">{loss:.3g}</text>')
    points = " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in zip(found.rates, found.smooth, strict=True))
    x = across(rate)
    marks.append(f'<polyline points="{points}" fill="none" stroke="#2563eb" stroke-width="2"/>')
    marks.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{height - bottom}" stroke="#dc2626"/>')
    marks.append(f'<text x="{x:.1f}" y="{top - 8}" text-anchor="middle" fill="#dc2626">{rate:g}</text>')
    middle = (left + width - right) / 2
    marks.append(f'<text x="{middle:.0f}" y="{height - 6}" text-anchor="middle">learning rate</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="system-ui, sans-serif" font-size="12" fill="#808080" role="img"><title>loss over the learning '
        f'rate</title><text x="{left}" y="{top - 8}">loss</text>{"".join(marks)}</svg>\n'
    )
