"""The command line: ``minidl train``, ``minidl export`` and ``minidl info``.

An error is one line on standard error and exit code 2; Ctrl-C keeps the weights.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from . import __version__, export_onnx, load, manual_seed, models, save
from .data import ArrayDataset, DataLoader, load_digits, load_mnist
from .functional._threads import available_cpus, blas_threads, cpu_quota, get_num_threads
from .interop.files import check_suffix
from .models import INPUT_SHAPES, digits_cnn, lenet5
from .nn import CrossEntropyLoss, Module
from .optim import SGD
from .training import Trainer

__all__ = ["main"]


@dataclass(frozen=True)
class Recipe:
    """What ``minidl train`` does for one dataset unless told otherwise."""

    load: Callable[[str | None], tuple[ArrayDataset, ArrayDataset]]
    model: Callable[[], Module]
    epochs: int
    lr: float
    batch_size: int


def _mnist(root: str | None) -> tuple[ArrayDataset, ArrayDataset]:
    if root is None:
        raise ValueError("--data mnist needs --root DIR, the folder with MNIST's four files")
    return load_mnist(root)


RECIPES = {
    "digits": Recipe(lambda _: load_digits(), digits_cnn, epochs=20, lr=0.05, batch_size=32),
    "mnist": Recipe(_mnist, lenet5, epochs=10, lr=0.05, batch_size=64),
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line."""
        self.exit(2, f"{self.prog}: error: {message} (try '{self.prog} --help')\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0 done, 2 an error, 130 interrupted.

    Args:
        arguments: without the program's name; None takes those of the process.
    """
    parser = _make_parser()
    options = parser.parse_args(arguments)
    if options.run is None:
        parser.print_help()
        return 0
    try:
        return int(options.run(options))
    except KeyboardInterrupt:
        print("minidl: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        if os.environ.get("MINIDL_TRACEBACK"):
            raise
        message = " ".join(str(error).split()) or type(error).__name__
        print(f"minidl {options.command}: error: {message}", file=sys.stderr)
        return 2


def _make_parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="minidl", description="A tiny PyTorch in pure Python on NumPy.")
    parser.add_argument("--version", action="version", version=f"minidl {__version__}")
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    train = commands.add_parser(
        "train",
        help="train a small CNN and save its weights",
        description="Train a small CNN and save its weights. Without options: on the 8x8 digits that come along.",
        epilog="example: minidl train --epochs 5 --seed 1 --out digits.npz",
    )
    train.add_argument("--data", choices=sorted(RECIPES), default="digits", help="what to train on (default: digits)")
    train.add_argument("--root", metavar="DIR", help="folder with the dataset's files; needed for mnist")
    train.add_argument("--epochs", type=int, metavar="N", help="passes over the training set (default: 20; mnist 10)")
    train.add_argument("--lr", type=float, metavar="X", help="learning rate of SGD with momentum 0.9 (default: 0.05)")
    train.add_argument("--batch-size", type=int, metavar="N", help="images in a step (default: 32; mnist 64)")
    train.add_argument("--seed", type=int, default=0, metavar="N", help="of weights, order and dropout (default: 0)")
    train.add_argument("--out", metavar="FILE", help="where the weights go (default: minidl-DATA.npz)")
    train.set_defaults(run=_train)

    export = commands.add_parser(
        "export",
        help="write a trained model as an ONNX file",
        description="Write a model with the weights of a file as an ONNX file, which ONNX Runtime and others run.",
        epilog="example: minidl export digits.npz digits.onnx --model digits_cnn",
    )
    export.add_argument("weights", metavar="WEIGHTS", help="file that minidl train or minidl.save wrote")
    export.add_argument("out", metavar="OUT", help="file to write, ending in .onnx")
    export.add_argument("--model", required=True, metavar="NAME", help="one of minidl.models, or MODULE:FUNCTION")
    export.add_argument("--input-shape", metavar="C,H,W", help="of an image (default: what the model is for)")
    export.set_defaults(run=_export)

    info = commands.add_parser(
        "info",
        help="show versions, BLAS and threads",
        epilog="example: minidl info",
        description="Show what runs here.",
    )
    info.set_defaults(run=_info)
    return parser


def _train(options: argparse.Namespace) -> int:
    recipe = RECIPES[options.data]
    epochs, lr, batch_size = (
        getattr(recipe, name) if getattr(options, name) is None else getattr(options, name)
        for name in ("epochs", "lr", "batch_size")
    )
    out = _check_out(options.out or f"minidl-{options.data}.npz")
    if options.root is not None and options.data == "digits":
        raise ValueError("--root is for --data mnist; the digits come with the package")
    if epochs < 1:
        raise ValueError(f"--epochs must be at least 1, got {epochs}")
    manual_seed(options.seed)
    train, test = recipe.load(options.root)
    model = recipe.model()
    optimizer = SGD(model.params(), lr=lr, momentum=0.9)
    trainer = Trainer(model, CrossEntropyLoss(), optimizer)
    train_loader = DataLoader(train, batch_size, shuffle=True)
    test_loader = DataLoader(test, 256)
    parameters = sum(p.data.size for p in model.params())
    _say(
        f"{options.data}: {len(train):,} training and {len(test):,} test images; {recipe.model.__name__} with "
        f"{parameters:,} parameters; SGD, lr {lr:g}, batch size {batch_size}, seed {options.seed}"
    )
    history = trainer.fit(train_loader, test_loader, epochs=epochs)
    save(model, out)
    accuracy = trainer.evaluate(test_loader)["accuracy"]
    right = round(accuracy * len(test))
    _say(f"test accuracy: {100 * accuracy:.2f} % ({right:,} of {len(test):,})")
    _say(f"weights saved to {out}")
    return 130 if history.interrupted else 0


def _export(options: argparse.Namespace) -> int:
    model = _make_model(options.model)
    if options.input_shape is not None:
        shape = _parse_shape(options.input_shape)
    elif options.model in INPUT_SHAPES:
        shape = INPUT_SHAPES[options.model]
    else:
        raise ValueError(f"--input-shape C,H,W is needed for --model {options.model}")
    model.output_shape((1, *shape))  # layers without an input size get theirs
    load(model, options.weights)
    export_onnx(model, options.out, (1, *shape))
    _say(f"{options.model} with the weights of {options.weights} written to {options.out}")
    return 0


def _make_model(name: str) -> Module:
    """Make the model that an option names: one of `minidl.models`, or the result of MODULE:FUNCTION."""
    if name in models.__all__:
        return getattr(models, name)()  # type: ignore[no-any-return]
    module_name, separator, function = name.partition(":")
    if not separator:
        raise ValueError(f"--model: there is no {name}; known: {', '.join(models.__all__)}, or MODULE:FUNCTION")
    sys.path.insert(0, os.getcwd())
    try:
        module = import_module(module_name)
        make = getattr(module, function, None)
        if not callable(make) or isinstance(make, Module):
            raise ValueError(f"{module_name} has no function {function!r} that makes the model")
        model = make()
    except ImportError as error:
        raise ValueError(f"--model {name}: cannot import {module_name}: {error}") from error
    except Exception as error:  # of the user's own code
        raise ValueError(f"--model {name}: {error}") from error
    finally:
        sys.path.pop(0)
    if not isinstance(model, Module):
        raise TypeError(f"--model {name}: expected a Module, got {type(model).__name__}")
    return model


def _parse_shape(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(size) for size in text.split(","))
    except ValueError as error:
        raise ValueError(f"--input-shape must be numbers such as 1,28,28, got {text!r}") from error


def _check_out(name: str) -> Path:
    """Find out before training, not after, whether the weights can be written."""
    out = check_suffix(name)
    if not out.parent.is_dir():
        raise ValueError(f"--out {out}: there is no folder {out.parent}")
    try:
        with tempfile.TemporaryFile(dir=out.parent):
            pass
    except OSError as error:
        raise ValueError(f"--out {out}: cannot write there ({error.strerror})") from error
    if out.is_dir():
        raise ValueError(f"--out {out}: this is a folder")
    return out


def _info(_: argparse.Namespace) -> int:
    for name, value in _facts():
        _say(f"{name + ':':<12}{value}")
    return 0


def _say(text: str) -> None:
    """Print a line. When nobody reads any more (minidl train | head -1) the work goes on in silence."""
    try:
        print(text, flush=True)
    except OSError:
        # what follows, and what Python flushes at its end, goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _facts() -> list[tuple[str, str]]:
    config: dict[str, Any] = np.show_config(mode="dicts")  # type: ignore[assignment]
    blas = config.get("Build Dependencies", {}).get("blas", {})
    quota = cpu_quota()
    return [
        ("minidl", __version__),
        ("Python", f"{platform.python_version()} ({platform.python_implementation()})"),
        ("NumPy", np.__version__),
        ("Platform", platform.platform()),
        ("BLAS", f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip()),
        ("CPUs", f"{os.cpu_count()}, usable {available_cpus()}" + (f", container quota {quota:g}" if quota else "")),
        ("Threads", f"{get_num_threads()}, BLAS by itself {blas_threads() or 'unknown'}"),
    ]
