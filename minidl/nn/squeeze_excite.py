"""Squeeze and excitation: each channel is scaled by a gate that sees the whole image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .._core import check_images, check_int
from .activation import ReLU, Sigmoid
from .adaptive_pool import AdaptiveAvgPool2d
from .conv import Conv2d
from .module import Module

__all__ = ["SqueezeExcite"]


class SqueezeExcite(Module):
    """Scale each channel by a gate: y = x * sigmoid(W2 relu(W1 mean(x) + b1) + b2), the mean over the pixels.

    Args:
        input_channels: channels of the input, C.
        squeeze_channels: channels in between, S; None means C/4, at least 1.
        dtype: float32 (default) or float64.
        rng: generator for the initial weights; None means minidl's own, see `minidl.manual_seed`.

    Shape:
        input and output: (N, C, H, W), the same.

    Attributes:
        fc1, fc2: 1x1 Conv2d, C to S and S to C channels; torchvision's SqueezeExcitation has the same names.

    Source: Hu et al. 2018, arXiv:1709.01507.
    """

    def __init__(
        self,
        input_channels: int,
        squeeze_channels: int | None = None,
        *,
        dtype: DTypeLike | None = None,
        rng: np.random.Generator | None = None,
    ) -> None:
        super().__init__()
        channels = check_int("SqueezeExcite", "input_channels", input_channels)
        squeezed = max(1, channels // 4) if squeeze_channels is None else squeeze_channels
        self.avgpool = AdaptiveAvgPool2d(1)
        self.fc1 = Conv2d(channels, check_int("SqueezeExcite", "squeeze_channels", squeezed), 1, dtype=dtype, rng=rng)
        self.activation = ReLU()
        self.fc2 = Conv2d(squeezed, channels, 1, dtype=dtype, rng=rng)
        self.scale_activation = Sigmoid()

    def forward(self, x: Any) -> Any:
        """Scale the channels of (N, C, H, W)."""
        check_images(x.data, self.fc1.in_channels)
        gate = self.activation(self.fc1(self.avgpool(x)))
        return x * self.scale_activation(self.fc2(gate))
