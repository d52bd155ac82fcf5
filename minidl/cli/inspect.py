"""``minidl inspect``: look at a dataset before training on it."""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterable
from typing import Any

import numpy as np

from .._core import printable, user_path, write_atomically
from ..data import Dataset
from ..data.folder import skipped_in
from ..data.survey import Image, Survey, survey
from ..plotting import image_grid
from ..training.progress import Progress
from .command import add_command
from .datasets import load_images
from .options import add_flags
from .output import say, show
from .recipe import Recipe

__all__ = ["add_inspect"]

_SIZE = 64  # to which the images of a folder are resized unless --size says otherwise
_SHOWN = 5  # of a list, in the text; JSON has them all
_UNEVEN = 5  # times as many images in one class as in another
_FEW = 20  # images of a class to learn from
_DRAWN, _COLUMNS = 160, 8  # images of the sheet, and in a row of it
_OPTIONS = ("data", "root", "download", "size", "channels", "fit", "split")


def add_inspect(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        inspect,
        text="look at a dataset before training on it",
        description="Look at every image of a dataset: how many there are of each class, sizes, modes, means, what "
        "cannot be read, and what is there twice, above all in training and test.",
        example="minidl inspect --data digits --sheet samples.png",
    )
    add_flags(parser, [Recipe.options()[name] for name in _OPTIONS])
    parser.add_argument("--sheet", metavar="FILE", help="draw samples of each class into this .png file (extra: plot)")


def inspect(options: argparse.Namespace) -> int:
    """Run the command."""
    sheet = None if options.sheet is None else user_path(options.sheet)
    if sheet is not None and (sheet.suffix.lower() != ".png" or not sheet.parent.is_dir()):
        raise ValueError(f"--sheet {sheet}: expected the name of a .png file in a folder that exists")
    if sheet is not None:
        image_grid(np.zeros((1, 1, 1, 1), np.float32))  # is there matplotlib? Better asked now than in the end
    given = {name: value for name in _OPTIONS if (value := getattr(options, name)) is not None}
    recipe = Recipe().with_values(given)
    if recipe.data == "folder" and not recipe.size:
        recipe = recipe.with_values({"size": _SIZE})
    parts = load_images(recipe.data, {name: getattr(recipe, name) for name in _OPTIONS if name != "data"}).parts
    progress = Progress("none" if options.quiet or options.json else "auto")

    def track(steps: Iterable[Any], label: str, total: int) -> Iterable[Any]:
        return (step for step, _ in progress.track(steps, label, total=total, unit="step"))

    found = survey(parts, track)
    skipped = skipped_in(parts.values())
    findings = _findings(found)
    if sheet is not None:
        write_atomically(sheet, _sheet(found, parts))
    text = [f"{recipe.data}: {len(found.images):,} images, {len(found.classes)} classes", "", *_table(found), ""]
    text += [*_measures(found), *([f"files: {skipped}"] if skipped else []), "", *(findings or ["nothing stands out"])]
    show(options, _as_dict(found, findings, skipped), "\n".join(text))
    if sheet is not None:
        say(options, f"samples drawn into {sheet}")
    return 0


