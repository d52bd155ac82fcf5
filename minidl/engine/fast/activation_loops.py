"""The compiled loops of elementwise activations: y of x, and the gradient of x given those of y; a and b are options.

Each is a loop of its own, compiled when it is first used.
"""

from __future__ import annotations

from typing import Any

from .compiled import compiled
from .functions import erf, exp, expm1, log1p
from .vectors import cast, load, load_word, store

__all__ = ["LOOPS", "mask"]


@compiled
def _tanh(x: Any, like: Any) -> Any:
    twice = abs(x) * cast(2.0, like)
    e = expm1(twice if not twice > cast(44.0, like) else cast(44.0, like))
    size = e / (e + cast(2.0, like))
    return -size if x < like else size


@compiled
def _logistic(x: Any, like: Any) -> Any:
    return cast(1.0, like) / (cast(1.0, like) + exp(-x))


@compiled
def _softplus(x: Any, like: Any) -> Any:
    """Return log(1 + exp(x))."""
    return (x if not x < like else like) + log1p(exp(-abs(x)))


@compiled
def mask(bits: int, out: int, count: int, threshold: int, factor: Any) -> None:
    """Write ``factor`` where 32 random bits are at least ``threshold``, else 0."""
    for i in range(count):
        store(out, i, factor if load_word(bits, i) >= threshold else factor - factor)


@compiled
def relu(x: int, y: int, count: int, a: Any, b: Any, like: Any) -> None:
    for i in range(count):
        v = load(x, i, like)
        store(y, i, like if v <= like else v)


@compiled
def relu_grad(g: int, x: int, y: int, dx: int, count: int, a: Any, b: Any, like: Any) -> None:
    for i in range(count):
        store(dx, i, like if load(y, i, like) <= like else load(g, i, like))


@compiled
def leaky_relu(x: int, y: int, count: int, a: Any, b: Any, like: Any) -> None:
    for i in range(count):
        v = load(x, i, like)
        store(y, i, v if v > like else a * v)


@compiled
def leaky_relu_grad(g: int, x: int, y: int, dx: int, count: int, a: Any, b: Any, like: Any) -> None:
    for i in range(count):
        grad = load(g, i, like)
        store(dx, i, grad if load(x, i, like) > like else a * grad)


@compiled
def clip(x: int, y: int, count: int, a: Any, b: Any, like: Any) -> None:
    for i in range(count):
        v = load(x, i, like)
        v = a if v < a else v
        store(y, i, b if v > b else v)


@compiled
def clip_grad(g: int, x: int, y: int, dx: int, count: int, a: Any, b: Any, like: Any) -> None:
    for i in range(count):
        v = load(x, i, like)
        store(dx, i, load(g, i, like) * (cast(1.0, like) if (v > a and v < b) else like))


@compiled
def hardsigmoid(x: int, y: int, count: int, a: Any, b: Any, like: Any) -> None:
    for i in range(count):
        v = load(x, i, like) + cast(3.0, like)
        v = like if v < like else v
        store(y, i, (cast(6.0, like) if v > cast(6.0, like) else v) / cast(6.0, like))


@compiled
def hardsigmoid_grad(g: int, x: int, y: int, dx: int, count: int, a: Any, b: Any, like: Any) -> None:
    for i in range(count):
        v = load(x, i, like)
        inside = v > cast(-3.0, like) and v < cast(3.0, like)
        store(dx, i, load(g, i, like) * (cast(1 / 6, like) if inside else like))


@compiled
def hardswish(x: int, y: int, count: int, a: Any, b: Any, like: Any) -> None:
    for i in range(count):
        v = load(x, i, like)
        c = v + cast(3.0, like)
        c = like if c < like else c
        store(y, i, v * (cast(6.0, like) if c > cast(6.0, like) else c) / cast(6.0, like))


@compiled
def hardswish_grad(g: int, x: int, y: int, dx: int, count: int, a: Any, b: Any, like: Any) -> None:
    for i in range(count):
        v = load(x, i, like)
        s = v / cast(3.0, like) + cast(0.5, like)
        s = cast(1.0, like) if v >= cast(3.0, like) else s
        store(dx, i, load(g, i, like) * (like if v <= cast(-3.0, like) else s))


@compiled
def sigmoid(x: int, y: int, count: int, a: Any, b: Any, like: Any) -> None:
    for i in range(count):
        store(y, i, _logistic(load(x, i, like), like))


@compiled
def sigmoid_grad(g: int, x: int, y: int, dx: int, count: int, a: Any, b: Any, like: Any) -> None:
    for i in range(count):
        v = load(y, i, like)
        store(dx, i, load(g, i, like) * (v * (cast(1.0, like) - v)))


@compiled
def tanh(x: int, y: int, count: int, a: Any, b: Any, like: Any) -> None:
    for i in range(count):
        store(y, i, _tanh(load(x, i, like), like))


