"""The network of 1989 that read zip codes: sparse connections, a bias for every unit, scaled tanh."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .._core import Array, check_grad
from ..interop import OnnxGraph, onnx_nodes
from ..nn import ConstantPad2d, Conv2d, Flatten, Linear, Module, Parallel, Parameter, Sequential, Tanh

__all__ = ["lecun1989"]


class Channels(Module):
    """Pass some of the channels on.

    Args:
        chosen: their numbers, each once.
    """

    def __init__(self, chosen: Sequence[int]) -> None:
        super().__init__()
        self.chosen = list(chosen)

    def forward(self, x: Array) -> Array:
        """Take the channels."""
        out = x[:, self.chosen]
        self.save_for_backward((x.shape, out.shape, x.dtype))
        return out

    def backward(self, grad_output: Array) -> Array:
        """Put the gradient back; the other channels have none."""
        shape, out_shape, dtype = self.take_saved()
        check_grad(grad_output, out_shape, dtype)
        dx = np.zeros(shape, dtype)
        dx[:, self.chosen] = grad_output
        return dx

    def extra_repr(self) -> str:
        """The channels."""
        return f"{self.chosen}"


class UnitBias(Module):
    """Add a number of its own to every unit: y[n] = x[n] + bias.

    Args:
        shape: (C, H, W).
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.bias = Parameter(np.zeros(shape, np.float32))

    def forward(self, x: Array) -> Array:
        """Add the biases."""
        out: Array = x + self.bias.data
        self.save_for_backward((out.shape, out.dtype))
        return out

    def backward(self, grad_output: Array) -> Array:
        """Add the gradient of the biases; return that of the input, which is the output's."""
        check_grad(grad_output, *self.take_saved())
        self.bias.add_grad(grad_output.sum(axis=0))
        return grad_output


@onnx_nodes(Channels)
def _channels(graph: OnnxGraph, layer: Channels, x: str) -> str:
    return graph.node("Gather", x, np.array(layer.chosen), axis=1)


@onnx_nodes(UnitBias)
def _unit_bias(graph: OnnxGraph, layer: UnitBias, x: str) -> str:
    return graph.node("Add", x, graph.parameter("bias", layer.bias.data))


def lecun1989(*, rng: np.random.Generator | None = None) -> Sequential:
    """The network that read handwritten zip codes in 1989: 9,760 parameters, 1,000 hidden units.

    Twelve 8x8 maps of 5x5 filters with stride 2; twelve 4x4 maps likewise, each of which sees eight of the twelve maps
    below; 30 units; ten outputs. Filters are shared, biases are not. The background is -1, also around the image.

    The paper does not say which eight maps the second layer's maps see. Here, as in A. Karpathy's reproduction of 2022,
    maps 0-3 see 0-7, maps 4-7 see 4-11, maps 8-11 see 0-3 and 8-11: every map is seen by eight.

    Args:
        rng: generator for the first weights, uniform as everywhere in minidl; None means minidl's own.

    Returns:
        A network from (N, 1, 16, 16) with values from -1 to 1 to ten outputs (N, 10), in (-1, 1).

    Source: LeCun et al., "Backpropagation applied to handwritten zip code recognition", Neural Computation 1 (1989).
    """

    def maps(inputs: int, outputs: int) -> list[Module]:
        return [ConstantPad2d(2, -1.0), Conv2d(inputs, outputs, 5, stride=2, bias=False, rng=rng)]

    seen = (range(8), range(4, 12), (*range(4), *range(8, 12)))
    second = Parallel(*(Sequential(Channels(chosen), *maps(8, 4)) for chosen in seen))
    return Sequential(
        *maps(1, 12),
        UnitBias((12, 8, 8)),
        Tanh(),
        second,
        UnitBias((12, 4, 4)),
        Tanh(),
        Flatten(),
        Linear(192, 30, rng=rng),
        Tanh(),
        Linear(30, 10, rng=rng),
        Tanh(),
    )
