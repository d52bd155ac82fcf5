"""A run's folder: config.toml, environment.json, history.csv, weights.npz, model.minidl, checkpoints, report.html."""

from __future__ import annotations

import json
import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._core import check_size, remove_leftovers, user_path, write_atomically
from .._version import __version__
from ..interop import load
from ..modelfile.file import MODEL, model_bytes
from ..modelfile.loaded import LoadedModel
from ..modelfile.preprocessing import Preprocessing
from ..models import INPUT_SHAPES
from ..nn import Module
from ..training.checkpoint import CONFIG, WEIGHTS
from .environment import environment
from .recipe import Recipe, make_model

__all__ = ["Run", "read_config", "stored_recipe"]

_LAYERS = 16  # times an image: what the layers of a network make of it in a dry run


@dataclass
class Run:
    """A run: its folder, its recipe, and the classes and image shape of its dataset."""

    folder: Path
    recipe: Recipe
    classes: list[str]
    shape: tuple[int, ...]

    @property
    def config(self) -> Path:
        """The file of its recipe."""
        return self.folder / CONFIG

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> Run:
        """Read what `write` wrote.

        Raises:
            FileNotFoundError: it is not the folder of a run, or the run has only just begun.
            ValueError: a file in it is damaged.
        """
        folder = user_path(folder)
        recipe = stored_recipe(folder)
        if not (folder / "environment.json").is_file():
            raise _unfinished(folder)
        try:
            facts = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
            classes, shape = facts["classes"], facts["input_shape"]
        except (ValueError, KeyError, TypeError, RecursionError):
            classes = shape = None
        if not _is_list_of(classes, str) or not classes or not _is_list_of(shape, int) or len(shape) != 3:
            raise ValueError(f"{folder / 'environment.json'} is damaged")
        size = _LAYERS * 4 * abs(math.prod(shape))
        check_size(str(folder / "environment.json"), size, 0, f"a dry run on an image of shape {tuple(shape)} takes")
        return cls(folder, recipe, classes, tuple(shape))

    def write(self) -> None:
        """Write config.toml, and environment.json unless it exists; delete what a killed process has left."""
        lines = [f"{name} = {_toml(value)}" for name, value in self.recipe.as_dict().items()]
        facts = {
            "minidl": __version__,
            "command": sys.argv,
            "input_shape": self.shape,
            "classes": self.classes,
            "environment": environment(),
        }
        for name in (CONFIG, "environment.json", WEIGHTS, MODEL, "report.html"):
            remove_leftovers(self.folder / name)
        texts = {CONFIG: "\n".join(lines)}
        if not (self.folder / "environment.json").exists():  # otherwise the run is resumed
            texts["environment.json"] = json.dumps(facts, indent=2)
        for name, text in texts.items():
            write_atomically(self.folder / name, f"{text}\n".encode(errors="replace"))

    def make_model(self) -> Module:
        """Make the model, with its initial weights."""
        name = self.recipe.model
        model = make_model(name, len(self.classes), self.shape[0])
        try:
            output = model.output_shape((1, *self.shape))
        except ValueError as error:
            usual = INPUT_SHAPES.get(name, self.shape)
            if usual[1:] == self.shape[1:]:
                raise
            sizes = " x ".join(map(str, usual[1:])), " x ".join(map(str, self.shape[1:]))
            raise ValueError(f"--model {name} is for images of {sizes[0]}, these are {sizes[1]}: {error}") from error
        if output != (1, len(self.classes)):
            raise ValueError(
                f"--model {name}: expected an output of shape (N, {len(self.classes)}), one for each "
                f"class, got (N, {', '.join(map(str, output[1:]))})"
            )
        return model

    def load_model(self) -> Module:
        """Make the model with its trained weights.

        Raises:
            FileNotFoundError: the run is not finished.
        """
        if not (self.folder / WEIGHTS).is_file():
            raise _unfinished(self.folder)
        model = self.make_model()
        load(model, self.folder / WEIGHTS)
        return model.eval()

    @property
    def preprocessing(self) -> Preprocessing:
        """What becomes of an image file before the model sees it."""
        return Preprocessing(self.shape, self.recipe.fit or "stretch")

    def write_model(self, model: Module) -> str:
        """Write the model as one file; return why it cannot be stored, "" if it is there."""
        path = self.folder / MODEL
        try:
            content = model_bytes(model, path, preprocess=self.preprocessing.as_dict(), classes=self.classes)
        except ValueError as error:  # a forward of the user's own may do anything
            path.unlink(missing_ok=True)  # that of an earlier end of the run
            return str(error)
        write_atomically(path, content)  # not `save_model`, which would follow a link
        return ""

    def loaded(self, model: Module) -> LoadedModel:
        """Return a model with the run's classes and preprocessing."""
        return LoadedModel(model, self.classes, self.preprocessing, [(1, *self.shape)])

    def history(self) -> list[dict[str, str]]:
        """Return the rows of history.csv; no rows if there is no such file."""
        import csv  # noqa: PLC0415 - for a few commands only

        path = self.folder / "history.csv"
        if not path.is_file():
            return []
        try:
            rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
            for row in rows:
                [float(value) for value in row.values() if value]
        except (ValueError, TypeError, csv.Error) as error:
            raise ValueError(f"{path} is damaged: {error}") from error
        return rows


def stored_recipe(folder: Path) -> Recipe:
    """Read the recipe of a run.

    Raises:
        FileNotFoundError: it is not the folder of a run.
        ValueError, TypeError: config.toml is damaged.
    """
    file = folder / CONFIG
    if not file.is_file():
        runs = sorted(path.parent for path in folder.glob(f"*/{CONFIG}"))
        hint = f"; it holds the runs {', '.join(map(str, runs[:6]))}{' ...' if len(runs) > 6 else ''}" if runs else ""
        raise FileNotFoundError(f"{folder} is not the folder of a run: it holds no {CONFIG}{hint}")
    return Recipe.stored(read_config(file), str(file))


def _unfinished(folder: Path) -> FileNotFoundError:
    return FileNotFoundError(f"{folder} is not finished: continue with minidl train --resume {folder}")


def read_config(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a TOML file of entries of a `Recipe`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not TOML.
    """
    if sys.version_info >= (3, 11):
        import tomllib  # noqa: PLC0415 - for a few commands only
    else:
        import tomli as tomllib  # noqa: PLC0415
    path = user_path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    content = path.read_bytes()
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        hint = "; a path with backslashes goes into single quotes, or is written with /" if b"\\" in content else ""
        raise ValueError(f"{path} is not a TOML file: {error}{hint}") from error


def _toml(value: Any) -> str:
    """Return a number, a flag or text in TOML's notation."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _is_list_of(value: Any, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(item, kind) for item in value)
