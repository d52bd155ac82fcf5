"""``minidl evaluate``: measure a run's model on its test images."""

from __future__ import annotations

import argparse
from typing import Any

from ..modelfile import LoadedModel
from ..modelfile.preprocessing import Preprocessing
from .command import add_command
from .datasets import CHANNELS, Images
from .engines import use_engine
from .measure import measure
from .options import add_flags
from .output import complain, show
from .readable import readable
from .recipe import Recipe
from .run import Run
from .source import SOURCE, is_model_file, loaded_source
from .split_record import recorded_test_images
from .trust import add_trust, check_trusted, stored_images

__all__ = ["add_evaluate"]


def add_evaluate(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        evaluate,
        text="measure a run's model on its test images",
        description="Measure a model: loss, accuracy, and precision, recall and F1 of each class. A run knows its "
        "dataset; for the file of a model --data names one.",
        example="minidl evaluate runs/digits-1",
    )
    parser.add_argument("source", metavar="RUN", help=SOURCE)
    parser.add_argument("--root", metavar="DIR", help="where the dataset's files are now")
    add_flags(parser, [Recipe.options()[name] for name in ("data", "split", "download", "engine")])
    add_trust(parser)


def evaluate(options: argparse.Namespace) -> int:
    """Run the command."""
    use_engine(options.engine)
    loaded, images, skip = (_of_file if is_model_file(options.source) else _of_run)(options)
    if images.classes != loaded.classes:
        raise ValueError(f"the dataset has the classes {images.classes}, {options.source} {loaded.classes}")
    part, dataset = images.measured
    dataset = readable({part: dataset}, options, skip=skip)[part]
    measured = measure(loaded, dataset, "none" if options.quiet else "auto")
    last = f"{part} accuracy: {measured.summary()}, mean loss {measured.loss:.4f}"
    show(options, {"images": part, **measured.as_dict()}, last if options.quiet else f"{measured.report}\n{last}")
    return 0


def _of_run(options: argparse.Namespace) -> tuple[LoadedModel, Images, bool]:
    """Return a run's model, its images, and whether broken ones are left out."""
    if options.data is not None or options.split is not None:
        raise ValueError(f"--data and --split are for the file of a model: the run {options.source} knows its dataset")
    run = Run.read(options.source)
    if options.root is not None:
        run.recipe = run.recipe.with_values({"root": options.root})
    check_trusted(run.config, run.recipe.model, options)
    images, note = recorded_test_images(run.folder, stored_images(run.config, run.recipe, options))
    if note:
        complain("minidl evaluate", note)
    return run.loaded(run.load_model()), images, run.recipe.skip_broken


def _of_file(options: argparse.Namespace) -> tuple[LoadedModel, Images, bool]:
    """Return the model of a file, and the images that the options name."""
    loaded = loaded_source(options.source, options)
    if options.data is None:
        raise ValueError(f"--data NAME is needed, and --root DIR: {options.source} does not say on what to measure it")
    if not loaded.classes or loaded.preprocess is None:
        raise ValueError(
            f"{options.source} has no classes or no preprocessing: save_model stores them if they are given"
        )
    given = {name: value for name in ("root", "split") if (value := getattr(options, name)) is not None}
    if options.data == "folder":
        given.update(_of_images(loaded.preprocess, options.source))
    images = stored_images(None, Recipe.default(options.data).with_values(given), options)
    if images.shape != loaded.preprocess.shape:
        raise ValueError(f"the dataset's images are {images.shape}, {options.source} takes {loaded.preprocess.shape}")
    return loaded, images, False


def _of_images(preprocess: Preprocessing, source: str) -> dict[str, Any]:
    """Return the options by which a folder's images become those that a model takes."""
    channels, height, width = preprocess.shape
    names = {number: name for name, number in CHANNELS.items()}
    if height != width or channels not in names:
        raise ValueError(f"{source} takes images {preprocess.shape}; --data folder makes square ones, grey or rgb")
    return {"size": height, "channels": names[channels], "fit": preprocess.fit}
