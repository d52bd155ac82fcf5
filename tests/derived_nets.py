"""Random derived nets: modules that define forward only, whose forward follows a plan that a seed has drawn."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl import nn

C, H, W = 3, 4, 5  # every value is (N, C, H, W), so that any step fits after any other


class RandomNet(nn.Module):
    """Branches, sums, concatenations, shared layers, Parameters in arithmetic; one or several inputs and outputs.

    The first input is an image; ``inputs`` says what comes with it: "one", "two" (another image), "dict" (a dict of two
    images in a list) or "labels" (integers (N,) that choose rows of an Embedding).
    """

    def __init__(self, seed: int, steps: int = 6, batch_norm: bool = True, several: bool = True) -> None:
        super().__init__()
        rng = np.random.default_rng(seed)
        self.seed = seed
        self.inputs = str(rng.choice(["one", "two", "dict", "labels"])) if several else "one"
        self.outputs = str(rng.choice(["one", "tuple", "dict", "nested"])) if several else "one"
        if self.inputs == "labels":
            self.embed = nn.Embedding(7, C, rng=rng)
        self.scale = nn.Parameter(rng.uniform(0.5, 1.5, (C, 1, 1)).astype(np.float32))
        self.layers: list[nn.Module] = []
        self.plan: list[tuple[str, int, int, int]] = []
        names = [*STEPS] if batch_norm else [name for name in STEPS if name != "norm"]
        for number in range(steps):
            name = str(rng.choice(names)) if number else "conv"
            layer = -1
            if name in LAYERS:
                layer = len(self.layers)
                self.layers.append(LAYERS[name](rng))
            elif name == "again":
                layer = int(rng.integers(len(self.layers)))
            self.plan.append((name, int(rng.integers(1, 4)), int(rng.integers(1, 4)), layer))

    def forward(self, x: Any, other: Any = None) -> Any:
        values = [x]
        if self.inputs == "two":
            values.append(other)
        elif self.inputs == "dict":
            values += [other[0]["a"] * 0.5, other[0]["b"]]
        elif self.inputs == "labels":
            values.append(x * self.embed(other).view(-1, C, 1, 1))
        for name, a, b, layer in self.plan:
            first, second = values[-min(a, len(values))], values[-min(b, len(values))]
            values.append(STEPS[name](self, first, second, self.layers[layer] if layer >= 0 else None))
        last = sum(values[1:], values[0] * self.scale)  # everything counts
        if self.outputs == "one":
            return last
        parts = (last, values[-1].mean((2, 3)))
        if self.outputs == "tuple":
            return parts
        if self.outputs == "dict":
            return {"map": parts[0], "mean": parts[1]}
        return [parts[0], {"mean": parts[1], "again": last.sum((1, 2, 3))}]

    def draw(self, seed: int = 0, n: int = 2, dtype: Any = np.float32) -> tuple[Any, ...]:
        """Return inputs that this net takes."""
        rng = np.random.default_rng([self.seed, seed])

        def image() -> Any:
            return rng.standard_normal((n, C, H, W)).astype(dtype)

        more = {"two": image, "dict": lambda: [{"a": image(), "b": image()}], "labels": lambda: rng.integers(0, 7, n)}
        return (image(), more[self.inputs]()) if self.inputs != "one" else (image(),)


LAYERS = {
    "conv": lambda rng: nn.Conv2d(C, C, 3, padding=1, rng=rng),
    "mix": lambda rng: nn.Conv2d(2 * C, C, 1, rng=rng),
    "norm": lambda rng: nn.BatchNorm2d(C),
    "relu": lambda rng: nn.ReLU(),
    "tanh": lambda rng: nn.Tanh(),
    "linear": lambda rng: nn.Linear(W, W, rng=rng),
    "flat": lambda rng: nn.Linear(C * H * W, C, rng=rng),
    "block": lambda rng: nn.Sequential(nn.Conv2d(C, 4, 1, rng=rng), nn.SiLU(), nn.Conv2d(4, C, 3, padding=1, rng=rng)),
}


def _one(net: Any, a: Any, b: Any, layer: Any) -> Any:
    return layer(a)


def _again(net: Any, a: Any, b: Any, layer: Any) -> Any:
    if isinstance(layer, nn.Conv2d) and layer.in_channels != C:
        return STEPS["mix"](net, a, b, layer)
    if isinstance(layer, nn.Linear) and layer.in_features != W:
        return STEPS["flat"](net, a, b, layer)
    return layer(a)


STEPS = {
    **dict.fromkeys(("conv", "norm", "relu", "tanh", "linear", "block"), _one),
    "again": _again,
    "mix": lambda net, a, b, layer: layer(np.concatenate([a, b], axis=1)),
    "flat": lambda net, a, b, layer: a * layer(b.reshape(len(b), -1)).view(-1, C, 1, 1),
    "add": lambda net, a, b, layer: (a + 2 * b) / 3,
    "gate": lambda net, a, b, layer: a * net.scale - b / (1 + b * b),
    "pool": lambda net, a, b, layer: a - a.mean(dim=(2, 3), keepdim=True),
    "matrix": lambda net, a, b, layer: (a @ b.transpose(2, 3)) @ b / W**2,
    "slice": lambda net, a, b, layer: np.concatenate([a[:, 1:], b[:, :1]], axis=1),
    "where": lambda net, a, b, layer: np.where(a > 0.1, a, 0.2 * b),
    "even": lambda net, a, b, layer: a[..., :1] + b[:, :, ::2].mean(2, keepdim=True),
    "chunks": lambda net, a, b, layer: (
        a.flip(3) * a.permute(0, 1, 3, 2).flatten(2).view(-1, C, W, H).permute(0, 1, 3, 2)
    ),
    "bell": lambda net, a, b, layer: np.exp(-(a * a)) + np.sqrt(b * b + 1),
}
