"""calibration_section: whether the model is as often right as it says, for report.html."""

from __future__ import annotations

import numpy as np

from .._core import PALETTE, Array
from ..training.calibration import TEMPERATURES, Reliability, fit_temperature, reliability
from .measure import Measured

__all__ = ["calibration_section"]


def calibration_section(part: str, measured: Measured, validated: Measured | None) -> str:
    """Return the reliability diagram, its error, and what a temperature makes of it, as HTML.

    Args:
        part: what was measured: "test" or "validation" images.
        measured: the result.
        validated: the result on images for validation, by which the temperature is found; None if there are no others.

    Returns:
        Nothing if an output was NaN.
    """
    if measured.nan.any() or (validated is not None and validated.nan.any()):
        return ""
    found = reliability(measured.probabilities, measured.labels)
    text = (
        f"Expected calibration error on the {part} images: {found.error:.4f}. Bars: how often the model is right when "
        "it is that sure; on the line it is as often right as it says."
    )
    if validated is not None:
        temperature = fit_temperature(_logits(validated), validated.labels)
        if not TEMPERATURES[0] * 1.01 < temperature < TEMPERATURES[1] / 1.01:
            text += " The images for validation do not determine a temperature."
        else:
            scaled = np.exp(_logits(measured) / temperature)
            after = reliability(scaled / scaled.sum(axis=1, keepdims=True), measured.labels)
            text += (
                f" With its logits divided by a temperature of {temperature:.2f}, found on the images for validation: "
                f"{after.error:.4f}."
            )
    return f"<h2>Calibration</h2><p>{text}</p>{_diagram(found)}"


def _logits(measured: Measured) -> Array:
    """Return the logarithms of the probabilities: logits, but for a number that all classes have in common."""
    wide = measured.probabilities.astype(np.float64)
    return np.asarray(np.log(np.maximum(wide, np.finfo(np.float32).tiny)))


def _diagram(found: Reliability) -> str:
    """Draw the bins as SVG."""
    side, left, bottom = 220, 34, 34
    marks = []
    for low, high, count, share in zip(found.edges, found.edges[1:], found.counts, found.accuracy, strict=False):
        if count:
            x, width, height = left + side * low, side * (high - low), side * share
            marks.append(
                f'<rect x="{x + 0.5:.1f}" y="{8 + side - height:.1f}" width="{width - 1:.1f}" height="{height:.1f}" '
                f'fill="{PALETTE["training"]}"><title>{low:.2f} to {high:.2f}: right {100 * share:.0f} % of '
                f"{int(count):,}</title></rect>"
            )
    marks.append(
        f'<line x1="{left}" y1="{8 + side}" x2="{left + side}" y2="8" stroke="currentColor" stroke-dasharray="4 3"/>'
    )
    for value in (0.0, 0.5, 1.0):
        x, y = left + side * value, 8 + side * (1 - value)
        marks.append(f'<text x="{x:.0f}" y="{side + 24}" text-anchor="middle">{value:g}</text>')
        marks.append(f'<text x="{left - 6}" y="{y + 4:.0f}" text-anchor="end">{value:g}</text>')
    middle = left + side / 2
    marks.append(f'<text x="{middle:.0f}" y="{side + bottom + 6}" text-anchor="middle">how sure</text>')
    return (
        f'<svg width="{side + left + 12}" height="{side + bottom + 14}" viewBox="0 0 {side + left + 12} '
        f'{side + bottom + 14}" font-size="12" fill="currentColor" role="img"><title>accuracy by probability</title>'
        f"{''.join(marks)}</svg>"
    )
