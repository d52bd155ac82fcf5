"""Every optimiser: PyTorch or a formula step by step, its state, pieces, refusals. RULES is the table; see below it."""

import copy
import math
from typing import ClassVar

import numpy as np
import pytest

import minidl
from minidl import nn, optim
from minidl.optim import optimizer as base

# (class, options): a new optimiser needs a line here, with every option at a value other than its default. What it is
# compared with is PyTorch's class of the same name, or a function in REFERENCES.
RULES = [
    ("Adam", {}),
    ("Adam", {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-4, "weight_decay": 0.1, "amsgrad": True}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.05, "weight_decay": 0.3, "amsgrad": True}),
    ("RMSprop", {}),
    ("RMSprop", {"alpha": 0.9, "momentum": 0.8, "centered": True, "weight_decay": 0.05}),
    ("Adadelta", {}),
    ("Adadelta", {"lr": 0.5, "rho": 0.95, "eps": 1e-4, "weight_decay": 0.1}),
    ("Adagrad", {}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.01, "weight_decay": 0.1, "initial_accumulator_value": 0.5}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.3}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("Lion", {}),
    ("Lion", {"lr": 0.03, "betas": (0.7, 0.95), "weight_decay": 0.2}),
]


def lion(p, grads, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0):
    """arXiv:2302.06675, program 1, for one number."""
    m = 0.0
    for g in grads:
        update = betas[0] * m + (1 - betas[0]) * g
        direction = (update > 0) - (update < 0)
        p = p - lr * (direction + weight_decay * p)
        m = betas[1] * m + (1 - betas[1]) * g
    return p


REFERENCES = {"Lion": lion}  # of the rules that PyTorch does not have: a number after steps along given gradients
AS_PYTORCH = [rule for rule in RULES if rule[0] not in REFERENCES]
BY_HAND = [rule for rule in RULES if rule[0] in REFERENCES]


def test_the_table_has_every_optimiser():
    public = {name: getattr(optim, name) for name in optim.__all__}
    rules = {name for name, kind in public.items() if isinstance(kind, type) and issubclass(kind, optim.Optimizer)}
    assert {name for name, _ in RULES} == rules - {"Optimizer"}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("rule", "options"), AS_PYTORCH)
def test_a_hundred_steps_as_pytorch_also_from_its_state(rule, options, dtype, torch):
    rng = np.random.default_rng(0)
    start = [rng.standard_normal(shape).astype(dtype) for shape in ((3, 2), (4,))]
    ours = [nn.Parameter(value) for value in start]
    theirs = [torch.nn.Parameter(torch.tensor(value)) for value in start]
    optimizer, torch_optimizer = getattr(optim, rule)(ours, **options), getattr(torch.optim, rule)(theirs, **options)
    for step in range(100):
        if step == 60:  # a fresh optimiser continues from PyTorch's state
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


@pytest.mark.parametrize(("rule", "options"), BY_HAND)
def test_a_hundred_steps_by_hand(rule, options):
    rng = np.random.default_rng(0)
    start, grads = rng.standard_normal((2, 3)), rng.standard_normal((100, 2, 3))
    grads[:5, 0, 0] = 0  # and stays where it is
    parameter = nn.Parameter(start)
    optimizer = getattr(optim, rule)([parameter], **options)
    for grad in grads:
        parameter.grad = grad.copy()
        optimizer.step()
        np.testing.assert_array_equal(parameter.grad, grad)
    for place in np.ndindex(start.shape):
        expected = REFERENCES[rule](float(start[place]), [float(grad[place]) for grad in grads], **options)
        assert parameter.data[place] == pytest.approx(expected, rel=1e-12)


def steps(optimizer, parameters, rng, count=3):
    for _ in range(count):
        for parameter in parameters:
            parameter.grad = rng.standard_normal(parameter.shape).astype(parameter.dtype)
        optimizer.step()


