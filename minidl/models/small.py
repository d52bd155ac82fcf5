"""Networks for the 8x8 digits, for MNIST and for Fashion-MNIST."""

from __future__ import annotations

import numpy as np

from ..nn import BatchNorm2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, Module, ReLU, Sequential

__all__ = ["digits_cnn", "fashion_cnn", "lenet5", "mnist_cnn"]


def digits_cnn(num_classes: int = 10, *, channels: int = 1, rng: np.random.Generator | None = None) -> Sequential:
    """Two 3x3 convolutions for the 8x8 digits; 9,930 parameters.

    Args:
        num_classes: number of logits.
        channels: number of channels of the images.
        rng: generator for the initial weights and the dropout masks; None means minidl's own.

    Returns:
        A network from (N, channels, 8, 8) to logits (N, num_classes).
    """
    return Sequential(
        Conv2d(channels, 16, 3, padding=1, rng=rng),
        ReLU(),
        Conv2d(16, 32, 3, padding=1, rng=rng),
        ReLU(),
        MaxPool2d(2),
        Flatten(),
        Dropout(0.25, rng=rng),
        Linear(512, num_classes, rng=rng),
    )


def lenet5(num_classes: int = 10, *, channels: int = 1, rng: np.random.Generator | None = None) -> Sequential:
    """LeNet-5 in its modern form, with ReLU and max pooling; 61,706 parameters.

    Args:
        num_classes: number of logits.
        channels: number of channels of the images.
        rng: generator for the initial weights; None means minidl's own.

    Returns:
        A network from (N, channels, 28, 28) to logits (N, num_classes).

    Source: LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition",
    Proc. IEEE 86 (1998) 2278.
    """
    return Sequential(
        Conv2d(channels, 6, 5, padding=2, rng=rng),
        ReLU(),
        MaxPool2d(2),
        Conv2d(6, 16, 5, rng=rng),
        ReLU(),
        MaxPool2d(2),
        Flatten(),
        Linear(400, 120, rng=rng),
        ReLU(),
        Linear(120, 84, rng=rng),
        ReLU(),
        Linear(84, num_classes, rng=rng),
    )


def mnist_cnn(num_classes: int = 10, *, channels: int = 1, rng: np.random.Generator | None = None) -> Sequential:
    """The network of PyTorch's and Keras's MNIST examples: convolutions with 32 and 64 filters, and dropout.

    It has 1,199,882 parameters.

    Args:
        num_classes: number of logits.
        channels: number of channels of the images.
        rng: generator for the initial weights and the dropout masks; None means minidl's own.

    Returns:
        A network from (N, channels, 28, 28) to logits (N, num_classes).
    """
    return Sequential(
        Conv2d(channels, 32, 3, rng=rng),
        ReLU(),
        Conv2d(32, 64, 3, rng=rng),
        ReLU(),
        MaxPool2d(2),
        Dropout(0.25, rng=rng),
        Flatten(),
        Linear(9216, 128, rng=rng),
        ReLU(),
        Dropout(0.5, rng=rng),
        Linear(128, num_classes, rng=rng),
    )


def fashion_cnn(num_classes: int = 10, *, channels: int = 1, rng: np.random.Generator | None = None) -> Sequential:
    """Four 3x3 convolutions with batch normalisation, for Fashion-MNIST; 242,746 parameters.

    Args:
        num_classes: number of logits.
        channels: number of channels of the images.
        rng: generator for the initial weights and the dropout masks; None means minidl's own.

    Returns:
        A network from (N, channels, 28, 28) to logits (N, num_classes).
    """

    def block(inputs: int, filters: int) -> tuple[Module, ...]:
        return Conv2d(inputs, filters, 3, padding=1, bias=False, rng=rng), BatchNorm2d(filters), ReLU()

    return Sequential(
        *block(channels, 16),
        MaxPool2d(2),
        *block(16, 64),
        MaxPool2d(2),
        *block(64, 128),
        *block(128, 128),
        MaxPool2d(2),
        Flatten(),
        Dropout(0.1, rng=rng),
        Linear(1152, num_classes, rng=rng),
    )
