"""States that were tampered with: optimisers, schedules and averages refuse them whole, or load something."""

import collections

import numpy as np
import pytest
from tampering import frozen, tampered

from minidl import nn, optim
from minidl.optim import lr_scheduler


def steps(optimizer, schedule, ema):
    for _ in range(3):
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = np.ones_like(parameter.data)
        optimizer.step()
        ema.update()
        if schedule is not None:
            schedule.step(1.0) if isinstance(schedule, lr_scheduler.ReduceLROnPlateau) else schedule.step()


OPTIMIZERS = {
    "Adam": optim.Adam,
    "SGD": lambda p: optim.SGD(p, 0.1, momentum=0.9),
    "RMSprop": lambda p: optim.RMSprop(p, centered=True),
    "Lion": optim.Lion,
}
SCHEDULES = {
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, 0.1, 10, cycle_momentum="momentum" in o.defaults),
    "ReduceLROnPlateau": lr_scheduler.ReduceLROnPlateau,
    "ChainedScheduler": lambda o: lr_scheduler.ChainedScheduler(
        [lr_scheduler.LinearLR(o), lr_scheduler.ExponentialLR(o, 0.9)]
    ),
    "MultiStepLR": lambda o: lr_scheduler.MultiStepLR(o, [2, 4]),
}


@pytest.mark.parametrize(("kind", "schedule_kind"), list(zip(OPTIMIZERS, SCHEDULES, strict=True)))
def test_a_state_is_loaded_whole_or_not_at_all(kind, schedule_kind):
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    optimizer = OPTIMIZERS[kind]([{"params": [*model[0].params()]}, {"params": [*model[1].params()], "lr": 0.2}])
    schedule, ema = SCHEDULES[schedule_kind](optimizer), optim.EMA(model, 0.9, warmup=True)
    steps(optimizer, schedule, ema)
    states = [part.state_dict() for part in (optimizer, schedule, ema)]
    steps(optimizer, schedule, ema)
    counts = collections.Counter()
    for number, (part, state) in enumerate(zip((optimizer, schedule, ema), states, strict=True)):
        for seed in range(60):
            before = frozen([vars(optimizer), vars(schedule), vars(ema)])
            changed, what = tampered(state, np.random.default_rng([number, seed]))
            try:
                with np.errstate(all="ignore"):
                    part.load_state_dict(changed)
            except (ValueError, TypeError):
                assert frozen([vars(optimizer), vars(schedule), vars(ema)]) == before, what
                counts[number] += 1
    assert min(counts[number] for number in range(3)) > 15, counts


@pytest.mark.parametrize(
    ("entry", "value", "message"),
    [
        ("step", float("nan"), "step of parameter 0 must be a whole number, got nan"),
        ("step", -1, "step of parameter 0 must be from 0 to"),
        ("step", 10**400, "step of parameter 0 must be from 0 to 9223372036854775807, got a number out of all bounds"),
        ("exp_avg", np.full((2, 3), 1e300), "1e\\+300 does not fit in float32"),
    ],
)
def test_numbers_that_do_not_fit_are_named(entry, value, message):
    optimizer = optim.Adam(nn.Linear(3, 2).params())
    steps(optimizer, None, optim.EMA(nn.Linear(1, 1)))
    state = optimizer.state_dict()
    state["state"][0][entry] = value
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(state)


def test_a_state_of_pytorch_with_counts_in_tensors_loads():
    torch = pytest.importorskip("torch")
    other = torch.optim.Adam([torch.nn.Parameter(torch.ones(2))])
    other.param_groups[0]["params"][0].grad = torch.ones(2)
    other.step()
    optimizer = optim.Adam([nn.Parameter(np.ones(2, np.float32))])
    optimizer.load_state_dict(other.state_dict())
    assert next(iter(optimizer.state.values()))["step"] == 1
