"""``minidl export``: write a trained model as an ONNX file."""

from __future__ import annotations

import argparse
from typing import Any

from .. import export_onnx, load
from .._core import user_path
from .command import add_command
from .output import say, show
from .recipe import make_model, parse_shape
from .run import Run
from .trust import add_trust, check_trusted

__all__ = ["add_export"]


def add_export(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        export,
        text="write a trained model as an ONNX file",
        description="Write a run's model, or a model with the weights of a file, as an ONNX file, which ONNX Runtime "
        "and other programs run (extra: onnx).",
        example="minidl export runs/digits-1 digits.onnx",
    )
    parser.add_argument("source", metavar="SOURCE", help="a run's folder, or a file of weights (with --model)")
    parser.add_argument("out", metavar="OUT", help="file to write, ending in .onnx")
    parser.add_argument("--model", metavar="NAME", help="one of minidl.models, or MODULE:FUNCTION")
    parser.add_argument("--input-shape", metavar="C,H,W", help="of an image (default: the one the model is made for)")
    add_trust(parser, model=False)


def export(options: argparse.Namespace) -> int:
    """Run the command."""
    source = user_path(options.source)
    if source.is_dir():
        if options.input_shape is not None:
            raise ValueError("a run knows the shape of its images: give --input-shape with a file of weights only")
        run = Run.read(source)
        check_trusted(run.config, run.recipe.model, options)
        model, shape, name = run.load_model(), run.shape, run.recipe.model
    else:
        if options.model is None:
            raise ValueError(f"--model NAME is needed with a file of weights; {source} is not the folder of a run")
        name, model = options.model, make_model(options.model)
        shape = parse_shape(options.input_shape, name)
        model.output_shape((1, *shape))  # gives lazy layers their input size
        load(model, source)
    export_onnx(model, options.out, (1, *shape))
    say(options, f"{name} with the weights of {source} written to {options.out}")
    if options.json:
        show(options, {"out": options.out, "model": name, "input_shape": ["N", *shape]}, "")
    return 0