@pytest.mark.parametrize(("rule", "options"), RULES)
def test_the_state_continues_bit_for_bit(rule, options):
    first = [nn.Parameter(np.ones(3, np.float32)), nn.Parameter(np.ones((2, 2), np.float32))]
    optimizer = getattr(optim, rule)(first, **options)
    steps(optimizer, first, np.random.default_rng(0))
    second, state = copy.deepcopy(first), optimizer.state_dict()
    again = getattr(optim, rule)(second, lr=0.7)
    again.load_state_dict(state)
    steps(optimizer, first, np.random.default_rng(1))
    steps(again, second, np.random.default_rng(1))
    for a, b in zip(first, second, strict=True):
        assert a.dtype == b.dtype == np.float32
        np.testing.assert_array_equal(a.data, b.data)
    assert again.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]
    assert again.state_dict()["state"].keys() == state["state"].keys()


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
        (lambda p: optim.Adam([p], betas=(0.9, "a")), TypeError, "Adam: betas must be a number, got 'a'"),
        (lambda p: optim.Lion([p], betas=(1.0, 0.9)), ValueError, "Lion: betas must be less than 1"),
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


@pytest.mark.parametrize("rule", sorted({rule for rule, _ in RULES}))
def test_every_declared_option_is_checked(rule):
    for name in getattr(optim, rule).options:
        with pytest.raises(TypeError, match=f"{rule}: {name} must be"):
            getattr(optim, rule)([nn.Parameter(np.ones(2))], **{name: "large"})


def kinds(group):
    return {type(value) for value in group.values()} | {type(beta) for beta in group.get("betas", ())}


@pytest.mark.parametrize(("rule", "options"), RULES)
def test_numpys_numbers_become_pythons(rule, options):
    def as_numpy(value):
        return tuple(map(np.float64, value)) if isinstance(value, tuple) else np.asarray(value)[()]

    given = {"lr": np.float32(0.5), **{name: as_numpy(value) for name, value in options.items()}}
    optimizer = getattr(optim, rule)([nn.Parameter(np.ones(2))], **given)
    plain = {int, float, bool, tuple, list}
    assert kinds(optimizer.defaults) | kinds(optimizer.param_groups[0]) <= plain
    optimizer.add_param_group({"params": nn.Parameter(np.ones(2)), **given})
    state = optimizer.state_dict()
    for group in state["param_groups"]:
        group.update({name: as_numpy(value) for name, value in group.items() if name != "params"})
    optimizer.load_state_dict(state)
    assert kinds(optimizer.param_groups[0]) | kinds(optimizer.param_groups[1]) <= plain


class SignSGD(optim.Optimizer):
    """An optimiser like the one in Optimizer's docstring."""

    options: ClassVar = {"lr": base.check_number, "betas": base.check_betas}

    def __init__(self, params, lr=0.01, betas=(0.5, 0.25)):
        super().__init__(params, {"lr": lr, "betas": betas})
        self.seen = []

    def update(self, data, grad, slots, group, step):
        self.seen.append(dict(group))
        data -= group["lr"] * np.sign(grad)


def test_a_custom_optimiser():
    parameter = nn.Parameter(np.zeros(2, np.float32))
    optimizer = SignSGD([parameter])
    parameter.grad = np.array([3, -2], np.float32)
    optimizer.param_groups[0].update(lr=np.float64(0.25), betas=[np.float32(0.5), 0.25])  # by hand
    optimizer.step()
    assert parameter.data.tolist() == [-0.25, 0.25]
    assert kinds(optimizer.seen[0]) == {float, tuple}
    with pytest.raises(ValueError, match="SignSGD: lr must be at least 0"):
        SignSGD([parameter], lr=-1)


def test_what_is_not_declared_is_refused():
    class Undeclared(SignSGD):
        def __init__(self, params):
            optim.Optimizer.__init__(self, params, {"lr": 0.1, "speed": 1})

    with pytest.raises(TypeError, match=r"Undeclared: .* declared as \['betas', 'lr'\], .* defaults are \['lr', 'sp"):
        Undeclared([nn.Parameter(np.zeros(2))])
    with pytest.raises(NotImplementedError, match="Bare does not define update"):
        type("Bare", (optim.Optimizer,), {})([_with_gradient()], {}).step()


def _with_gradient():
    parameter = nn.Parameter(np.zeros(2, np.float32))
    parameter.grad = np.ones(2, np.float32)
    return parameter


def pair(torch, rule, **options):
    """One of our optimisers with its defaults, and the state of PyTorch's, made with some options, after a step."""
    parameter = torch.nn.Parameter(torch.zeros(2))
    parameter.grad = torch.ones(2)
    theirs = getattr(torch.optim, rule)([parameter], **options)
    return getattr(optim, rule)([nn.Parameter(np.zeros(2, np.float32))], lr=0.7), theirs


