"""``minidl export``: write a trained model as an ONNX file."""

from __future__ import annotations

import argparse
from typing import Any

from .. import export_onnx, load
from .._core import user_path
from .command import add_command
from .output import say, show
from .recipe import make_model, parse_shape
from .source import SOURCE, is_model_file, loaded_source
from .trust import add_trust

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
    parser.add_argument("source", metavar="SOURCE", help=f"{SOURCE}, or a file of weights (with --model)")
    parser.add_argument("out", metavar="OUT", help="file to write, ending in .onnx")
    parser.add_argument("--model", metavar="NAME", help="one of minidl.models, or MODULE:FUNCTION")
    parser.add_argument("--input-shape", metavar="C,H,W", help="of an image (default: the one the model is made for)")
    add_trust(parser, model=False)


def export(options: argparse.Namespace) -> int:
    """Run the command."""
    source = user_path(options.source)
    if source.is_dir() or is_model_file(options.source):
        if options.input_shape is not None:
            raise ValueError(f"{source} knows the shape of its input: give --input-shape with a file of weights only")
        loaded, name = loaded_source(options.source, options), options.source
        if not loaded.input_shapes:
            raise ValueError(f"{source} does not say the shape of its input: give it to save_model")
        model, shapes, what = loaded.model, loaded.input_shapes, f"the model of {source}"
    else:
        if options.model is None:
            raise ValueError(f"--model NAME is needed with a file of weights; {source} is not the folder of a run")
        name, model = options.model, make_model(options.model)
        shapes = ((1, *parse_shape(options.input_shape, name)),)
        model.output_shape(*shapes)  # gives lazy layers their input size
        load(model, source)
        what = f"{name} with the weights of {source}"
    export_onnx(model, options.out, *shapes)
    say(options, f"{what} written to {options.out}")
    if options.json:
        sizes = [["N", *shape[1:]] for shape in shapes]
        show(options, {"out": options.out, "model": name, "input_shape": sizes[0] if len(sizes) == 1 else sizes}, "")
    return 0
