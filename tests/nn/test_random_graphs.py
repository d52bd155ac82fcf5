"""Derived backward passes of graphs that nobody chose: the same programs, drawn at random, run here and in PyTorch.

Branches, sums, products, broadcasting, slices, joins, modules that are called again, several outputs, some of them
unused: outputs and gradients, of inputs and parameters, agree within 1e-9 in float64.
"""

import os

import numpy as np
import pytest

from minidl import nn

torch = pytest.importorskip("torch")

GRAPHS = int(os.environ.get("MINIDL_GRAPHS", "2000"))
SEED = int(os.environ.get("MINIDL_GRAPHS_SEED", "13"))
WIDTH = 4


class Program:
    """Instructions over a list of values of shape (N, 4), for either framework; ``lib`` has what differs."""

    def __init__(self, rng):
        self.rng = rng
        self.inputs = int(rng.integers(1, 4))
        self.code = []
        values = self.inputs
        for _ in range(int(rng.integers(2, 14))):
            a, b = rng.integers(0, values, 2)
            self.code.append((str(rng.choice(list(STEPS))), int(a), int(b), int(rng.integers(0, 3))))
            values += 1
        outputs = int(rng.integers(1, 4))
        self.outputs = [int(i) for i in rng.integers(max(0, values - 5), values, outputs)]
        self.used = [bool(rng.random() < 0.8) for _ in self.outputs]
        self.used[0] = True

    def run(self, lib, layers, parameters, inputs):
        values = list(inputs)
        for name, a, b, k in self.code:
            values.append(STEPS[name](lib, layers, parameters, values[a], values[b], k))
        return [values[i] for i in self.outputs]


class Here:
    cat, stack = staticmethod(np.concatenate), staticmethod(np.stack)
    where = staticmethod(np.where)
    maximum = staticmethod(np.maximum)
    exp, tanh, sqrt, abs = np.exp, np.tanh, np.sqrt, np.abs


STEPS = {
    "add": lambda t, m, p, a, b, k: a + b,
    "sub": lambda t, m, p, a, b, k: a - 0.5 * b,
    "mul": lambda t, m, p, a, b, k: a * b * 0.5,
    "div": lambda t, m, p, a, b, k: a / (b * b + 1.5),
    "pow": lambda t, m, p, a, b, k: (a * a + 0.5) ** (0.5 + k),
    "layer": lambda t, m, p, a, b, k: m[k](a),
    "twice": lambda t, m, p, a, b, k: m[k](m[k](a)) + m[k](b),
    "nested": lambda t, m, p, a, b, k: m[3 + k % 2](a),
    "relu": lambda t, m, p, a, b, k: m[5](a),
    "scale": lambda t, m, p, a, b, k: a * p[k],
    "shift": lambda t, m, p, a, b, k: p[k] + a,
    "row": lambda t, m, p, a, b, k: a + b.mean(0, keepdim=True),
    "column": lambda t, m, p, a, b, k: a * b.sum(1, keepdim=True) * 0.3,
    "norm": lambda t, m, p, a, b, k: (a - a.mean(dim=1, keepdim=True)) / (a.var(dim=1, keepdim=True) + 1).sqrt(),
    "max": lambda t, m, p, a, b, k: a + b.max(dim=1, keepdim=True)[0],
    "larger": lambda t, m, p, a, b, k: t.maximum(a, b + 0.1),
    "cat": lambda t, m, p, a, b, k: t.cat([a[:, k:], b[:, :k]], 1),
    "chunk": lambda t, m, p, a, b, k: t.cat([b.chunk(2, 1)[1], a.chunk(2, dim=1)[0]], 1),
    "stack": lambda t, m, p, a, b, k: t.stack([a, b, a * 2], 1).sum(1),
    "slice": lambda t, m, p, a, b, k: a[:, [3, 1, 1, 0]] + b[:1],
    "step": lambda t, m, p, a, b, k: t.cat([a[::2], b[1::2]], 0)[: len(a)],
    "view": lambda t, m, p, a, b, k: a.reshape(-1, 2, 2).transpose(1, 2).reshape(a.shape),
    "permute": lambda t, m, p, a, b, k: a.view(len(a), 2, 2).permute(0, 2, 1).flatten(1) * b,
    "matmul": lambda t, m, p, a, b, k: t.tanh(a @ b.t() @ b * 0.2),
    "bmm": lambda t, m, p, a, b, k: (a.view(-1, 2, 2) @ b.view(-1, 2, 2)).view(-1, 4) * 0.5,
    "where": lambda t, m, p, a, b, k: t.where(a > b, a, b * 2),
    "exp": lambda t, m, p, a, b, k: t.exp(t.tanh(a)),
    "clamp": lambda t, m, p, a, b, k: a.clamp(-0.7, 0.9) + b,
    "abs": lambda t, m, p, a, b, k: t.abs(a - 0.3) + a.pow(2) * 0.1,
    "detach": lambda t, m, p, a, b, k: a * b.detach(),
    "softmax": lambda t, m, p, a, b, k: (a - a.logsumexp(1, keepdim=True)).exp() + b * 0.1,
    "same": lambda t, m, p, a, b, k: a,
    "squeeze": lambda t, m, p, a, b, k: a.unsqueeze(2).expand(-1, -1, 2).sum(2) + b.unsqueeze(0).squeeze(0),
    "bounded": lambda t, m, p, a, b, k: t.tanh(a) + 0.1 * b,
}


