"""The command line: run in a forked process or in one of its own, and a small dataset for it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import minidl
from minidl.cli import main

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(minidl.__file__).parents[1]), "OPENBLAS_NUM_THREADS": "1"}


def write_mnist(folder: Path, rng: np.random.Generator, counts: tuple[int, int] = (60, 20)) -> None:
    """Write MNIST's four files, with a few made-up images: the digit is where the bright stripe is."""
    folder.mkdir()
    for part, count in zip(("train", "t10k"), counts, strict=True):
        labels = np.arange(count) % 10
        images = rng.integers(0, 60, (count, 28, 28))
        for image, label in zip(images, labels, strict=True):
            image[2 * label + 4 : 2 * label + 6] = 255
        for name, array in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
            sizes = np.array(array.shape, ">u4").tobytes()
            (folder / name).write_bytes(bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes())


def options_drawn(rng: np.random.Generator, data: Path) -> list[str]:
    """Return options of a short training on these files, at random."""
    values = {
        "data": "mnist",
        "root": data,
        "epochs": rng.integers(1, 4),
        "batch-size": rng.integers(4, 30),
        "optimizer": rng.choice(["sgd", "adam", "adamw", "rmsprop", "adadelta", "adagrad"]),
        "schedule": rng.choice(["none", "onecycle", "cosine", "step"]),
        "augment": rng.choice(["none", "crop", "crop_flip", "shift_flip", "affine"]),
        "accumulate": rng.choice([1, 1, 2]),
        "clip-grad-norm": rng.choice([0, 1]),
        "label-smoothing": rng.choice([0, 0.1]),
        "val-fraction": rng.choice([0, 0.2]),
        "seed": rng.integers(100),
        "threads": rng.integers(1, 3),
        "lr": 0.01,
    }
    return [part for name, value in values.items() for part in (f"--{name}", str(value))]


def minidl_main(arguments: Sequence[object]) -> None:
    """Run the command line in this process; raise if it failed."""
    code = main([str(argument) for argument in arguments])
    assert code == 0, f"exit code {code}: {' '.join(map(str, arguments))}"


def started(arguments: Sequence[object], **options: object) -> subprocess.Popen[str]:
    """Start ``python -m minidl`` as a person would."""
    command = [sys.executable, "-m", "minidl", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
    return subprocess.Popen(command, env=ENVIRONMENT, text=True, **{**pipes, **options})  # type: ignore[call-overload,no-any-return]
