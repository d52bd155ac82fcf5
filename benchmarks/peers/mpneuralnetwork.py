"""mpneuralnetwork on NumPy: the step of its `Model.train`."""

from __future__ import annotations

from typing import Any

import nets
import numpy as np
from mpneuralnetwork import layers
from mpneuralnetwork.activations import ReLU
from mpneuralnetwork.losses import CategoricalCrossEntropy
from mpneuralnetwork.model import Model
from mpneuralnetwork.optimizers import SGD

DIFFERS = ""


class Layers:
    """mpneuralnetwork's layers under the names of `nets`."""

    Dropout, Flatten, MaxPool2d, ReLU = layers.Dropout, layers.Flatten, layers.MaxPooling2D, ReLU
    Linear = staticmethod(lambda inputs, outputs: layers.Dense(outputs))
    Sequential = staticmethod(lambda *parts: list(parts))

    @staticmethod
    def Conv2d(inputs: int, outputs: int, size: int, padding: int = 0) -> Any:
        return layers.Convolutional(outputs, size, padding=padding)


def make(net: str, x: np.ndarray, labels: np.ndarray) -> tuple[Any, int]:
    """Return a training step that returns its loss, and the number of parameters."""
    np.random.seed(0)  # noqa: NPY002 - the generator that it draws from
    parts = nets.build(net, Layers)
    parts[0].build(x.shape[1:])
    optimizer = SGD(learning_rate=0.01, weight_decay=0.0, momentum=0.9)
    model = Model(parts, CategoricalCrossEntropy(), optimizer)
    targets = np.eye(10, dtype=np.float32)[labels]

    def step() -> float:
        out, found = model.evaluate(x, targets, training=True, compute_metrics=False)
        grad = model.loss.prime(out, targets)
        for layer in reversed(model.layers):
            grad = layer.backward(grad)
        optimizer.step(model.layers)
        return float(found["loss"])

    return step, sum(p.size for layer in model.layers for p, _ in layer.params.values())
