"""From modules to JSON: layers by class and arguments, containers with their children, other modules with a record."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from .. import nn
from .._core import Array
from ..nn import Module, Parameter
from ..nn.naming import layer_at
from ..nn.record import has_backward
from .recorded import Recorded
from .traced import Inputs, record_of
from .values import encoded

__all__ = ["CONTAINERS", "Describing", "layer_class", "tied", "unlike"]

CONTAINERS = (nn.Sequential, nn.Residual, nn.Parallel, nn.ModuleList, nn.ModuleDict)
_MODES = frozenset({"training", "_frozen", "_saved", "_pass", "_buffers"})  # what is not an option
# arguments that are kept under another name, or not at all
_OPTIONS: dict[type[Module], Callable[[Any], dict[str, Any]]] = {
    nn.SqueezeExcite: lambda m: {"input_channels": m.fc1.in_channels, "squeeze_channels": m.fc1.out_channels},
    nn.KLDivLoss: lambda m: {"reduction": "batchmean" if m._by_sample else m.reduction},
    nn.Conv1d: lambda m: {
        name: value if isinstance(value, str) else value[0]
        for name in ("kernel_size", "stride", "padding", "dilation")
        for value in [getattr(m, name)]
    },
}


def layer_class(name: object) -> type[Module] | None:
    """Return minidl's own class of layers with a name; None if there is none."""
    found = getattr(nn, name, None) if isinstance(name, str) and name in nn.__all__ else None
    return found if isinstance(found, type) and issubclass(found, Module) and found is not Module else None


def _is_ours(module: Module) -> bool:
    return type(module) is layer_class(type(module).__name__)


class Describing:
    """Describes a model: each module once, further places of it by its path.

    Args:
        inputs: of each module in three runs, by id; None if the model was not run.

    Attributes:
        arrays: the constants of the description, by their numbers.
        classes: the user's own layers, by name.
    """

    def __init__(self, inputs: Inputs | None) -> None:
        self._inputs = inputs
        self._known: dict[int, str] = {}
        self.arrays: list[Array] = []
        self.classes: dict[str, type[Module]] = {}

    def store(self, array: Array) -> int:
        """Keep an array of the description; return its number."""
        self.arrays.append(array)
        return len(self.arrays) - 1

    def module(self, module: Module, path: str = "") -> dict[str, Any]:
        """Return the JSON of a module.

        Raises:
            ValueError: it cannot be stored; the message names it and says what to do.
        """
        if id(module) in self._known:
            return {"shared": self._known[id(module)]}
        self._known[id(module)] = path
        name = type(module).__name__
        try:
            if isinstance(module, CONTAINERS) and _is_ours(module):
                return self._container(module, name, path)
            if _is_ours(module) or has_backward(module):
                return self.layer(module)
            return self._recorded(module, name, path)
        except (TypeError, ValueError) as error:
            if str(error).startswith("save_model: "):
                raise
            raise ValueError(f"save_model: {layer_at(name, path)}: {error}") from error

    def layer(self, layer: Module) -> dict[str, Any]:
        """Return the JSON of a layer: the name of its class and the arguments that it was made with."""
        name = type(layer).__name__
        taken = layer_class(name) or self.classes.setdefault(name, type(layer))
        if taken is not type(layer):
            raise ValueError(f"there are several classes {name}; give this one another name")
        options = {key: encoded(value, self.store) for key, value in _arguments(layer).items()}
        return {"class": name, "options": options}

    def _container(self, module: Module, name: str, path: str) -> dict[str, Any]:
        options = {"merge": module.merge} if isinstance(module, nn.Parallel) else {}
        return {"class": name, "options": options, "members": self._children(module, path)}

    def _children(self, module: Module, path: str) -> list[dict[str, Any]]:
        return [
            {"name": name, **self.module(child, f"{path}.{name}" if path else name)}
            for name, child in module.named_children()
        ]

    def _recorded(self, module: Module, name: str, path: str) -> dict[str, Any]:
        if self._inputs is None:
            raise ValueError(
                "its forward is stored as what it does, for which it is run: give the shape of the model's input, "
                "save_model(model, path, (1, 3, 32, 32))"
            )
        runs = self._inputs.get(id(module), [])
        record = record_of(module, runs, self.layer, self.store) if len(runs) == 3 else None
        members: list[dict[str, Any]] = []
        for member, value in module._members():
            if isinstance(value, Parameter):
                members.append({"name": member, "parameter": True})
            else:
                below = f"{path}.{member}" if path else member
                members.append({"name": member, **self.module(value, below)})
        for member, persistent in module._buffers.items():
            value = getattr(module, member)
            if value is not None:
                members.append(
                    {"name": member, "buffer": persistent, "array": None if persistent else self.store(value)}
                )
        kind = module._kind if isinstance(module, Recorded) else name
        return {"recorded": kind, "record": record, "members": members}


