"""aether-ml on NumPy: the step of its `Model.train`, without the accuracy."""

from __future__ import annotations

from typing import Any

import aether
import nets
import numpy as np

DIFFERS = "Adam: it has no SGD"


class Layers:
    """aether's layers under the names of `nets`, of images in the order (N, H, W, C)."""

    Dropout, Flatten, Linear, ReLU = aether.Dropout, aether.Flatten, aether.Dense, aether.ReLU

    @staticmethod
    def Conv2d(inputs: int, outputs: int, size: int, padding: int = 0) -> Any:
        return aether.Conv2d(inputs, outputs, (size, size), padding="same" if padding else "valid")

    @staticmethod
    def MaxPool2d(size: int) -> Any:
        return aether.MaxPool2d((size, size), (size, size))

    @staticmethod
    def Sequential(*layers: Any) -> Any:
        model = aether.Model()
        for layer in layers:
            model.add(layer)
        return model


def make(net: str, x: np.ndarray, labels: np.ndarray) -> tuple[Any, int]:
    """Return a training step that returns its loss, and the number of parameters."""
    images = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    model = nets.build(net, Layers)
    model.manual_seed(0)
    loss_fn, optimizer = aether.SoftmaxCategoricalCrossEntropy(), aether.Adam(lr=0.001)
    model.configure(loss=loss_fn, optimizer=optimizer)
    model.finalize(images.shape[1:])

    def step() -> float:
        model._rng_clock.advance()  # dropout's masks are drawn anew, as its own loop does
        out = model.forward(images)
        loss = loss_fn.calculate(out, labels)
        model.backward(loss_fn.backward(out, labels))
        optimizer.step()
        return float(loss)

    return step, sum(p.size for layer in model.layers for p in layer.get_parameters().values())
