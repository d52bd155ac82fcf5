"""Case: one configuration of one layer, an entry in the table of cases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minidl import nn

F4 = np.float32


@dataclass(frozen=True)
class Case:
    """One configuration of one layer."""

    layer: str
    args: tuple[Any, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    shape: tuple[int, ...] = (3, 4)
    target: str | None = None  # "labels", "probabilities" or "values": a loss
    random: bool = False  # its training pass cannot be compared with PyTorch number by number
    ties: bool = False  # inputs with many equal values
    probabilities: bool = False  # the input is one, strictly between 0 and 1
    logarithms: bool = False  # the input is one of probabilities, below 0
    tolerance: float = 0.0  # where PyTorch itself is less exact than usual
    # a function of a generator that draws them, in place of ``shape``: several inputs, or integers without a gradient
    inputs: Callable[[np.random.Generator], tuple[np.ndarray, ...]] | None = None
    # what the output should be, a function of (layer, *inputs): for a layer that PyTorch does not have
    reference: Callable[..., np.ndarray] | None = None
    onnx: bool = True  # it can be exported
    bad_options: tuple[tuple[tuple[Any, ...], dict[str, Any], type, str], ...] = ()
    bad_inputs: tuple[tuple[tuple[Any, ...], type, str], ...] = ()

    @property
    def id(self) -> str:
        options = ",".join(f"{k}={v if np.ndim(v) == 0 else tuple(v)}" for k, v in self.options.items())
        return f"{self.layer}({','.join(map(str, self.args))}{',' * bool(self.args and options)}{options}){self.shape}"

    def make(self) -> nn.Module:
        return getattr(nn, self.layer)(*self.args, **self.options)

    def make_torch(self, torch: Any) -> Any:
        options = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in self.options.items()}
        return getattr(torch.nn, self.layer)(*self.args, **options)

    def draw(self, dtype: Any = np.float64) -> tuple[np.ndarray, ...]:
        """Inputs, the same ones every time; those that are floats in ``dtype``."""
        rng = np.random.default_rng(7)
        if self.inputs is not None:
            return tuple(x.astype(dtype) if x.dtype.kind == "f" else x for x in self.inputs(rng))
        x = rng.standard_normal(self.shape)
        if self.ties:
            x = np.round(x)
        if self.probabilities:
            x = rng.random(self.shape) * 0.9 + 0.05
        if self.logarithms:
            x = -np.abs(x) - 0.1
        if self.target is None:
            return (x.astype(dtype),)
        if self.target == "labels":
            target = rng.integers(0, self.shape[1], (self.shape[0], *self.shape[2:]))
            if "ignore_index" in self.options:
                target.flat[0] = self.options["ignore_index"]
            return x.astype(dtype), target
        target = rng.random(self.shape) if self.target == "probabilities" else rng.standard_normal(self.shape)
        return x.astype(dtype), target.astype(dtype)
