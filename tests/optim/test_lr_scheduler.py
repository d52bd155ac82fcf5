"""Schedules: PyTorch's learning rates, step by step."""

import math

import numpy as np
import pytest

from minidl import nn, optim
from minidl.optim import lr_scheduler

STEPS = 40
SCHEDULES = [
    ("LambdaLR", {"lr_lambda": lambda epoch: 0.9**epoch / (1 + epoch)}),
    ("LambdaLR", {"lr_lambda": [lambda epoch: 0.5**epoch, lambda epoch: 1 + epoch]}),
    ("StepLR", {"step_size": 7, "gamma": 0.3}),
    ("MultiStepLR", {"milestones": [3, 10, 10, 25], "gamma": 0.5}),
    ("ExponentialLR", {"gamma": 0.93}),
    ("LinearLR", {}),
    ("LinearLR", {"start_factor": 0.2, "end_factor": 0.8, "total_iters": 11}),
    ("CosineAnnealingLR", {"T_max": 40}),
    ("CosineAnnealingLR", {"T_max": 9, "eta_min": 0.01}),
    ("OneCycleLR", {"max_lr": 0.5, "total_steps": STEPS + 1}),
    ("OneCycleLR", {"max_lr": [0.5, 1.0], "epochs": 4, "steps_per_epoch": 11, "anneal_strategy": "linear"}),
    ("OneCycleLR", {"max_lr": 0.5, "total_steps": 50, "three_phase": True, "pct_start": 0.4, "div_factor": 10}),
]


def both(torch, rule="SGD", **options):
    options = {"momentum": 0.9, **options} if rule == "SGD" else options
    value = np.ones(2, np.float32)
    ours = getattr(optim, rule)(
        [{"params": nn.Parameter(value)}, {"params": nn.Parameter(value), "lr": 0.3}], lr=0.1, **options
    )
    groups = [{"params": torch.nn.Parameter(torch.tensor(value))} for _ in range(2)]
    groups[1]["lr"] = 0.3
    return ours, getattr(torch.optim, rule)(groups, lr=0.1, **options)


def follow(ours, theirs, schedule, torch_schedule, steps=STEPS):
    for step in range(steps):
        for mine, other in zip(ours.param_groups, theirs.param_groups, strict=True):
            assert math.isclose(mine["lr"], other["lr"], rel_tol=1e-9, abs_tol=1e-12), step
            assert math.isclose(mine.get("momentum", 0), other.get("momentum", 0), rel_tol=1e-9), step
            assert mine.get("betas", ()) == pytest.approx(other.get("betas", ()), rel=1e-9), step
        assert schedule.get_last_lr() == [g["lr"] for g in ours.param_groups]
        theirs.step()
        schedule.step()
        torch_schedule.step()


@pytest.mark.parametrize("rule", ["SGD", "Adam"])
@pytest.mark.parametrize(("name", "options"), SCHEDULES, ids=lambda v: v if isinstance(v, str) else "")
def test_step_by_step_as_pytorch(name, options, rule, torch):
    ours, theirs = both(torch, rule)
    schedule = getattr(lr_scheduler, name)(ours, **options)
    follow(ours, theirs, schedule, getattr(torch.optim.lr_scheduler, name)(theirs, **options))


@pytest.mark.filterwarnings("ignore:The epoch parameter:UserWarning")
def test_one_after_another_as_pytorch(torch):
    ours, theirs = both(torch)
    schedules = []
    for module, optimizer in ((lr_scheduler, ours), (torch.optim.lr_scheduler, theirs)):
        parts = [module.LinearLR(optimizer, 0.1, total_iters=5), module.ExponentialLR(optimizer, 0.9)]
        parts.append(module.CosineAnnealingLR(optimizer, 20))
        schedules.append(module.SequentialLR(optimizer, parts, [5, 12]))
    follow(ours, theirs, *schedules, steps=30)


@pytest.mark.parametrize(
    "options",
    [
        {"patience": 2},
        {"mode": "max", "factor": 0.5, "patience": 0, "cooldown": 2, "min_lr": 0.01},
        {"threshold": 0.5, "threshold_mode": "abs", "patience": 1},
        {"mode": "max", "threshold": 0.2, "patience": 1},
    ],
)
def test_a_plateau_as_pytorch(options, torch):
    ours, theirs = both(torch)
    schedule = lr_scheduler.ReduceLROnPlateau(ours, **options)
    torch_schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, **options)
    for value in np.random.default_rng(0).standard_normal(STEPS).cumsum():
        schedule.step(value)
        torch_schedule.step(value)
        assert schedule.get_last_lr() == pytest.approx([g["lr"] for g in theirs.param_groups])
    again = lr_scheduler.ReduceLROnPlateau(ours, **options)
    again.load_state_dict(schedule.state_dict())
    assert again.state_dict() == schedule.state_dict()


