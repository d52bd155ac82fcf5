"""``minidl summary``: show a model's layers."""

from __future__ import annotations

import argparse
from typing import Any

from .command import add_command
from .output import show
from .recipe import make_model, parse_shape

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
    parser.add_argument("model", metavar="MODEL", help="one of minidl.models, or MODULE:FUNCTION")
    parser.add_argument("--input-shape", metavar="C,H,W", help="of an image (default: the one the model is made for)")
    parser.add_argument("--svg", metavar="FILE", help="draw the model, as SVG")


def summary(options: argparse.Namespace) -> int:
    """Run the command."""
    model = make_model(options.model)
    shape = (1, *parse_shape(options.input_shape, options.model))
    table = model.summary(shape)
    if options.svg is not None:
        model.draw(shape).save(options.svg)
    rows = [{column: getattr(row, column) for column in _COLUMNS} for row in table.rows]
    totals = {"params": table.total_params, "multiply_adds": table.multiply_adds, "input_shape": shape}
    show(options, {**totals, "layers": rows}, str(table))
    return 0
