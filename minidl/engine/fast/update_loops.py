"""The compiled loops of optimisers: one pass over a parameter, its gradient and what is remembered about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .compiled import compiled
from .vectors import load, store

__all__ = ["LOOPS"]


@compiled
def sgd(data: int, grad: int, velocity: int, unused: int, count: int, numbers: int, like: Any) -> None:
    """p -= lr * g, or its velocity; the numbers are lr, weight_decay, momentum, 1 - dampening and nesterov."""
    lr, decay, momentum = load(numbers, 0, like), load(numbers, 1, like), load(numbers, 2, like)
    share, nesterov = load(numbers, 3, like), load(numbers, 4, like)
    if momentum == like:
        for i in range(count):
            p = load(data, i, like)
            store(data, i, p - lr * (load(grad, i, like) + decay * p))
        return
    for i in range(count):
        p = load(data, i, like)
        g = load(grad, i, like) + decay * p
        v = momentum * load(velocity, i, like) + share * g
        store(velocity, i, v)
        store(data, i, p - lr * (g + momentum * v if nesterov > like else v))


@compiled
def adam(data: int, grad: int, mean: int, square: int, count: int, numbers: int, like: Any) -> None:
    """Adam's step; the numbers are lr / (1 - beta1**t), weight_decay, 1 - lr * weight_decay (or 1), 1 - beta1, beta2,
    1 - beta2, eps and (1 - beta2**t)**0.5."""
    lr, decay, kept = load(numbers, 0, like), load(numbers, 1, like), load(numbers, 2, like)
    new, old, share = load(numbers, 3, like), load(numbers, 4, like), load(numbers, 5, like)
    eps, scale = load(numbers, 6, like), load(numbers, 7, like)
    for i in range(count):
        p = load(data, i, like) * kept
        g = load(grad, i, like) + decay * p
        m = load(mean, i, like)
        m += new * (g - m)
        s = old * load(square, i, like) + share * g * g
        store(mean, i, m)
        store(square, i, s)
        store(data, i, p - lr * (m / (np.sqrt(s) / scale + eps)))


# by the names that `optim` gives its formulas
LOOPS: dict[str, Callable[..., None]] = {"sgd": sgd, "adam": adam}
