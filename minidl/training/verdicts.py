"""Verdicts: what is out of the ordinary in the layers' numbers, in plain words, and what helps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from .layer_health import LayerHealth

__all__ = ["Verdict", "health_table", "health_text", "judge"]

# The bounds of the ordinary; a net that learns is far from them.
DEAD = 0.5
SATURATED = 0.5
VANISHING = 1e-4  # of the largest gradient, by the root mean square
LARGE = 1e3  # outputs or gradients
STEP = 0.2  # of the weights, in one step
STILL = 1e-4  # of the largest relative step

HELP = {
    "dead": "units that are 0 for every sample get no gradient: lower the learning rate, start with He initialisation "
    "(nn.init.kaiming_normal_), put batch normalisation before the ReLU, or take LeakyReLU",
    "saturated": "where the curve is flat no gradient passes: start with smaller weights (nn.init.xavier_uniform_), "
    "scale the inputs, put batch normalisation before it, or take ReLU",
    "vanishing": "the gradient is lost on its way to these layers: take ReLU for sigmoid or tanh, He initialisation, "
    "batch normalisation, or connections around layers (nn.Residual)",
    "exploding": "lower the learning rate, limit the gradient (clip_grad_norm), start with smaller weights, scale "
    "inputs and targets, or put batch normalisation between the layers",
    "not learning": "see whether the loss depends on the layer (a dead layer behind it, a detach()), and whether the "
    "optimizer has its parameters and with which learning rate",
}


class Verdict(NamedTuple):
    """What is wrong with a layer.

    Attributes:
        layer: its path.
        what: "dead", "saturated", "vanishing", "exploding" or "not learning".
        text: the reason, with the number.
    """

    layer: str
    what: str
    text: str

    @property
    def helps(self) -> str:
        """What usually helps."""
        return HELP[self.what]


def judge(layers: Sequence[LayerHealth]) -> list[Verdict]:
    """Return what is out of the ordinary: at most one verdict for each layer, in their order."""
    scales = [_scale(layer) for layer in layers]
    largest = max(filter(math.isfinite, scales), default=0.0)
    step = max((layer.update for layer in layers if math.isfinite(layer.update)), default=0.0)
    found = []
    for layer, scale in zip(layers, scales, strict=True):
        relative = scale / largest if largest else scale, layer.update / step if step else layer.update
        found += [Verdict(layer.name, *reason) for reason in islice(_reasons(layer, *relative), 1)]
    return found


def _scale(layer: LayerHealth) -> float:
    """Return the root mean square of the gradient."""
    return layer.gradient / math.sqrt(layer.size) if layer.size else math.nan


def _reasons(layer: LayerHealth, scale: float, step: float) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with a layer, causes first; its gradient and step are relative to the largest ones."""
    if layer.dead >= DEAD:
        yield "dead", f"{100 * layer.dead:.0f} % of its units are 0 for every sample"
    if layer.saturated >= SATURATED:
        yield "saturated", f"{100 * layer.saturated:.0f} % of its outputs are where its curve is flat"
    if not _bounded(layer.min, layer.max) or layer.std > LARGE:
        yield "exploding", f"its outputs go from {layer.min:.3g} to {layer.max:.3g}"
    if not _bounded(layer.gradient) or layer.gradient > LARGE:
        yield "exploding", f"the norm of its gradient is {layer.gradient:.3g}"
    if not _bounded(layer.update) or layer.update > STEP:
        yield "exploding", f"a step changes it by {100 * layer.update:.0f} %"
    if layer.gradient == 0:
        yield "not learning", "no gradient comes to it"
    if scale < VANISHING:
        yield "vanishing", f"its gradient is {scale:.1e} of the largest one"
    if step < STILL or layer.update == 0:
        yield "not learning", f"a step changes it by {layer.update:.1e} of its size"


def _bounded(*values: float) -> bool:
    """Return whether no value is infinite; NaN stands for what a layer does not have."""
    return not any(math.isinf(value) for value in values)


def health_table(layers: Iterable[LayerHealth]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the names of columns, and a row of text for each layer."""
    head = ("layer", "kind", "mean", "std", "min", "max", "dead", "saturated", "gradient", "update")
    rows = []
    for layer in layers:
        numbers = [f"{v:.3g}" for v in (layer.mean, layer.std, layer.min, layer.max)]
        shares = [f"{100 * v:.0f} %" for v in (layer.dead, layer.saturated)]
        norms = [f"{v:.1e}" for v in (layer.gradient, layer.update)]
        cells = ("" if "nan" in cell else cell for cell in (*numbers, *shares, *norms))
        rows.append((layer.name, layer.kind, *cells))
    return head, rows


def health_text(layers: Sequence[LayerHealth]) -> str:
    """Return the table and the verdicts as text."""
    head, rows = health_table(layers)
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = [
        "  ".join(cell.ljust(width) if column < 2 else cell.rjust(width) for column, (cell, width) in enumerate(cells))
        for cells in ([*zip(row, widths, strict=True)] for row in (head, *rows))
    ]
    verdicts = judge(layers)
    if not verdicts:
        return "\n".join([*(line.rstrip() for line in lines), "nothing is out of the ordinary"])
    told = [f'{one.what}: "{one.layer}": {one.text}' for one in verdicts]
    helps = [f"{what}: {HELP[what]}" for what in dict.fromkeys(one.what for one in verdicts)]
    return "\n".join([*(line.rstrip() for line in lines), *told, *helps])
