"""``minidl predict``: classify images."""

from __future__ import annotations

import argparse
from collections import Counter
from typing import Any

import numpy as np

from .._core import printable, user_path
from ..data.images import described, image_batches
from ..inference.repeated import Repeated
from ..training.progress import Progress
from .command import add_command
from .engines import use_engine
from .measure import probabilities
from .options import add_flags
from .output import say, show
from .recipe import Recipe
from .run import Run
from .trust import add_trust, check_trusted

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
    parser.add_argument("folder", metavar="RUN", help="the run's folder")
    parser.add_argument("files", metavar="FILE", nargs="+", help="image, folder or .npy file")
    parser.add_argument("--top", type=int, metavar="K", help="how many classes to show (default: 3)")
    add_flags(parser, [Recipe.options()["engine"]])
    add_trust(parser)


def predict(options: argparse.Namespace) -> int:
    """Run the command."""
    use_engine(options.engine)
    run = Run.read(options.folder)
    check_trusted(run.config, run.recipe.model, options)
    top = min(3, len(run.classes)) if options.top is None else options.top
    if not 1 <= top <= len(run.classes):
        raise ValueError(f"--top must be from 1 to {len(run.classes)}, the number of classes, got {top}")
    model, results, lines = run.load_model(), [], []
    skipped, forward = Counter[str](), Repeated(model)
    batches = image_batches(
        [user_path(name) for name in options.files], run.shape, skipped, run.recipe.fit or "stretch"
    )
    for (names, images), _ in Progress("none" if options.quiet else "auto").track(batches, "predicting"):
        for name, row in zip(names, probabilities(model, images, forward), strict=True):
            order = () if np.isnan(row).any() else np.argsort(-row, kind="stable")[:top]  # NaN is no guess
            guesses = [(run.classes[c], float(row[c])) for c in order]
            results.append({"image": name, "top": [{"class": c, "probability": p} for c, p in guesses]})
            text = ", ".join(f"{printable(c)} {100 * p:.1f} %" for c, p in guesses)
            lines.append(f"{printable(name)}: {text or 'no class, the output of the model is NaN'}")
    if skipped:
        say(options, f"files: {described(skipped)}")
    show(options, {"predictions": results}, "\n".join(lines))
    return 0
