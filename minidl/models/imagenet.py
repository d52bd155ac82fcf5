"""Networks for ImageNet with torchvision's parameter names and shapes, so that its state dicts load."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..nn import (
    AdaptiveAvgPool2d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Linear,
    MaxPool2d,
    Module,
    ReLU,
    ReLU6,
    Sequential,
    init,
)

__all__ = ["mobilenet_v2", "resnet18"]


def _check_no_weights(owner: str, weights: object, pretrained: object) -> None:
    """Raise ValueError if weights are asked for: they come from a file."""
    if weights is not None or pretrained:
        raise ValueError(
            f"{owner}: minidl neither ships nor downloads weights. With PyTorch: "
            f"safetensors.torch.save_file(torchvision.models.{owner}(weights='DEFAULT').state_dict(), "
            f"'{owner}.safetensors'); then here: minidl.load({owner}(), '{owner}.safetensors')"
        )


def _conv(
    inputs: int, outputs: int, size: int, stride: int, rng: np.random.Generator | None, groups: int = 1
) -> Conv2d:
    layer = Conv2d(inputs, outputs, size, stride, padding=size // 2, groups=groups, bias=False, rng=rng)
    init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu", rng=rng)
    return layer


class BasicBlock(Module):
    """Two 3x3 convolutions and a shortcut: relu(bn2(conv2(relu(bn1(conv1(x))))) + downsample(x)).

    Args:
        inputs, outputs: numbers of channels.
        stride: stride of the first convolution and of the shortcut.
        rng: generator for the initial weights; None means minidl's own.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, rng: np.random.Generator | None) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(inputs, outputs, 3, stride, rng), BatchNorm2d(outputs)
        self.relu1 = ReLU()
        self.conv2, self.bn2 = _conv(outputs, outputs, 3, 1, rng), BatchNorm2d(outputs)
        self.relu2 = ReLU()
        self.downsample: Module | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = Sequential(_conv(inputs, outputs, 1, stride, rng), BatchNorm2d(outputs))

    def forward(self, x: Any) -> Any:
        """Run the body and the shortcut, and add their outputs."""
        out = self.relu1(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return self.relu2(out + (x if self.downsample is None else self.downsample(x)))


class ResNet18(Module):
    """A stem, four stages of two blocks each, and a linear layer; see `resnet18`.

    Args:
        num_classes: number of logits.
        channels: number of channels of the images.
        rng: generator for the initial weights; None means minidl's own.
    """

    def __init__(self, num_classes: int, channels: int, rng: np.random.Generator | None) -> None:
        super().__init__()
        self.conv1, self.bn1, self.relu = _conv(channels, 64, 7, 2, rng), BatchNorm2d(64), ReLU()
        self.maxpool = MaxPool2d(3, 2, padding=1)
        self.layer1 = _stage(64, 64, 1, rng)
        self.layer2 = _stage(64, 128, 2, rng)
        self.layer3 = _stage(128, 256, 2, rng)
        self.layer4 = _stage(256, 512, 2, rng)
        self.avgpool, self.fc = AdaptiveAvgPool2d(1), Linear(512, num_classes, rng=rng)

    def forward(self, x: Any) -> Any:
        """Return the logits of images (N, 3, H, W)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


def _stage(inputs: int, outputs: int, stride: int, rng: np.random.Generator | None) -> Sequential:
    return Sequential(BasicBlock(inputs, outputs, stride, rng), BasicBlock(outputs, outputs, 1, rng))


def resnet18(
    num_classes: int = 1000,
    *,
    channels: int = 3,
    weights: None = None,
    pretrained: bool = False,
    rng: np.random.Generator | None = None,
) -> ResNet18:
    """ResNet with 18 layers and torchvision's names; 11,689,512 parameters for 1,000 classes.

    Args:
        num_classes: number of logits.
        channels: number of channels of the images; torchvision's weights are for 3.
        weights, pretrained: torchvision's; here weights come from a file, and asking for them raises.
        rng: generator for the initial weights; None means minidl's own.

    Returns:
        A network from (N, channels, 224, 224), or another size, to logits (N, num_classes).

    Source: He, Zhang, Ren and Sun 2016, arXiv:1512.03385.
    """
    _check_no_weights("resnet18", weights, pretrained)
    return ResNet18(num_classes, channels, rng)


def _conv_bn_relu6(
    inputs: int, outputs: int, size: int, stride: int, rng: np.random.Generator | None, groups: int = 1
) -> Sequential:
    return Sequential(_conv(inputs, outputs, size, stride, rng, groups), BatchNorm2d(outputs), ReLU6())


class InvertedResidual(Module):
    """Expand the channels, filter each of them separately, project; with a shortcut where the shape stays the same.

    Args:
        inputs, outputs: numbers of channels.
        stride: stride of the depthwise convolution.
        expand_ratio: factor by which the channels are expanded.
        rng: generator for the initial weights; None means minidl's own.
    """

    def __init__(
        self, inputs: int, outputs: int, stride: int, expand_ratio: int, rng: np.random.Generator | None
    ) -> None:
        super().__init__()
        hidden = inputs * expand_ratio
        layers: list[Module] = [_conv_bn_relu6(inputs, hidden, 1, 1, rng)] if expand_ratio != 1 else []
        layers += [_conv_bn_relu6(hidden, hidden, 3, stride, rng, groups=hidden)]
        self.conv = Sequential(*layers, _conv(hidden, outputs, 1, 1, rng), BatchNorm2d(outputs))
        self.around = stride == 1 and inputs == outputs

    def forward(self, x: Any) -> Any:
        """Run the layers; add the input if there is a shortcut."""
        return x + self.conv(x) if self.around else self.conv(x)


class MobileNetV2(Module):
    """A stem, seventeen inverted residuals, a 1x1 convolution and a classifier; see `mobilenet_v2`.

    Args:
        num_classes: number of logits.
        channels: number of channels of the images.
        rng: generator for the initial weights and the dropout masks; None means minidl's own.
    """

    def __init__(self, num_classes: int, channels: int, rng: np.random.Generator | None) -> None:
        super().__init__()
        features: list[Module] = [_conv_bn_relu6(channels, 32, 3, 2, rng)]
        inputs = 32
        for ratio, outputs, count, first_stride in _PLAN:
            for number in range(count):
                features.append(InvertedResidual(inputs, outputs, first_stride if number == 0 else 1, ratio, rng))
                inputs = outputs
        self.features = Sequential(*features, _conv_bn_relu6(inputs, 1280, 1, 1, rng))
        self.avgpool = AdaptiveAvgPool2d(1)
        head = Linear(1280, num_classes, rng=rng)
        init.normal_(head.weight, std=0.01, rng=rng)
        if head.bias is not None:
            init.zeros_(head.bias)
        self.classifier = Sequential(Dropout(0.2, rng=rng), head)

    def forward(self, x: Any) -> Any:
        """Return the logits of images (N, 3, H, W)."""
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


# Factor by which the channels are expanded, output channels, number of blocks, stride of the first
_PLAN = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def mobilenet_v2(
    num_classes: int = 1000,
    *,
    channels: int = 3,
    weights: None = None,
    pretrained: bool = False,
    rng: np.random.Generator | None = None,
) -> MobileNetV2:
    """MobileNetV2 with torchvision's names; 3,504,872 parameters for 1,000 classes.

    Args:
        num_classes: number of logits.
        channels: number of channels of the images; torchvision's weights are for 3.
        weights, pretrained: torchvision's; here weights come from a file, and asking for them raises.
        rng: generator for the initial weights and the dropout masks; None means minidl's own.

    Returns:
        A network from (N, channels, 224, 224), or another size, to logits (N, num_classes).

    Source: Sandler, Howard, Zhu, Zhmoginov and Chen 2018, arXiv:1801.04381.
    """
    _check_no_weights("mobilenet_v2", weights, pretrained)
    return MobileNetV2(num_classes, channels, rng)