@pytest.mark.parametrize("rule", sorted({rule for rule, _ in AS_PYTORCH}))
@pytest.mark.parametrize("how", [{"foreach": True}, {"foreach": False}, {"differentiable": True}, {"fused": True}])
def test_a_state_of_pytorch_loads_however_it_was_computed(rule, how, torch):
    if rule in ("Adadelta", "RMSprop") and "fused" in how:
        how = {"capturable": True}
    ours, theirs = pair(torch, rule, lr=0.1, **how)
    if not {"differentiable", "capturable"} & set(how):
        theirs.step()
    ours.load_state_dict(theirs.state_dict())
    assert ours.param_groups[0]["lr"] == 0.1


def test_a_rate_that_is_a_tensor_loads(torch):
    ours, theirs = pair(torch, "Adam", lr=torch.tensor(0.25), capturable=True)
    ours.load_state_dict(theirs.state_dict())
    assert ours.param_groups[0]["lr"] == 0.25
    assert type(ours.param_groups[0]["lr"]) is float


@pytest.mark.parametrize("rule", sorted({rule for rule, _ in AS_PYTORCH}))
def test_a_state_of_pytorch_that_maximizes_is_refused(rule, torch):
    ours, theirs = pair(torch, rule, lr=0.1, maximize=True)
    theirs.step()
    before = ours.state_dict()
    message = f"{rule}: cannot load state: parameter group 0 has maximize=True, an option .*can load maximize=False"
    with pytest.raises(ValueError, match=message):
        ours.load_state_dict(theirs.state_dict())
    assert ours.state_dict() == before


def test_coupled_and_decoupled_weight_decay_are_not_confused(torch):
    for rule, wrong in (("Adam", True), ("AdamW", False)):
        ours, theirs = pair(torch, rule)
        ours.load_state_dict(theirs.state_dict())
        other = pair(torch, "Adam" if wrong is False else "AdamW")[1].state_dict()
        with pytest.raises(ValueError, match=f"{rule}: .* has decoupled_weight_decay={wrong}.*={not wrong}"):
            ours.load_state_dict(other)


def test_names_and_what_pytorchs_schedules_keep_in_a_group_load(torch):
    layer = torch.nn.Linear(2, 2)
    theirs = torch.optim.SGD(layer.named_parameters(), lr=0.1, momentum=0.9)
    torch.optim.lr_scheduler.OneCycleLR(theirs, 0.5, total_steps=10)
    torch.optim.swa_utils.SWALR(theirs, 0.05)
    state = theirs.state_dict()
    assert {"param_names", "max_lr", "swa_lr"} <= set(state["param_groups"][0])
    ours = optim.SGD([nn.Parameter(np.zeros((2, 2))), nn.Parameter(np.zeros(2))])
    ours.load_state_dict(state)
    assert set(ours.param_groups[0]) == {*optim.SGD.options, "params", "initial_lr"}


def test_a_schedule_made_after_loading_starts_from_the_initial_rate(torch):
    ours, theirs = pair(torch, "SGD", lr=0.1)
    schedule = torch.optim.lr_scheduler.ExponentialLR(theirs, 0.5)
    theirs.step()
    schedule.step()
    ours.load_state_dict(theirs.state_dict())
    fresh = torch.optim.SGD([torch.nn.Parameter(torch.zeros(2))])
    fresh.load_state_dict(theirs.state_dict())
    expected = torch.optim.lr_scheduler.ExponentialLR(fresh, 0.5).base_lrs
    assert optim.lr_scheduler.ExponentialLR(ours, 0.5).base_lrs == expected == [0.1]


@pytest.mark.parametrize("value", [None, False, 0])
def test_an_option_that_is_off_loads(value):
    optimizer = optim.SGD([nn.Parameter(np.zeros(2))], lr=0.7)
    state = optimizer.state_dict()
    state["param_groups"][0].update(sparse=value, lr=0.2)
    optimizer.load_state_dict(state)
    assert optimizer.param_groups[0]["lr"] == 0.2
    assert "sparse" not in optimizer.param_groups[0]


@pytest.mark.parametrize("value", [True, 1, "yes", 0.5, np.zeros(2)])
def test_an_option_that_is_on_is_refused(value):
    optimizer = optim.SGD([nn.Parameter(np.zeros(2))], lr=0.7)
    state = optimizer.state_dict()
    state["param_groups"][0].update(sparse=value, lr=0.2)
    with pytest.raises(ValueError, match=r"SGD: .* parameter group 0 has sparse=.*can load sparse=False"):
        optimizer.load_state_dict(state)
    assert optimizer.param_groups[0]["lr"] == 0.7


