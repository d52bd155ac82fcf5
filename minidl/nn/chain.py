"""A chain of layers, in both directions; without what nobody needs where the input's gradient is not wanted.

Then the layers in front that have nothing to train save nothing, and the backward pass ends behind them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .modes import no_grad, without_input_grad
from .module import Module

__all__ = ["backward_through", "forward_through"]


def forward_through(layers: Sequence[Module], x: Any, wanted: bool = True) -> tuple[Any, int | None]:
    """Call the layers in order.

    Args:
        layers: the layers.
        x: input of the first.
        wanted: whether the gradient of ``x`` will be.

    Returns:
        The output, and the ``end`` for `backward_through`: the number of layers that it leaves out, None if the
        gradient of the input is wanted.
    """
    end = 0
    if not wanted:
        while end < len(layers) and not any(p.requires_grad for p in layers[end].params()):
            with no_grad():
                x = layers[end](x)
            end += 1
        for layer in layers[end : end + 1]:
            with without_input_grad(layer):
                x = layer(x)
        end += 1
    for layer in layers[end:]:
        x = layer(x)
    return x, None if wanted else end - 1


def backward_through(layers: Sequence[Module], grad_output: Any, end: int | None = None) -> Any:
    """Run the layers' backward passes in reverse order; return the gradient of the input, None if it is not wanted."""
    for layer in reversed(layers if end is None else layers[end + 1 :]):
        grad_output = layer.backward(grad_output)
    if end is None:
        return grad_output
    for layer in layers[end : end + 1]:
        with without_input_grad(layer):
            layer.backward(grad_output)
    return None
