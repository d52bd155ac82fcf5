"""Milliseconds per layer of a training step of minidl, beside what the arithmetic would take at full GEMM speed.

python benchmarks/profile_layers.py NET BATCH
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
from nets import build, shape

import minidl
from minidl import nn, optim


def best(function: Callable[[], object], rounds: int) -> float:
    """Return the duration of the fastest of some runs, in seconds."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def gemm_speed() -> float:
    """Return the multiply-adds per second of a float32 matrix product of a size typical of convolutions."""
    a, b = np.ones((64, 288), np.float32), np.ones((288, 4096), np.float32)
    out = np.empty((64, 4096), np.float32)
    return a.shape[0] * b.size / best(lambda: np.matmul(a, b, out=out), 50)


def profile(name: str, batch: int, rounds: int = 20) -> None:
    """Print a row per layer: forward and backward pass, and the time that their matrix products alone would take."""
    minidl.manual_seed(0)
    model, loss_fn = build(name, nn), nn.CrossEntropyLoss()
    model.needs_input_grad = False
    optimizer = optim.SGD(model.params(), lr=0.01, momentum=0.9)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, *shape(name)), dtype=np.float32)
    labels = rng.integers(0, 10, batch)
    layers = list(model)
    forward = np.full((rounds, len(layers)), np.inf)
    backward = np.full((rounds, len(layers)), np.inf)
    rest = np.full((rounds, 2), np.inf)
    shapes = [x.shape]
    for n in range(rounds):
        value, shapes = x, [x.shape]
        for i, layer in enumerate(layers):
            start = time.perf_counter()
            value = layer(value)
            forward[n, i] = time.perf_counter() - start
            shapes.append(value.shape)
        start = time.perf_counter()
        loss_fn(value, labels)
        grad = loss_fn.backward()
        rest[n, 0] = time.perf_counter() - start
        for i in reversed(range(len(layers))):
            start = time.perf_counter()
            grad = layers[i].backward(grad)
            backward[n, i] = time.perf_counter() - start
        start = time.perf_counter()
        optimizer.step()
        optimizer.zero_grad()
        rest[n, 1] = time.perf_counter() - start
    speed = gemm_speed()
    print(f"{name}, batch {batch}; GEMM at {2 * speed / 1e9:.0f} GFLOP/s; milliseconds, best of {rounds}\n")
    print("| layer | forward | products | backward | products |")
    print("|---|---|---|---|---|")
    totals = np.zeros(4)
    for i, layer in enumerate(layers):
        ideal = 1e3 * layer.multiply_adds(shapes[i], shapes[i + 1]) / speed
        row = np.array([1e3 * forward[:, i].min(), ideal, 1e3 * backward[:, i].min(), ideal * (1 if i == 0 else 2)])
        totals += row
        print(f"| {i} {type(layer).__name__} | " + " | ".join(f"{v:.2f}" for v in row) + " |")
    print("| all layers | " + " | ".join(f"{v:.2f}" for v in totals) + " |")
    print(f"| loss, optimiser | {1e3 * rest[:, 0].min():.2f} | | {1e3 * rest[:, 1].min():.2f} | |\n")


if __name__ == "__main__":
    profile(sys.argv[1], int(sys.argv[2]))
