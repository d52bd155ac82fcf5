"""Milliseconds per layer of minidl's training step, the arithmetic that they do, and its share of the core's peak.

    python benchmarks/profile_layers.py NET BATCH

GFLOP/s are those of the direct method: two for each multiply-add of the sum that defines the layer, divided by the
time; Winograd's method does fewer, and may exceed the peak. The peak is that of the fast engine's micro-kernel
(peak.py), which needs numba; MINIDL_ENGINE chooses the engine that is profiled.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from machine import describe
from nets import build, shape

import minidl
from minidl import nn, optim

PRODUCTS = (nn.Conv2d, nn.Linear)


class Watched:
    """A layer whose forward and backward pass are timed where the model calls them.

    Attributes:
        seconds: of the last forward and backward pass.
        multiply_adds: of the last forward pass; 0 of a layer that is not one of products.
    """

    def __init__(self, layer: nn.Module) -> None:
        self.layer, self.seconds, self.multiply_adds = layer, [0.0, 0.0], 0
        forward, backward = layer.forward, type(layer).backward.plain

        def timed_forward(x: Any) -> Any:
            start = time.perf_counter()
            out = forward(x)
            self.seconds[0] = time.perf_counter() - start
            if isinstance(layer, PRODUCTS):
                self.multiply_adds = layer.multiply_adds(x.shape, out.shape)
            return out

        def timed_backward(layer: nn.Module, grad: Any) -> Any:
            start = time.perf_counter()
            grad = backward(layer, grad)
            self.seconds[1] = time.perf_counter() - start
            return grad

        timed_backward.plain = timed_backward  # where a record looks for it
        vars(layer).update(forward=timed_forward, backward=timed_backward)


def direct_peak() -> float | None:
    """Return the operations per second of the micro-kernel on all threads; None without numba, after saying so."""
    try:
        from peak import peak
    except ImportError as error:
        print(f'No share of the peak: the micro-kernel that shows it needs numba, pip install "minidl[fast]" ({error})')
        return None
    return peak() * minidl.get_num_threads()


def cells(multiply_adds: int, seconds: float, peak: float | None) -> list[str]:
    """Return milliseconds, GFLOP/s and, where the peak is known, the share of it; empty without products."""
    speed = 2 * multiply_adds / seconds
    share = [] if peak is None else [f"{speed / peak:.0%}" if speed else ""]
    return [f"{1e3 * seconds:.2f}", f"{speed / 1e9:.0f}" if speed else "", *share]


def profile(name: str, batch: int, rounds: int = 20) -> None:
    """Print a row per layer, and what of a step is outside of them."""
    minidl.manual_seed(0)
    model, loss_fn = build(name, nn), nn.CrossEntropyLoss()
    model.needs_input_grad = False
    optimizer = optim.SGD(model.params(), lr=0.01, momentum=0.9)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, *shape(name)), dtype=np.float32)
    labels = rng.integers(0, 10, batch)
    layers = [Watched(layer) for layer in model]
    found: dict[str, list[Any]] = {"layers": [], "loss": [], "optimiser": [], "between the layers": []}

    def timed(function: Callable[[], Any]) -> tuple[Any, float]:
        start = time.perf_counter()
        result = function()
        return result, time.perf_counter() - start

    for _ in range(rounds):
        out, forward = timed(lambda: model(x))
        grad, loss = timed(lambda out=out: (loss_fn(out, labels), loss_fn.backward())[1])
        _, backward = timed(lambda grad=grad: model.backward(grad))
        _, update = timed(lambda: (optimizer.step(), optimizer.zero_grad()))
        inside = np.array([layer.seconds for layer in layers])
        found["layers"].append(inside)
        for what, spent in zip(list(found)[1:], (loss, update, forward + backward - inside.sum()), strict=True):
            found[what].append(spent)
    peak = direct_peak()
    times = np.min(found["layers"], axis=0)
    speed = "" if peak is None else f"; peak of direct convolution {peak / 1e9:.0f} GFLOP/s"
    threads = minidl.get_num_threads()
    print(f"{describe()}; {threads} thread{'s' * (threads > 1)}")
    print(f"{name}, batch {batch}, engine {minidl.get_engine()}{speed}; milliseconds, best of {rounds}\n")
    titles = ["GFLOP/s"] if peak is None else ["GFLOP/s", "of the peak"]
    print(f"| layer | forward ms | {' | '.join(titles)} | backward ms | {' | '.join(titles)} |")
    print("|---" * (3 + 2 * len(titles)) + "|")
    done = np.array([(layer.multiply_adds, layer.multiply_adds * (2 if i else 1)) for i, layer in enumerate(layers)])
    rows = [f"{i} {type(watched.layer).__name__}" for i, watched in enumerate(layers)]
    table = [*zip(rows, done, times, strict=True), ("all layers", np.zeros(2, int), times.sum(axis=0))]
    for title, work, spent in table:
        print(f"| {' | '.join([title, *cells(work[0], spent[0], peak), *cells(work[1], spent[1], peak)])} |")
    outside = ", ".join(f"{what} {1e3 * min(spent):.2f}" for what, spent in list(found.items())[1:])
    print(f"\nOutside the layers, milliseconds: {outside} (calls, notes, checks)\n")


if __name__ == "__main__":
    profile(sys.argv[1], int(sys.argv[2]))
