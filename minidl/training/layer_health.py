"""LayerHealth: what a layer did in an epoch, as numbers; LayerSums: from which they are made, batch by batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from .._core import Array
from ..nn import Module, Parameter, ReLU, ReLU6, Sigmoid, Tanh
from ..optim.stored import stored_count, stored_dict, stored_number

__all__ = ["LayerHealth", "LayerSums", "norm"]

_NAMES = ("elements", "total", "squares", "low", "high", "flat", "gradients", "gradient", "updates", "update")

# Where the slope is less than a twentieth of its largest value, 1/4 or 1, by the output.
_FLAT: dict[type, Callable[[Array], Array]] = {
    Sigmoid: lambda y: y * (1 - y) < 0.05 / 4,
    Tanh: lambda y: 1 - y * y < 0.05,
}


@dataclass(frozen=True)
class LayerHealth:
    """What a layer did in an epoch; NaN for what it does not have.

    Attributes:
        name, kind: path and class.
        size: numbers in its own parameters that are trained.
        mean, std, min, max: of its outputs.
        dead: of a ReLU, the share of units (channels of images) whose output was 0 for all samples that were seen.
        saturated: of a sigmoid or tanh, the share of outputs whose slope is less than a twentieth of the largest.
        gradient: mean norm of the gradient of its parameters together, before clipping.
        update: mean size of a step relative to the parameters, ||w_after - w|| / ||w||.
    """

    name: str
    kind: str
    size: int
    mean: float
    std: float
    min: float
    max: float
    dead: float
    saturated: float
    gradient: float
    update: float

    @classmethod
    def restored(cls, where: str, state: Any) -> LayerHealth:
        """Return what was stored as a dict, or raise ValueError."""
        own = stored_dict(where, state, *(entry.name for entry in fields(cls)))
        numbers = {
            entry.name: stored_number(f"{where}: {entry.name}", own[entry.name])
            for entry in fields(cls)
            if entry.type == "float"
        }
        size = stored_count(f"{where}: size", own["size"])
        return cls(name=str(own["name"]), kind=str(own["kind"]), size=size, **numbers)


class LayerSums:
    """The sums of a layer over the steps of an epoch that are watched.

    Args:
        name: path of the layer.
        module: the layer.
        parameters: its own, that are trained.
    """

    def __init__(self, name: str, module: Module, parameters: Sequence[Parameter]) -> None:
        self.name, self.module, self.parameters = name, module, parameters
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._sums = {**dict.fromkeys(_NAMES, 0.0), "low": math.inf, "high": -math.inf}
        self._active: Array | None = None  # which units of a ReLU had an output above 0

    def see(self, output: Any) -> None:
        """Add the outputs of a batch, (N, C, ...)."""
        if not isinstance(output, np.ndarray) or output.dtype.kind != "f" or not output.size:
            return
        sums = self._sums
        with np.errstate(over="ignore", invalid="ignore"):
            sums["elements"] += output.size
            sums["total"] += float(output.sum(dtype=np.float64))
            sums["squares"] += float(np.square(output, dtype=np.float64).sum())
            sums["low"], sums["high"] = min(sums["low"], float(output.min())), max(sums["high"], float(output.max()))
            if flat := _FLAT.get(type(self.module)):
                sums["flat"] += int(np.count_nonzero(flat(output)))
        if isinstance(self.module, (ReLU, ReLU6)) and output.ndim > 1:
            active = np.asarray((output > 0).any(axis=(0, *range(2, output.ndim))))
            if self._active is not None and self._active.shape == active.shape:
                active |= self._active
            self._active = active

    def see_gradient(self) -> None:
        """Add the norm of the gradient."""
        self._sums["gradients"] += 1
        self._sums["gradient"] += norm(p.grad for p in self.parameters if p.grad is not None)

    def see_update(self, before: Sequence[Array]) -> None:
        """Add the size of a step, from the parameters before it."""
        whole = norm(before)
        if whole:
            self._sums["updates"] += 1
            with np.errstate(over="ignore", invalid="ignore"):
                moved = (p.data - old for p, old in zip(self.parameters, before, strict=True))
                self._sums["update"] += norm(moved) / whole

    def result(self) -> LayerHealth:
        """Return the numbers."""
        sums = self._sums
        count = sums["elements"]
        mean = _share(sums["total"], count)
        variance = _share(sums["squares"], count) - mean * mean
        return LayerHealth(
            name=self.name,
            kind=type(self.module).__name__,
            size=sum(p.data.size for p in self.parameters),
            mean=mean,
            std=math.sqrt(variance) if variance > 0 else variance * 0,
            min=sums["low"] if count else math.nan,
            max=sums["high"] if count else math.nan,
            dead=math.nan if self._active is None else 1 - float(self._active.mean()),
            saturated=_share(sums["flat"], count) if type(self.module) in _FLAT else math.nan,
            gradient=_share(sums["gradient"], sums["gradients"]),
            update=_share(sums["update"], sums["updates"]),
        )

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the sums."""
        return {**self._sums, "active": None if self._active is None else self._active.copy()}

    def restoring(self, where: str, state: Mapping[str, Any]) -> Callable[[], None]:
        """Check what `state_dict` returned; return what restores it, or raise ValueError."""
        own = stored_dict(where, state, *_NAMES, "active")
        sums = {name: stored_number(f"{where}: {name}", own[name]) for name in _NAMES}
        active = own["active"]
        if active is not None and (not isinstance(active, np.ndarray) or active.dtype != np.bool_ or active.ndim != 1):
            raise ValueError(f"{where}: active must be an array of bool")

        def restore() -> None:
            self._sums, self._active = dict(sums), active

        return restore


def norm(arrays: Iterable[Array]) -> float:
    """Return the Euclidean norm of several arrays together, in float64."""
    with np.errstate(over="ignore", invalid="ignore"):
        return math.sqrt(sum(float(np.square(array, dtype=np.float64).sum()) for array in arrays))


def _share(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
