"""Schedules beside hand changes, new groups and each other: rates are multiplied, not undone, exactly as in PyTorch."""

import math

import numpy as np
import pytest

from minidl import nn, optim
from minidl.optim import lr_scheduler

pytestmark = pytest.mark.filterwarnings("ignore:The epoch parameter:UserWarning")


def _random(rng):
    """The name and arguments of a schedule."""
    return [
        ("StepLR", {"step_size": int(rng.integers(1, 6)), "gamma": float(rng.choice([0.0, 0.1, 0.5, 1.5]))}),
        ("MultiStepLR", {"milestones": sorted(rng.integers(0, 20, 4).tolist()), "gamma": float(rng.uniform(0.2, 1.2))}),
        ("ExponentialLR", {"gamma": float(rng.uniform(0.7, 1.1))}),
        (
            "LinearLR",
            {
                "start_factor": float(rng.uniform(0.1, 1)),
                "end_factor": float(rng.choice([0.0, 0.3, 1.0])),
                "total_iters": int(rng.integers(1, 12)),
            },
        ),
        (
            "CosineAnnealingLR",
            {"T_max": int(rng.integers(1, 12)), "eta_min": float(rng.choice([0.0, 0.01, 0.2]))},
        ),
        ("LambdaLR", {"lr_lambda": lambda epoch: 0.9**epoch}),
    ][rng.integers(0, 6)]


class Pair:
    """An optimiser of ours and one of PyTorch's, with the same schedules."""

    def __init__(self, torch, lrs=(0.1, 0.3)):
        self.torch, self.schedules = torch, []
        value = np.ones(2)
        self.ours = optim.SGD([{"params": nn.Parameter(value), "lr": lr} for lr in lrs], lr=0.1, momentum=0.9)
        groups = [{"params": torch.nn.Parameter(torch.tensor(value)), "lr": lr} for lr in lrs]
        self.theirs = torch.optim.SGD(groups, lr=0.1, momentum=0.9)

    def make(self, name, options):
        made = getattr(lr_scheduler, name)(self.ours, **options)
        self.schedules.append((made, getattr(self.torch.optim.lr_scheduler, name)(self.theirs, **options)))

    def change(self, group, factor):
        for optimizer in (self.ours, self.theirs):
            optimizer.param_groups[group]["lr"] *= factor

    def add_group(self, lr):
        self.ours.add_param_group({"params": nn.Parameter(np.ones(1)), "lr": lr})
        self.theirs.add_param_group({"params": self.torch.nn.Parameter(self.torch.ones(1)), "lr": lr})

    def step(self):
        self.theirs.step()
        for mine, other in self.schedules:
            mine.step()
            other.step()

    def check(self, where):
        for mine, other in zip(self.ours.param_groups, self.theirs.param_groups, strict=True):
            assert math.isclose(mine["lr"], other["lr"], rel_tol=1e-9, abs_tol=1e-12), where


@pytest.mark.parametrize("seed", range(60))
def test_random_chains_and_hand_changes_as_pytorch(seed, torch):
    rng, pair = np.random.default_rng(seed), Pair(torch)
    for _ in range(rng.integers(1, 4)):
        if rng.random() < 0.3:
            pair.change(int(rng.integers(2)), float(rng.uniform(0.5, 5)))
        pair.make(*_random(rng))
        pair.check("made")
    for step in range(25):
        if rng.random() < 0.15:
            pair.change(int(rng.integers(2)), float(rng.uniform(0.2, 5)))
        pair.step()
        pair.check(step)


@pytest.mark.parametrize("seed", range(15))
def test_random_sequences_with_hand_changes_as_pytorch(seed, torch):
    rng, pair = np.random.default_rng(seed), Pair(torch)
    parts = [_random(rng) for _ in range(3)]
    made = []
    for module, optimizer in ((lr_scheduler, pair.ours), (torch.optim.lr_scheduler, pair.theirs)):
        schedulers = [getattr(module, name)(optimizer, **options) for name, options in parts]
        made.append(module.SequentialLR(optimizer, schedulers, milestones=[6, 13]))
    pair.schedules.append(tuple(made))
    for step in range(20):
        pair.check(step)
        if rng.random() < 0.2:
            pair.change(int(rng.integers(2)), 2.0)
        pair.step()


