"""A confusion matrix as HTML: what is right is green, what is wrong red, the deeper the larger its share of the row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..._core import PALETTE, Array, html_text

__all__ = ["matrix_table"]


def matrix_table(matrix: Array, classes: Sequence[object] | None = None) -> str:
    """Return counts (C, C) as a table, or (C, C + 1) with those that were predicted as no class, for an output of NaN.

    Args:
        matrix: labels are rows, predictions columns.
        classes: names; None for numbers.
    """
    names = [str(name) for name in (range(len(matrix)) if classes is None else classes)]
    shares = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    upright = ' style="writing-mode:vertical-rl"' if max(map(len, names), default=0) > 3 else ""
    columns = [*names, *["NaN"] * (matrix.shape[1] - len(names))]
    head = "".join(f"<th><span{upright}>{html_text(name)}</span></th>" for name in columns)
    body = []
    for label, name in enumerate(names):
        cells = []
        for guess, predicted in enumerate(columns):
            colour = PALETTE["right" if label == guess else "wrong"]
            depth = round(255 * 0.75 * shares[label, guess] ** 0.5)  # the roots, so that rare mistakes are visible
            about = html_text(f"{name}, predicted as {predicted}")
            style = f' style="background:{colour}{depth:02x}"' if depth else ""
            cells.append(f'<td{style} title="{about}">{matrix[label, guess] or ""}</td>')
        body.append(f"<tr><th>{html_text(name)}</th>{''.join(cells)}</tr>")
    table = f'<table class="confusion"><tr><th></th>{head}</tr>{"".join(body)}</table>'
    return f'<div style="overflow-x:auto">{table}</div>'