def test_the_state_continues():
    first, second = (optim.SGD([nn.Parameter(np.ones(1))], lr=0.1) for _ in range(2))
    schedule = lr_scheduler.CosineAnnealingLR(first, 10)
    for _ in range(4):
        schedule.step()
    again = lr_scheduler.CosineAnnealingLR(second, 10)
    again.load_state_dict(schedule.state_dict())
    schedule.step()
    again.step()
    assert again.get_last_lr() == schedule.get_last_lr()
    with pytest.raises(ValueError, match="CosineAnnealingLR: cannot load state: expected 1 groups, got 2"):
        again.load_state_dict({"last_epoch": 1, "base_lrs": [1, 2]})


def _sgd():
    return optim.SGD([nn.Parameter(np.ones(1))], lr=0.1)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: lr_scheduler.StepLR(None, 2), TypeError, "StepLR: optimizer must be an Optimizer, got None"),
        (lambda: lr_scheduler.StepLR(_sgd(), 0), ValueError, "StepLR: step_size must be at least 1, got 0"),
        (lambda: lr_scheduler.LambdaLR(_sgd(), [min, max]), ValueError, "LambdaLR: expected 1 functions, got 2"),
        (lambda: lr_scheduler.LinearLR(_sgd(), 0.0), ValueError, "LinearLR: start_factor must be greater than 0"),
        (lambda: lr_scheduler.OneCycleLR(_sgd(), 0.1), ValueError, "OneCycleLR: give total_steps, or both"),
        (lambda: lr_scheduler.OneCycleLR(_sgd(), [1, 2], 5), ValueError, "expected 1 values of max_lr, got 2"),
        (lambda: lr_scheduler.SequentialLR(_sgd(), [], []), ValueError, "SequentialLR: expected one milestone fewer"),
        (
            lambda: lr_scheduler.SequentialLR(_sgd(), [lr_scheduler.ExponentialLR(_sgd(), 0.9)], []),
            ValueError,
            "SequentialLR: the schedulers must be made for the same optimizer",
        ),
        (lambda: lr_scheduler.ReduceLROnPlateau(_sgd(), factor=1), ValueError, "factor must be less than 1, got 1"),
        (lambda: lr_scheduler.OneCycleLR(_rms(), 0.1, 5), ValueError, "no momentum to cycle"),
        (lambda: lr_scheduler.LambdaLR(None, min), TypeError, "LambdaLR: optimizer must be an Optimizer, got None"),
        (lambda: lr_scheduler.OneCycleLR(None, 1, 5), TypeError, "OneCycleLR: optimizer must be an Optimizer"),
        (lambda: lr_scheduler.ReduceLROnPlateau(None), TypeError, "ReduceLROnPlateau: optimizer must be an Optimizer"),
        (lambda: _cycle(div_factor=0), ValueError, "OneCycleLR: div_factor must be greater than 0"),
        (lambda: _cycle(final_div_factor=-1), ValueError, "OneCycleLR: final_div_factor must be at least 0"),
        (lambda: _cycle(base_momentum="low"), TypeError, "OneCycleLR: base_momentum must be a number, got 'low'"),
        (lambda: _cycle(max_momentum=math.nan), ValueError, "OneCycleLR: max_momentum must be at least 0.0, got nan"),
        (lambda: _cycle(pct_start=1.5), ValueError, "OneCycleLR: pct_start must be between 0.0 and 1.0, got 1.5"),
        (
            lambda: lr_scheduler.SequentialLR(_sgd(), [lr_scheduler.ExponentialLR(_sgd(), 0.9)] * 2, [2.5]),
            ValueError,
            "SequentialLR: the schedulers must be made for the same optimizer",
        ),
        (lambda: _sequence([2.5]), TypeError, "SequentialLR: milestones must be an integer, got 2.5"),
    ],
)
def test_wrong_options_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def _cycle(**options):
    return lr_scheduler.OneCycleLR(_sgd(), 0.1, 5, **options)


def _sequence(milestones):
    sgd = _sgd()
    return lr_scheduler.SequentialLR(sgd, [lr_scheduler.ExponentialLR(sgd, 0.9)] * 2, milestones)


