"""flax (its API nnx) under jax.jit, with optax: the functional loop of its guide "Performance considerations"."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import jax.numpy as jnp
import nets
import numpy as np
import optax
from flax import nnx

DIFFERS = ""


def layers(rngs: nnx.Rngs) -> Any:
    """Return flax's layers under the names of `nets`, of images in the order (N, H, W, C)."""

    class Layers:
        Sequential = nnx.Sequential

        @staticmethod
        def Conv2d(inputs: int, outputs: int, size: int, padding: int = 0) -> Any:
            return nnx.Conv(inputs, outputs, (size, size), padding=padding, rngs=rngs)

        @staticmethod
        def Linear(inputs: int, outputs: int) -> Any:
            return nnx.Linear(inputs, outputs, rngs=rngs)

        @staticmethod
        def Dropout(p: float) -> Any:
            return nnx.Dropout(p, rngs=rngs)

        @staticmethod
        def ReLU() -> Any:
            return nnx.relu

        @staticmethod
        def MaxPool2d(size: int) -> Any:
            return partial(nnx.max_pool, window_shape=(size, size), strides=(size, size))

        @staticmethod
        def Flatten() -> Any:
            return lambda x: x.reshape(x.shape[0], -1)

    return Layers


def make(net: str, x: np.ndarray, labels: np.ndarray) -> tuple[Any, int]:
    """Return a training step that returns its loss, and the number of parameters."""
    model = nets.build(net, layers(nnx.Rngs(0)))
    optimizer = nnx.Optimizer(model, optax.sgd(0.01, momentum=0.9), wrt=nnx.Param)
    images, targets = jnp.asarray(x.transpose(0, 2, 3, 1)), jnp.asarray(labels)
    graph, state = nnx.split((model, optimizer))

    @partial(jax.jit, donate_argnums=0)
    def update(state: Any, images: Any, targets: Any) -> tuple[Any, Any]:
        model, optimizer = nnx.merge(graph, state)

        def loss_of(model: Any) -> Any:
            return optax.softmax_cross_entropy_with_integer_labels(model(images), targets).mean()

        loss, grads = nnx.value_and_grad(loss_of)(model)
        optimizer.update(model, grads)
        return loss, nnx.state((model, optimizer))

    def step() -> float:
        nonlocal state
        loss, state = update(state, images, targets)
        return float(loss)  # waits for the step to end

    return step, sum(p.size for p in jax.tree.leaves(nnx.state(model, nnx.Param)))
