"""A run's folder: config.toml, environment.json, history.csv, weights.npz, checkpoints, report.html."""

from __future__ import annotations

import json
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .._version import __version__
from ..functional._threads import available_cpus, blas_threads, cpu_quota, get_num_threads
from ..interop import load
from ..interop.files import write_atomically
from ..nn import Module
from .recipe import Recipe, make_model

__all__ = ["Run", "environment", "free_folder", "read_config"]


@dataclass
class Run:
    """A run's folder and what it is a run of."""

    folder: Path
    recipe: Recipe
    classes: list[str]
    shape: tuple[int, ...]

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> Run:
        """Read what `write` wrote.

        Raises:
            FileNotFoundError: it is no run's folder.
            ValueError: a file in it is damaged.
        """
        folder = Path(folder)
        if not (folder / "config.toml").is_file() or not (folder / "environment.json").is_file():
            raise FileNotFoundError(
                f"{folder} is not the folder of a run: it holds no config.toml and environment.json"
            )
        recipe = Recipe().with_values(read_config(folder / "config.toml"), str(folder / "config.toml"))
        try:
            facts = json.loads((folder / "environment.json").read_text())
            return cls(folder, recipe, [str(name) for name in facts["classes"]], tuple(facts["input_shape"]))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{folder / 'environment.json'} is damaged: {error!r}") from error

    def write(self) -> None:
        """Write config.toml and environment.json."""
        lines = [f"{name} = {json.dumps(value)}" for name, value in self.recipe.as_dict().items()]
        facts = {
            "minidl": __version__,
            "command": sys.argv,
            "input_shape": self.shape,
            "classes": self.classes,
            "environment": environment(),
        }
        for name, text in (("config.toml", "\n".join(lines)), ("environment.json", json.dumps(facts, indent=2))):
            content = f"{text}\n".encode()
            write_atomically(self.folder / name, lambda stream, content=content: stream.write(content))  # type: ignore[misc]

    def make_model(self) -> Module:
        """Make the model, with its first weights."""
        model = make_model(self.recipe.model, len(self.classes))
        output = model.output_shape((1, *self.shape))
        if output != (1, len(self.classes)):
            raise ValueError(
                f"--model {self.recipe.model}: expected an output of shape (N, {len(self.classes)}), one for each "
                f"class, got (N, {', '.join(map(str, output[1:]))})"
            )
        return model

    def load_model(self) -> Module:
        """Make the model with the weights that were learnt."""
        model = self.make_model()
        load(model, self.folder / "weights.npz")
        return model.eval()

    def history(self) -> list[dict[str, str]]:
        """Return the rows of history.csv; none if there is none."""
        import csv  # noqa: PLC0415 - for a few commands only

        path = self.folder / "history.csv"
        return list(csv.DictReader(path.read_text().splitlines())) if path.is_file() else []


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
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a TOML file: {error}") from error


def free_folder(name: str) -> Path:
    """Return the first of runs/NAME-1, runs/NAME-2, ... that does not exist."""
    number = 1
    while (folder := Path("runs") / f"{name}-{number}").exists():
        number += 1
    return folder


def environment() -> dict[str, str]:
    """Return versions, BLAS, CPUs and threads by name."""
    config: dict[str, Any] = np.show_config(mode="dicts")  # type: ignore[assignment]
    blas = config.get("Build Dependencies", {}).get("blas", {})
    quota = cpu_quota()
    return {
        "minidl": __version__,
        "Python": f"{platform.python_version()} ({platform.python_implementation()})",
        "NumPy": np.__version__,
        "Platform": platform.platform(),
        "BLAS": f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip(),
        "CPUs": f"{os.cpu_count()}, usable {available_cpus()}" + (f", container quota {quota:g}" if quota else ""),
        "Threads": f"{get_num_threads()}, BLAS by itself {blas_threads() or 'unknown'}",
    }
