"""Adam, AdamW, RMSprop, Adagrad: PyTorch step by step, state dicts, pieces, refusals."""

import numpy as np
import pytest

from minidl import nn, optim
from minidl.optim import optimizer as base

RULES = [
    ("Adam", {}),
    ("Adam", {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-4, "weight_decay": 0.1, "amsgrad": True}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.05, "weight_decay": 0.3, "amsgrad": True}),
    ("RMSprop", {}),
    ("RMSprop", {"alpha": 0.9, "momentum": 0.8, "centered": True, "weight_decay": 0.05}),
    ("Adagrad", {}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.01, "weight_decay": 0.1, "initial_accumulator_value": 0.5}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.3}),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("rule", "options"), RULES)
def test_a_hundred_steps_as_pytorch_and_on_from_its_state(rule, options, dtype, torch):
    rng = np.random.default_rng(0)
    start = [rng.standard_normal(shape).astype(dtype) for shape in ((3, 2), (4,))]
    ours = [nn.Parameter(value) for value in start]
    theirs = [torch.nn.Parameter(torch.tensor(value)) for value in start]
    optimizer, torch_optimizer = getattr(optim, rule)(ours, **options), getattr(torch.optim, rule)(theirs, **options)
    for step in range(100):
        if step == 60:  # a fresh optimiser goes on from PyTorch's state
            optimizer = getattr(optim, rule)(ours)
            optimizer.load_state_dict(torch_optimizer.state_dict())
        for mine, other in zip(ours, theirs, strict=True):
            grad = rng.standard_normal(mine.shape).astype(dtype)
            mine.grad, other.grad = grad, torch.tensor(grad)
        optimizer.step()
        torch_optimizer.step()
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.data.dtype == dtype
        np.testing.assert_allclose(
            mine.data,
            other.detach().numpy(),
            rtol=1e-4 if dtype == np.float32 else 1e-10,
            atol=1e-6 if dtype == np.float32 else 1e-12,
        )
    state, expected = optimizer.state_dict(), torch_optimizer.state_dict()
    for number in (0, 1):
        for name, value in expected["state"][number].items():
            np.testing.assert_allclose(state["state"][number][name], value, rtol=1e-4, atol=1e-6)
    assert state["param_groups"][0].items() <= expected["param_groups"][0].items()


@pytest.mark.parametrize(("rule", "options"), RULES)
def test_the_pieces_do_not_change_a_step(rule, options, monkeypatch):
    results = []
    for size in (2**18, 1):
        monkeypatch.setattr(base, "_PIECE", size)
        rng = np.random.default_rng(0)
        parameter = nn.Parameter(rng.standard_normal((6, 5)))
        optimizer = getattr(optim, rule)([parameter], **options)
        for _ in range(3):
            parameter.grad = np.asarray(rng.standard_normal((6, 5)), order="F")
            optimizer.step()
        results.append(parameter.data)
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda p: optim.Adam([p], betas=(0.9, 1.0)), ValueError, "Adam: betas must be less than 1"),
        (lambda p: optim.Adam([p], betas=0.9), TypeError, "Adam: betas must be a pair of numbers, got 0.9"),
        (lambda p: optim.AdamW([p], eps=-1), ValueError, "AdamW: eps must be at least 0"),
        (lambda p: optim.Adam([p], amsgrad=1), TypeError, "Adam: amsgrad must be True or False, got 1"),
        (lambda p: optim.RMSprop([p], alpha="a"), TypeError, "RMSprop: alpha must be a number, got 'a'"),
        (lambda p: optim.RMSprop([p], centered=None), TypeError, "RMSprop: centered must be True or False"),
        (lambda p: optim.Adagrad([p], lr_decay=-1), ValueError, "Adagrad: lr_decay must be at least 0"),
        (lambda p: optim.Adagrad([{"params": p, "eps": -1}]), ValueError, "Adagrad: eps must be at least 0"),
    ],
)
def test_bad_options_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make(nn.Parameter(np.ones(2)))
