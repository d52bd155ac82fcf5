"""Model classes of many kinds, written for PyTorch: the same outputs and gradients with the imports changed."""

import re
from pathlib import Path

import numpy as np
import pytest

from minidl.nn.structure import leaves

torch = pytest.importorskip("torch")

TEXT = Path(__file__).with_name("zoo.py").read_text()
OURS = re.sub(r"^import torch$", "import minidl as torch", TEXT, flags=re.MULTILINE)
OURS = re.sub(r"^import torch\b", "import minidl", OURS, flags=re.MULTILINE)
COUNT = len(re.findall(r"^    \(lambda", TEXT, re.MULTILINE))


def run(text):
    space = {"__name__": "zoo"}
    exec(compile(text, "zoo.py", "exec"), space)
    return space["ZOO"]


def drawn(shapes, rng):
    for shape in shapes:
        yield rng.integers(0, shape[1], shape[2:]) if shape[0] == "integers" else rng.standard_normal(shape)


@pytest.mark.parametrize("number", range(COUNT))
@pytest.mark.parametrize("seed", range(3))
def test_outputs_and_gradients(number, seed):
    rng = np.random.default_rng((number, seed))
    torch.manual_seed(seed)
    torch.set_default_dtype(torch.float64)
    try:
        make, shapes = run(TEXT)[number]
        theirs = make()
        inputs = list(drawn(shapes, rng))
        tensors = [torch.tensor(x, requires_grad=x.dtype.kind == "f") for x in inputs]
        expected = theirs(*tensors)
        outputs = list(leaves(expected))
        grads = [rng.standard_normal(tuple(y.shape)) for y in outputs]
        torch.autograd.backward(outputs, [torch.tensor(g) for g in grads])
    finally:
        torch.set_default_dtype(torch.float32)

    ours = run(OURS)[number][0]().double()
    ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    for again in range(2):  # the second pass must be the same as the first
        ours.zero_grad()
        if again:  # statistics as they were
            ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
        found = ours(*inputs)
        for mine, other in zip(leaves(found), outputs, strict=True):
            np.testing.assert_allclose(mine, other.detach().numpy(), rtol=1e-9, atol=1e-11)
        back = ours.backward(*_like(found, [g if g.ndim else float(g) for g in grads]))
        back = back if isinstance(back, tuple) else (back,)
        for mine, tensor in zip(back, tensors, strict=True):
            if tensor.requires_grad:
                np.testing.assert_allclose(mine, tensor.grad.numpy(), rtol=1e-8, atol=1e-10)
        named = dict(ours.named_params())
        for name, parameter in theirs.named_parameters():
            np.testing.assert_allclose(named[name].grad, parameter.grad.numpy(), rtol=1e-8, atol=1e-10, err_msg=name)


def _like(found, grads):
    """Return gradients in the output's structure, as the arguments of backward."""
    if isinstance(found, (tuple, list)):
        return (type(found)(grads),) if isinstance(found, list) else (tuple(grads),)
    return grads


@pytest.mark.parametrize("number", range(COUNT))
def test_float32_stays(number):
    make, shapes = run(OURS)[number]
    rng = np.random.default_rng(number)
    model = make()
    inputs = [x.astype(np.float32) if x.dtype.kind == "f" else x for x in drawn(shapes, rng)]
    found = model(*inputs)
    arrays = [y for y in leaves(found) if isinstance(y, np.ndarray)]
    assert all(y.dtype == np.float32 for y in arrays)
    model.backward(*_like(found, [np.ones_like(y) if isinstance(y, np.ndarray) else 1.0 for y in leaves(found)]))
    assert all(p.grad is not None and p.grad.dtype == np.float32 for p in model.params())
