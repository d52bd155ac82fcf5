"""``minidl predict``: classify images."""

from __future__ import annotations

import argparse
import csv
import io
from collections import Counter
from typing import Any

import numpy as np

from .._core import printable, through_link, user_path, write_atomically
from ..data.images import described
from ..data.unreadable import UnreadableImageError, UnreadableImagesError, image_count, listed
from ..modelfile import Predictions
from ..modelfile.loaded import guesses
from ..training.progress import Progress
from .command import add_command
from .contact_sheet import LeastCertain, check_sheet
from .engines import use_engine
from .options import add_flags
from .output import complain, say, show
from .recipe import Recipe
from .source import SOURCE, loaded_source
from .trust import add_trust

__all__ = ["add_predict"]


def add_predict(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        predict,
        text="classify images",
        description="Classify images: image files, folders of them (extra: images), or .npy arrays (N, C, H, W) "
        "of values in [0, 1]. Image files are resized to the size that the model takes.",
        example="minidl predict runs/digits-1 images.npy --top 2",
    )
    parser.add_argument("folder", metavar="RUN", help=SOURCE)
    parser.add_argument("files", metavar="FILE", nargs="+", help="image, folder or .npy file")
    parser.add_argument("--top", type=int, metavar="K", help="how many classes to show (default: 3)")
    parser.add_argument("--csv", metavar="FILE", help="write the predictions to a CSV file")
    parser.add_argument(
        "--sheet", metavar="FILE", help="draw the images of which the model is least certain, as PNG (extra: images)"
    )
    parser.add_argument("--least", type=int, metavar="N", help="how many images to draw (default: 24)")
    add_flags(parser, [Recipe.options()["engine"]])
    add_trust(parser)


def predict(options: argparse.Namespace) -> int:
    """Run the command."""
    use_engine(options.engine)
    loaded = loaded_source(options.folder, options)
    count = len(loaded.classes)
    top = min(3, count) if options.top is None else options.top
    if count and not 1 <= top <= count:
        raise ValueError(f"--top must be from 1 to {count}, the number of classes, got {top}")
    least = _least(options)
    skipped, broken = Counter[str](), list[UnreadableImageError]()
    names, rows = list[str](), []
    batches = loaded.batches([user_path(name) for name in options.files], skipped, broken)
    for (some, images, probabilities), _ in Progress("none" if options.quiet else "auto").track(batches, "predicting"):
        names += some
        rows.append(probabilities)
        if least is not None:
            least.look(some, images, probabilities)
    if broken and not names:
        raise broken[0] if len(broken) == 1 else UnreadableImagesError(broken)
    if broken:
        complain("minidl predict", f"{image_count(broken)} left out, which cannot be read", listed(broken))
    found = Predictions(names, loaded.classes, np.concatenate(rows) if rows else np.zeros((0, count)))
    if skipped:
        say(options, f"files: {described(skipped)}")
    if options.csv is not None:
        write_atomically(through_link(user_path(options.csv)), _csv(found, top).encode())
    if least is not None:
        write_atomically(through_link(user_path(options.sheet)), least.png(loaded.classes))
    unreadable = [{"image": str(error.path), "reason": error.reason} for error in broken]
    show(options, {"predictions": _plain(found, top), "unreadable": unreadable}, _table(found, top))
    return 0


def _least(options: argparse.Namespace) -> LeastCertain | None:
    """Return what collects the images for --sheet, None without one."""
    if options.sheet is None:
        if options.least is not None:
            raise ValueError("--least N says how many images --sheet FILE has; give that too")
        return None
    check_sheet(options.sheet)
    count = 24 if options.least is None else options.least
    if count < 1:
        raise ValueError(f"--least must be at least 1, got {count}")
    return LeastCertain(count)


def _table(found: Predictions, top: int) -> str:
    return "\n".join(
        f"{printable(name)}: {guesses(row)}" for name, row in zip(found.images, found.top(top), strict=True)
    )


def _plain(found: Predictions, top: int) -> list[dict[str, Any]]:
    return [
        {"image": name, "top": [{"class": c, "probability": p} for c, p in row]}
        for name, row in zip(found.images, found.top(top), strict=True)
    ]


def _csv(found: Predictions, top: int) -> str:
    """Return a line for each image: its name, and the most probable classes with their probabilities."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    columns = [name for k in range(1, top + 1) for name in (f"class_{k}", f"probability_{k}")]
    writer.writerow(["image", *columns])
    for name, row in zip(found.images, found.top(top), strict=True):
        values = [value for pair in row for value in pair]
        writer.writerow([name, *values, *[""] * (2 * top - len(values))])
    return stream.getvalue()
