"""``minidl evaluate``: measure a run's model on its test images."""

from __future__ import annotations

import argparse
from typing import Any

from .command import add_command
from .engines import use_engine
from .measure import measure
from .options import add_flags
from .output import show
from .readable import readable
from .recipe import Recipe
from .run import Run
from .trust import add_trust, check_trusted, stored_images

__all__ = ["add_evaluate"]


def add_evaluate(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        evaluate,
        text="measure a run's model on its test images",
        description="Measure a run's model: loss, accuracy, and precision, recall and F1 of each class.",
        example="minidl evaluate runs/digits-1",
    )
    parser.add_argument("folder", metavar="RUN", help="the run's folder")
    parser.add_argument("--root", metavar="DIR", help="where the dataset's files are now")
    add_flags(parser, [Recipe.options()[name] for name in ("download", "engine")])
    add_trust(parser)


def evaluate(options: argparse.Namespace) -> int:
    """Run the command."""
    use_engine(options.engine)
    run = Run.read(options.folder)
    if options.root is not None:
        run.recipe = run.recipe.with_values({"root": options.root})
    check_trusted(run.config, run.recipe.model, options)
    images = stored_images(run.config, run.recipe, options)
    if images.classes != run.classes:
        raise ValueError(f"the dataset has the classes {images.classes}, the run {run.classes}")
    part, dataset = images.measured
    dataset = readable({part: dataset}, options, skip=run.recipe.skip_broken)[part]
    measured = measure(run.load_model(), dataset, run.classes, "none" if options.quiet else "auto")
    last = f"{part} accuracy: {measured.summary()}, mean loss {measured.loss:.4f}"
    show(options, {"images": part, **measured.as_dict()}, last if options.quiet else f"{measured.report}\n{last}")
    return 0
