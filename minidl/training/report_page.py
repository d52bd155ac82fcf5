"""What reports are made of: one page that needs nothing else, light or dark by the reader's setting, for any width."""

from __future__ import annotations

import base64
import shlex
import struct
import sys
import zlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np

from .._core import PALETTE, Array, html_table, html_text
from ..nn import Drawing, Module, Summary
from .metrics import ClassificationReport

__all__ = [
    "Mistake",
    "class_table",
    "command_line",
    "figure",
    "halves",
    "made",
    "mistakes",
    "model_section",
    "pairs",
    "report_page",
    "section",
    "side",
]

_STYLE = f"""
:root {{ color-scheme: light dark; --ink: #1f2937; --muted: #4b5563; --line: #d1d5db; --stripe: #f3f4f6; --paper: #fff;
  --right: {PALETTE["right"]}; --wrong: {PALETTE["wrong"]}; }}
@media (prefers-color-scheme: dark) {{ :root {{ --ink: #e5e7eb; --muted: #a3abb8; --line: #374151; --stripe: #1a212c;
  --paper: #0d1117; --right: #34d399; --wrong: #f87171; }} }}
* {{ box-sizing: border-box; }}
body {{ font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0 auto;
  max-width: 80rem; padding: 1.5rem 1rem; }}
h1 {{ font-size: 1.6rem; margin: 0; }} h2 {{ font-size: 1.15rem; margin: 2rem 0 .6rem; }}
.lead {{ color: var(--muted); margin: .2rem 0; }} .big {{ font-size: 2.2rem; font-weight: 600; }}
.right {{ color: var(--right); }} .wrong {{ color: var(--wrong); }}
code {{ overflow-wrap: anywhere; }}
section {{ overflow-x: auto; min-width: 0; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ padding: .15rem .6rem; text-align: right; }} th {{ color: var(--muted); font-weight: 600; }}
td:first-child, th:first-child {{ text-align: left; }} tr:nth-child(even) td {{ background: var(--stripe); }}
.confusion tr td {{ min-width: 2.2rem; text-align: center; padding: .2rem; background: none; }}
.wide {{ overflow-x: auto; }} .confusion th {{ white-space: nowrap; }}
figure {{ display: inline-block; vertical-align: top; margin: 0 .7rem .7rem 0; text-align: center; font-size: .8rem;
  color: var(--muted); max-width: 9rem; }}
img {{ image-rendering: pixelated; border: 1px solid var(--line); }}
pre {{ background: var(--stripe); padding: .8rem; overflow-x: auto; font-size: .85rem; margin: .4rem 0; }}
summary {{ cursor: pointer; }}
.side {{ display: flex; flex-wrap: wrap; gap: 1rem; }}
.side > svg {{ flex: 1 1 20rem; min-width: 0; max-width: 34rem; }}
.halves {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 28rem), 1fr)); gap: 0 2rem; }}
@media (max-width: 30rem) {{ th, td {{ padding: .15rem .3rem; }} .confusion tr td {{ min-width: 1.5rem; }} }}
"""


class Mistake(NamedTuple):
    """A sample that was taken for another class: its image or None, and what is said of it."""

    loss: float
    image: Array | None
    label: str
    guess: str
    probability: float
    where: str


def report_page(title: str, sections: Iterable[str]) -> bytes:
    """Return a whole page as the content of a file."""
    page = (
        f"<!DOCTYPE html><html lang=en><head><meta charset=utf-8><title>{html_text(title)}</title>"
        '<meta name=viewport content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body>{''.join(sections)}</body></html>\n"
    )
    return page.encode(errors="replace")


def made(seconds: float, command: Sequence[str] = ()) -> str:
    """Return when a report was made, how long the training took, and the command."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    took = f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
    took = f"{hours} h {minutes} min" if hours else took
    said = f"; <code>{html_text(shlex.join(command))}</code>" if command else ""
    return f"<p class=lead>{datetime.now().astimezone():%Y-%m-%d %H:%M %Z}; trained for {took}{said}</p>"


def command_line() -> list[str]:
    """Return the command that is running, as it was typed."""
    return ["minidl", *sys.argv[1:]]


def section(title: str, *parts: str) -> str:
    """Return a part of the page, with its title."""
    return f"<section><h2>{title}</h2>{''.join(parts)}</section>"


def side(parts: Iterable[str]) -> str:
    """Return parts side by side, as many as fit into a line."""
    return f"<div class=side>{''.join(parts)}</div>"


def halves(*parts: str) -> str:
    """Return sections in two columns, on a narrow page in one."""
    return f"<div class=halves>{''.join(parts)}</div>"


def pairs(items: Iterable[tuple[str, object]]) -> str:
    """Return names and values as a table."""
    return html_table((), ((name, value) for name, value in items))


def class_table(report: ClassificationReport) -> str:
    """Return the scores of each class, and their averages."""
    named = [(row["class"], row) for row in report.classes]
    named += [(f"{name} average", row) for name, row in report.averages.items()]
    rows = [
        (name, *(f"{row[score]:.4f}" for score in ("precision", "recall", "f1")), f"{row['support']:,}")
        for name, row in named
    ]
    return html_table(("class", "precision", "recall", "F1", "samples"), rows)


def mistakes(worst: Sequence[Mistake], count: int) -> str:
    """Return the worst mistakes, with what was said and what is right."""
    if not count:
        return "<p>There are none.</p>"
    figures = []
    for one in worst:
        said = "NaN" if np.isnan(one.probability) else f"{one.guess} ({100 * one.probability:.0f} %)"
        right = f"<span class=right>{html_text(one.label)}</span>"
        wrong = f"<span class=wrong>{html_text(said)}</span>"
        figures.append(figure(one.image, f"{right}, predicted as<br>{wrong}", one.where))
    return (
        f"<p>{count:,} in all. Shown are those with the largest loss, with the probability of the predicted "
        f"class.</p>{''.join(figures)}"
    )


def model_section(model: Module, shape: tuple[Any, ...], dtype: Any = None) -> str:
    """Return the network drawn for an input of this shape, and its layers as a table that is folded."""
    table = html_text(str(Summary.of(model, (shape,), dtype)))  # a user's class may have a draw() of its own
    drawing = Drawing.of(model, (shape,), dtype)
    folded = f"<details><summary>Layers as a table</summary><pre>{table}</pre></details>"
    return section("Model", f"<div class=wide>{drawing.svg}</div>", folded)


def figure(image: Array | None, caption: str, alt: str, size: int = 96) -> str:
    """Return an image (1 or 3, H, W) of values in [0, 1], ``size`` pixels wide, with a caption, which is HTML."""
    if image is None:
        return f"<figure>{html_text(alt)}<figcaption>{caption}</figcaption></figure>"
    content = base64.b64encode(_png(image)).decode()
    height = round(size * image.shape[1] / image.shape[2])
    picture = f'<img src="data:image/png;base64,{content}" width={size} height={height} alt="{html_text(alt)}">'
    return f"<figure>{picture}<figcaption>{caption}</figcaption></figure>"


def _png(image: Array) -> bytes:
    """Return an image (1 or 3, H, W) of values in [0, 1] as a PNG file."""
    channels, height, width = image.shape
    pixels = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0).reshape(height, -1)
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 2 if channels == 3 else 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