@compiled
def tanh_grad(g: int, x: int, y: int, dx: int, count: int, a: Any, b: Any, like: Any) -> None:
    for i in range(count):
        v = load(y, i, like)
        store(dx, i, load(g, i, like) * (cast(1.0, like) - v * v))


@compiled
def silu(x: int, y: int, count: int, a: Any, b: Any, like: Any) -> None:
    for i in range(count):
        v = load(x, i, like)
        store(y, i, v * _logistic(v, like))


@compiled
def silu_grad(g: int, x: int, y: int, dx: int, count: int, a: Any, b: Any, like: Any) -> None:
    for i in range(count):
        v = load(x, i, like)
        s = _logistic(v, like)
        store(dx, i, load(g, i, like) * (s * (cast(1.0, like) + v * (cast(1.0, like) - s))))


@compiled
def elu(x: int, y: int, count: int, a: Any, b: Any, like: Any) -> None:
    for i in range(count):
        v = load(x, i, like)
        below = b * (a * expm1(like if v > like else v))
        store(y, i, b * v if v > like else below)


@compiled
def elu_grad(g: int, x: int, y: int, dx: int, count: int, a: Any, b: Any, like: Any) -> None:
    for i in range(count):
        v = load(x, i, like)
        below = b * (a * exp(like if v > like else v))
        store(dx, i, load(g, i, like) * (b if v > like else below))


@compiled
def gelu(x: int, y: int, count: int, a: Any, b: Any, like: Any) -> None:
    for i in range(count):
        v = load(x, i, like)
        store(y, i, cast(0.5, like) * v * (cast(1.0, like) + erf(v * cast(0.7071067811865476, like))))


@compiled
def gelu_grad(g: int, x: int, y: int, dx: int, count: int, a: Any, b: Any, like: Any) -> None:
    for i in range(count):
        v = load(x, i, like)
        density = exp(cast(-0.5, like) * v * v) * cast(0.3989422804014327, like)
        phi = cast(0.5, like) * (cast(1.0, like) + erf(v * cast(0.7071067811865476, like)))
        store(dx, i, load(g, i, like) * (phi + v * density))


@compiled
def gelu_tanh(x: int, y: int, count: int, a: Any, b: Any, like: Any) -> None:
    for i in range(count):
        v = load(x, i, like)
        t = _tanh(cast(0.7978845608028654, like) * (v + cast(0.044715, like) * v * v * v), like)
        store(y, i, cast(0.5, like) * v * (cast(1.0, like) + t))


@compiled
def gelu_tanh_grad(g: int, x: int, y: int, dx: int, count: int, a: Any, b: Any, like: Any) -> None:
    for i in range(count):
        v = load(x, i, like)
        one, half, scale = cast(1.0, like), cast(0.5, like), cast(0.7978845608028654, like)
        t = _tanh(scale * (v + cast(0.044715, like) * v * v * v), like)
        inner = scale * (one + cast(3 * 0.044715, like) * v * v)
        store(dx, i, load(g, i, like) * (half * (one + t) + half * v * (one - t * t) * inner))


@compiled
def softplus(x: int, y: int, count: int, a: Any, b: Any, like: Any) -> None:
    for i in range(count):
        v = load(x, i, like)
        store(y, i, v if a * v > b else _softplus(a * v, like) / a)


@compiled
def softplus_grad(g: int, x: int, y: int, dx: int, count: int, a: Any, b: Any, like: Any) -> None:
    for i in range(count):
        v = a * load(x, i, like)
        store(dx, i, load(g, i, like) * (cast(1.0, like) if v > b else _logistic(v, like)))


@compiled
def mish(x: int, y: int, count: int, a: Any, b: Any, like: Any) -> None:
    for i in range(count):
        v = load(x, i, like)
        store(y, i, v * _tanh(_softplus(v, like), like))


@compiled
def mish_grad(g: int, x: int, y: int, dx: int, count: int, a: Any, b: Any, like: Any) -> None:
    for i in range(count):
        v = load(x, i, like)
        t = _tanh(_softplus(v, like), like)
        store(dx, i, load(g, i, like) * (t + v * _logistic(v, like) * (cast(1.0, like) - t * t)))


# by the names that `nn` gives its formulas: the value, and the gradient
LOOPS = {
    "relu": (relu, relu_grad),
    "leaky_relu": (leaky_relu, leaky_relu_grad),
    "clip": (clip, clip_grad),
    "hardsigmoid": (hardsigmoid, hardsigmoid_grad),
    "hardswish": (hardswish, hardswish_grad),
    "sigmoid": (sigmoid, sigmoid_grad),
    "tanh": (tanh, tanh_grad),
    "silu": (silu, silu_grad),
    "elu": (elu, elu_grad),
    "gelu": (gelu, gelu_grad),
    "gelu_tanh": (gelu_tanh, gelu_tanh_grad),
    "softplus": (softplus, softplus_grad),
    "mish": (mish, mish_grad),
}
