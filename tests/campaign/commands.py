"""Command lines at random, of options and values that exist and of nonsense, and Ctrl-C at any moment of them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np

import minidl
from minidl.cli import main

from .command_lines import minidl_main, options_drawn, started, write_mnist
from .frame import attack
from .processes import check, ended, forked, killed, whole

NONSENSE = (
    "",
    " ",
    "-1",
    "nan",
    "1e999",
    "x",
    "--",
    "-x",
    "é",
    "\x1b[31m",
    "\u202e",
    "a/b",
    "None",
    "1" * 30,
    "'",
    "*",
)
NUMBERS = ("0", "1", "2", "3", "0.5", "0.1", "1e-3", "01", "1.0")
OPTIONS: dict[str, tuple[str, ...]] = {
    "--data": ("mnist", "mnist", "digits", "folder", "cifar10", "fashion_mnist"),
    "--root": ("data", "data", "images", "nowhere", "file.txt"),
    "--size": NUMBERS,
    "--split": ("letters", "balanced"),
    "--val-fraction": NUMBERS,
    "--model": ("digits_cnn", "lenet5", "mnist_cnn", "resnet20", "os:getcwd", "nothing:make", "lenet5:", "json"),
    "--augment": ("none", "crop", "crop_flip", "shift_flip", "affine"),
    "--optimizer": ("sgd", "adam", "adamw", "rmsprop", "adadelta", "adagrad"),
    "--lr": NUMBERS,
    "--momentum": NUMBERS,
    "--weight-decay": NUMBERS,
    "--label-smoothing": NUMBERS,
    "--schedule": ("none", "onecycle", "cosine", "step"),
    "--batch-size": ("1", "7", "32", "100000"),
    "--accumulate": NUMBERS,
    "--clip-grad-norm": NUMBERS,
    "--seed": NUMBERS,
    "--threads": ("0", "1", "2", "3"),
    "--config": ("run/config.toml", "file.txt", "nowhere.toml", "run"),
    "--run": ("run", "new", "file.txt", "data", "empty"),
    "--resume": ("run", "run", "data", "nowhere", "file.txt"),
    "--out": ("out.npz", "out.safetensors", "out.pt", "run", "nowhere/out.npz"),
    "--top": NUMBERS,
    "--svg": ("out.svg", "run", "nowhere/out.svg", "file.txt"),
    "--input-shape": ("1,28,28", "3,32,32", "1", "1,2", "0,0,0", "a,b", "1,28,28,1"),
}
FLAGS = ("--quiet", "--json", "--trust", "--help", "--version", "--nonsense")
WORDS = ("run", "run", "data", "images", "file.txt", "array.npy", "out.onnx", "weights.npz", "lenet5", "nowhere")
COMMANDS = ("train", "train", "evaluate", "predict", "summary", "export", "compare", "info", "nonsense", "")
OWN = {
    "train": tuple(name for name in OPTIONS if name not in ("--top", "--input-shape", "--svg")),
    "evaluate": ("--root", "--model"),
    "predict": ("--top", "--model"),
    "summary": ("--input-shape", "--svg"),
    "export": ("--model", "--input-shape"),
}


@cache
def _finished() -> Path:
    """Return a folder with a finished run and other things that command lines may name; for all draws of a process."""
    here = Path(tempfile.mkdtemp(dir=Path.cwd().parent))
    rng = np.random.default_rng(0)
    write_mnist(here / "data", rng)
    options = ["--data", "mnist", "--root", here / "data", "--epochs", 1, "--batch-size", 20]
    whole(lambda: minidl_main(["train", "--quiet", *options, "--run", here / "run"]))
    shutil.copy(here / "run" / "weights.npz", here)
    np.save(here / "array.npy", rng.random((3, 1, 28, 28), np.float32))
    (here / "file.txt").write_text("text")
    (here / "empty").mkdir()
    (here / "images").mkdir()
    return here


def drawn(rng: np.random.Generator) -> list[str]:
    """Draw a command line."""
    command = str(rng.choice(COMMANDS))
    parts = [command] if command else []
    known = OWN.get(command, tuple(OPTIONS))
    for _ in range(int(rng.integers(0, 6))):
        name = str(rng.choice(known if rng.random() < 0.9 else tuple(OPTIONS)))
        value = str(rng.choice(OPTIONS[name] if rng.random() < 0.7 else NONSENSE))
        parts += [f"{name}={value}"] if rng.random() < 0.3 else [name, value]
    if rng.random() < 0.3:
        parts.append(str(rng.choice(FLAGS)))
    if command not in ("train", "info"):
        parts += [str(rng.choice(WORDS if rng.random() < 0.9 else NONSENSE)) for _ in range(int(rng.integers(0, 4)))]
    if command == "train":  # the last one counts: not 30 epochs
        parts += ["--epochs", str(rng.choice(["1", "2", "0", "x"], p=[0.6, 0.3, 0.05, 0.05]))]
    return parts


def _run(arguments: list[str], told: Path, printed: Path, interrupt: float | None = None) -> int:
    """Run a command line in a forked process; return its exit code."""

    def work() -> None:
        for number, path in ((1, printed), (2, told)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
        try:
            code: object = main(arguments)
        except SystemExit as leaving:  # argparse
            code = leaving.code
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 0)

    process = forked(work)
    if interrupt is not None and ended_before(process, interrupt):
        return 0
    code = ended(process, 20)
    if code is None:
        killed(process)
        check(None, 20)
    assert code is not None
    return code


def ended_before(process: int, seconds: float) -> bool:
    """Send SIGINT to a process after so many seconds; return True if it had ended well by then."""
    code = ended(process, seconds)
    if code is None:
        os.kill(process, signal.SIGINT)
        return False
    check(code)
    return True


@attack(limit=40)
def nonsense(rng: np.random.Generator, counts: Counter[str]) -> None:
    """Any command line: done, or an error of one line; never a traceback."""
    here = Path.cwd()
    shutil.copytree(_finished(), here, dirs_exist_ok=True)
    arguments, told, printed = drawn(rng), here / "told", here / "printed"
    start = time.monotonic()
    code = _run(arguments, told, printed)
    seconds = time.monotonic() - start
    text = told.read_text(errors="replace")
    what = f"{arguments}: exit code {code}: {text}"
    assert code in (0, 2), what
    assert "Traceback" not in text + printed.read_text(errors="replace"), what
    assert seconds < 10, f"{seconds:.0f} s: {what}"
    errors = [line for line in text.splitlines() if re.match(r"minidl.*: error: ", line)]
    assert len(errors) == (code == 2), what
    assert "\x1b" not in text, what
    assert not list(here.rglob("*.partial")), what
    counts["done" if code == 0 else "refused in one line"] += 1


@attack(limit=60)
def interrupted(rng: np.random.Generator, counts: Counter[str]) -> None:
    """Ctrl-C during ``minidl train``: exit code 130, no traceback; resumed, the run is what it would have been."""
    here = Path.cwd()
    write_mnist(here / "data", rng)
    options = options_drawn(rng, here / "data")
    start = time.monotonic()
    whole(lambda: minidl_main(["train", "--quiet", *options, "--run", here / "whole"]))
    length, folder = time.monotonic() - start, here / "run"
    told = here / "told"
    asked = ["train", *options, "--run", str(folder)]
    if rng.random() < 0.1:
        process = started(asked)
        try:
            _, text = process.communicate(timeout=2 * rng.random())
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            _, text = process.communicate(timeout=20)
        code = process.returncode
        if code != 0 and "minidl" not in text:  # Python itself had not yet come to minidl
            counts["before minidl began"] += 1
            return
        counts["processes of their own"] += 1
    else:
        code = _run(asked, told, here / "printed", float(rng.random() * length))
        text = told.read_text()
    assert code in (0, 130), f"{options}: exit code {code}: {text}"
    assert "Traceback" not in text, f"{options}: {text}"
    counts["interrupted" if code else "done before"] += 1
    left = list(here.rglob("*.partial"))
    assert not left, f"{options}: {left} left"
    begun = (folder / "config.toml").exists()
    whole(lambda: minidl_main(["train", "--quiet", *(["--resume", folder] if begun else asked[1:])]))
    expected, got = (dict(minidl.load(run / "weights.npz")) for run in (here / "whole", folder))
    different = [name for name in expected if expected[name].tobytes() != got[name].tobytes()]
    assert not different, f"{options}: weights differ after a resume: {different}"
    counts["bit-equal after a resume"] += 1


@attack(limit=40)
def no_room_for_output(rng: np.random.Generator, counts: Counter[str]) -> None:
    """Standard output is full, closed or a pipe that nobody reads: no traceback."""
    if not Path("/dev/full").exists():
        return
    here = Path.cwd()
    shutil.copytree(_finished(), here, dirs_exist_ok=True)
    arguments = [["info"], ["summary", "lenet5"], ["evaluate", "run"], ["--help"], ["compare", "run", "run"]][
        int(rng.integers(5))
    ]
    arguments += [["--json"], []][int(rng.integers(2))] if arguments != ["--help"] else []
    way = str(rng.choice(["full", "pipe", "closed"]))
    if way == "pipe":
        reading, stdout = os.pipe()
        os.close(reading)
    else:
        stdout = os.open("/dev/full", os.O_WRONLY)
    closing = {"preexec_fn": lambda: os.close(1)} if way == "closed" else {}
    process = started(arguments, stdout=stdout, cwd=here, **closing)
    os.close(stdout)
    _, text = process.communicate(timeout=30)
    assert "Traceback" not in text, f"{arguments}, {way}: {text}"
    assert process.returncode >= 0, f"{arguments}, {way}: signal {-process.returncode}"
    if way == "full" and arguments != ["--help"]:  # argparse says nothing
        assert process.returncode != 0, f"{arguments}: exit code 0, though nothing could be written: {text}"
    counts[way] += 1


@attack(limit=40)
def strangers(rng: np.random.Generator, counts: Counter[str]) -> None:
    """A stranger's run folder names a model of its own, files or a download: nothing of it is run or fetched."""
    here = Path.cwd()
    shutil.copytree(_finished(), here, dirs_exist_ok=True)
    config, victim = here / "run" / "config.toml", here / "victim"
    for folder in (here, here / "run"):
        (folder / "evil.py").write_text(f"open({str(victim)!r}, 'w').write('run')\ndef make(): pass\n")
    entries = {
        "model": '"evil:make"',
        "download": "true",
        "root": f'"{here / "nowhere"}"',
        "data": str(rng.choice(['"folder"', '"digits"', '"mnist"'])),
    }
    chosen = {name: value for name, value in entries.items() if rng.random() < 0.6} or {"model": entries["model"]}
    lines = [line for line in config.read_text().splitlines() if line.partition(" =")[0] not in chosen]
    config.write_text("\n".join([*lines, *(f"{name} = {value}" for name, value in chosen.items())]) + "\n")
    commands = (["predict", "run", "array.npy"], ["evaluate", "run"], ["export", "run", "out.onnx"])
    commands += (["train", "--resume", "run", "--epochs", "2"], ["compare", "run", "run"])
    for arguments in commands:
        code = _run(arguments, here / "told", here / "printed")
        text = (here / "told").read_text()
        assert not victim.exists(), f"{arguments} with {chosen}: its code was run"
        assert code in (0, 2) and "Traceback" not in text, f"{arguments} with {chosen}: exit code {code}: {text}"
        assert "could not download" not in text, f"{arguments} with {chosen}: it tried to download: {text}"
        counts["done" if code == 0 else "refused in one line"] += 1