@pytest.mark.parametrize("names", [("StepLR", "ExponentialLR"), ("LinearLR", "CosineAnnealingLR", "MultiStepLR")])
def test_a_chained_scheduler_as_pytorch(names, torch):
    options = {
        "StepLR": {"step_size": 3},
        "ExponentialLR": {"gamma": 0.9},
        "LinearLR": {"total_iters": 4},
        "CosineAnnealingLR": {"T_max": 9},
        "MultiStepLR": {"milestones": [0, 5, 5]},
    }
    pair, chains = Pair(torch), []
    for module, optimizer in ((lr_scheduler, pair.ours), (torch.optim.lr_scheduler, pair.theirs)):
        chains.append(module.ChainedScheduler([getattr(module, name)(optimizer, **options[name]) for name in names]))
    pair.schedules.append(tuple(chains))
    for step in range(25):
        pair.check(step)
        assert chains[0].get_last_lr() == [group["lr"] for group in pair.ours.param_groups]
        pair.step()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("StepLR", {"step_size": 2}),
        ("MultiStepLR", {"milestones": [2, 5]}),
        ("ExponentialLR", {"gamma": 0.9}),
        ("LinearLR", {"total_iters": 9}),
        ("CosineAnnealingLR", {"T_max": 20, "eta_min": 0.01}),
    ],
)
def test_a_group_that_is_added_later_as_pytorch(name, options, torch):
    pair = Pair(torch)
    pair.make(name, options)
    for step in range(12):
        if step in (1, 4):
            pair.add_group(0.7 + step)
        pair.step()
        pair.check(step)
    assert len(pair.schedules[0][0].get_last_lr()) == 4
    state = pair.schedules[0][0].state_dict()
    again = getattr(lr_scheduler, name)(pair.ours, **options)
    again.load_state_dict(state)
    assert again.state_dict() == state


def test_a_cosine_goes_through_its_turning_points_with_a_group_that_is_added_later():
    sgd = optim.SGD([nn.Parameter(np.ones(1))], lr=0.1)
    schedule = lr_scheduler.CosineAnnealingLR(sgd, 3)
    sgd.add_param_group({"params": nn.Parameter(np.ones(1)), "lr": 0.5})
    for _ in range(6):  # down and up again
        schedule.step()
    assert schedule.get_last_lr() == pytest.approx([0.1, 0.5])


def test_where_a_new_groups_rate_is_not_known_it_is_asked_for():
    sgd = optim.SGD([nn.Parameter(np.ones(1))], lr=0.1, momentum=0.9)
    shared, listed = lr_scheduler.LambdaLR(sgd, lambda e: 0.5**e), lr_scheduler.LambdaLR(sgd, [lambda e: 1.0])
    cycle = lr_scheduler.OneCycleLR(sgd, 0.1, 10)
    sgd.add_param_group({"params": nn.Parameter(np.ones(1)), "lr": 0.8})
    shared.step()
    assert sgd.param_groups[1]["lr"] == 0.4
    with pytest.raises(ValueError, match="LambdaLR: expected 2 functions, got 1"):
        listed.step()
    with pytest.raises(ValueError, match="OneCycleLR: expected 2 parameter groups, as when the schedule was made"):
        cycle.step()


def test_what_was_set_by_hand_stays_set_after_a_state_without_first_rates_is_loaded(torch):
    pair = Pair(torch, lrs=(0.5,))
    before = pair.ours.state_dict(), pair.theirs.state_dict()
    pair.make("StepLR", {"step_size": 5})  # leaves initial_lr in the groups
    pair.ours.load_state_dict(before[0])
    pair.theirs.load_state_dict(before[1])
    assert "initial_lr" not in pair.ours.param_groups[0]
    pair.change(0, 4.0)
    pair.schedules.clear()
    pair.make("StepLR", {"step_size": 5})
    for step in range(12):
        pair.check(step)
        pair.step()
    assert pair.ours.param_groups[0]["lr"] == pytest.approx(2.0 * 0.1**2)


