"""What a sweep tries: its TOML file, in which an entry may have several values, as the recipes of its runs."""

from __future__ import annotations

import itertools
import json
import math
import os
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._core import check_int
from .recipe import Recipe
from .run import read_config

__all__ = ["PLAN", "Plan"]

PLAN = "sweep.json"
_MOST = 1000  # runs of a sweep


@dataclass(frozen=True)
class Values:
    """The values of an entry that are tried: a list of them."""

    values: list[Any]

    @property
    def varies(self) -> bool:
        """Whether there is more than one."""
        return len(self.values) > 1

    def at(self, place: float) -> Any:
        """Return the value at a place from 0 to less than 1."""
        return self.values[int(place * len(self.values))]


@dataclass(frozen=True)
class Range:
    """The values of an entry that are drawn from: numbers from ``low`` to ``high``, evenly or by their logarithm."""

    low: float
    high: float
    log: bool
    varies = True

    def at(self, place: float) -> int | float:
        """Return the value at a place from 0 to less than 1; four digits of it, so that it can be read."""
        whole = isinstance(self.low, int)
        low, high = self.low, self.high + whole  # of whole numbers the last one has a share like the others
        value = low * (high / low) ** place if self.log else low + place * (high - low)
        if whole:
            return min(int(self.high), math.floor(value))
        return min(self.high, max(self.low, float(f"{value:.4g}")))


@dataclass(frozen=True)
class Plan:
    """The runs of a sweep.

    Attributes:
        kind: how they were chosen.
        varied: the options in which they may differ.
        recipes: of each run.
    """

    kind: str
    varied: list[str]
    recipes: list[Recipe]

    @property
    def names(self) -> list[str]:
        """The runs' folders: their numbers, all with as many digits."""
        digits = len(str(len(self.recipes)))
        return [f"run-{number:0{digits}}" for number in range(1, len(self.recipes) + 1)]

    @classmethod
    def of(cls, config: str | os.PathLike[str]) -> Plan:
        """Return what a TOML file of entries of a Recipe asks for, whose lists are tried and whose ranges drawn from.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError, TypeError: an entry is unknown or has a wrong value, or there are no runs or too many.
        """
        source = str(config)
        entries = read_config(config)
        draws, seed = _settings(entries.pop("sweep", {}), source)
        tried = {name: _tried(name, value, source) for name, value in entries.items()}
        varied = [name for name, values in tried.items() if values.varies]
        if not varied:
            raise ValueError(f"{source}: nothing varies; give an entry several values, such as lr = [0.01, 0.1]")
        chosen = _grid(tried, source) if draws is None else _draw(tried, draws, seed, source)
        kind = "a grid" if draws is None else f"drawn with seed {seed}"
        return cls(kind, varied, [_recipe(values, source) for values in chosen])

    @classmethod
    def read(cls, folder: Path) -> Plan:
        """Read what `as_json` gave, from a sweep's folder.

        Raises:
            FileNotFoundError: it is not the folder of a sweep.
            ValueError, TypeError: the file is damaged.
        """
        file = folder / PLAN
        if not file.is_file():
            raise FileNotFoundError(f"{folder} is not the folder of a sweep: it holds no {PLAN}")
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            kind, varied, runs = content["kind"], content["varied"], content["runs"]
            whole = bool(runs) and set(varied) <= set(Recipe.options()) and all(isinstance(run, dict) for run in runs)
        except (ValueError, KeyError, TypeError, RecursionError):
            whole = False
        if not whole:
            raise ValueError(f"{file} is damaged")
        return cls(str(kind), list(varied), [Recipe.stored(run, str(file)) for run in runs])

    def as_json(self) -> str:
        """Return the content of the file PLAN in a sweep's folder."""
        runs = [recipe.as_dict() for recipe in self.recipes]
        return json.dumps({"kind": self.kind, "varied": self.varied, "runs": runs}, indent=1)

    def values(self, number: int) -> dict[str, Any]:
        """Return what a run has of the options in which runs may differ."""
        return {name: getattr(self.recipes[number], name) for name in self.varied}