def _numpy_scalars(value):
    """The same options as NumPy's scalars, as they come out of an array."""
    if isinstance(value, dict):
        return {name: _numpy_scalars(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_numpy_scalars(item) for item in value]
    return np.asarray(value)[()] if isinstance(value, (bool, int, float)) else value


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *SCHEDULES,
        ("OneCycleLR", {"max_lr": 0.5, "total_steps": 9, "base_momentum": 0.8, "max_momentum": 0.9, "div_factor": 3.0}),
        ("ReduceLROnPlateau", {"factor": 0.5, "patience": 0, "min_lr": 0.01, "threshold": 0.5, "cooldown": 1}),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
@pytest.mark.parametrize("rule", ["SGD", "Adam"])
def test_numpys_numbers_become_pythons(name, options, rule):
    groups = [[{"params": nn.Parameter(np.ones(1))} for _ in range(2)] for _ in range(2)]
    optimizers = [getattr(optim, rule)(group, lr=0.1) for group in groups]
    given = [options, _numpy_scalars(options)]
    schedules = [getattr(lr_scheduler, name)(o, **kw) for o, kw in zip(optimizers, given, strict=True)]
    for step in range(9):
        for schedule in schedules:
            schedule.step(*[np.float64(step)] * (name == "ReduceLROnPlateau"))
    for mine, other in zip(optimizers[0].param_groups, optimizers[1].param_groups, strict=True):
        assert {k: v for k, v in mine.items() if k != "params"} == {k: v for k, v in other.items() if k != "params"}
        numbers = [v for k, v in other.items() if k not in ("params", "betas")] + list(other.get("betas", ()))
        assert {type(number) for number in numbers} <= {int, float, bool}
    numbers = [value for value in vars(schedules[1]).values() if np.ndim(value) == 0]
    assert not any(isinstance(number, np.generic) for number in numbers)
    assert not any(isinstance(number, np.generic) for number in schedules[1].state_dict().values())


def test_a_custom_schedule_may_return_numpys_numbers():
    class Noise(lr_scheduler.LRScheduler):
        def rate(self, epoch, group):
            return np.float64(0.5) ** epoch

    sgd = _sgd()
    Noise(sgd).step()
    assert type(sgd.param_groups[0]["lr"]) is float


def test_a_plateaus_state_is_loaded_whole_or_not_at_all():
    schedule = lr_scheduler.ReduceLROnPlateau(_sgd())
    before = schedule.state_dict()
    with pytest.raises(ValueError, match="it has no cooldown_counter, last_epoch"):
        schedule.load_state_dict({"best": 1.0, "num_bad_epochs": 3})
    assert schedule.state_dict() == before
    schedule.load_state_dict({name: np.asarray(1.0)[()] for name in before})
    assert [type(value) for value in schedule.state_dict().values()] == [float, int, int, int]


def _rms():
    return optim.Adagrad([nn.Parameter(np.ones(1))])


def test_a_cycle_ends():
    schedule = lr_scheduler.OneCycleLR(_sgd(), 0.1, 2)
    schedule.step()
    schedule.step()  # a step after the last optimiser step does no harm, as in PyTorch
    with pytest.raises(ValueError, match="OneCycleLR: the cycle of 2 steps is over"):
        schedule.step()


def test_a_schedule_with_get_lr_as_one_of_pytorchs(torch):
    def schedule(base):
        class WarmupThenDecay(base):
            def __init__(self, optimizer, steps, last_epoch=-1):
                self.steps = steps
                super().__init__(optimizer, last_epoch)

            def get_lr(self):
                if self.last_epoch < self.steps:
                    return [lr * (self.last_epoch + 1) / self.steps for lr in self.base_lrs]
                return [group["lr"] * 0.9 for group in self.optimizer.param_groups]

        return WarmupThenDecay

    def groups(parameter):
        return [{"params": [parameter(np.zeros(1))], "lr": 0.5}, {"params": [parameter(np.zeros(1))]}]

    optimizer = optim.SGD(groups(nn.Parameter), lr=0.1)
    theirs = torch.optim.SGD(groups(lambda x: torch.nn.Parameter(torch.tensor(x))), lr=0.1)
    ours = schedule(optim.lr_scheduler.LRScheduler)(optimizer, 3)
    other = schedule(torch.optim.lr_scheduler.LRScheduler)(theirs, 3)
    for epoch in range(8):
        assert ours.get_last_lr() == pytest.approx(other.get_last_lr(), rel=1e-15)
        assert ours.last_epoch == other.last_epoch == epoch
        if epoch == 5:  # a new one resumes, here and there
            state = ours.state_dict()
            ours = schedule(optim.lr_scheduler.LRScheduler)(optimizer, 3)
            ours.load_state_dict(state)
        theirs.step()
        ours.step()
        other.step()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("StepLR", (2,)),
        ("MultiStepLR", ([2, 4],)),
        ("ExponentialLR", (0.9,)),
        ("LambdaLR", (lambda epoch: 1 / (epoch + 1),)),
        ("LinearLR", ()),
        ("CosineAnnealingLR", (6,)),
    ],
)
def test_last_epoch_goes_on_as_in_pytorch(name, options, torch):
    ours = optim.SGD([{"params": [nn.Parameter(np.zeros(1))], "lr": 0.07}], lr=0.1)
    theirs = torch.optim.SGD([{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 0.07, "initial_lr": 0.1}], lr=0.1)
    with pytest.raises(ValueError, match=f'{name}: to go on from last_epoch=3.*"initial_lr"'):
        getattr(optim.lr_scheduler, name)(ours, *options, last_epoch=3)
    ours.param_groups[0]["initial_lr"] = 0.1
    mine = getattr(optim.lr_scheduler, name)(ours, *options, last_epoch=3)
    other = getattr(torch.optim.lr_scheduler, name)(theirs, *options, last_epoch=3)
    for _ in range(4):
        assert mine.last_epoch == other.last_epoch
        assert mine.get_last_lr() == pytest.approx(other.get_last_lr(), rel=1e-12)
        theirs.step()
        mine.step()
        other.step()