@pytest.mark.parametrize("momentum", [0.9, None])
def test_one_cycle_after_another_moves_the_momentum_too(momentum, torch):
    pair, made = Pair(torch), []
    for module, optimizer in ((lr_scheduler, pair.ours), (torch.optim.lr_scheduler, pair.theirs)):
        cycles = [
            module.OneCycleLR(optimizer, 0.5, total_steps=n, cycle_momentum=momentum is not None) for n in (6, 10)
        ]
        made.append(module.SequentialLR(optimizer, cycles, milestones=[6]))
    pair.schedules.append(tuple(made))
    assert (made[0].interval, made[0]._length()) == ("step", 16)
    for step in range(15):
        pair.check(step)
        for mine, other in zip(pair.ours.param_groups, pair.theirs.param_groups, strict=True):
            assert math.isclose(mine["momentum"], other["momentum"], rel_tol=1e-9), step
        pair.step()


def _sgd():
    return optim.SGD([nn.Parameter(np.ones(1))], lr=0.1, momentum=0.9)


def _chain(sgd):
    return lr_scheduler.ChainedScheduler([lr_scheduler.StepLR(sgd, 3), lr_scheduler.ExponentialLR(sgd, 0.9)])


def _sequence(sgd):
    parts = [lr_scheduler.LinearLR(sgd, 0.1, total_iters=4), lr_scheduler.CosineAnnealingLR(sgd, 6)]
    return lr_scheduler.SequentialLR(sgd, parts, [4])


MAKERS = {
    "lambda": lambda sgd: lr_scheduler.LambdaLR(sgd, lambda epoch: 0.9**epoch),
    "step": lambda sgd: lr_scheduler.StepLR(sgd, 2),
    "milestones": lambda sgd: lr_scheduler.MultiStepLR(sgd, [2, 4]),
    "exponential": lambda sgd: lr_scheduler.ExponentialLR(sgd, 0.9),
    "linear": lambda sgd: lr_scheduler.LinearLR(sgd, total_iters=7),
    "cosine": lambda sgd: lr_scheduler.CosineAnnealingLR(sgd, 8, 0.01),
    "cycle": lambda sgd: lr_scheduler.OneCycleLR(sgd, 0.4, 12),
    "sequence": _sequence,
    "chain": _chain,
}


@pytest.mark.parametrize("by_hand", [None, 3])
@pytest.mark.parametrize("name", MAKERS)
def test_a_state_continues_with_the_same_bits(name, by_hand):
    """Whether the optimiser's state is loaded too or not, and after a change by hand."""
    first = _sgd()
    schedule, rates = MAKERS[name](first), []
    for step in range(10):
        if step == by_hand:
            first.param_groups[0]["lr"] *= 3
        if step == 4:
            state, own = schedule.state_dict(), first.state_dict()
        rates.append((first.param_groups[0]["lr"], first.param_groups[0]["momentum"]))
        schedule.step()
    for with_optimizer in (True, False):
        second = _sgd()
        again = MAKERS[name](second)
        if with_optimizer:
            second.load_state_dict(own)
        again.load_state_dict(state)
        assert again.state_dict() == state
        for rate in rates[4:]:
            assert (second.param_groups[0]["lr"], second.param_groups[0]["momentum"]) == rate
            again.step()


@pytest.mark.parametrize("name", [name for name in MAKERS if name != "chain"])
def test_states_of_earlier_versions_are_loaded(name):
    sgd = _sgd()
    schedule = MAKERS[name](sgd)
    schedule.load_state_dict({"last_epoch": 3, "base_lrs": list(schedule.base_lrs)})
    other = _sgd()
    expected = MAKERS[name](other)
    for _ in range(3):
        expected.step()
    assert sgd.param_groups[0]["lr"] == other.param_groups[0]["lr"]
    schedule.step()
    expected.step()
    assert sgd.param_groups[0]["lr"] == other.param_groups[0]["lr"]