def _settings(table: Any, source: str) -> tuple[int | None, int]:
    """Return how many runs are drawn, None for a grid, and with which seed."""
    if not isinstance(table, dict):
        raise TypeError(f"{source}: sweep must be a table, [sweep], with draws and seed, got {table!r}")
    if unknown := [name for name in table if name not in ("draws", "seed")]:
        raise ValueError(
            f"{source}: [sweep] has draws and seed, not {unknown[0]!r}; entries of the runs go above [sweep]"
        )
    if "draws" not in table:
        if "seed" in table:
            raise ValueError(f"{source}: [sweep] seed is for random draws: give draws = 20, too, or leave it out")
        return None, 0
    draws = check_int(f"{source}: [sweep]", "draws", table["draws"])
    if draws > _MOST:
        raise ValueError(f"{source}: [sweep] draws must be at most {_MOST:,}, got {draws:,}")
    return draws, check_int(f"{source}: [sweep]", "seed", table.get("seed", 0), minimum=0)


def _tried(name: str, value: Any, source: str) -> Values | Range:
    """Return the values of an entry, each checked."""

    def checked(one: Any) -> Any:
        return getattr(Recipe().with_values({name: one}, source), name)

    if isinstance(value, dict):
        return _range(name, value, source)
    if not isinstance(value, list):
        return Values([checked(value)])
    if not value:
        raise ValueError(f"{source}: {name} is an empty list; give it the values to try, or leave it out")
    values = [checked(one) for one in value]
    if twice := [one for number, one in enumerate(values) if one in values[:number]]:
        raise ValueError(f"{source}: {name} has the value {twice[0]!r} twice; leave one out")
    return Values(values)


def _range(name: str, table: Mapping[str, Any], source: str) -> Range:
    """Return the range that a table gives."""
    known = Recipe.options().get(name)
    if known is not None and known.kind not in (int, float):
        raise TypeError(f"{source}: {name} is not a number and has no range; give a list of the values to try")
    if not {"low", "high"} <= set(table) <= {"low", "high", "log"} or not isinstance(table.get("log", False), bool):
        raise ValueError(
            f"{source}: {name} must be a value, a list, or a range such as {{low = 1, high = 100, log = true}}, got a "
            f"table with {', '.join(table) or 'nothing'}"
        )
    low, high = (getattr(Recipe().with_values({name: table[end]}, source), name) for end in ("low", "high"))
    if not low < high or math.isinf(high - low):
        raise ValueError(f"{source}: {name} must have a range whose low is less than its high, got {low} and {high}")
    log = table.get("log", False)
    if log and low <= 0:
        raise ValueError(
            f"{source}: {name} must have a low above 0 if log = true, got {low}; leave log out, or raise it"
        )
    return Range(low, high, log)


def _grid(tried: Mapping[str, Values | Range], source: str) -> list[dict[str, Any]]:
    """Return every combination of the values."""
    lists = []
    for name, values in tried.items():
        if isinstance(values, Range):
            raise ValueError(
                f"{source}: {name} is a range, from which values are drawn: add [sweep] with draws = 20 at the end of "
                "the file, or give a list"
            )
        lists.append(values.values)
    count = math.prod(map(len, lists))
    if count > _MOST:
        raise ValueError(
            f"{source}: the grid has {count:,} runs, and a sweep at most {_MOST:,}; leave values out, or draw from "
            "them: [sweep] with draws = 100 at the end of the file"
        )
    return [dict(zip(tried, one, strict=True)) for one in itertools.product(*lists)]


def _draw(tried: Mapping[str, Values | Range], draws: int, seed: int, source: str) -> list[dict[str, Any]]:
    """Return different random combinations of the values.

    Python's generator and not NumPy's: `random.random` is promised to stay the same in all versions.
    """
    rng, found = random.Random(seed), dict[tuple[Any, ...], None]()
    for _ in range(100 * draws):
        found.setdefault(tuple(values.at(rng.random()) for values in tried.values()))
        if len(found) == draws:
            return [dict(zip(tried, one, strict=True)) for one in found]
    raise ValueError(
        f"{source}: [sweep] draws = {draws}: only {len(found)} different runs were found; draw fewer, or leave [sweep] "
        "out for all of them"
    )


def _recipe(values: Mapping[str, Any], source: str) -> Recipe:
    """Return the recipe of a run: its values, otherwise the dataset's and the model's usual ones."""
    data = Recipe().with_values(values, source).data
    return Recipe.default(data, values.get("model")).with_values(values, source).placed()
