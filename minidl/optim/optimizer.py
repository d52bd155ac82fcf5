"""Optimizer: parameter groups and state, the base of every update rule.

A rule is elementwise: what happens to one number of a parameter depends on that number, its gradient and what is
remembered of it. So the base can cut large parameters into pieces that fit the cache, and share them among threads.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from .._core import Array, check_flag, check_number
from ..engine import in_pieces
from ..nn.parameter import Parameter

__all__ = ["Optimizer"]

# Bytes of the parameter in a piece of work: with its gradient and slots it fits a core's second-level cache.
_PIECE = 2**18


class Optimizer:
    """Base class. A subclass gives its defaults to ``__init__`` and writes `check_group`, `slots` and `update`.

    Args:
        params: Parameters, as ``model.params()`` gives them; or dicts, each a group with its own options:
            ``[{"params": body.params()}, {"params": head.params(), "lr": 0.01}]``.
        defaults: options of the groups that do not give their own.

    Attributes:
        param_groups: a list of dicts: "params", a list, and the options. Schedules change "lr" in here.
        state: what the rule remembers of each parameter, a dict: "step", the number of updates, and its slots.

    Raises:
        ValueError: there are no parameters, one comes twice, or an option is out of range.
        TypeError: something is not a Parameter, or an option is unknown.
    """

    def __init__(self, params: Iterable[Parameter] | Iterable[dict[str, Any]], defaults: dict[str, Any]) -> None:
        owner = type(self).__name__
        if isinstance(params, (Parameter, np.ndarray, Mapping)) or not isinstance(params, Iterable):
            raise TypeError(
                f"{owner}: params must be an iterable of Parameters, such as model.params(), got {params!r}"
            )
        entries: list[Any] = list(params)
        if not entries:
            raise ValueError(f"{owner}: got no parameters (a generator such as model.params() can be used only once)")
        self.defaults = defaults
        self.param_groups: list[dict[str, Any]] = []
        self.state: dict[Parameter, dict[str, Any]] = {}
        for entry in entries if isinstance(entries[0], dict) else [{"params": entries}]:
            self.add_param_group(entry)

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Add a group of parameters: a dict with "params" and any of the options.

        Raises:
            ValueError, TypeError: as for the class; the optimiser is as it was.
        """
        owner = type(self).__name__
        if not isinstance(group, Mapping) or "params" not in group:
            raise TypeError(f"{owner}: a parameter group must be a dict with 'params', got {group!r}")
        unknown = sorted(set(group) - {"params"} - set(self.defaults))
        if unknown:
            raise TypeError(f"{owner}: unknown options {unknown} in a parameter group; known: {sorted(self.defaults)}")
        params = [group["params"]] if isinstance(group["params"], Parameter) else list(group["params"])
        if not params:
            raise ValueError(f"{owner}: a parameter group has no parameters")
        seen = {id(p) for g in self.param_groups for p in g["params"]}
        for index, parameter in enumerate(params):
            if not isinstance(parameter, Parameter):
                raise TypeError(f"{owner}: expected nn.Parameter, got {type(parameter).__name__} at index {index}")
            if id(parameter) in seen:
                raise ValueError(f"{owner}: parameter {index} {parameter!r} comes twice; it would be updated twice")
            seen.add(id(parameter))
        complete = {"params": params, **self.defaults, **{k: v for k, v in group.items() if k != "params"}}
        self.check_group(complete)
        self.param_groups.append(complete)

    def check_group(self, group: dict[str, Any]) -> None:
        """Raise ValueError or TypeError if an option of a group is wrong. All that are numbers must not be negative."""
        signature = inspect.signature(type(self)).parameters
        for name, value in group.items():
            default = signature[name].default if name in signature else None
            if isinstance(default, bool):
                check_flag(type(self).__name__, name, value)
            elif isinstance(default, (int, float)):
                check_number(type(self).__name__, name, value)

    def slots(self, group: dict[str, Any]) -> dict[str, float]:
        """Return the names of the arrays of the parameter's shape that the rule remembers, and their first value."""
        return {}

    def decay(self, data: Array, grad: Array, group: dict[str, Any]) -> Array:
        """Return the gradient of some numbers with the weight decay's part in it: L2, grad + weight_decay * data."""
        decayed: Array = grad + float(group["weight_decay"]) * data
        return decayed

    def update(self, data: Array, grad: Array, slots: dict[str, Array], group: dict[str, Any], step: int) -> None:
        """Change some numbers of a parameter in place along their gradient, and their slots.

        Args:
            data, grad: numbers of the parameter and their gradient, weight decay included; ``grad`` must be left alone.
            slots: what is remembered of them, by name; to be changed in place.
            group: the options.
            step: the number of this update, from 1.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define update()")

    def step(self) -> None:
        """Update every parameter that has a gradient; frozen ones are passed by.

        Raises:
            ValueError: a gradient has not its parameter's shape; no parameter has changed then.
        """
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and parameter.grad.shape != parameter.shape:
                    raise ValueError(
                        f"{type(self).__name__}: a parameter of shape {parameter.shape} has a gradient of shape "
                        f"{parameter.grad.shape}"
                    )
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and parameter.requires_grad:
                    self._update(parameter, parameter.grad, group)

    def _update(self, parameter: Parameter, grad: Array, group: dict[str, Any]) -> None:
        state, data, names = self.state.setdefault(parameter, {}), parameter.data, self.slots(group)
        # a state of PyTorch's SGD has a momentum buffer, but no count
        step = state["step"] = int(state.get("step", len(state) > 0)) + 1
        for name, first in names.items():
            slot = state.get(name)  # the model may have been converted in between
            state[name] = np.full_like(data, first) if slot is None else slot.astype(data.dtype, copy=False)

        def work(numbers: Array, gradient: Array, *arrays: Array) -> None:
            if group.get("weight_decay"):
                gradient = self.decay(numbers, gradient, group)
            self.update(numbers, gradient, dict(zip(names, arrays, strict=True)), group, step)

        in_pieces(work, data, grad, *(state[name] for name in names), size=_PIECE)

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters: `grad` becomes None."""
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of state and options, in PyTorch's form: parameters are numbered in order."""
        order = self._numbered()
        return {
            "state": {order[id(p)]: copy.deepcopy(state) for p, state in self.state.items() if state},
            "param_groups": [
                {
                    **{k: v for k, v in g.items() if k != "params"},
                    "params": [order[id(p)] for p in g["params"]],
                }
                for g in self.param_groups
            ],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned, for the same parameters in the same groups.

        Raises:
            ValueError: groups, options or array shapes do not match; nothing has changed then.
        """
        owner = type(self).__name__
        groups = state["param_groups"]
        sizes, own = [len(g["params"]) for g in groups], [len(g["params"]) for g in self.param_groups]
        if sizes != own:
            raise ValueError(f"{owner}: cannot load state: expected groups of {own} parameters, got {sizes}")
        parameters = [p for g in self.param_groups for p in g["params"]]
        numbers = [n for g in groups for n in g["params"]]
        by_number = dict(zip(numbers, parameters, strict=True))
        loaded: dict[Parameter, dict[str, Any]] = {}
        for number, entries in state["state"].items():
            if number not in by_number:
                raise ValueError(f"{owner}: cannot load state: there is no parameter {number}")
            parameter = by_number[number]
            for name, value in entries.items():
                if np.ndim(value) and np.shape(value) != parameter.shape:
                    raise ValueError(
                        f"{owner}: cannot load state: {name} of parameter {number} has shape {np.shape(value)}, "
                        f"expected {parameter.shape}"
                    )
            loaded[parameter] = {
                name: np.asarray(value).astype(parameter.dtype) if np.ndim(value) else value
                for name, value in entries.items()
            }
        restored = [
            {**mine, **{k: v for k, v in theirs.items() if k in self.defaults}}
            for mine, theirs in zip(self.param_groups, groups, strict=True)
        ]
        for group in restored:
            self.check_group(group)
        for mine, group in zip(self.param_groups, restored, strict=True):
            mine.update(group)
        self.state = loaded

    def _numbered(self) -> dict[int, int]:
        return {id(p): n for n, p in enumerate(p for g in self.param_groups for p in g["params"])}

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for index, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {index}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join([*lines, ")"])
