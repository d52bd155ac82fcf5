"""Small files of every kind, and how those that were damaged are read."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import pickle
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import minidl
from minidl import nn, optim
from minidl.cli import main
from minidl.data import ArrayDataset, DataLoader
from minidl.training import ModelCheckpoint, Trainer
from minidl.training.checkpoint import read_checkpoint

LIMIT = 5.0  # seconds, for a draw of several files
REFUSED = (ValueError, TypeError)  # what the functions that read say they raise for a file that is there


def read(counts: Counter[str], work: Callable[[], Any], errors: tuple[type[Exception], ...] = REFUSED) -> Any:
    """Return what is read from a damaged file, None if it is refused; anything but a documented error is a finding."""
    counts["readings"] += 1
    try:
        result = work()
    except errors as error:
        message = str(error)
        assert message, f"{type(error).__name__} without a message"
        assert not raw(message), f"control characters in {message!r}"
        counts["refused"] += 1
        return None
    counts["read"] += 1
    return result


def raw(text: str) -> bool:
    """Return whether a terminal would obey something in a text."""
    return any(unicodedata.category(character) in ("Cc", "Cs") for character in text if character != "\n")


def net() -> nn.Module:
    """A small model with a buffer of each kind."""
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one.keys() == other.keys() and all(
        np.array_equal(value, other[name], equal_nan=value.dtype.kind == "f") for name, value in one.items()
    )


@functools.cache
def saved(suffix: str, seed: int = 0) -> tuple[bytes, dict[str, Any]]:
    """A file of weights, and what it holds."""
    minidl.manual_seed(seed)
    model, path = net(), Path(f"saved{suffix}")
    minidl.save(model, path)
    content = path.read_bytes()
    path.unlink()
    return content, model.state_dict()


def into_a_model(path: Path, counts: Counter[str]) -> dict[str, Any] | None:
    """Load a file into a model; a refusal must leave the model as it was."""
    model = net()
    before = model.state_dict()

    def load() -> dict[str, Any]:
        minidl.load(model, path)
        return model.state_dict()

    state = read(counts, load)
    assert state is not None or same(model.state_dict(), before), "a refused file has changed the model"
    return state


def trainer(folder: Path | None = None) -> tuple[Trainer, DataLoader]:
    """A training of a moment."""
    rng = np.random.default_rng(0)
    minidl.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.1), nn.Linear(4, 2))
    optimizer = optim.Adam(model.params(), lr=0.01)
    data = ArrayDataset(rng.random((12, 3), np.float32), np.arange(12) % 2)
    callbacks = [] if folder is None else [ModelCheckpoint(folder)]
    schedule = optim.lr_scheduler.StepLR(optimizer, 2)
    made = Trainer(model, nn.CrossEntropyLoss(), optimizer, scheduler=schedule, callbacks=callbacks, progress="none")
    return made, DataLoader(data, 4, shuffle=True)


@functools.cache
def checkpoint() -> tuple[bytes, Any]:
    """A checkpoint file and the state in it."""
    folder = Path("made").absolute()
    made, loader = trainer(folder)
    made.fit(loader, loader, epochs=2)
    return (folder / "last.ckpt").read_bytes(), read_checkpoint(folder / "last.ckpt")


def flat(value: Any) -> bytes:
    """A state as bytes, to be compared."""
    return pickle.dumps(json.loads(json.dumps(value, default=lambda array: [str(array.dtype), array.tolist()])))


@functools.cache
def exported(convolution: bool) -> bytes:
    """An ONNX file."""
    rnn = nn.Sequential(nn.Linear(3, 4), nn.GELU(), nn.LayerNorm(4), nn.Softmax())
    model, path = net() if convolution else rnn, Path("made.onnx")
    minidl.export_onnx(model.eval(), path, (1, 1, 4, 4) if convolution else (1, 3))
    return path.read_bytes()


@functools.cache
def finished_run() -> dict[str, bytes]:
    """The files of a run's folder."""
    folder = Path("run").absolute()
    with contextlib.redirect_stdout(io.StringIO()):
        assert main(["train", "--epochs", "2", "--run", str(folder), "--quiet"]) == 0
    np.save("images.npy", np.random.default_rng(0).random((2, 1, 8, 8), np.float32))
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    return {**files, "images.npy": Path("images.npy").read_bytes()}


def command(words: list[str], counts: Counter[str]) -> None:
    out, err = io.StringIO(), io.StringIO()
    counts["commands"] += 1
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words)
    assert code in (0, 2), f"{words}: exit code {code}"
    assert not raw(out.getvalue() + err.getvalue()), f"{words}: control characters are shown"
    if code == 2:
        assert "error: " in err.getvalue().splitlines()[-1], f"{words}: {err.getvalue()}"
    assert "Traceback" not in err.getvalue(), err.getvalue()
    counts["read" if code == 0 else "refused"] += 1
