"""Optimizer: parameter groups and state, the base of every update rule.

A rule works entry by entry: what happens to one entry of a parameter depends only on that entry, its gradient and its
state. So the base class can cut large parameters into pieces that fit in a core's cache, and share them among threads.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from .._core import Array, check_number
from ..engine import current_engine, in_pieces
from ..nn.parameter import Parameter
from ..nn.state import match_state
from ..nn.unchanged import mark_changed
from .stored import stored_count, stored_dict, stored_list

__all__ = ["Checks", "Optimizer", "Params", "check_betas"]

Params = Iterable[Parameter] | Iterable[dict[str, Any]]
# The check of each option: it takes the class's name, the option's name and the value; it returns the value, or raises.
Checks = Mapping[str, Callable[[str, str, Any], Any]]

# Bytes of the parameter in a piece of work: with its gradient and slots it fits in a core's second-level cache.
_PIECE = 2**18

# Keys of PyTorch's groups that say how a step is computed, or that its schedules and users keep there: whatever their
# values, a step's result is the same.
_WITHOUT_EFFECT = {
    *("params", "param_names", "foreach", "fused", "capturable", "differentiable"),
    *("max_lr", "min_lr", "base_momentum", "max_momentum", "swa_lr"),
}


class Optimizer:
    """Base class of the optimisers. A subclass declares its `options` and implements `update`, and `slots` if any:

        class SignSGD(Optimizer):
            options = {"lr": check_number}  # from minidl._core

            def __init__(self, params, lr=0.01):
                super().__init__(params, {"lr": lr})

            def update(self, data, grad, slots, group, step):
                data -= group["lr"] * np.sign(grad)

    Or PyTorch's form, a `step` of its own: ``defaults`` may hold anything then, and ``self.state[p]`` is a dict.

    Args:
        params: Parameters, as ``model.params()`` gives them; or dicts, each a group with its own options:
            ``[{"params": body.params()}, {"params": head.params(), "lr": 0.01}]``.
        defaults: options of the groups that do not give their own; one for each of `options`.

    Attributes:
        options: the check of each option, by name: a function of the class's name, the option's name and the value that
            returns the value, converted to a plain Python one, or raises. Declared by each class.
        decoupled_weight_decay: what the option "weight_decay", where there is one, does before `update`. False: L2, it
            adds weight_decay * p to the gradient. True: it multiplies p by 1 - lr * weight_decay.
        param_groups: a list of dicts: "params", a list, and the options. Schedules change "lr" in here.
        made_with: the options that each group was made with, whatever has changed them since.
        state: what the rule remembers about each parameter, a dict: "step", the number of updates, and its slots.

    Raises:
        ValueError: there are no parameters, one appears twice, or an option is out of range.
        TypeError: something is not a Parameter, or an option is unknown or of the wrong type.
    """

    options: ClassVar[Checks] = {}
    decoupled_weight_decay: ClassVar[bool] = False

    def __init__(self, params: Params, defaults: Mapping[str, Any]) -> None:
        owner = type(self).__name__
        if isinstance(params, (Parameter, np.ndarray, Mapping)) or not isinstance(params, Iterable):
            raise TypeError(
                f"{owner}: params must be an iterable of Parameters, such as model.params(), got {params!r}"
            )
        entries: list[Any] = list(params)
        if not entries:
            raise ValueError(f"{owner}: got no parameters (a generator such as model.params() can be used only once)")
        if not self.options and type(self).step is not Optimizer.step:  # PyTorch's form: a step of its own
            vars(self)["options"] = dict.fromkeys(defaults, _as_it_is)
        if set(defaults) != set(self.options):
            raise TypeError(
                f"{owner}: its options are declared as {sorted(self.options)}, but its defaults are {sorted(defaults)}"
            )
        self.defaults = self._checked(defaults)
        self.param_groups: list[dict[str, Any]] = []
        self.made_with: list[dict[str, Any]] = []
        self.state: dict[Parameter, dict[str, Any]] = defaultdict(dict)
        for entry in entries if isinstance(entries[0], dict) else [{"params": entries}]:
            self.add_param_group(entry)

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Add a group of parameters: a dict with "params" and any of the options.

        Raises:
            ValueError, TypeError: as for the class; the optimiser is unchanged.
        """
        owner = type(self).__name__
        if not isinstance(group, Mapping) or "params" not in group:
            raise TypeError(f"{owner}: a parameter group must be a dict with 'params', got {group!r}")
        unknown = sorted(set(group) - {"params"} - set(self.options))
        if unknown:
            raise TypeError(f"{owner}: unknown options {unknown} in a parameter group; known: {sorted(self.options)}")
        params = [group["params"]] if isinstance(group["params"], Parameter) else list(group["params"])
        if not params:
            raise ValueError(f"{owner}: a parameter group has no parameters")
        seen = {id(p) for g in self.param_groups for p in g["params"]}
        for index, parameter in enumerate(params):
            if not isinstance(parameter, Parameter):
                raise TypeError(f"{owner}: expected nn.Parameter, got {type(parameter).__name__} at index {index}")
            if id(parameter) in seen:
                raise ValueError(f"{owner}: parameter {index} {parameter!r} appears twice; it would be updated twice")
            seen.add(id(parameter))
        options = {**self.defaults, **self._checked({k: v for k, v in group.items() if k != "params"})}
        self.check_group(options)
        self.param_groups.append({"params": params, **options})
        self.made_with.append(dict(options))

    def _checked(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return options as plain Python values; raise if one of them is wrong."""
        return {name: self.options[name](type(self).__name__, name, value) for name, value in options.items()}

    def check_group(self, group: dict[str, Any]) -> None:
        """Raise ValueError if the options of a group are incompatible; each has already been checked on its own."""

    def slots(self, group: dict[str, Any]) -> dict[str, float]:
        """Return the names of the arrays, of the parameter's shape, that the rule remembers, and initial values."""
        return {}

    def update(self, data: Array, grad: Array, slots: dict[str, Array], group: dict[str, Any], step: int) -> None:
        """Update some entries of a parameter in place, and their slots.

        Args:
            data, grad: the entries and their gradient, weight decay included; ``grad`` must not be changed.
            slots: what is remembered about them, by name; to be updated in place.
            group: the options, as Python numbers: NumPy's float64 scalars would turn float32 arrays into float64.
            step: the number of this update, from 1.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define update()")

    _known: ClassVar[bool] = False  # whether the formula is that of this class's update

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        said = {"update", "slots", "formula"} & vars(cls).keys()
        if said:
            cls._known = "formula" in said

    def formula(self, group: dict[str, Any], step: int) -> tuple[str, tuple[float, ...]] | None:
        """Return the name by which engines know `update`, weight decay included, and its numbers; None for none.

        A subclass that overrides update or slots without a formula of its own is computed by these.
        """
        return None

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; frozen ones are skipped.

        Args:
            closure: called first, to run forward and backward; returns the loss, which is returned.

        Raises:
            ValueError: a gradient does not have its parameter's shape; no parameter has changed then.
        """
        loss = None if closure is None else closure()
        updates: list[tuple[Parameter, Array, dict[str, float], dict[str, Any]]] = []
        for group in self.param_groups:
            options = {name: _plain(group[name]) for name in self.options}
            slots = self.slots(options)
            for parameter in group["params"]:
                grad = parameter.grad
                if grad is not None and grad.shape != parameter.data.shape:
                    raise ValueError(
                        f"{type(self).__name__}: a parameter of shape {parameter.shape} has a gradient of shape "
                        f"{grad.shape}"
                    )
                if grad is not None and parameter.requires_grad:
                    updates.append((parameter, grad, slots, options))
        mark_changed([update[0] for update in updates])
        for update in updates:
            self._update(*update)
        return loss

    def _update(self, parameter: Parameter, grad: Array, slots: dict[str, float], group: dict[str, Any]) -> None:
        state, data = self.state.setdefault(parameter, {}), parameter.data
        # a state of PyTorch's SGD has a momentum buffer, but no count
        step = state["step"] = state.get("step", len(state) > 0) + 1
        for name, first in slots.items():
            if name not in state:
                state[name] = np.full_like(data, first)
            elif state[name].dtype != data.dtype:  # the model has been converted since
                state[name] = state[name].astype(data.dtype)
        known = current_engine().update if self._known else None
        formula = None if known is None else self.formula(group, step)
        if known and formula and known(*formula, data, grad, [state[name] for name in slots]):
            return
        decay = group.get("weight_decay")

        def work(entries: Array, gradient: Array, *arrays: Array) -> None:
            if decay and self.decoupled_weight_decay:
                entries *= 1 - group["lr"] * decay
            elif decay:
                gradient = gradient + decay * entries
            self.update(entries, gradient, dict(zip(slots, arrays, strict=True)), group, step)

        in_pieces(work, data, grad, *(state[name] for name in slots), size=_PIECE)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Reset the gradients of all parameters: `grad` becomes None, or zeros with ``set_to_none=False``."""
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of state and options, in PyTorch's form: parameters are numbered in order."""
        order = {id(p): number for number, p in enumerate(self._parameters())}
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
        """Restore what `state_dict` returned, here or in PyTorch, for the same parameters in the same groups.

        A group may have options that this class does not have, if their values change nothing: False, None or 0, and
        any value of those that only say how PyTorch computes a step (foreach, fused, ...).

        Raises:
            ValueError: groups, arrays' shapes or numbers do not fit, an option is out of range, or one that this class
                does not have would change the steps (``maximize=True``); in that case nothing has changed.
            TypeError: an option is of the wrong type; nothing has changed then.
        """
        self._loading(state)()

    def _loading(self, state: Mapping[str, Any]) -> Callable[[], None]:
        """Check a state, without changing anything; return what restores it, which does not fail."""
        owner = type(self).__name__
        what = f"{owner}: cannot load state"
        stored_dict(f"{what}: it", state, "param_groups", "state")
        groups = stored_list(f"{what}: param_groups", state["param_groups"])
        for number, group in enumerate(groups):
            stored_list(f"{what}: params", stored_dict(f"{what}: parameter group {number}", group, "params")["params"])
        sizes, own = [len(g["params"]) for g in groups], [len(g["params"]) for g in self.param_groups]
        if sizes != own:
            raise ValueError(f"{what}: expected groups of {own} parameters, got {sizes}")
        numbers = [stored_count(f"{what}: the number of a parameter", n) for g in groups for n in g["params"]]
        if len(set(numbers)) < len(numbers):
            raise ValueError(f"{what}: two parameters have one number")
        parameters = dict(zip(numbers, self._parameters(), strict=True))
        loaded = {}
        for number, entries in stored_dict(f"{what}: state", state["state"]).items():
            if number not in parameters:
                raise ValueError(f"{what}: there is no parameter {number}")
            stored_dict(f"{what}: the state of parameter {number}", entries)
            loaded[parameters[number]] = self._loaded_state(number, parameters[number], entries)
        pairs = list(zip(self.param_groups, groups, strict=True))
        restored = [self._loaded_group(number, own, given) for number, (own, given) in enumerate(pairs)]

        def restore() -> None:
            for group, options in zip(self.param_groups, restored, strict=True):
                group.pop("initial_lr", None)  # a schedule made later starts from the state's, or from the state's rate
                group.update(options)
            self.state = defaultdict(dict, {parameter: dict(entries) for parameter, entries in loaded.items()})

        return restore

    def _loaded_state(self, number: int, parameter: Parameter, entries: Mapping[str, Any]) -> dict[str, Any]:
        """Return what was remembered about a parameter, as this optimiser keeps it."""
        state: dict[str, Any] = {}
        owner = type(self).__name__
        for name, value in entries.items():
            what = f"{name} of parameter {number}"
            if name == "step":
                state[name] = stored_count(f"{owner}: cannot load state: {what}", value)
            elif value is not None:  # older PyTorch: a momentum buffer that has not been used yet
                if np.shape(value) != parameter.shape:
                    raise ValueError(
                        f"{owner}: cannot load state: {what} has shape {np.shape(value)}, expected {parameter.shape}"
                        + ("" if parameter.data.size else " (no input size yet: call summary(input_shape) first)")
                    )
                array = value.astype(np.uint8) if isinstance(value, np.ndarray) and value.dtype == bool else value
                fitting, _ = match_state(owner, {what: parameter.data}, {what: array}, strict=True)
                state[name] = np.array(fitting[what])
        return state

    def _loaded_group(self, number: int, own: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
        """Return a group's options, its own where none is given; raise if one that we do not have changes the steps."""
        owner = type(self).__name__
        if wrong := [name for name in given if not isinstance(name, str)]:
            raise ValueError(f"{owner}: cannot load state: parameter group {number} has an option {wrong[0]!r}")
        for name, value in given.items():
            neutral = self.decoupled_weight_decay if name == "decoupled_weight_decay" else False
            known = name in self.options or name in _WITHOUT_EFFECT or name == "initial_lr"
            if not known and (np.ndim(value) or value not in (None, neutral)):
                raise ValueError(
                    f"{owner}: cannot load state: parameter group {number} has {name}={value!r}, an option that "
                    f"{owner} does not have; it can load {name}={neutral}"
                )
        options = self._checked({name: _plain(given.get(name, own[name])) for name in self.options})
        self.check_group(options)
        if "initial_lr" in given:  # a schedule made after loading starts from it, as in PyTorch
            options["initial_lr"] = check_number(owner, "initial_lr", given["initial_lr"])
        return options

    def _parameters(self) -> list[Parameter]:
        return [parameter for group in self.param_groups for parameter in group["params"]]

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for index, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {index}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join([*lines, ")"])


def _as_it_is(owner: str, argument: str, value: Any) -> Any:
    """Return the value of an option that only the class's own step knows."""
    return value


def check_betas(owner: str, argument: str, value: Any) -> tuple[float, float]:
    """Return a pair of numbers in [0, 1), or raise TypeError / ValueError."""
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise TypeError(f"{owner}: {argument} must be a pair of numbers, got {value!r}")
    first, second = (check_number(owner, argument, beta) for beta in value)
    if max(first, second) >= 1:
        raise ValueError(f"{owner}: {argument} must be less than 1, got {value}")
    return first, second


def _plain(value: Any) -> Any:
    """Return a NumPy or PyTorch number, even inside a pair, as a Python one: groups may have been changed by hand."""
    if type(value) in (float, bool):  # the usual case, quickly; NumPy's float64 is only a subclass
        return value
    if isinstance(value, (tuple, list)):
        return tuple(_plain(item) for item in value)
    return value.item() if hasattr(value, "item") else value
