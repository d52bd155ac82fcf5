"""``minidl summary``: show a model's layers."""

from __future__ import annotations

import argparse
from typing import Any

from .. import models
from .._core import user_path
from ..nn import Drawing, Module
from .command import add_command
from .output import show
from .recipe import make_model, parse_shape
from .source import SOURCE, is_model_file, loaded_source
from .trust import add_trust

__all__ = ["add_summary"]

_COLUMNS = ("name", "kind", "output_shape", "params", "multiply_adds")


def add_summary(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        summary,
        text="show a model's layers",
        description="Show a model's layers with output shapes, parameters and multiply-adds.",
        example="minidl summary lenet5",
    )
    parser.add_argument("source", metavar="MODEL", help=f"one of minidl.models, MODULE:FUNCTION, or {SOURCE}")
    parser.add_argument("--input-shape", metavar="C,H,W", help="of an image (default: the one the model is made for)")
    add_trust(parser)
    parser.add_argument("--svg", metavar="FILE", help="draw the model, as SVG")


def summary(options: argparse.Namespace) -> int:
    """Run the command."""
    model, shapes = _model_of(options)
    table = model.summary(*shapes)
    if options.svg is not None:
        Drawing.of(model, shapes).save(options.svg)  # a class of the user may have a draw() of its own
    rows = [{column: getattr(row, column) for column in _COLUMNS} for row in table.rows]
    totals = {
        "params": table.total_params,
        "multiply_adds": table.multiply_adds,
        "input_shape": shapes[0] if len(shapes) == 1 else shapes,
    }
    show(options, {**totals, "layers": rows}, str(table))
    return 0


def _model_of(options: argparse.Namespace) -> tuple[Module, tuple[Any, ...]]:
    """Return the model and the shapes of its inputs."""
    name = options.source
    if name in models.__all__ or not (is_model_file(name) or user_path(name).is_dir()):
        channels = None if options.input_shape is None else parse_shape(options.input_shape, name)[0]
        return make_model(name, channels=channels), ((1, *parse_shape(options.input_shape, name)),)
    loaded = loaded_source(name, options)
    if options.input_shape is not None:
        return loaded.model, ((1, *parse_shape(options.input_shape, name)),)
    if not loaded.input_shapes:
        raise ValueError(f"--input-shape C,H,W is needed: {name} does not say it")
    return loaded.model, loaded.input_shapes
