"""Case: one configuration of one layer, an entry in the table of cases."""

from __future__ import annotations

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
    tolerance: float = 0.0  # where PyTorch itself is less exact than usual
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

    def inputs(self, dtype: Any = np.float64) -> tuple[np.ndarray, ...]:
        rng = np.random.default_rng(7)
        x = rng.standard_normal(self.shape)
        if self.ties:
            x = np.round(x)
        if self.probabilities:
            x = rng.random(self.shape) * 0.9 + 0.05
        if self.target is None:
            return (x.astype(dtype),)
        if self.target == "labels":
            target = rng.integers(0, self.shape[1], (self.shape[0], *self.shape[2:]))
            if "ignore_index" in self.options:
                target.flat[0] = self.options["ignore_index"]
            return x.astype(dtype), target
        target = rng.random(self.shape) if self.target == "probabilities" else rng.standard_normal(self.shape)
        return x.astype(dtype), target.astype(dtype)
