"""Charts: curves, learning rates, a confusion matrix, norms of gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .._core import PALETTE, Array
from ..nn import Module
from ..training import History, LRFind, Reliability
from ..training.step import grad_norms
from .canvas import label_size, panels, plain, size_in_points, text_width

__all__ = ["confusion_matrix", "curves", "gradient_flow", "lr_curve", "reliability_diagram"]

_SMALLEST = 3.0  # points: smaller counts are not written


def curves(
    history: History | Mapping[str, Sequence[float]], *, ax: Any = None, figsize: tuple[float, float] | None = None
) -> Any:
    """Draw loss, accuracy and other measures of training and validation by epoch, and the learning rate.

    Args:
        history: what `Trainer.fit` returned, or a dict of columns as `History.to_dict` returns it.
        ax: None for a new figure; a matplotlib Axes, whose place is divided among the panels, or one for each panel.
        figsize: width and height of a new figure in inches.

    Returns:
        A matplotlib Figure with a panel for each measure.

    Raises:
        ValueError: there are no epochs, or no measures.
        ImportError: the extra ``plot`` is not installed.
    """
    given = history.to_dict() if isinstance(history, History) else history
    columns = {name: list(values) for name, values in given.items()}
    if not columns.get("epoch"):
        raise ValueError("curves: the history has no epochs")
    epochs = columns["epoch"]
    measures = list(dict.fromkeys(name.partition("_")[2] for name in columns if name.startswith(("train_", "val_"))))
    shown = [*measures, "lr"] if "lr" in columns else measures
    if not shown:
        raise ValueError("curves: the history has no columns train_..., val_... or lr")
    figure, places = panels("curves", len(shown), len(shown), (4.2 * len(shown), 3.2), ax, figsize)
    for axes, measure in zip(places, shown, strict=True):
        names = ["lr"] if measure == "lr" else [f"{part}_{measure}" for part in ("train", "val")]
        for name in names:
            if name in columns:
                label = {"train": "training", "val": "validation"}.get(name.partition("_")[0], name)
                colour = PALETTE.get(label, PALETTE["muted"])
                axes.plot(epochs[: len(columns[name])], columns[name], marker=".", label=label, color=colour)
        axes.set(title="learning rate" if measure == "lr" else plain(measure), xlabel="epoch")
        axes.locator_params(axis="x", nbins=6, integer=True, min_n_ticks=1)
        axes.grid(alpha=0.3)
        if measure == "lr":
            axes.set_ylim(bottom=0)
        else:
            axes.legend()
    return figure


def lr_curve(found: LRFind, *, ax: Any = None, figsize: tuple[float, float] | None = None) -> Any:
    """Draw the loss over the learning rate, and the rate that is suggested.

    Args:
        found: what `minidl.training.lr_find` returned.
        ax: None for a new figure; a matplotlib Axes to draw on.
        figsize: width and height of a new figure in inches.

    Returns:
        A matplotlib Figure.

    Raises:
        ImportError: the extra ``plot`` is not installed.
    """
    low, high = found.limits
    figure, (axes,) = panels("lr_curve", 1, 1, (4.8, 3.2), ax, figsize)
    axes.plot(found.rates, found.losses, color=PALETTE["muted"], alpha=0.5, label="each step")
    axes.plot(found.rates, found.smooth, color=PALETTE["training"], label="mean of five")
    axes.axvline(found.suggestion, color=PALETTE["validation"], label=f"suggested: {found.suggestion:.2g}")
    axes.set(xscale="log", xlabel="learning rate", ylabel="loss", ylim=(low - 0.1 * (high - low), high))
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def reliability_diagram(found: Reliability, *, ax: Any = None, figsize: tuple[float, float] | None = None) -> Any:
    """Draw how often a model is right by how sure it is; on the diagonal it is as often right as it says.

    Args:
        found: what `minidl.training.reliability` returned.
        ax: None for a new figure; a matplotlib Axes to draw on.
        figsize: width and height of a new figure in inches.

    Returns:
        A matplotlib Figure.

    Raises:
        ImportError: the extra ``plot`` is not installed.
    """
    figure, (axes,) = panels("reliability_diagram", 1, 1, (3.8, 3.6), ax, figsize)
    filled = found.counts > 0
    heights, starts = found.accuracy[filled], found.edges[:-1][filled]
    axes.bar(starts, heights, np.diff(found.edges)[filled], align="edge", color=PALETTE["training"], edgecolor="white")
    axes.plot([0, 1], [0, 1], "--", color=PALETTE["muted"])
    axes.plot(found.confidence[filled], heights, "o", markersize=3, color=PALETTE["validation"])
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="probability of the predicted class", ylabel="accuracy")
    axes.set_title(f"expected calibration error {found.error:.3f}")
    return figure


def confusion_matrix(
    matrix: Array,
    classes: Sequence[str] | None = None,
    *,
    ax: Any = None,
    figsize: tuple[float, float] | None = None,
) -> Any:
    """Draw a confusion matrix: labels are rows, predictions columns; colours show square roots of fractions of a row.

    Args:
        matrix: counts (C, C), as `minidl.training.metrics.ConfusionMatrix` computes them.
        classes: names; None for numbers.
        ax: the matplotlib Axes to draw in; None for a new figure.
        figsize: width and height of a new figure in inches.

    Returns:
        A matplotlib Figure. Counts are as small as their cells ask for, and left out if that is below 3 points.

    Raises:
        ValueError: the matrix is empty or not square, or there is not one name for each class.
        ImportError: the extra ``plot`` is not installed.
    """
    matrix = np.asarray(matrix)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        lost = matrix.ndim == 2 and matrix.shape[1] == len(matrix) + 1
        hint = "; if the last column counts outputs that were NaN, matrix[:, :-1] leaves them out" if lost else ""
        raise ValueError(f"confusion_matrix: expected counts (C, C), got shape {matrix.shape}{hint}")
    count = len(matrix)
    names = [plain(name) for name in (range(count) if classes is None else classes)]
    if not count:
        raise ValueError("confusion_matrix: there are no classes")
    if len(names) != count:
        raise ValueError(f"confusion_matrix: {len(names)} names for {count} classes")
    longest = max(map(len, names))
    side = min(max(3.5, 0.5 * count + 1), 12.0)
    side += text_width(longest, label_size(0.8 * 72 * side / count)) / 72
    figure, (axes,) = panels("confusion_matrix", 1, 1, (side, side), ax, figsize)
    totals = matrix.sum(axis=1, keepdims=True, dtype=np.float64)
    shares = np.sqrt(matrix / np.maximum(1, totals))  # the roots, so that rare mistakes are visible
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="prediction", ylabel="label")
    # the names take room from the cells, so first they are fitted, then the cells are measured for the counts
    given = min(size_in_points(axes))
    size = min(label_size(0.8 * given / count), label_size(0.5 * given, longest))
    axes.set_xticks(range(count), names, fontsize=size, rotation=90)
    axes.set_yticks(range(count), names, fontsize=size)
    cell = _cell(figure, axes, count)
    if text_width(longest, size) < cell:
        axes.tick_params(axis="x", rotation=0)
        cell = _cell(figure, axes, count)
    size = label_size(cell, len(str(matrix.max())))
    options: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": size, "in_layout": False}
    for row, column in np.argwhere(matrix) if size >= _SMALLEST else ():
        colour = "white" if shares[row, column] > 0.6 else "black"
        axes.text(column, row, str(matrix[row, column]), color=colour, **options)
    return figure


def _cell(figure: Any, axes: Any, count: int) -> float:
    """Return the smaller side of a cell in points, as it will be drawn."""
    figure.draw_without_rendering()
    box = axes.get_window_extent()
    return float(72 * min(box.width, box.height) / axes.figure.dpi / count)


def gradient_flow(
    norms: Module | Mapping[str, float], *, ax: Any = None, figsize: tuple[float, float] | None = None
) -> Any:
    """Draw the norm of each parameter's gradient, on a logarithmic scale: where gradients vanish or explode.

    Args:
        norms: norms by name, as in a row of `minidl.training.callbacks.GradientMonitor`; or a model after a backward
            pass.
        ax: the matplotlib Axes to draw in; None for a new figure.
        figsize: width and height of a new figure in inches.

    Returns:
        A matplotlib Figure; parameters are listed in the order of the model.

    Raises:
        ValueError: there are no gradients.
        ImportError: the extra ``plot`` is not installed.
    """
    if isinstance(norms, Module):
        norms = grad_norms(norms)
    if not norms:
        raise ValueError("gradient_flow: there are no gradients; run a backward pass first")
    figure, (axes,) = panels("gradient_flow", 1, 1, (6.4, max(2.4, 0.25 * len(norms) + 1)), ax, figsize)
    largest = max([value for value in norms.values() if np.isfinite(value)], default=1.0) or 1.0
    finite = [bool(np.isfinite(value)) for value in norms.values()]
    lengths = [max(value, 1e-12) if np.isfinite(value) else largest for value in norms.values()]
    colours = [PALETTE["training"] if known else PALETTE["wrong"] for known in finite]
    axes.barh(range(len(norms)), lengths, color=colours)
    size = label_size(0.9 * size_in_points(axes)[1] / len(norms), largest=8.0)
    for row, (value, known) in enumerate(zip(norms.values(), finite, strict=True)):
        if not known:
            axes.text(largest, row, f"{value} ", ha="right", va="center", color="white", fontsize=size)
    axes.set_yticks(range(len(norms)), [plain(name) for name in norms], fontsize=size)
    axes.invert_yaxis()
    # whole powers of ten, so that there are always two that are written out, and nothing between them is
    ends = [10.0 ** round_(np.log10(end(lengths))) for round_, end in ((np.floor, min), (np.ceil, max))]
    axes.set(xscale="log", xlabel="norm of the gradient", xlim=(ends[0], max(ends[1], 10 * ends[0])))
    axes.xaxis.set_minor_formatter("")
    axes.grid(axis="x", alpha=0.3)
    return figure
