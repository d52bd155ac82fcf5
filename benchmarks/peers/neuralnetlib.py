"""neuralnetlib on NumPy: `train_on_batch` of a compiled model."""

from __future__ import annotations

from typing import Any

import nets
import numpy as np
from neuralnetlib import layers
from neuralnetlib.models import Sequential
from neuralnetlib.optimizers import Momentum

DIFFERS = "float64: it has no other dtype"


class Layers:
    """neuralnetlib's layers under the names of `nets`, of images in the order (N, H, W, C)."""

    Dropout, Flatten, MaxPool2d = layers.Dropout, layers.Flatten, layers.MaxPooling2D
    Linear = staticmethod(lambda inputs, outputs: layers.Dense(outputs))
    ReLU = staticmethod(lambda: layers.Activation("relu"))
    Sequential = staticmethod(lambda *parts: parts)

    @staticmethod
    def Conv2d(inputs: int, outputs: int, size: int, padding: int = 0) -> Any:
        return layers.Conv2D(outputs, size, padding="same" if padding else "valid", weights_init="he")


def make(net: str, x: np.ndarray, labels: np.ndarray) -> tuple[Any, int]:
    """Return a training step that returns its loss, and the number of parameters."""
    images = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    model = Sequential(gradient_clip_threshold=0.0, random_state=0)
    for part in (layers.Input(images.shape[1:]), *nets.build(net, Layers), layers.Activation("softmax")):
        model.add(part)
    # its gradients are sums over the batch
    model.compile("sparsecategoricalcrossentropy", Momentum(0.01 / len(x), momentum=0.9))
    model.forward_pass(images[:1])  # makes the weights
    count = sum(p.size for layer in model.layers for _, p, _ in getattr(layer, "get_trainable_parameters", list)())
    return lambda: model.train_on_batch(images, labels), count