def test_what_has_not_been_used_yet_loads_as_nothing():
    """Older versions of PyTorch write momentum_buffer=None for SGD without momentum."""
    optimizer = optim.SGD([nn.Parameter(np.zeros(2))], lr=1.0, momentum=0.5, dampening=0.5)
    state = optimizer.state_dict()
    state["state"] = {0: {"momentum_buffer": None}}
    optimizer.load_state_dict(state)
    (parameter,) = optimizer.param_groups[0]["params"]
    parameter.grad = np.ones(2)
    optimizer.step()
    assert parameter.data.tolist() == [-1, -1]  # not dampened: it is the first step
    assert math.isclose(optimizer.state[parameter]["step"], 1)


def test_a_parameter_without_axes_keeps_its_own_state():
    first, second = nn.Parameter(np.array(1.0)), nn.Parameter(np.array(1.0))
    optimizer, again = optim.SGD([first], lr=0.1, momentum=0.9), optim.SGD([second], lr=0.1, momentum=0.9)
    steps(optimizer, [first], np.random.default_rng(0))
    state = optimizer.state_dict()
    kept = float(state["state"][0]["momentum_buffer"])
    again.load_state_dict(state)
    steps(again, [second], np.random.default_rng(1))
    assert float(state["state"][0]["momentum_buffer"]) == kept


def momentum_of_ones_own(torch_or_minidl, base, zeros_like):
    class Momentum(base):
        def __init__(self, params, lr=0.1, momentum=0.9):
            super().__init__(params, {"lr": lr, "momentum": momentum})

        @torch_or_minidl.no_grad()
        def step(self, closure=None):
            loss = None if closure is None else closure()
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is None:
                        continue
                    state = self.state[p]
                    if len(state) == 0:
                        state["step"] = 0
                        state["buffer"] = zeros_like(p)
                    state["step"] += 1
                    state["buffer"] = group["momentum"] * state["buffer"] + p.grad
                    p -= group["lr"] / state["step"] ** 0.5 * state["buffer"]  # noqa: PLW2901
            return loss

    return Momentum


def test_an_optimiser_written_for_pytorch(torch):
    rng = np.random.default_rng(0)
    start, grads = rng.standard_normal((3, 2)), rng.standard_normal((5, 3, 2))
    ours, theirs = nn.Parameter(start), torch.nn.Parameter(torch.tensor(start))
    kind = momentum_of_ones_own(minidl, optim.Optimizer, minidl.zeros_like)
    mine = kind([{"params": [ours], "lr": 0.3}], momentum=0.5)
    other = momentum_of_ones_own(torch, torch.optim.Optimizer, torch.zeros_like)(
        [{"params": [theirs], "lr": 0.3}], momentum=0.5
    )
    schedules = [optim.lr_scheduler.ExponentialLR(mine, 0.9), torch.optim.lr_scheduler.ExponentialLR(other, 0.9)]
    for number, grad in enumerate(grads):
        ours.grad, theirs.grad = grad.copy(), torch.tensor(grad)
        assert mine.step(lambda number=number: number) == number
        other.step()
        for schedule in schedules:
            schedule.step()
        if number == 2:
            state = mine.state_dict()
            mine = kind([{"params": [ours], "lr": 0.3}], momentum=0.5)
            mine.load_state_dict(state)
            schedules[0].optimizer = mine
        np.testing.assert_allclose(ours.data, theirs.detach().numpy(), rtol=1e-12)
    assert mine.defaults == {"lr": 0.1, "momentum": 0.5}
    with pytest.raises(TypeError, match="Momentum: unknown options"):
        kind([{"params": [ours], "rate": 0.3}])


def test_a_closure_is_called_first_and_its_loss_returned():
    model, loss_fn = nn.Linear(2, 1), nn.MSELoss()
    optimizer, x, y = optim.SGD(model.params(), 0.1), np.ones((3, 2), np.float32), np.zeros((3, 1), np.float32)
    losses = []

    def closure():
        optimizer.zero_grad()
        loss = loss_fn(model(x), y)
        loss.backward()
        losses.append(loss.item())
        return loss

    assert [optimizer.step(closure).item() for _ in range(5)] == losses
    assert losses[-1] < losses[0]
    assert optimizer.step() is None
