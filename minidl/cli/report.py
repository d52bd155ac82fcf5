"""report.html: one self-contained page about a run; pictures are embedded in it, curves are drawn as SVG."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Iterable, Sequence

import numpy as np

from .._core import Array, html_table, html_text, write_atomically
from ..data import Dataset
from ..nn import Module
from ..plotting.images import filter_images, first_conv
from ..training.charts import curve_charts
from ..training.metrics.matrix_table import matrix_table
from .environment import environment
from .measure import Measured
from .run import Run

__all__ = ["write_report"]

MISTAKES = 24

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2937; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
.lead { color: #4b5563; margin-top: .2rem; } .big { font-size: 2.2rem; font-weight: 600; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .15rem .6rem; text-align: right; } th { color: #4b5563; font-weight: 600; }
td:first-child, th:first-child { text-align: left; } tr:nth-child(even) td { background: #f9fafb; }
.confusion td { min-width: 2.2rem; text-align: center; padding: .2rem; }
.wide { overflow-x: auto; } .confusion th { white-space: nowrap; } .upright { writing-mode: vertical-rl; }
figure { display: inline-block; margin: 0 .7rem .7rem 0; text-align: center; font-size: .8rem; color: #4b5563; }
img { image-rendering: pixelated; border: 1px solid #e5e7eb; } svg { max-width: 100%; height: auto; }
pre { background: #f9fafb; padding: .8rem; overflow-x: auto; font-size: .85rem; }
.side { display: flex; flex-wrap: wrap; gap: 2rem; }
"""


def write_report(
    run: Run,
    model: Module,
    part: str,
    dataset: Dataset,
    measured: Measured,
    chosen: str,
    more: Sequence[str] = (),
) -> None:
    """Write report.html into the run's folder.

    Args:
        run: the run, with its history.csv.
        model: with its trained weights.
        part: what was measured: "test" or "validation" images.
        dataset: these images.
        measured: the result.
        chosen: which epoch's weights these are, as a sentence.
        more: further sections, as HTML.
    """
    recipe, classes = run.recipe, run.classes
    title = f"{recipe.model} on {recipe.data}"
    rows = run.history()
    sections = [
        f"<h1>{html_text(title)}</h1>",
        f"<p class=lead>seed {recipe.seed}, {len(rows)} of {recipe.epochs} epochs, {recipe.optimizer}, learning "
        f"rate {recipe.lr:g}, schedule {html_text(recipe.schedule)}, augmentation {html_text(recipe.augment)}; "
        f"{html_text(chosen)}</p>",
        f"<p><span class=big>{100 * measured.accuracy:.2f} %</span> of {len(measured.labels):,} {part} images are "
        f"classified correctly ({measured.correct:,}; {measured.interval_text}); mean loss {measured.loss:.4f}</p>"
        f"{_nan(measured)}",
        "<h2>Curves</h2>" + (_side(curve_charts(_columns(rows))) if rows else "<p>No epoch has finished.</p>"),
        "<h2>Confusion matrix</h2><p>Row: the true class. Column: the predicted class.</p>"
        + matrix_table(measured.matrix, classes),
        "<h2>Classes</h2>" + _classes(measured),
        "<h2>Worst mistakes</h2>" + _mistakes(part, dataset, measured, classes),
        _filters(model),
        *more,
        f"<h2>Model</h2><div class=wide>{model.draw((1, *run.shape)).svg}</div>"
        f"<pre>{html_text(str(model.summary((1, *run.shape))))}</pre>",
        "<h2>Recipe</h2>" + _pairs(recipe.as_dict().items()),
        "<h2>Environment</h2>" + _pairs(environment().items()),
    ]
    page = (
        f"<!DOCTYPE html><html lang=en><head><meta charset=utf-8><title>{html_text(title)}</title>"
        f"<style>{STYLE}</style></head><body>{''.join(sections)}</body></html>\n"
    )
    write_atomically(run.folder / "report.html", page.encode(errors="replace"))


def _side(parts: Iterable[str]) -> str:
    return f"<div class=side>{''.join(parts)}</div>"


def _columns(rows: list[dict[str, str]]) -> dict[str, list[float]]:
    """Return the columns of history.csv; an epoch that has no number is NaN there."""
    return {name: [float(row[name] or "nan") for row in rows] for name in rows[0]}


def _pairs(items: Iterable[tuple[str, object]]) -> str:
    return html_table((), ((name, value) for name, value in items))


def _nan(measured: Measured) -> str:
    count = int(measured.nan.sum())
    return f"<p>For {count:,} images the output of the model is NaN; they count as wrong.</p>" if count else ""


def _classes(measured: Measured) -> str:
    report = measured.report
    named = [(row["class"], row) for row in report.classes]
    named += [(f"{name} average", row) for name, row in report.averages.items()]
    rows = [
        (name, *(f"{row[score]:.4f}" for score in ("precision", "recall", "f1")), f"{row['support']:,}")
        for name, row in named
    ]
    return html_table(("class", "precision", "recall", "F1", "images"), rows)


def _mistakes(part: str, dataset: Dataset, measured: Measured, classes: list[str]) -> str:
    guesses = measured.probabilities.argmax(axis=1)
    wrong = np.flatnonzero((guesses != measured.labels) | measured.nan)
    if not len(wrong):
        return "<p>There are none.</p>"
    losses = np.where(measured.nan, np.inf, measured.losses())
    worst = wrong[np.argsort(-losses[wrong], kind="stable")][:MISTAKES]
    figures = []
    for index in worst:
        sure = measured.probabilities[index, guesses[index]]
        label, guess = (html_text(classes[number]) for number in (measured.labels[index], guesses[index]))
        caption = f"{label}, predicted as<br>{'NaN' if np.isnan(sure) else f'{guess} ({100 * sure:.0f} %)'}"
        figures.append(_figure(dataset[int(index)][0], caption, f"{part} image {index}"))
    return (
        f"<p>{len(wrong):,} in all. Shown are those with the largest loss, with the probability of the predicted "
        "class.</p>" + "".join(figures)
    )


def _filters(model: Module) -> str:
    first = first_conv(model)
    if first is None or max(first.kernel_size) < 2:
        return ""
    planes = filter_images(first)
    note = "Middle grey is zero." + (
        "" if first.weight.shape[1] in (1, 3) else " Only the first channel of each filter is shown."
    )
    figures = [_figure(plane, "", f"filter {number}", 48) for number, plane in enumerate(planes[:64])]
    return f"<h2>Filters of the first layer</h2><p>{note}</p>" + "".join(figures)


def _figure(image: Array, caption: str, alt: str, size: int = 96) -> str:
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
