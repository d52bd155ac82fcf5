"""Networks drawn at random, for which the engine has not been tuned. The name random-7-3 gives seed and number."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

__all__ = ["Drawn", "draw", "is_random"]

ACTIVATIONS = ("ReLU", "LeakyReLU", "ELU", "GELU", "SiLU", "Hardswish", "Sigmoid", "Tanh")

Layer = tuple[str, tuple[Any, ...], dict[str, Any]]  # class, arguments, options


class Drawn(NamedTuple):
    """A network for 10 classes: the batch size, the shape (C, H, W) of a sample, and the layers."""

    batch: int
    shape: tuple[int, int, int]
    layers: list[Layer]

    def __str__(self) -> str:
        shape = ", ".join(map(str, (self.batch, *self.shape)))
        return f"({shape}): " + ", ".join(_text(layer) for layer in self.layers)


def is_random(name: str) -> bool:
    """Return whether a network's name is that of a random one."""
    return name.startswith("random-")


def draw(name: str) -> Drawn:
    """Return the network random-SEED-NUMBER, always the same one for the same name."""
    seed, number = map(int, name.removeprefix("random-").split("-"))
    rng = np.random.default_rng([seed, number])
    batch = round(128 ** rng.random())  # 1 to 128, small ones as often as large ones
    shape = int(rng.integers(1, 9)), int(rng.integers(12, 33)), int(rng.integers(12, 33))
    layers: list[Layer] = []
    channels, size = shape[0], shape[1:]
    for _ in range(rng.integers(2, 5)):
        channels, size = _add_conv(layers, channels, size, rng)
        _add_norm(layers, channels, size, rng)
        layers.append((str(rng.choice(ACTIVATIONS)), (), {}))
        size = _add_pool(layers, size, rng)
    layers += [("Flatten", (), {}), ("Linear", (channels * size[0] * size[1], 10), {})]
    return Drawn(batch, shape, layers)


def _add_conv(
    layers: list[Layer], channels: int, size: tuple[int, int], rng: np.random.Generator
) -> tuple[int, tuple[int, int]]:
    padding = rng.integers(0, 3, 2)
    kernel = np.minimum(rng.integers(1, 6, 2), np.array(size) + 2 * padding)
    dilation = np.where(2 * (kernel - 1) < np.array(size) + 2 * padding, rng.integers(1, 3, 2), 1)
    stride = rng.choice([1, 1, 2], 2)
    groups = int(rng.choice([1, 1, *(g for g in range(2, channels + 1) if channels % g == 0)]))
    outputs = groups * int(rng.integers(1, 1 + max(1, 64 // groups)))
    sizes = {"stride": stride, "padding": padding, "dilation": dilation}
    options = {key: tuple(map(int, value)) for key, value in sizes.items()}
    layers.append(("Conv2d", (channels, outputs, tuple(map(int, kernel))), {**options, "groups": groups}))
    out = (np.array(size) + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    return outputs, (int(out[0]), int(out[1]))


def _add_norm(layers: list[Layer], channels: int, size: tuple[int, int], rng: np.random.Generator) -> None:
    kind = rng.choice(["BatchNorm2d", "GroupNorm", "InstanceNorm2d", "none"])
    if kind == "none" or size == (1, 1):  # one pixel has no variance
        return
    groups = [g for g in range(1, channels + 1) if channels % g == 0]
    arguments = (int(rng.choice(groups)), channels) if kind == "GroupNorm" else (channels,)
    layers.append((str(kind), arguments, {}))


def _add_pool(layers: list[Layer], size: tuple[int, int], rng: np.random.Generator) -> tuple[int, int]:
    kind = rng.choice(["MaxPool2d", "AvgPool2d", "none"])
    if kind == "none" or min(size) < 3:
        return size
    kernel, stride = int(rng.integers(2, 4)), int(rng.integers(1, 4))
    layers.append((str(kind), (kernel, stride), {}))
    return (size[0] - kernel) // stride + 1, (size[1] - kernel) // stride + 1


def _text(layer: Layer) -> str:
    kind, arguments, options = layer
    return f"{kind}({', '.join([*map(str, arguments), *(f'{key}={value}' for key, value in options.items())])})"
