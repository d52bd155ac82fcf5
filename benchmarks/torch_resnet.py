"""minidl.models.resnet20 in PyTorch, layer by layer, with the same names of parameters."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import pad


class Residual(nn.Module):
    """A body and the shortcut around it: where the size changes, pixels left out and channels of zeros added."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride, self.before = stride, (outputs - inputs) // 2
        self.after = outputs - inputs - self.before
        self.body = nn.Sequential(
            *(_convolution(inputs, outputs, stride), nn.BatchNorm2d(outputs), nn.ReLU()),
            *(_convolution(outputs, outputs), nn.BatchNorm2d(outputs)),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sum."""
        around = x
        if self.stride > 1:
            around = pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.before, self.after))
        return self.body(x) + around


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)


def layers() -> list[nn.Module]:
    """Return the layers of the network, in order."""
    found: list[nn.Module] = [_convolution(3, 16), nn.BatchNorm2d(16), nn.ReLU()]
    inputs = 16
    for outputs, first in ((16, 1), (32, 2), (64, 2)):
        for stride in (first, 1, 1):
            found += [Residual(inputs, outputs, stride), nn.ReLU()]
            inputs = outputs
    return [*found, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)]
