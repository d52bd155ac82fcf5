"""keras on jax: `train_on_batch` of a compiled model."""

from __future__ import annotations

import os
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_PLATFORMS"] = "cpu"

import keras
import nets
import numpy as np

DIFFERS = ""


class Layers:
    """keras' layers under the names of `nets`, of images in the order (N, H, W, C)."""

    Sequential = staticmethod(lambda *layers: keras.Sequential(list(layers)))
    Linear = staticmethod(lambda inputs, outputs: keras.layers.Dense(outputs))
    Dropout, ReLU, Flatten = keras.layers.Dropout, keras.layers.ReLU, keras.layers.Flatten
    MaxPool2d = keras.layers.MaxPooling2D

    @staticmethod
    def Conv2d(inputs: int, outputs: int, size: int, padding: int = 0) -> Any:
        return keras.layers.Conv2D(outputs, size, padding="same" if padding else "valid")


def make(net: str, x: np.ndarray, labels: np.ndarray) -> tuple[Any, int]:
    """Return a training step that returns its loss, and the number of parameters."""
    keras.utils.set_random_seed(0)
    images = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    model = nets.build(net, Layers)
    model.build(images.shape)
    model.compile(
        optimizer=keras.optimizers.SGD(learning_rate=0.01, momentum=0.9),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return lambda: float(model.train_on_batch(images, labels)), model.count_params()
