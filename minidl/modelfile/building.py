"""From JSON to modules: what a file names is looked up among minidl's layers, or those that the caller gives."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any

from .. import nn
from .._core import Array
from ..nn import Module, Parameter
from .functions import function_of
from .recorded import At, Batch, Recorded, Ref, StoredRecord, StoredStep, at_path
from .tree import layer_class
from .values import decoded

__all__ = ["Building", "tie", "weights_of"]

# the arguments whose product is the number of weights that a layer makes, at most
_SIZES = frozenset(
    [
        "in_channels",
        "out_channels",
        "in_features",
        "out_features",
        "in1_features",
        "in2_features",
        "kernel_size",
        "num_features",
        "num_channels",
        "num_embeddings",
        "embedding_dim",
        "normalized_shape",
        "num_parameters",
        "input_channels",
        "squeeze_channels",
    ]
)


class Building:
    """Makes the modules of a description.

    Args:
        state: parameters and buffers, by name.
        constants: the arrays of the description itself, by number.
        layers: the caller's own classes, by name.

    Attributes:
        modules: those that are made, by path.
    """

    def __init__(
        self, state: Mapping[str, Array], constants: Sequence[Array], layers: Mapping[str, type[Module]]
    ) -> None:
        self._state, self._constants, self._layers = state, constants, layers
        self.modules: dict[str, Module] = {}

    def module(self, entry: Any, path: str = "") -> Module:
        """Return the module that an entry describes, with its children.

        Raises:
            ValueError: the entry describes none.
        """
        if "shared" in entry:
            return self.modules[entry["shared"]]
        if "recorded" in entry:
            return self._recorded(entry, path)
        made = self._container(entry, path) if "members" in entry else self._layer(entry)
        self.modules[path] = made
        return made

    def _layer(self, entry: Any) -> Module:
        name = entry["class"]
        kind = layer_class(name) or self._layers.get(name)
        if kind is None:
            raise ValueError(
                f"it has a layer of the class {name}, which is not minidl's: give the class, "
                f"load_model(path, layers={{{name!r}: {name}}})"
            )
        options = {str(key): decoded(value, self._fetch) for key, value in entry["options"].items()}
        known = inspect.signature(kind).parameters
        if unknown := [key for key in options if key not in known]:
            raise ValueError(f"{name} has no argument {', '.join(unknown)}")
        return kind(**options)

    def _container(self, entry: Any, path: str) -> Module:
        children = {member["name"]: self.module(member, _join(path, member["name"])) for member in entry["members"]}
        name = entry["class"]
        if name == "Sequential":
            return nn.Sequential(children)
        if name == "ModuleDict":
            return nn.ModuleDict(children)
        if name == "ModuleList":
            return nn.ModuleList(children.values())
        if name == "Parallel":
            return nn.Parallel(*children.values(), merge=entry["options"]["merge"])
        if name == "Residual":
            return nn.Residual(**children)
        raise ValueError(f"{name} is no container")

    def _recorded(self, entry: Any, path: str) -> Module:
        made = self.modules[path] = Recorded(str(entry["recorded"]))
        for member in entry["members"]:
            name = member["name"]
            own = _join(path, name)
            if "parameter" in member:
                _place(made, name, Parameter(self._state[own]))
            elif "buffer" in member:
                number = member["array"]
                _check_name(made, name)
                array = self._state[own] if number is None else self._constants[number]
                made.register_buffer(name, array.copy(), persistent=bool(member["buffer"]))
            else:
                _place(made, name, self.module(member, own))
        if entry["record"] is not None:
            made.remember(self._record(made, entry["record"]))
        return made

    def _record(self, module: Module, record: Any) -> StoredRecord:
        """Return a record; everything that it refers to must be there."""
        known: set[int] = set()

        def fetch(kind: str, entry: Any) -> Any:
            if kind == "value":
                if entry not in known:
                    raise ValueError(f"a record uses the value {entry} before it is there")
                return Ref(int(entry))
            if kind == "at":
                at_path(module, entry)
                return At(str(entry))
            return self._fetch(kind, entry)

        def made(entry: Any) -> Any:
            def note(kind: str, number: Any) -> Any:
                if kind == "value":
                    known.add(number)
                return fetch(kind, number)

            return decoded(entry, note)

        inputs = made(record["inputs"])
        steps = []
        for step in record["steps"]:
            ((kind, what),) = (
                (key, step[key]) for key in ("child", "layer", "operation", "constant", "pair") if key in step
            )
            if kind == "child":
                at_path(module, what)
            elif kind == "layer":
                what = self._layer(what)
            else:
                function_of(kind, what)
            given = decoded(step["with"], fetch)
            options = {str(key): decoded(value, fetch) for key, value in step["options"].items()}
            steps.append(StoredStep(kind, what, tuple(given), options, made(step["gives"])))
        return StoredRecord(tuple(inputs), tuple(steps), decoded(record["output"], fetch))

    def _fetch(self, kind: str, entry: Any) -> Any:
        if kind == "array":
            return self._constants[entry]
        if kind == "batch":
            return Batch(int(entry))
        if kind == "rows":
            return Batch(row=self._constants[entry])
        raise ValueError(f"it holds an object that is nothing: {kind}")


def tie(model: Module, path: str, first: str) -> None:
    """Make the Parameter at a path that at another one."""
    shared = at_path(model, first)
    if not isinstance(shared, Parameter) or not isinstance(at_path(model, path), Parameter):
        raise ValueError(f"{path} and {first} are not Parameters")
    above, _, name = path.rpartition(".")
    owner: Any = at_path(model, above) if above else model
    if isinstance(owner, Module):
        setattr(owner, name, shared)
    else:
        owner[name] = shared


def weights_of(entry: Any) -> int:
    """Return how many numbers the layers of a description hold, as their arguments say, before any is made."""
    if isinstance(entry, list):
        return sum(map(weights_of, entry))
    if not isinstance(entry, dict):
        return 0
    count = 0
    options = entry.get("options")
    if "class" in entry and isinstance(options, dict):
        sizes = [_product(value) for name, value in options.items() if name in _SIZES]
        if str(entry["class"]).endswith("2d") and isinstance(options.get("kernel_size"), int):  # it stands for a pair
            sizes.append(_product(options["kernel_size"]))
        groups = options.get("groups")
        count = math.prod(sizes) // max(1, groups if isinstance(groups, int) else 1) if sizes else 0
    return count + sum(map(weights_of, entry.values()))


def _product(value: Any) -> int:
    if isinstance(value, dict):
        return math.prod(map(_product, value.values()))
    if isinstance(value, list):
        return math.prod(map(_product, value))
    return abs(value) if isinstance(value, int) else 1


def _place(module: Module, name: str, value: Any) -> None:
    """Make a value a member of a module; one from a list or a dict, such as "blocks.0", is in a dict."""
    first, *rest = name.split(".")
    if not rest:
        _check_name(module, first)
        setattr(module, first, value)
        return
    if first not in vars(module):
        _check_name(module, first)
        setattr(module, first, {})
    inside = vars(module)[first]
    for key in rest[:-1]:
        inside = inside.setdefault(key, {})
    if not isinstance(inside, dict) or rest[-1] in inside:
        raise ValueError(f"there are two members {name!r}")
    inside[rest[-1]] = value


def _check_name(module: Module, name: Any) -> None:
    if not isinstance(name, str) or not name or name in vars(module) or hasattr(type(module), name):
        raise ValueError(f"{name!r} cannot be the name of a member")


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
