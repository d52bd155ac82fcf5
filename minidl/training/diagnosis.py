"""Which layer made a loss non-finite."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._core import Array
from ..nn import Module, no_grad

__all__ = ["first_non_finite"]


def first_non_finite(model: Module, x: Array) -> str:
    """Describe where the first NaN or infinity of a forward pass appears: input, parameter, layer, or the loss only.

    Runs the model once more on the batch, keeping nothing. Random layers draw anew, buffers may change.

    Args:
        model: the model, in the mode in which it failed.
        x: the batch that failed.
    """
    if np.asarray(x).dtype.kind == "f" and not np.isfinite(x).all():
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(x))[0])
        return f"the input batch is not finite itself: {x[index]} at index {index}"
    found: list[str] = []

    def look(name: str, module: Module, output: Any) -> None:
        if found or np.isfinite(output).all():
            return
        broken = [n for n, p in module.named_params() if not np.isfinite(p.data).all()]
        because = f'; its parameter "{broken[0]}" is not finite' if broken else ""
        layer = f'{type(module).__name__} "{name}"' if name else type(module).__name__
        found.append(f"the first layer whose output is not finite is {layer}{because}")

    handles = [
        module.register_forward_hook(lambda m, _, output, name=name: look(name, m, output))  # type: ignore[misc]
        for name, module in model.named_modules()  # children finish before their parents
    ]
    try:
        with no_grad(), np.errstate(all="ignore"):
            model(x)
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else "every layer's output is finite, only the loss is not; look at the targets"
