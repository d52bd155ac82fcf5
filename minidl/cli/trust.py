"""What is done of all that a run's files say: a run may come from a stranger.

Its numbers, names of minidl's own, and the folder of its dataset are followed, and the folder is told. Code is imported
and files are fetched only if the command line says so again.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace

from .datasets import Images
from .output import say
from .recipe import Recipe

__all__ = ["add_trust", "check_trusted", "stored_images"]


def add_trust(parser: argparse.ArgumentParser, *, model: bool = True) -> None:
    """Add --trust, and --model unless the command has one."""
    if model:
        parser.add_argument(
            "--model", metavar="NAME", help="the run's model: one of your own is imported if you name it"
        )
    parser.add_argument("--trust", action="store_true", help="import the model that the run's config.toml names")


def check_trusted(source: str | os.PathLike[str], model: str, options: argparse.Namespace) -> None:
    """Raise ValueError unless a model that a file names is minidl's own, is named on the command line, or is trusted.

    Args:
        source: the file.
        model: what it says.
        options: with ``model`` and ``trust``.
    """
    if options.model is not None and options.model != model:
        raise ValueError(f"--model {options.model}: the model of {source} is {model}")
    if ":" in model and options.model is None and not options.trust:
        raise ValueError(
            f"{source} names the model {model}, which would import and run code; if you trust it, give "
            f"--model {model} or --trust"
        )


def stored_images(source: str | os.PathLike[str] | None, recipe: Recipe, options: argparse.Namespace) -> Images:
    """Read the dataset of a recipe.

    Args:
        source: the file that the recipe comes from; None: the command line alone.
        recipe: the recipe, with the flags.
        options: with ``root`` and ``download``.

    Raises:
        FileNotFoundError: there are no such files; nothing is fetched unless ``options.download``.
    """
    if recipe.root and options.root is None:
        say(options, f"the dataset's files: {recipe.root} (from {source})")
    try:
        return replace(recipe, download=bool(options.download)).load_images()
    except FileNotFoundError as error:
        if recipe.download and not options.download:
            raise FileNotFoundError(f"{error}; {source} says download = true: give --download to do it") from error
        raise
