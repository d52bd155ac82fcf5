"""Losses, operations of a recorded forward, and optimisers, at random, against PyTorch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

import minidl
from minidl import nn, optim

from .arithmetic import any_shape, assert_as_exact, flag, laid_out, numbers, torch_alone
from .frame import attack

Random = np.random.Generator


# Losses


def _logits(rng: Random, dtype: Any, classes: int) -> np.ndarray:
    shape = (int(rng.integers(1, 7)), classes, *(int(v) for v in rng.integers(1, 4, rng.integers(0, 3))))
    return numbers(rng, shape, dtype)


def _labels(rng: Random, x: np.ndarray, ignored: bool) -> np.ndarray:
    labels = rng.integers(0, x.shape[1], (len(x), *x.shape[2:]))
    if ignored:
        labels[rng.random(labels.shape) < 0.2] = -100
    return labels


def _weight(rng: Random, classes: int) -> Any:
    return rng.random(classes).astype(np.float32) + 0.1 if flag(rng) else None


def _cross_entropy(rng: Random, dtype: Any) -> Any:
    x = _logits(rng, dtype, int(rng.integers(2, 6)))
    options = {"weight": _weight(rng, x.shape[1]), "label_smoothing": float(rng.choice([0, 0, 0.1, 0.5]))}
    if flag(rng):
        shares = np.moveaxis(rng.dirichlet(np.ones(x.shape[1]), (len(x), *x.shape[2:])), -1, 1)
        return x, np.ascontiguousarray(shares.astype(dtype)), options
    return x, _labels(rng, x, flag(rng)), options


def _nll(rng: Random, dtype: Any) -> Any:
    x = _logits(rng, dtype, int(rng.integers(2, 6)))
    return -np.abs(x), _labels(rng, x, flag(rng)), {"weight": _weight(rng, x.shape[1])}


def _multi_margin(rng: Random, dtype: Any) -> Any:
    x = numbers(rng, (int(rng.integers(1, 7)), int(rng.integers(2, 6))), dtype)
    options = {"p": int(rng.integers(1, 3)), "margin": float(rng.random() + 0.1), "weight": _weight(rng, x.shape[1])}
    return x, _labels(rng, x, ignored=False), options


def _binary(rng: Random, dtype: Any) -> Any:
    shape = any_shape(rng)
    x = rng.random(shape).astype(dtype) * dtype(0.98) + dtype(0.01)
    options = {"weight": rng.random(shape[-1:]).astype(np.float32) if flag(rng) else None}
    return laid_out(rng, x), np.round(rng.random(shape)).astype(dtype), options


def _binary_logits(rng: Random, dtype: Any) -> Any:
    x = numbers(rng, any_shape(rng), dtype)
    options: dict[str, Any] = {"pos_weight": rng.random(x.shape[-1:]).astype(np.float32) if flag(rng) else None}
    return x, rng.random(x.shape).astype(dtype), options


def _divergence(rng: Random, dtype: Any) -> Any:
    x = -np.abs(numbers(rng, any_shape(rng), dtype))
    logarithms = flag(rng)
    target = rng.random(x.shape) * flag(rng)
    return x, (np.log(target + 0.1) if logarithms else target).astype(dtype), {"log_target": logarithms}


def _values(**limits: str) -> Callable[[Random, Any], Any]:
    def draw(rng: Random, dtype: Any) -> Any:
        x = numbers(rng, any_shape(rng), dtype)
        y = x + np.round(rng.standard_normal(x.shape), 1).astype(dtype)
        return x, y, {option: float(np.round(rng.random() * 2 + 0.1, 1)) for option in limits}

    return draw


LOSSES: dict[str, Callable[[Random, Any], Any]] = {
    "CrossEntropyLoss": _cross_entropy,
    "NLLLoss": _nll,
    "MultiMarginLoss": _multi_margin,
    "BCELoss": _binary,
    "BCEWithLogitsLoss": _binary_logits,
    "KLDivLoss": _divergence,
    "MSELoss": _values(),
    "L1Loss": _values(),
    "HuberLoss": _values(delta="delta"),
    "SmoothL1Loss": _values(beta="beta"),
}


@attack(limit=60, needs=("torch",))
def losses(rng: Random, counts: Counter[str]) -> None:
    """A loss with random options on random predictions and targets: its value and its gradient."""
    torch = torch_alone()
    name = str(rng.choice(list(LOSSES)))
    dtype = (np.float64, np.float32)[rng.integers(2)]
    x, target, options = LOSSES[name](rng, dtype)
    options["reduction"] = str(rng.choice(["mean", "sum", "none"]))
    what = f"{name}({options}), input {x.shape} of {x.dtype}, target {target.shape} of {target.dtype}"
    results = []
    for kind in (np.float64, dtype):
        given = {k: torch.from_numpy(v.astype(kind)) if isinstance(v, np.ndarray) else v for k, v in options.items()}
        mine = torch.from_numpy(np.array(x, kind, order="C")).requires_grad_()
        wanted = torch.from_numpy(target if target.dtype.kind == "i" else target.astype(kind))
        out = getattr(torch.nn, name)(**given)(mine, wanted)
        grad = np.random.default_rng(0).standard_normal(tuple(out.shape)).astype(np.float32)
        out.backward(torch.from_numpy(np.asarray(grad.astype(kind))))
        results.append((out.detach().numpy(), grad, mine.grad.numpy()))
    (out, grad, dx), (out32, _, dx32) = results
    try:
        loss = getattr(nn, name)(**options).astype(dtype)
        value = loss(x, target)
    except (ValueError, TypeError):
        counts["refused by minidl"] += 1
        return
    room = 4 * np.finfo(dtype).eps
    value = np.asarray(float(value) if np.ndim(value) == 0 else value)
    assert_as_exact(value.astype(dtype), out32, out, f"{what}: value", room)
    back = loss.backward(grad.astype(dtype)) if np.ndim(out) else loss.backward() * dtype(grad)
    assert_as_exact(back, dx32, dx, f"{what}: gradient", room)
    counts["comparisons"] += 2


# Operations

UNARY = {  # names that minidl and PyTorch share; what the operand is limited to
    **dict.fromkeys(("sin", "cos", "atan", "tanh", "sigmoid", "relu", "abs", "square", "sign", "neg"), (-9, 9)),
    **dict.fromkeys(("exp", "sinh", "cosh", "expm1", "exp2"), (-4, 4)),
    **dict.fromkeys(("log", "log2", "log10", "sqrt", "rsqrt", "reciprocal"), (0.1, 9)),
    **dict.fromkeys(("asin", "acos"), (-0.9, 0.9)),
    "log1p": (-0.9, 9),
}
BINARY = ("add", "sub", "mul", "div", "maximum", "minimum", "atan2", "hypot", "logaddexp")
REDUCTIONS = ("sum", "mean", "amax", "amin", "prod", "logsumexp", "var", "std")


def _dims(rng: Random, ndim: int) -> tuple[int, ...]:
    chosen = rng.permutation(ndim)[: int(rng.integers(1, ndim + 1))]
    return tuple(int(d) - ndim * flag(rng) for d in chosen)


def program(rng: Random, shape: tuple[int, ...]) -> list[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    """A few steps, each a method of a Tensor, its arguments and options; "#" stands for the second input."""
    steps: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
    ndim = len(shape)
    for _ in range(int(rng.integers(1, 5))):
        kind = rng.integers(5)
        if kind == 0:
            name = str(rng.choice(list(UNARY)))
            steps += [("clamp", UNARY[name], {}), (name, (), {})]
        elif kind == 1:
            name = str(rng.choice(BINARY))
            if name == "div":
                steps.append(("mul", (0.5,), {}))
            steps.append((name, ("#",), {}))
        elif kind == 2 and ndim > 1:
            steps.append(("transpose", tuple(int(d) for d in rng.integers(-ndim, ndim, 2)), {}))
            steps.append(("reshape", (*shape[:-2], shape[-2] * shape[-1], 1), {}))
            steps.append(("reshape", shape, {}))
        elif kind == 3:
            (dim, *_) = _dims(rng, ndim)
            name = str(rng.choice(["cumsum", "softmax", "log_softmax"]))
            steps.append((name, (dim,), {}))
        else:
            (dim, *_) = _dims(rng, ndim)
            name = str(rng.choice(["flip", "roll"]))
            steps.append((name, ((dim,),) if name == "flip" else (int(rng.integers(-3, 4)), dim), {}))
    name = str(rng.choice(REDUCTIONS))
    dims: Any = _dims(rng, ndim)
    steps.append((name, (dims[0] if name == "prod" else dims,), {"keepdim": flag(rng)}))
    return steps


def carried_out(steps: Any, x: Any, y: Any) -> Any:
    """Carry out a program on arrays of either library."""
    for name, arguments, options in steps:
        x = getattr(x, name)(*(y if isinstance(a, str) else a for a in arguments), **options)
    return x


class Program(nn.Module):
    """A module of two inputs whose forward is a program."""

    def __init__(self, steps: Any) -> None:
        super().__init__()
        self.steps = steps

    def forward(self, x: Any, y: Any) -> Any:
        return carried_out(self.steps, x, y)


@attack(limit=60, needs=("torch",))
def operations(rng: Random, counts: Counter[str]) -> None:
    """A random program of operations: its output, and the gradients of two inputs that broadcast."""
    torch = torch_alone()
    minidl.set_num_threads(int(rng.integers(1, 4)))
    dtype = (np.float64, np.float32)[rng.integers(2)]
    shape = tuple(max(1, n) for n in any_shape(rng))
    other = tuple(1 if rng.random() < 0.3 else n for n in shape)[int(rng.integers(0, len(shape))) :]
    # no ties, where the two may choose different ones; and a divisor away from zero
    x = laid_out(rng, rng.standard_normal(shape).astype(dtype))
    y = laid_out(rng, (rng.random(other) + 0.5).astype(dtype))
    steps = program(rng, shape)
    what = f"{steps}, inputs {shape} and {other} of {x.dtype}"
    results = []
    for kind in (np.float64, dtype):
        given = [torch.from_numpy(np.array(a, kind, order="C")).requires_grad_() for a in (x, y)]
        out = carried_out(steps, *given)
        grad = np.random.default_rng(0).standard_normal(tuple(out.shape)).astype(np.float32)
        out.backward(torch.from_numpy(np.asarray(grad.astype(kind))))
        gradients = [torch.zeros_like(v) if v.grad is None else v.grad for v in given]
        results.append((out.detach().numpy(), grad, *(g.numpy() for g in gradients)))
    (out, grad, *exact), (out32, _, *theirs) = results
    if steps[-1][0] == "std" and np.abs(out).min() < 1e-4:  # where it is 0 its slope is anything
        counts["no deviation"] += 1
        return
    steepness = max(1.0, *(float(np.abs(a[np.isfinite(a)]).max(initial=0)) for a in (out, *exact)))
    room = 100 * np.finfo(dtype).eps * steepness  # the numbers in between may be larger than those at the end
    module = Program(steps)
    mine = module(x, y)
    if np.ndim(out) == 0:
        counts["one number"] += 1
        assert_as_exact(np.asarray(float(mine), dtype), out32, out, f"{what}: output", room)
        return
    assert_as_exact(mine, out32, out, f"{what}: output", room)
    for number, back in enumerate(module.backward(grad.astype(dtype))):
        known = np.zeros_like(theirs[number]) if back is None else back
        assert_as_exact(known, theirs[number], exact[number], f"{what}: gradient {number}", room)
    counts["comparisons"] += 3


# Optimisers


def _rates(rng: Random) -> dict[str, Any]:
    return {"lr": float(10.0 ** rng.uniform(-4, -0.5)), "weight_decay": float(rng.choice([0, 0.01, 0.1]))}


def _sgd(rng: Random) -> dict[str, Any]:
    momentum = float(rng.choice([0, 0.5, 0.9]))
    nesterov = momentum > 0 and flag(rng)
    dampening = 0.0 if nesterov else float(rng.choice([0, 0.3]))
    return {**_rates(rng), "momentum": momentum, "nesterov": nesterov, "dampening": dampening}


def _adam(rng: Random) -> dict[str, Any]:
    return {**_rates(rng), "betas": (float(rng.uniform(0, 0.99)), float(rng.uniform(0.5, 0.999))), "eps": 1e-8}


OPTIMISERS: dict[str, Callable[[Random], dict[str, Any]]] = {
    "SGD": _sgd,
    "Adam": _adam,
    "AdamW": _adam,
    "RMSprop": lambda rng: {
        **_rates(rng),
        "alpha": float(rng.uniform(0.5, 0.99)),
        "momentum": float(rng.choice([0, 0.9])),
    },
    "Adagrad": lambda rng: {**_rates(rng), "lr_decay": float(rng.choice([0, 0.1]))},
    "Adadelta": lambda rng: {**_rates(rng), "rho": float(rng.uniform(0.5, 0.99))},
}


@attack(limit=60, needs=("torch",))
def optimisers(rng: Random, counts: Counter[str]) -> None:
    """Some steps of an optimiser with random options, groups and gradients, of which some are missing."""
    torch = torch_alone()
    minidl.set_num_threads(int(rng.integers(1, 4)))
    name = str(rng.choice(list(OPTIMISERS)))
    options, more = OPTIMISERS[name](rng), {"lr": float(rng.random() / 10)}
    start = [np.asarray(rng.standard_normal(any_shape(rng))) for _ in range(int(rng.integers(1, 4)))]
    mine = [nn.Parameter(value.copy()) for value in start]
    theirs = [torch.nn.Parameter(torch.from_numpy(value.copy())) for value in start]

    def groups(parameters: list[Any]) -> list[dict[str, Any]]:
        rest = [{"params": parameters[1:], **more}] if parameters[1:] else []
        return [{"params": parameters[:1]}, *rest]

    ours, other = getattr(optim, name)(groups(mine), **options), getattr(torch.optim, name)(groups(theirs), **options)
    for _ in range(int(rng.integers(1, 8))):
        ours.zero_grad()
        other.zero_grad()
        for a, b in zip(mine, theirs, strict=True):
            if rng.random() < 0.9:
                grad = rng.standard_normal(a.data.shape) * 10.0 ** rng.integers(-3, 3)
                a.add_grad(grad)
                b.grad = torch.from_numpy(grad.copy())
        ours.step()
        other.step()
        if rng.random() < 0.2:  # what was saved goes on as what was not
            again = getattr(optim, name)(groups(mine), **options)
            again.load_state_dict(ours.state_dict())
            ours = again
    for a, b in zip(mine, theirs, strict=True):
        same = b.detach().numpy()
        assert np.allclose(a.data, same, rtol=1e-9, atol=1e-11), (
            f"{name}({options}): {np.abs(a.data - same).max():.3g} off"
        )
        counts["comparisons"] += 1
