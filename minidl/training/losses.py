"""Losses of the Trainer: one, one given as a function, or several with weights, each for an output and a target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from .._core import check_number, class_hint
from ..nn import Module
from ..nn.structure import rebuild

__all__ = ["FunctionLoss", "Losses", "Part", "as_loss", "parts_of"]


class Part(NamedTuple):
    """One loss of several, or the only one."""

    key: Any  # of its output and its target; None for the only loss, which gets the whole
    loss: Module
    weight: float

    @property
    def prefix(self) -> str:
        """What the names of its columns begin with."""
        return "" if self.key is None else f"{self.key}_"

    def of(self, structure: Any) -> Any:
        """Return its output, or its target."""
        return structure if self.key is None else structure[self.key]


class FunctionLoss(Module):
    """A loss that is a function of (output, target), whose gradient is derived.

    Args:
        function: computes with NumPy and the losses of minidl, and returns a number.
    """

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, output: Any, target: Any) -> Any:
        """Call the function."""
        loss = self.function(output, rebuild(target, lambda x: x.detach() if hasattr(x, "detach") else x))
        if loss is None or np.ndim(loss):
            name = getattr(self.function, "__name__", type(self.function).__name__)
            got = "None" if loss is None else f"an array of shape {np.shape(loss)}; return its mean() or sum()"
            raise ValueError(f"the loss must be a number, {name}() returned {got}")
        return loss


class Losses(Module):
    """The weighted sum of several losses, each of one output and its target.

    Args:
        losses: by name, or in order.
        weights: of the losses, in the same structure.
    """

    def __init__(self, losses: Mapping[str, Module] | list[Module], weights: Mapping[str, float] | list[float]) -> None:
        super().__init__()
        self.losses: Any = dict(losses) if isinstance(losses, Mapping) else list(losses)
        self.weights: Any = dict(weights) if isinstance(weights, Mapping) else list(weights)

    def forward(self, output: Any, target: Any) -> Any:
        """Return the sum of weight * loss(output, target) over all losses."""
        self.check("output", output)
        self.check("target", target)
        terms = [part.weight * part.loss(part.of(output), part.of(target)) for part in parts_of(self)]
        return sum(terms[1:], terms[0])

    def check(self, what: str, structure: Any) -> None:
        """Raise ValueError if an output or a target is not there for each loss."""
        names = list(self.losses) if isinstance(self.losses, dict) else None
        if names is None:
            good, wanted = isinstance(structure, (tuple, list)) and len(structure) == len(self.losses), "a tuple of "
            wanted += f"{len(self.losses)}"
        else:
            good = isinstance(structure, Mapping) and all(name in structure for name in names)
            wanted = f"a dict with {', '.join(map(repr, names))}"
        if not good:
            raise ValueError(
                f"Trainer: since there is a loss for each of {len(self.losses)} outputs, the {what} must be {wanted}, "
                f"got {_described(structure)}; a single loss, which may be a function of (output, target), gets "
                "all of it"
            )


def as_loss(loss: Any, weights: Any) -> Module:
    """Return what the Trainer was given as its loss as one Module.

    Raises:
        TypeError: it is not a loss, a function, or a tuple, list or dict of them; or a weight is not a number.
        ValueError: weights are given for one loss, or do not fit the losses.
    """
    if not isinstance(loss, (Mapping, tuple, list)):
        if weights is not None:
            raise ValueError("Trainer: loss_weights are for several losses; give these as a dict or tuple")
        return _single(loss, "loss")
    if not loss:
        raise ValueError("Trainer: there must be at least one loss")
    if isinstance(loss, Mapping):
        for name in loss:
            if not isinstance(name, str) or not name or "." in name:
                raise TypeError(f"Trainer: the losses' names must be text without a dot, got {name!r}")
        losses: Any = {name: _single(one, f"the loss of {name!r}") for name, one in loss.items()}
        weights = dict.fromkeys(loss, 1.0) if weights is None else weights
        fits = isinstance(weights, Mapping) and set(weights) == set(loss)
        items = {name: weights[name] for name in loss} if fits else {}
    else:
        losses = [_single(one, f"loss {number}") for number, one in enumerate(loss)]
        weights = [1.0] * len(losses) if weights is None else weights
        fits = isinstance(weights, (tuple, list)) and len(weights) == len(losses)
        items = dict(enumerate(weights)) if fits else {}
    if not fits:
        wanted = f"a dict with {', '.join(map(repr, loss))}" if isinstance(loss, Mapping) else f"{len(losses)} numbers"
        raise ValueError(f"Trainer: loss_weights must be {wanted}, as the losses are, got {weights!r}")
    checked = {key: float(check_number("Trainer", f"loss_weights[{key!r}]", value)) for key, value in items.items()}
    return Losses(losses, checked if isinstance(losses, dict) else list(checked.values()))


def parts_of(loss: Module) -> list[Part]:
    """Return the losses that a Trainer's loss consists of: itself, or each of several."""
    if not isinstance(loss, Losses):
        return [Part(None, loss, 1.0)]
    keys = list(loss.losses) if isinstance(loss.losses, dict) else range(len(loss.losses))
    return [Part(key, loss.losses[key], loss.weights[key]) for key in keys]


def _single(loss: Any, name: str) -> Module:
    if isinstance(loss, Module):
        return loss
    if callable(loss) and not isinstance(loss, type):
        return FunctionLoss(loss)
    raise TypeError(
        f"Trainer: {name} must be a Module or a function of (output, target), got {loss!r}{class_hint(loss)}"
    )


def _described(structure: Any) -> str:
    if isinstance(structure, Mapping):
        return f"a dict with {', '.join(map(repr, structure))}"
    if isinstance(structure, (tuple, list)):
        return f"a {type(structure).__name__} of {len(structure)}"
    return f"an array of shape {structure.shape}" if hasattr(structure, "shape") else f"a {type(structure).__name__}"