def _table(found: Survey) -> list[str]:
    """Return the counts by class and part as lines."""
    rows = [("class", *found.counts)]
    columns = list(found.counts.values())
    rows += [
        (printable(name), *(f"{counts[number]:,}" for counts in columns)) for number, name in enumerate(found.classes)
    ]
    rows.append(("all", *(f"{counts.sum():,}" for counts in columns)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(n) for cell, n in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]


def _measures(found: Survey) -> list[str]:
    """Return sizes, modes and moments as lines."""
    sizes = (_spread(found.heights), _spread(found.widths))
    lines = [
        f"{name}: {low} to {high}, median {middle:g}"
        for name, (low, middle, high) in zip(("height", "width"), sizes, strict=True)
    ]
    if found.modes:
        lines.append("modes: " + ", ".join(f"{mode} {count:,}" for mode, count in found.modes.most_common()))
    mean, std = (" ".join(f"{value:.4f}" for value in values) for values in (found.mean, found.std))
    return [*lines, f"pixels, read as {' x '.join(map(str, found.shape))}: mean {mean}, standard deviation {std}"]


def _spread(values: list[int]) -> tuple[int, float, int]:
    return min(values), float(np.median(values)), max(values)


def _findings(found: Survey) -> list[str]:
    """Return what may make a model wrong, or its accuracy better than it is, as sentences."""
    lines = []
    if found.unreadable:
        files = [f"{name} ({reason})" for name, reason in found.unreadable]
        lines.append(f"{_count(files, 'image')} cannot be read: {_some(files)}")
    kinds = {"the same images": found.same, "images that look alike": [[one, other] for one, other, _ in found.alike]}
    for what, several in kinds.items():
        across = [group for group in several if len({image.part for image in group}) > 1]
        within = [group for group in several if len({image.part for image in group}) == 1]
        mixed = [group for group in several if len({image.label for image in group}) > 1]
        if across:
            lines.append(f"{what} are in several parts, {_count(across, 'time')}: {_some(map(_equal, across))}")
        if within:
            lines.append(f"{what} are in one part, {_count(within, 'time')}: {_some(map(_equal, within))}")
        if mixed:
            named = (f"{_equal(group)} ({', '.join(found.classes[image.label] for image in group)})" for group in mixed)
            lines.append(f"{what} have several classes, {_count(mixed, 'time')}: {_some(named)}")
    if found.too_small:
        lines.append("images that look alike were not looked for: these are too small")
    for part, counts in found.counts.items():
        if missing := [name for name, count in zip(found.classes, counts, strict=True) if not count]:
            lines.append(f"{part} has no image of {_some(missing)}")
    counts = next(iter(found.counts.values()))
    if counts.min() > 0 and counts.max() >= _UNEVEN * counts.min():
        large, small = (printable(found.classes[int(place)]) for place in (counts.argmax(), counts.argmin()))
        lines.append(f"{large} has {counts.max() / counts.min():.0f} times as many images as {small}")
    if few := [name for name, count in zip(found.classes, counts, strict=True) if 0 < count < _FEW]:
        lines.append(f"fewer than {_FEW} images to learn from: {_some(few)}")
    return lines


def _sheet(found: Survey, parts: dict[str, Dataset]) -> bytes:
    """Return a picture of some images of each class, spread over it, as a PNG file."""
    several = max(1, min(_COLUMNS, _DRAWN // len(found.classes)))
    columns = several * (_COLUMNS // several)  # whole classes in a row
    chosen = list[Image]()
    for label in range(len(found.classes)):
        own = [image for image in found.images if image.label == label]
        chosen += [own[place] for place in np.unique(np.linspace(0, len(own) - 1, several).astype(int)) if own]
    images = np.stack([np.asarray(parts[image.part][image.index][0]) for image in chosen])
    labels = [image.label for image in chosen]
    figure, stream = image_grid(images, labels, classes=found.classes, columns=columns), io.BytesIO()
    figure.savefig(stream, format="png", dpi=120)
    return stream.getvalue()


def _count(items: list[Any], unit: str) -> str:
    return f"{len(items):,} {unit}{'s' * (len(items) != 1)}"


def _some(items: Iterable[str]) -> str:
    """Return the first of a list, and how many more there are."""
    every = [printable(item) for item in items]
    more = len(every) - _SHOWN
    return "; ".join(every[:_SHOWN]) + (f"; {more:,} more" if more > 0 else "")


def _equal(group: list[Image]) -> str:
    return " = ".join(image.name for image in group)


def _as_dict(found: Survey, findings: list[str], skipped: str) -> dict[str, Any]:
    """Return everything as plain data."""

    def described(image: Image) -> dict[str, str]:
        return {"image": image.name, "part": image.part, "class": found.classes[image.label]}

    return {
        "images": len(found.images),
        "classes": found.classes,
        "counts": {part: counts.tolist() for part, counts in found.counts.items()},
        "sizes": {
            name: dict(zip(("min", "median", "max"), _spread(values), strict=True))
            for name, values in (("height", found.heights), ("width", found.widths))
        },
        "modes": dict(found.modes),
        "read_as": list(found.shape),
        "mean": found.mean.tolist(),
        "std": found.std.tolist(),
        "unreadable": [{"image": name, "reason": reason} for name, reason in found.unreadable],
        "skipped": skipped,
        "same": [[described(image) for image in group] for group in found.same],
        "alike": [{"images": [described(a), described(b)], "likeness": likeness} for a, b, likeness in found.alike],
        "findings": findings,
    }
