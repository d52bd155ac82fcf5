"""What a classifier of points in the plane has learned: its decision boundary, once or over the epochs."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .._core import CLASSES, PALETTE, Array, check_int, check_number, through_link, user_path, write_atomically
from ..nn import Module
from ..nn.modes import evaluating
from ..training import Callback
from .canvas import panels

__all__ = ["BoundaryFrames", "decision_boundary"]

_RESOLUTION = 160  # places along each axis at which the model is asked
_SIZE = 3.2  # inches of one picture
_FILM_DPI = 125  # a film has many pictures


class _Frame(NamedTuple):
    """Probabilities (K, R, R) on the grid, which of the points are classified as their label says, and a title."""

    probabilities: Array
    right: Array | None
    title: str


def decision_boundary(
    model: Module,
    points: Array,
    labels: Array | None = None,
    *,
    ax: Any = None,
    figsize: tuple[float, float] | None = None,
) -> Any:
    """Draw which class a model predicts where in the plane, with its points; those it has wrong are ringed in red.

    Args:
        model: from points (N, 2) to logits (N, K); or to one logit, (N, 1) or (N,), of class 1 of two.
        points: (N, 2); they also say which part of the plane is drawn.
        labels: the class of each point, integers (N,); None to draw no points.
        ax: the matplotlib Axes to draw in; None for a new figure.
        figsize: width and height of a new figure in inches.

    Returns:
        A matplotlib Figure. A colour is the fuller, the surer the model is; lines are where two classes are equally
        probable.

    Raises:
        ValueError: there are no points, or a shape is wrong, or the model gives something else than logits.
        ImportError: the extra ``plot`` is not installed.
    """
    points, labels = _checked("decision_boundary", points, labels)
    frame = _seen("decision_boundary", model, points, labels)
    figure, (axes,) = panels("decision_boundary", 1, 1, (_SIZE * 1.2, _SIZE * 1.2), ax, figsize)
    _draw(axes, frame, points, labels)
    return figure


class BoundaryFrames(Callback):
    """Keeps what a model predicts in the plane before the fit and after each epoch, as a film or a sheet of pictures.

        frames = plotting.BoundaryFrames(points, labels)
        Trainer(model, loss, optimizer, callbacks=[frames]).fit(loader, epochs=20)
        frames.save("learning.gif")

    Args:
        points: (N, 2), which are drawn and say which part of the plane is.
        labels: the class of each, integers (N,).
        every: epochs from one frame to the next.

    Raises:
        ValueError, TypeError: a shape is wrong, or ``every`` is not a positive integer.
    """

    def __init__(self, points: Array, labels: Array, every: int = 1) -> None:
        self.points, self.labels = _checked("BoundaryFrames", points, labels)
        self.every = check_int("BoundaryFrames", "every", every)
        self.frames: list[_Frame] = []

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.frames)

    def on_fit_start(self, trainer: Any) -> None:
        """Keep what the model predicts before it has learned anything."""
        if trainer.epoch == 0:
            self.frames.clear()
            self._keep(trainer)

    def on_epoch_end(self, trainer: Any) -> None:
        """Keep what the model predicts now."""
        if trainer.epoch % self.every == 0:
            self._keep(trainer)

    def _keep(self, trainer: Any) -> None:
        seen = _seen("BoundaryFrames", trainer.model, self.points, self.labels)
        title = f"epoch {trainer.epoch}: {seen.title}" if trainer.epoch else f"untrained: {seen.title}"
        self.frames.append(seen._replace(title=title, probabilities=seen.probabilities.astype(np.float16)))

    def sheet(
        self, count: int = 8, columns: int = 4, *, ax: Any = None, figsize: tuple[float, float] | None = None
    ) -> Any:
        """Draw some of the frames side by side.

        Args:
            count: how many, from the first to the last; the early ones closer together, since most happens there.
            columns: pictures per row.
            ax: None for a new figure; a matplotlib Axes, whose place is divided, or one for each picture.
            figsize: width and height of a new figure in inches.

        Returns:
            A matplotlib Figure.

        Raises:
            ValueError: there are no frames.
            ImportError: the extra ``plot`` is not installed.
        """
        self._check_any("sheet")
        count = min(check_int("BoundaryFrames.sheet", "count", count), len(self.frames))
        shares = np.linspace(0, 1, count) ** 2
        chosen = np.maximum(np.rint(shares * (len(self.frames) - 1)).astype(int), np.arange(count))
        columns = min(check_int("BoundaryFrames.sheet", "columns", columns), count)
        size = (0.75 * _SIZE * columns, 0.8 * _SIZE * -(-count // columns))
        figure, places = panels("BoundaryFrames.sheet", count, columns, size, ax, figsize)
        for axes, number in zip(places, chosen, strict=True):
            _draw(axes, self.frames[number], self.points, self.labels)
            axes.set_xticks([])
            axes.set_yticks([])
        return figure

    def save(self, path: str | os.PathLike[str], seconds: float = 0.3) -> None:
        """Write the frames as an animated GIF, which stays on the last one for a while.

        Args:
            path: file name; of a symbolic link, the file that it leads to is written.
            seconds: how long a frame is shown.

        Raises:
            ValueError: there are no frames, or the name does not end in .gif.
            ImportError: the extra ``plot`` is not installed.
            OSError: the file cannot be written.
        """
        self._check_any("save")
        place = through_link(user_path(path))
        if place.suffix.lower() != ".gif":
            raise ValueError(f"BoundaryFrames.save: the name must end in .gif, got {place.name!r}")
        milliseconds = 1000 * check_number("BoundaryFrames.save", "seconds", seconds, minimum=0.01)
        pictures = [_picture(frame, self.points, self.labels) for frame in self.frames]
        durations = [milliseconds] * (len(pictures) - 1) + [max(2000, milliseconds)]
        content = io.BytesIO()
        options: dict[str, Any] = {"duration": durations, "loop": 0, "append_images": pictures[1:]}
        pictures[0].save(content, format="GIF", save_all=True, **options)
        write_atomically(place, content.getvalue())

    def _check_any(self, method: str) -> None:
        if not self.frames:
            raise ValueError(f"BoundaryFrames.{method}: there are no frames; give it to a Trainer's callbacks and fit")


def _checked(owner: str, points: Array, labels: Array | None) -> tuple[Array, Array | None]:
    """Return points (N, 2) and labels (N,), or raise ValueError."""
    points = np.asarray(points)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points):
        raise ValueError(f"{owner}: expected points (N, 2), at least one, got shape {points.shape}")
    if labels is None:
        return points, None
    labels = np.asarray(labels)
    if labels.shape != (len(points),) or labels.dtype.kind not in "iu":
        raise ValueError(
            f"{owner}: expected integer labels ({len(points)},), got {labels.dtype} of shape {labels.shape}"
        )
    return points, labels


def _extent(points: Array) -> tuple[float, float, float, float]:
    """Return left, right, bottom and top of what is drawn: the points, and some room around them."""
    low, high = points.min(axis=0), points.max(axis=0)
    room = 0.1 * float((high - low).max()) or 1.0
    return float(low[0] - room), float(high[0] + room), float(low[1] - room), float(high[1] + room)


def _probabilities(owner: str, model: Module, points: Array) -> Array:
    """Return the probability of each class, (N, K)."""
    with evaluating(model):
        logits = model(points)
    if not isinstance(logits, np.ndarray) or logits.shape[:1] != points.shape[:1] or logits.ndim > 2:
        shape = getattr(logits, "shape", type(logits).__name__)
        raise ValueError(f"{owner}: expected a model that gives logits (N, K), got {shape} for {len(points)} points")
    if logits.ndim == 1 or logits.shape[1] == 1:
        logits = np.stack([np.zeros(len(points), logits.dtype), logits.reshape(-1)], axis=1)
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Array = weights / weights.sum(axis=1, keepdims=True)
    return shares


def _seen(owner: str, model: Module, points: Array, labels: Array | None) -> _Frame:
    """Ask the model, at the places of the grid and at the points."""
    left, right, bottom, top = _extent(points)
    kind = points.dtype if points.dtype.kind == "f" else np.float32
    x, y = np.meshgrid(np.linspace(left, right, _RESOLUTION), np.linspace(bottom, top, _RESOLUTION))
    grid = _probabilities(owner, model, np.stack([x.ravel(), y.ravel()], axis=1).astype(kind))
    probabilities = grid.T.reshape(-1, _RESOLUTION, _RESOLUTION)
    if labels is None:
        return _Frame(probabilities, None, "")
    hits = _probabilities(owner, model, points.astype(kind)).argmax(axis=1) == labels
    return _Frame(probabilities, hits, f"{100 * hits.mean():.0f} % right")


def _draw(axes: Any, frame: _Frame, points: Array, labels: Array | None) -> None:
    """Draw a frame: colours of the classes, their borders, the points."""
    left, right, bottom, top = _extent(points)
    probabilities = frame.probabilities.astype(np.float32)
    count = len(probabilities)
    colours = np.array([_rgb(CLASSES[number % len(CLASSES)]) for number in range(count)])
    best = probabilities.argmax(axis=0)
    sure = (probabilities.max(axis=0) - 1 / count) / (1 - 1 / count)
    depth = (0.12 + 0.4 * sure)[..., None]
    axes.imshow(1 - depth * (1 - colours[best]), extent=(left, right, bottom, top), origin="lower", aspect="auto")
    x, y = np.linspace(left, right, _RESOLUTION), np.linspace(bottom, top, _RESOLUTION)
    for number in range(1 if count == 2 else count):
        others = np.delete(probabilities, number, axis=0).max(axis=0)
        margin = probabilities[number] - others
        if margin.min() < 0 < margin.max():
            axes.contour(x, y, margin, levels=[0], colors="black", linewidths=1.0)
    if labels is not None and frame.right is not None:
        inside = np.array([_rgb(CLASSES[int(label) % len(CLASSES)]) for label in labels])
        rings = np.array([_rgb("#ffffff") if hit else _rgb(PALETTE["wrong"]) for hit in frame.right])
        axes.scatter(*points.T, c=inside, edgecolors=rings, s=22, linewidths=np.where(frame.right, 0.5, 1.2))
    axes.set_aspect("equal")
    if frame.title:
        axes.set_title(frame.title, fontsize=9)


def _picture(frame: _Frame, points: Array, labels: Array | None) -> Any:
    """Return a frame as a picture of Pillow's, which matplotlib needs as well."""
    figure, (axes,) = panels("BoundaryFrames.save", 1, 1, (1.2 * _SIZE, 1.2 * _SIZE))
    from PIL import Image  # noqa: PLC0415 - an extra, imported where it is used

    _draw(axes, frame, points, labels)
    axes.axis("off")
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=_FILM_DPI)
    content.seek(0)
    return Image.open(content).convert("P", palette=Image.Palette.ADAPTIVE)


def _rgb(colour: str) -> Sequence[float]:
    """Return a colour #rrggbb as numbers from 0 to 1."""
    return [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
