"""report.html: one self-contained page about a run; pictures are embedded in it, curves are drawn as SVG."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .._core import html_text, write_atomically
from ..data import Dataset
from ..nn import Module
from ..plotting.images import filter_images, first_conv
from ..training.charts import curve_charts
from ..training.metrics.matrix_table import matrix_table
from ..training.report_page import (
    Mistake,
    class_table,
    command_line,
    figure,
    halves,
    made,
    mistakes,
    model_section,
    pairs,
    report_page,
    section,
    side,
)
from .environment import environment
from .measure import Measured
from .run import Run

__all__ = ["write_report"]

MISTAKES = 24


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
    columns = _columns(rows) if rows else {}
    sections = [
        f"<h1>{html_text(title)}</h1>",
        f"<p class=lead>seed {recipe.seed}, {len(rows)} of {recipe.epochs} epochs, {recipe.optimizer}, learning "
        f"rate {recipe.lr:g}, schedule {html_text(recipe.schedule)}, augmentation {html_text(recipe.augment)}; "
        f"{html_text(chosen)}</p>",
        made(sum(columns.get("seconds", ())), command_line()),
        f"<p><span class=big>{100 * measured.accuracy:.2f} %</span> of {len(measured.labels):,} {part} images are "
        f"classified correctly ({measured.correct:,}; {measured.interval_text}); mean loss {measured.loss:.4f}</p>"
        f"{_nan(measured)}",
        section("Curves", side(curve_charts(columns)) if rows else "<p>No epoch has finished.</p>"),
        halves(
            section(
                "Confusion matrix",
                "<p>Row: the true class. Column: the predicted class.</p>",
                matrix_table(measured.matrix, classes),
            ),
            section("Classes", class_table(measured.report)),
        ),
        section("Worst mistakes", _mistakes(part, dataset, measured, classes)),
        *(f"<section>{one}</section>" for one in more if one),
        halves(model_section(model, (1, *run.shape)), _filters(model)),
        halves(
            section("Recipe", pairs(recipe.as_dict().items())), section("Environment", pairs(environment().items()))
        ),
    ]
    write_atomically(run.folder / "report.html", report_page(title, sections))


def _columns(rows: list[dict[str, str]]) -> dict[str, list[float]]:
    """Return the columns of history.csv; an epoch that has no number is NaN there."""
    return {name: [float(row[name] or "nan") for row in rows] for name in rows[0]}


def _nan(measured: Measured) -> str:
    count = int(measured.nan.sum())
    return f"<p>For {count:,} images the output of the model is NaN; they count as wrong.</p>" if count else ""


def _mistakes(part: str, dataset: Dataset, measured: Measured, classes: list[str]) -> str:
    guesses = measured.probabilities.argmax(axis=1)
    wrong = np.flatnonzero((guesses != measured.labels) | measured.nan)
    losses = np.where(measured.nan, np.inf, measured.losses())
    worst = []
    for index in wrong[np.argsort(-losses[wrong], kind="stable")][:MISTAKES]:
        label, guess = (classes[number] for number in (measured.labels[index], guesses[index]))
        sure = float(measured.probabilities[index, guesses[index]])
        image = dataset[int(index)][0]
        worst.append(Mistake(float(losses[index]), image, label, guess, sure, f"{part} image {index}"))
    return mistakes(worst, len(wrong))


def _filters(model: Module) -> str:
    first = first_conv(model)
    if first is None or max(first.kernel_size) < 2:
        return ""
    planes = filter_images(first)
    note = "Middle grey is zero." + (
        "" if first.weight.shape[1] in (1, 3) else " Only the first channel of each filter is shown."
    )
    figures = [figure(plane, "", f"filter {number}", 48) for number, plane in enumerate(planes[:64])]
    return section("Filters of the first layer", f"<p>{note}</p>", *figures)
