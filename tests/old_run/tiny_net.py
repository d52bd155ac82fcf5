"""The network of the stored run: minidl train --model tiny_net:tiny_net."""

from minidl import nn


def tiny_net():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.1), nn.Linear(36, 10)
    )
