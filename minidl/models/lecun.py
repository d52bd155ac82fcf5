"""The network that read zip codes in 1989: sparse connections, a bias for every unit, tanh."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..nn import ConstantPad2d, Conv2d, Flatten, Linear, Module, Parallel, Parameter, Sequential, Tanh

__all__ = ["lecun1989"]


class Channels(Module):
    """Select channels.

    Args:
        chosen: their indices, each at most once.
    """

    def __init__(self, chosen: Sequence[int]) -> None:
        super().__init__()
        self.chosen = list(chosen)

    def forward(self, x: Any) -> Any:
        """Select the channels."""
        return x[:, self.chosen]

    def extra_repr(self) -> str:
        """The selected channels."""
        return f"{self.chosen}"


class UnitBias(Module):
    """Add a separate bias to every unit: y[n] = x[n] + bias.

    Args:
        shape: shape (C, H, W) of a sample.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.bias = Parameter(np.zeros(shape, np.float32))

    def forward(self, x: Any) -> Any:
        """Add the biases."""
        return x + self.bias


def lecun1989(num_classes: int = 10, *, channels: int = 1, rng: np.random.Generator | None = None) -> Sequential:
    """The network that read handwritten zip codes in 1989: 9,760 parameters, 1,000 hidden units.

    The first layer has twelve 8x8 maps, computed by 5x5 filters with stride 2. The second has twelve 4x4 maps, each
    computed in the same way from eight of the first twelve. Then come 30 units and ten outputs. The positions of a map
    share their filter but not their bias. Images are padded with the background, -1.

    The paper does not say which eight maps each map of the second layer sees. As in A. Karpathy's reproduction of 2022,
    maps 0-3 see maps 0-7, maps 4-7 see maps 4-11, and maps 8-11 see maps 0-3 and 8-11, so that each is seen by eight.

    Args:
        num_classes: number of outputs.
        channels: number of channels of the images.
        rng: generator for the initial weights, uniform as everywhere in minidl; None means minidl's own.

    Returns:
        A network from (N, channels, 16, 16) with values from -1 to 1 to outputs (N, num_classes), in (-1, 1).

    Source: LeCun et al., "Backpropagation applied to handwritten zip code recognition", Neural Computation 1 (1989).
    """

    def maps(inputs: int, outputs: int) -> list[Module]:
        return [ConstantPad2d(2, -1.0), Conv2d(inputs, outputs, 5, stride=2, bias=False, rng=rng)]

    seen = (range(8), range(4, 12), (*range(4), *range(8, 12)))
    second = Parallel(*(Sequential(Channels(chosen), *maps(8, 4)) for chosen in seen))
    return Sequential(
        *maps(channels, 12),
        UnitBias((12, 8, 8)),
        Tanh(),
        second,
        UnitBias((12, 4, 4)),
        Tanh(),
        Flatten(),
        Linear(192, 30, rng=rng),
        Tanh(),
        Linear(30, num_classes, rng=rng),
        Tanh(),
    )
