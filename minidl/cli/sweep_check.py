"""check_runs: what would end a run of a sweep before its first step is found before the first run begins."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from ..nn import Module
from .datasets import Images
from .initial_weights import initial_weights
from .recipe import Recipe
from .run import Run
from .sweep_plan import Plan
from .trust import check_trusted, stored_images

__all__ = ["check_runs"]


def check_runs(plan: Plan, source: str | os.PathLike[str], options: argparse.Namespace) -> None:
    """Read the data of all runs, once, and make what each run makes of them.

    Args:
        plan: the runs.
        source: the file that they come from.
        options: with ``trust``, and ``download``: files are fetched here, so that runs do not fetch them together.

    Raises:
        ValueError, TypeError: something cannot be made; with the file and the options of the run.
        FileNotFoundError: files are missing.
    """
    seen_data, seen_models = dict[Any, Images](), dict[Any, Module]()
    for number, recipe in enumerate(plan.recipes):
        check_trusted(source, recipe.model, options)
        values = ", ".join(f"{name} = {value!r}" for name, value in plan.values(number).items())
        try:
            data = (
                recipe.data,
                recipe.root,
                recipe.size,
                recipe.channels,
                recipe.fit,
                recipe.split,
                recipe.val_fraction,
            )
            if data not in seen_data:
                seen_data[data] = stored_images(source, recipe, options)
            images = seen_data[data]
            net = (*data, recipe.model, recipe.init)
            if net not in seen_models:
                seen_models[net] = _model(recipe, images)
            _check(recipe, seen_models[net], images)
        except (ValueError, TypeError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"{source}: the run with {values}: {error}") from error


def _model(recipe: Recipe, images: Images) -> Module:
    """Make a run's model, with the weights that it begins with."""
    model = Run(Path("."), recipe, images.classes, images.shape).make_model()
    if recipe.init:
        initial_weights(model, recipe.init)
    return model


def _check(recipe: Recipe, model: Module, images: Images) -> None:
    """Make what a run makes before its first step."""
    if images.val is None or not recipe.val_fraction:
        raise ValueError("val_fraction = 0: a sweep compares its runs by validation; leave it out, or give 0.1")
    if recipe.seed < 0:
        raise ValueError(f"seed must not be negative, got {recipe.seed}")
    optimizer = recipe.make_optimizer(model)
    recipe.make_scheduler(optimizer, recipe.epochs * -(-len(images.train) // recipe.batch_size))
    recipe.make_transform(images.shape, len(images.classes))
    recipe.make_loss(images)
    recipe.make_callbacks(True)
