"""LeastCertain: a picture of the images of which a model is least certain, with what it says of each."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .._core import Array, printable, user_path
from ..data.images import pillow
from ..modelfile.loaded import guesses

__all__ = ["LeastCertain", "check_sheet"]

_SIDE, _EDGE, _LINE, _COLUMNS = 120, 12, 13, 6  # pixels: of an image, between images, of a line of text


class _Entry(NamedTuple):
    certainty: float  # of the most probable class; below 0 for NaN
    name: str
    image: Array
    row: Array


def check_sheet(path: str) -> None:
    """Raise ValueError unless a name ends in .png, ImportError without pillow: before anything is predicted."""
    if user_path(path).suffix.lower() != ".png":
        raise ValueError(f"--sheet {path}: the picture is a PNG file; let its name end in .png")
    pillow("--sheet")


class LeastCertain:
    """Keeps the images of which a model is least certain; of all others nothing.

    Args:
        count: how many.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._kept: list[_Entry] = []

    def look(self, names: Sequence[str], images: Array, probabilities: Array) -> None:
        """Take a batch: names, images (N, C, H, W) with values in [0, 1], probabilities (N, C)."""
        certain = np.where(np.isnan(probabilities).any(axis=1), -1.0, probabilities.max(axis=1))
        new = [_Entry(float(certain[i]), names[i], images[i].copy(), probabilities[i]) for i in range(len(names))]
        self._kept = sorted([*self._kept, *new], key=lambda entry: entry.certainty)[: self._count]

    @property
    def names(self) -> list[str]:
        """The names of the images that are kept, the least certain first."""
        return [entry.name for entry in self._kept]

    def png(self, classes: list[str]) -> bytes:
        """Return the picture: the least certain first, row by row, each with its file and its two most likely classes.

        Args:
            classes: the classes' names.
        """
        module = pillow("--sheet")
        from PIL import ImageDraw  # noqa: PLC0415

        columns = max(1, min(_COLUMNS, len(self._kept)))
        width, height = _SIDE + _EDGE, _SIDE + 3 * _LINE + _EDGE
        rows = max(1, -(-len(self._kept) // columns))
        sheet = module.new("RGB", (columns * width + _EDGE, rows * height + _EDGE), "white")
        pen = ImageDraw.Draw(sheet)
        for number, entry in enumerate(self._kept):
            left, top = _EDGE + number % columns * width, _EDGE + number // columns * height
            sheet.paste(_thumbnail(module, entry.image), (left, top))
            for line, text in enumerate([os.path.basename(entry.name), *_lines(entry.row, classes)]):
                shown = printable(text).encode("latin-1", "replace").decode("latin-1")  # what Pillow's own font has
                while shown and pen.textlength(shown) > _SIDE:
                    shown = shown[:-1]
                pen.text((left, top + _SIDE + 1 + line * _LINE), shown, fill="black" if line else "grey")
        stream = io.BytesIO()
        sheet.save(stream, "PNG")
        return stream.getvalue()


def _lines(row: Array, classes: list[str]) -> list[str]:
    if np.isnan(row).any():
        return ["no class: NaN"]
    order = np.argsort(-row, kind="stable")[:2]
    return [guesses([(classes[c], float(row[c]))]) for c in order]


def _thumbnail(module: Any, image: Array) -> Any:
    """Return an image (C, H, W) as one of Pillow's that fits into the square; small ones keep their pixels visible."""
    planes = np.clip(np.nan_to_num(image), 0, 1)
    planes = planes[:3] if len(planes) >= 3 else planes[:1].repeat(3, axis=0)
    picture = module.fromarray(np.ascontiguousarray(np.rint(255 * planes).astype(np.uint8).transpose(1, 2, 0)))
    factor = _SIDE / max(picture.size)
    size = tuple(max(1, round(factor * side)) for side in picture.size)
    how = module.Resampling.NEAREST if factor > 1 else module.Resampling.BILINEAR
    square = module.new("RGB", (_SIDE, _SIDE), (235, 235, 235))
    square.paste(picture.resize(size, how), ((_SIDE - size[0]) // 2, (_SIDE - size[1]) // 2))
    return square
