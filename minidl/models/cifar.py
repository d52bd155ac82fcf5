"""Networks for 32x32 colour images, such as CIFAR-10."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._core import check_choice
from ..nn import (
    AdaptiveAvgPool2d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    MaxPool2d,
    Module,
    ReLU,
    Residual,
    Sequential,
    init,
)

__all__ = ["all_cnn_c", "resnet20", "resnet32", "resnet56", "small_vgg"]


def small_vgg(num_classes: int = 10, *, channels: int = 3, rng: np.random.Generator | None = None) -> Sequential:
    """Two pairs of 3x3 convolutions with pooling, and two Linear layers; 1,116,970 parameters for ten classes.

    Args:
        num_classes: number of logits.
        channels: number of channels of the images.
        rng: generator for the initial weights and the dropout masks; None means minidl's own.

    Returns:
        A network from (N, channels, 32, 32) to logits (N, num_classes).
    """
    layers: list[Module] = []
    for inputs, outputs in ((channels, 32), (32, 64)):
        layers += [Conv2d(inputs, outputs, 3, padding=1, rng=rng), ReLU()]
        layers += [Conv2d(outputs, outputs, 3, padding=1, rng=rng), ReLU(), MaxPool2d(2)]
    layers += [Flatten(), Linear(4096, 256, rng=rng), ReLU(), Dropout(0.5, rng=rng), Linear(256, num_classes, rng=rng)]
    return Sequential(*layers)


def all_cnn_c(num_classes: int = 10, *, channels: int = 3, rng: np.random.Generator | None = None) -> Sequential:
    """The all convolutional net, ALL-CNN-C, with strided convolutions instead of pooling; 1,369,738 parameters.

    Args:
        num_classes: number of logits.
        channels: number of channels of the images.
        rng: generator for the initial weights and the dropout masks; None means minidl's own.

    Returns:
        A network from (N, channels, 32, 32) to logits (N, num_classes).

    Source: Springenberg, Dosovitskiy, Brox and Riedmiller 2015, arXiv:1412.6806.
    """
    layers: list[Module] = [Dropout(0.2, rng=rng)]
    plan = ((channels, 96, 1), (96, 96, 1), (96, 96, 2), (96, 192, 1), (192, 192, 1), (192, 192, 2))
    for inputs, outputs, stride in plan:
        layers += [Conv2d(inputs, outputs, 3, stride, padding=1, rng=rng), ReLU()]
        if stride == 2:
            layers.append(Dropout(0.5, rng=rng))
    layers += [Conv2d(192, 192, 3, rng=rng), ReLU(), Conv2d(192, 192, 1, rng=rng), ReLU()]
    layers += [Conv2d(192, num_classes, 1, rng=rng), ReLU(), AdaptiveAvgPool2d(1), Flatten()]
    return Sequential(*layers)


class PaddedShortcut(Module):
    """Option A of the paper: take every ``stride``-th pixel and pad the new channels with zeros; no parameters.

    Args:
        in_channels, out_channels: numbers of channels of input and output.
        stride: distance of the pixels that are kept.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        before = (out_channels - in_channels) // 2
        self.added, self.stride = (before, out_channels - in_channels - before), stride

    def forward(self, x: Any) -> Any:
        """Subsample the pixels and add the channels."""
        kept = x[:, :, :: self.stride, :: self.stride]
        return np.pad(kept, ((0, 0), self.added, (0, 0), (0, 0)))


def _resnet(blocks: int, num_classes: int, option: str, channels: int, rng: np.random.Generator | None) -> Sequential:
    check_choice("resnet", "option", option, ("A", "B"))

    def conv(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> Conv2d:
        layer = Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False, rng=rng)
        init.kaiming_normal_(layer.weight, rng=rng)
        return layer

    layers: list[Module] = [conv(channels, 16), BatchNorm2d(16), ReLU()]
    inputs = 16
    for outputs, first_stride in ((16, 1), (32, 2), (64, 2)):
        for number in range(blocks):
            stride = first_stride if number == 0 else 1
            shortcut: Module | None = None
            if stride != 1 and option == "A":
                shortcut = PaddedShortcut(inputs, outputs, stride)
            elif stride != 1:
                shortcut = Sequential(conv(inputs, outputs, 1, stride), BatchNorm2d(outputs))
            body = [conv(inputs, outputs, 3, stride), BatchNorm2d(outputs), ReLU()]
            layers += [Residual(Sequential(*body, conv(outputs, outputs), BatchNorm2d(outputs)), shortcut), ReLU()]
            inputs = outputs
    return Sequential(*layers, AdaptiveAvgPool2d(1), Flatten(), Linear(64, num_classes, rng=rng))


def resnet20(
    num_classes: int = 10, option: str = "A", *, channels: int = 3, rng: np.random.Generator | None = None
) -> Sequential:
    """ResNet with 20 layers for CIFAR: 269,722 parameters (option B: 272,474).

    Args:
        num_classes: number of logits.
        option: shortcuts where the size changes: 'A' pads channels with zeros, 'B' uses 1x1 convolutions.
        channels: number of channels of the images.
        rng: generator for the initial weights; None means minidl's own.

    Returns:
        A network from (N, channels, 32, 32) to logits (N, num_classes).

    Source: He, Zhang, Ren and Sun 2016, section 4.2, arXiv:1512.03385.
    """
    return _resnet(3, num_classes, option, channels, rng)


def resnet32(
    num_classes: int = 10, option: str = "A", *, channels: int = 3, rng: np.random.Generator | None = None
) -> Sequential:
    """ResNet with 32 layers for CIFAR: 464,154 parameters with option A, otherwise like `resnet20`.

    Args:
        num_classes, option, channels, rng: as for `resnet20`.
    """
    return _resnet(5, num_classes, option, channels, rng)


def resnet56(
    num_classes: int = 10, option: str = "A", *, channels: int = 3, rng: np.random.Generator | None = None
) -> Sequential:
    """ResNet with 56 layers for CIFAR: 853,018 parameters with option A, otherwise like `resnet20`.

    Args:
        num_classes, option, channels, rng: as for `resnet20`.
    """
    return _resnet(9, num_classes, option, channels, rng)