def _arguments(layer: Module) -> dict[str, Any]:
    """Return the arguments that make a layer like this one: its attributes of the same names.

    Raises:
        ValueError: one is neither an attribute nor has a default; or the layer that they make is another one.
    """
    kind = type(layer)
    own, found = vars(layer), dict[str, Any]()
    derive = _OPTIONS.get(kind, lambda _: {})
    found.update(derive(layer))
    for name, parameter in inspect.signature(kind).parameters.items():
        if (
            name in ("rng", "dtype")
            or name in found
            or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        ):
            continue
        if name in own:
            value = own[name]
            # a Parameter under the name of a flag, as Linear's bias, says that the flag was set
            found[name] = (value is not None) if isinstance(value, Parameter) or _is_flag(kind, name, value) else value
        elif parameter.default is parameter.empty:
            raise ValueError(
                f"its argument {name!r} is not an attribute of that name, so that the layer cannot be made again; keep "
                f"it: self.{name} = {name}"
            )
    if "dtype" in inspect.signature(kind).parameters:
        found["dtype"] = next((p.data.dtype for p in layer.params()), np.dtype(np.float32))
    return found


def _is_flag(kind: type[Module], name: str, value: Any) -> bool:
    """Return whether an attribute that is None stands for a Parameter that was not wanted."""
    default = inspect.signature(kind).parameters[name].default
    return value is None and isinstance(default, bool)


def tied(model: Module) -> Iterator[tuple[str, str]]:
    """Yield (path, path of the first) for each Parameter that stands in several modules, or twice in one."""
    seen: dict[int, str] = {}
    for path, module in model.named_modules():
        for name, value in module._members():
            if isinstance(value, Parameter):
                own = f"{path}.{name}" if path else name
                if id(value) in seen:
                    yield own, seen[id(value)]
                seen.setdefault(id(value), own)


def unlike(model: Module, other: Module) -> str:
    """Say in what a model that was made again differs from the first; "" if in nothing.

    Options are compared that are plain data, also those that no argument set.
    """
    ours, theirs = dict(model.named_modules()), dict(other.named_modules())
    if list(ours) != list(theirs):
        return f"its modules are {', '.join(theirs)}, not {', '.join(ours)}"
    for path, module in ours.items():
        if isinstance(theirs[path], Recorded):
            continue
        again = vars(theirs[path])
        for name, value in vars(module).items():
            if name not in _MODES and _is_plain(value) and again.get(name, value) != value:
                where = layer_at(type(module).__name__, path)
                return f"{where} has {name}={value!r}, which its arguments do not give: they give {again.get(name)!r}"
    state, loaded = dict(model._state()), dict(other._state())
    if list(state) != list(loaded):
        return f"its state has other names: {', '.join(sorted(set(state) ^ set(loaded))) or 'in another order'}"
    for name, array in state.items():
        if array.dtype != loaded[name].dtype or array.tobytes() != loaded[name].tobytes():
            return f"{name} is not the same"
    return ""


def _is_plain(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(map(_is_plain, value))
    if isinstance(value, Mapping):
        return all(map(_is_plain, value.values()))
    return value is None or isinstance(value, (bool, int, float, str, np.dtype))
