"""A function in a recorded forward pass, with PyTorch's function of the same name as the oracle."""

import inspect
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose

from minidl import nn


def differentiable(value):
    """Whether an argument's gradient is asked for: that of the float arrays that are not read-only."""
    return isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.flags.writeable


def constant(value):
    """A copy of an array whose gradient is not asked for."""
    value = np.array(value)
    value.flags.writeable = False
    return value


def leaves(value):
    """The arrays and numbers in a structure."""
    return [leaf for item in value for leaf in leaves(item)] if isinstance(value, (tuple, list)) else [value]


def spread(value, items):
    """A structure like ``value`` of the next items."""
    return [spread(v, items) for v in value] if isinstance(value, (tuple, list)) else next(items)


def whole(value):
    """Whether an argument is an array of integers or flags, which is an input without a gradient."""
    return isinstance(value, np.ndarray) and value.dtype.kind in "iub"


class Call(nn.Module):
    """Calls a function on its inputs, or with ``parameters`` on Parameters of its own, and on other arguments."""

    def __init__(self, function, args, options, parameters=False):
        super().__init__()
        self.function, self.args, self.options = function, tuple(args), options
        self.weights = [nn.Parameter(arg) for arg in leaves(args) if parameters and differentiable(arg)]

    def forward(self, *values):
        values = iter(values)
        weights = iter(self.weights) if self.weights else values
        given = [
            next(weights) if differentiable(arg) else next(values) if whole(arg) else arg for arg in leaves(self.args)
        ]
        return self.function(*spread(self.args, iter(given)), **self.options)


def close(got, expected, what, within=1e-10):
    """Check a value, or a gradient, for which None stands for zeros."""
    if got is None or expected is None:
        assert not np.any(0 if got is None else got), what
        assert not np.any(0 if expected is None else expected), what
        return
    assert np.shape(got) == np.shape(expected), f"{what}: {np.shape(got)}, {np.shape(expected)}"
    assert_allclose(got, expected, rtol=within, atol=within, err_msg=what)


def in_torch(function, args, options):
    """Outputs of PyTorch's function, gradients of them (random), and the inputs' gradients; and its arguments."""
    torch = pytest.importorskip("torch")
    given = [
        torch.tensor(a).requires_grad_(differentiable(a)) if isinstance(a, np.ndarray) else a for a in leaves(args)
    ]
    options = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items() if k != "inplace"}
    with warnings.catch_warnings():  # that upsample is another name, and what kl_div's mean is
        warnings.simplefilter("ignore", UserWarning)
        outputs = leaves(function(*spread(args, iter(given)), **options))
    draw = np.random.default_rng(7).standard_normal
    grads = [draw(tuple(y.shape)) if torch.is_tensor(y) and y.requires_grad else None for y in outputs]
    known = [(y, torch.tensor(g)) for y, g in zip(outputs, grads, strict=True) if g is not None]
    wanted = [x for x in given if torch.is_tensor(x) and x.requires_grad]
    back = torch.autograd.grad([y for y, _ in known], wanted, [g for _, g in known], allow_unused=True) if known else ()
    plain = [y.detach().numpy() if torch.is_tensor(y) else y for y in outputs]
    return plain, grads, [None if g is None else g.numpy() for g in back], given


def in_forward(function, args, options, grads, parameters=False):
    """Outputs of a function in a recorded forward, and the gradients of its inputs or Parameters."""
    model = Call(function, args, options, parameters)
    wanted = [arg for arg in leaves(args) if whole(arg) or (differentiable(arg) and not parameters)]
    out = model(*wanted)
    if all(grad is None for grad in grads):
        return leaves(out), []
    given = iter(grads)
    back = model.backward(spread(out, given) if isinstance(out, (tuple, list)) else next(given))
    if parameters:
        return leaves(out), [p.grad for p in model.weights]
    back = back if isinstance(back, tuple) else (back,)
    return leaves(out), [g for g, arg in zip(back, wanted, strict=True) if differentiable(arg)]


def compare(function, theirs, args, options, what, within=1e-10):
    """Compare a function with PyTorch's: in a recorded forward on inputs and on Parameters, on arrays, in float32."""
    expected, grads, back, given = in_torch(theirs, args, options)
    for parameters in (False, True):
        if parameters and not back:
            continue
        out, found = in_forward(function, args, options, grads, parameters)
        for got, right in zip(out, expected, strict=True):
            close(got, right, what, within)
        if back:
            for number, (got, right) in enumerate(zip(found, back, strict=True)):
                close(got, right, f"{what}: gradient {number}", within)
    plain = leaves(function(*args, **options))
    for got, right in zip(plain, expected, strict=True):
        close(got, right, what, within)
        assert isinstance(got, (np.ndarray, np.generic, float, int, bool)), what
    narrow = spread(args, iter([a.astype(np.float32) if is_float(a) else a for a in leaves(args)]))
    frozen = spread(args, iter([constant(a) if is_float(a) else a for a in leaves(narrow)]))
    for got, right in zip(leaves(function(*narrow, **options)), plain, strict=True):
        if is_float(right):
            assert got.dtype == np.float32, what
    for got, right in zip(
        leaves(Call(function, frozen, options)(*[a for a in leaves(frozen) if whole(a)])), plain, strict=True
    ):
        if is_float(right) and np.ndim(right) and any(is_float(a) for a in leaves(args)):
            assert got.dtype == np.float32, what
    return given


def is_float(value):
    return isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind == "f"


def parameters_of(function):
    """The parameters of a function's signature; none of those that are built in."""
    try:
        return inspect.signature(function).parameters
    except ValueError:
        return {}