class Net(nn.Module):
    def __init__(self, program, layers, parameters):
        super().__init__()
        self.program, self.layers = program, nn.ModuleList(layers)
        self.parameters_ = [nn.Parameter(p) for p in parameters]

    def forward(self, *inputs):
        out = self.program.run(Here, self.layers, self.parameters_, inputs)
        return out[0] if len(out) == 1 else tuple(out)


def layers_of(lib, weights, linear, sequential):
    shared = [linear(w, b) for w, b in weights]
    return [*shared, sequential(shared[0], lib.Tanh()), sequential(lib.Tanh(), shared[1], shared[1]), lib.ReLU()]


def difference(mine, other):
    """Relative to the largest element, if that is above 1."""
    return float(np.abs(np.asarray(mine) - other).max()) / max(1.0, float(np.abs(other).max()))


def compare(seed):
    rng = np.random.default_rng(seed)
    program = Program(rng)
    weights = [(rng.standard_normal((WIDTH, WIDTH)) * 0.5, rng.standard_normal(WIDTH) * 0.2) for _ in range(3)]
    parameters = [rng.standard_normal(WIDTH), rng.standard_normal((1, WIDTH)), rng.standard_normal(())]
    rows = int(rng.integers(1, 4)) * 2
    inputs = [rng.standard_normal((rows, WIDTH)) for _ in range(program.inputs)]

    def here(w, b):
        layer = nn.Linear(WIDTH, WIDTH, dtype=np.float64)
        layer.load_state_dict({"weight": w, "bias": b})
        return layer

    def there(w, b):
        layer = torch.nn.Linear(WIDTH, WIDTH, dtype=torch.float64)
        layer.load_state_dict({"weight": torch.tensor(w), "bias": torch.tensor(b)})
        return layer

    layers = layers_of(nn, weights, here, nn.Sequential)
    net = Net(program, layers, parameters)
    given = [torch.tensor(x, requires_grad=True) for x in inputs]
    theirs = layers_of(torch.nn, weights, there, torch.nn.Sequential)
    leaves = [torch.tensor(p, requires_grad=True) for p in parameters]
    expected = program.run(torch, theirs, leaves, given)
    out = net(*inputs)
    outs = out if isinstance(out, tuple) else (out,)
    worst = max(difference(a, b.detach().numpy()) for a, b in zip(outs, expected, strict=True))
    seeds = [rng.standard_normal(b.shape) for b in expected]
    total = sum((b * torch.tensor(s)).sum() for b, s, u in zip(expected, seeds, program.used, strict=True) if u)
    grads = [s if u else None for s, u in zip(seeds, program.used, strict=True)]
    tensors = [*given, *leaves, *(p for layer in theirs[:3] for p in layer.parameters())]
    wanted = torch.autograd.grad(total, tensors, allow_unused=True) if total.requires_grad else [None] * len(tensors)
    found = net.backward(*grads) if len(grads) == 1 else net.backward(tuple(grads))
    found = found if isinstance(found, tuple) else (found,)
    own = [*found, *(p.grad for p in net.parameters_), *(p.grad for layer in layers[:3] for p in layer.params())]
    for mine, other in zip(own, wanted, strict=True):
        if mine is None or other is None:
            assert (mine is None or not mine.any()) and (other is None or not other.numpy().any()), program.code
        else:
            worst = max(worst, difference(mine, other.numpy()))
    assert worst < 1e-9, f"seed {seed}: {worst:.1e} in {program.code}, outputs {program.outputs}"


def test_random_graphs_have_pytorchs_gradients():
    for number in range(GRAPHS):
        compare([SEED, number])
