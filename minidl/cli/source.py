"""What a command is given as its model: the folder of a run, or a file that `save_model` wrote."""

from __future__ import annotations

import argparse

from .._core import user_path
from ..modelfile import LoadedModel, load_model
from .run import Run
from .trust import check_trusted

__all__ = ["SOURCE", "is_model_file", "loaded_source"]

SOURCE = "a run's folder, or a file of a model, ending in .minidl"  # for help texts


def is_model_file(name: str) -> bool:
    """Return whether a name is that of a model's file rather than a run's folder."""
    return user_path(name).suffix == ".minidl"


def loaded_source(name: str, options: argparse.Namespace) -> LoadedModel:
    """Return the model of a run or of a file, with its classes and preprocessing.

    Args:
        name: the folder or the file.
        options: with ``model`` and ``trust``; a file runs no code, and needs neither.

    Raises:
        FileNotFoundError: there is none, or the run is not finished.
        ValueError: a file is damaged, or a run's model would run code that is not trusted.
    """
    if is_model_file(name):
        return load_model(name)
    run = Run.read(name)
    check_trusted(run.config, run.recipe.model, options)
    return run.loaded(run.load_model())