def test_a_schedule_alone_has_the_bits_of_its_formula():
    sgd = _sgd()
    cosine = lr_scheduler.CosineAnnealingLR(sgd, 7, 0.003)
    for epoch in range(30):
        assert sgd.param_groups[0]["lr"] == 0.003 + (0.1 - 0.003) * ((1 + math.cos(math.pi * epoch / 7)) / 2)
        cosine.step()
    sgd = _sgd()
    exponential = lr_scheduler.ExponentialLR(sgd, 0.93)
    for epoch in range(30):
        assert sgd.param_groups[0]["lr"] == 0.1 * 0.93**epoch
        exponential.step()


def test_a_chain_of_a_different_length_is_refused_and_nothing_changes():
    sgd = _sgd()
    chain = _chain(sgd)
    before = chain.state_dict()
    with pytest.raises(ValueError, match="ChainedScheduler: cannot load state: expected 2 schedulers, got 1"):
        chain.load_state_dict({**before, "last_epoch": 5, "schedulers": before["schedulers"][:1]})
    bad = {**before["schedulers"][1], "base_lrs": [1.0, 2.0]}
    with pytest.raises(ValueError, match="ExponentialLR: cannot load state: expected 1 groups, got 2"):
        chain.load_state_dict({**before, "last_epoch": 5, "schedulers": [before["schedulers"][0], bad]})
    assert chain.state_dict() == before


def _mixed(make):
    sgd = _sgd()
    return make(sgd, [lr_scheduler.LinearLR(sgd), lr_scheduler.OneCycleLR(sgd, 0.1, 10)])


def _with_plateau(make):
    sgd = _sgd()
    return make(sgd, [lr_scheduler.LinearLR(sgd), lr_scheduler.ReduceLROnPlateau(sgd)])


def _short(sgd):
    cycles = [lr_scheduler.OneCycleLR(sgd, 0.1, 5), lr_scheduler.OneCycleLR(sgd, 0.1, 5)]
    return lr_scheduler.SequentialLR(sgd, cycles, [6])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: lr_scheduler.ChainedScheduler([]), ValueError, "ChainedScheduler: expected at least one scheduler"),
        (lambda: lr_scheduler.ChainedScheduler([3]), TypeError, "ChainedScheduler: each scheduler must be an LRSched"),
        (
            lambda: lr_scheduler.ChainedScheduler([lr_scheduler.StepLR(_sgd(), 1), lr_scheduler.StepLR(_sgd(), 1)]),
            ValueError,
            "ChainedScheduler: the schedulers must be made for the same optimizer",
        ),
        (
            lambda: _mixed(lambda sgd, parts: lr_scheduler.SequentialLR(sgd, parts, [5])),
            ValueError,
            "SequentialLR: its schedulers must be stepped at the same times, got LinearLR after each epoch, OneCycleLR "
            "after each step",
        ),
        (lambda: _mixed(lambda _, parts: lr_scheduler.ChainedScheduler(parts)), ValueError, "stepped at the same time"),
        (
            lambda: _with_plateau(lambda sgd, parts: lr_scheduler.SequentialLR(sgd, parts, [5])),
            TypeError,
            "SequentialLR: each scheduler must be an LRScheduler",
        ),
        (lambda: _with_plateau(lambda _, parts: lr_scheduler.ChainedScheduler(parts)), TypeError, "each scheduler"),
        (lambda: _short(_sgd()), ValueError, "SequentialLR: OneCycleLR ends after 5 steps, but the next .* 6 steps"),
        (
            lambda: lr_scheduler.SequentialLR((chain := _chain(_sgd())).optimizer, [chain], []),
            ValueError,
            "chain SequentialLRs instead",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
