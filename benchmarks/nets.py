"""The networks of the benchmarks, written once for all sides: ``nn`` is minidl.nn or torch.nn."""

from __future__ import annotations

from typing import Any

from random_nets import draw, is_random

GREY, COLOUR = (1, 28, 28), (3, 32, 32)
SHAPES = {"lenet5": GREY, "mnist_cnn": GREY, "small_vgg": COLOUR, "vgg_bn": COLOUR, "resnet20": COLOUR}


def shape(name: str) -> tuple[int, int, int]:
    """Return the shape (C, H, W) of the samples of a network."""
    return draw(name).shape if is_random(name) else SHAPES[name]


def build(name: str, nn: Any) -> Any:
    """Return the network ``name`` made of ``nn``'s layers."""
    if is_random(name):
        return nn.Sequential(*(getattr(nn, kind)(*args, **options) for kind, args, options in draw(name).layers))
    return nn.Sequential(*globals()[f"_{name}"](nn))


def _lenet5(nn: Any) -> list[Any]:
    return [
        *(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
    ]


def _mnist_cnn(nn: Any) -> list[Any]:
    return [
        *(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25)),
        *(nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10)),
    ]


def _small_vgg(nn: Any) -> list[Any]:
    layers = []
    for inputs, outputs in ((3, 32), (32, 64)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
        layers += [nn.Conv2d(outputs, outputs, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return [*layers, nn.Flatten(), nn.Linear(4096, 256), nn.ReLU(), nn.Dropout(0.5), nn.Linear(256, 10)]


def _vgg_bn(nn: Any) -> list[Any]:
    layers = []
    for inputs, outputs, stride in ((3, 32, 1), (32, 32, 1), (32, 64, 2), (64, 64, 1)):
        layers += [nn.Conv2d(inputs, outputs, 3, stride, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
    return [*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)]


def _resnet20(nn: Any) -> list[Any]:
    if hasattr(nn, "Residual"):
        from minidl.models import resnet20

        return [*resnet20()]
    import torch_resnet

    return torch_resnet.layers()
